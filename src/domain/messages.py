"""Messages between the functions: what is common to all of them, whatever they hold."""


class Poison(ValueError):
    """A message that no function of the program has written: it fails however often it comes, so it need not come again."""
