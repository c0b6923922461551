"""Reading a program document: typed values out of mappings, each fault with its path, nothing misspelt overlooked."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

from domain import limits
from domain.refusals import Refusal

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_UNITS = (1, 10, 100, 1_000, 10_000)  # minor units in a whole one, by the exponents of ISO 4217
_MISSING = object()
T = TypeVar("T")


class InvalidProgram(Refusal):
    """A program document that cannot be published; `field` is the path in it."""


def _month_day(text: Any) -> tuple[int, int] | None:
    """The month and day of a text such as `02-29`."""
    try:
        # A leap year: 29 February is a date of the year as well.
        on = date.fromisoformat(f"2024-{text}")
    except ValueError:
        return None
    return on.month, on.day


class Reader:
    """Reads typed values out of one mapping of a document and remembers which, so that a misspelt one is found.

    Every method refuses `InvalidProgram`, with the path of the value.
    """

    def __init__(self, values: Any, path: tuple[str, ...]) -> None:
        self.path = path
        if not isinstance(values, Mapping):
            raise InvalidProgram("must be a mapping.", field=path)
        self.values = values
        self._read: set[str] = set()

    def finish(self) -> None:
        """Refuses `InvalidProgram` for a name that nobody has read."""
        for name in self.values:
            if name not in self._read:
                self.refuse(str(name), "is not a setting of a program.")

    def text(self, name: str, length_max: int, *, default: Any = _MISSING) -> str:
        """A text without control characters."""

        def accept(value: Any) -> str | None:
            is_text = isinstance(value, str) and value.isprintable() and len(value) <= length_max
            return value if is_text and (value or default == "") else None

        return self._value(name, accept, f"must be a text of 1 to {length_max} characters", default)

    def id(self, name: str, *, default: Any = _MISSING) -> str:
        """The id of something in the program."""

        def accept(value: Any) -> str | None:
            return value if isinstance(value, str) and _ID.fullmatch(value) else None

        return self._value(name, accept, f"must match {_ID.pattern}", default)

    def ids(self, name: str, *, count_max: int) -> tuple[str, ...]:
        """Different ids; none when the document gives none."""

        def accept(value: Any) -> tuple[str, ...] | None:
            is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) <= count_max
            good = is_list and all(isinstance(each, str) and _ID.fullmatch(each) for each in value)
            return tuple(value) if good and len(set(value)) == len(value) else None

        return self._value(name, accept, f"must be a list of at most {count_max} different ids ({_ID.pattern})", ())

    def day(self, name: str) -> date:
        """A date, as text or as YAML makes it."""

        def accept(value: Any) -> date | None:
            # A moment is a date to Python, not to an author.
            if isinstance(value, date) and not isinstance(value, datetime):
                return value
            try:
                return date.fromisoformat(value)
            except (TypeError, ValueError):
                return None

        return self._value(name, accept, "must be a date, such as 2026-03-31", _MISSING)

    def flag(self, name: str, *, default: bool) -> bool:
        """Yes or no."""

        def accept(value: Any) -> bool | None:
            return value if isinstance(value, bool) else None

        return self._value(name, accept, "must be true or false", default)

    def wholes(self, name: str, least: int, most: int, *, count_max: int, default: Sequence[int]) -> tuple[int, ...]:
        """Different whole numbers."""

        def accept(value: Any) -> tuple[int, ...] | None:
            is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) <= count_max
            good = is_list and all(type(each) is int and least <= each <= most for each in value)
            return tuple(value) if good and len(set(value)) == len(value) else None

        rule = f"must be a list of at most {count_max} different whole numbers from {least} to {most}"
        return self._value(name, accept, rule, default)

    def choices(self, name: str, choices: Mapping[str, T], *, default: Sequence[str]) -> tuple[T, ...]:
        """Different ones of `choices`."""

        def accept(value: Any) -> tuple[T, ...] | None:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            good = is_list and all(isinstance(each, str) and each in choices for each in value)
            return tuple(choices[each] for each in value) if good and len(set(value)) == len(value) else None

        return self._value(name, accept, "must be a list, without repetition, of " + ", ".join(choices), default)

    def dates(self, name: str, *, count_max: int) -> tuple[tuple[int, int], ...]:
        """Different dates of the year, as (month, day), sorted."""

        def accept(value: Any) -> tuple[tuple[int, int], ...] | None:
            is_list = isinstance(value, Sequence) and not isinstance(value, str) and 0 < len(value) <= count_max
            found = [_month_day(each) for each in value] if is_list else []
            dates = [each for each in found if each is not None]
            return tuple(sorted(dates)) if dates and len(set(dates)) == len(found) else None

        rule = f"must be a list of 1 to {count_max} different dates of the year, such as '03-31'"
        return self._value(name, accept, rule, _MISSING)

    def has(self, name: str) -> bool:
        """Whether the document gives a value."""
        return name in self.values

    def whole(self, name: str, least: int, most: int, *, default: Any = _MISSING) -> int:
        """A whole number."""

        def accept(value: Any) -> int | None:
            return value if type(value) is int and least <= value <= most else None

        return self._value(name, accept, f"must be a whole number from {least} to {most}", default)

    def choice(self, name: str, choices: Mapping[str, T], *, default: str) -> T:
        """One of `choices`."""

        def accept(value: Any) -> T | None:
            return choices.get(value) if isinstance(value, str) else None

        return self._value(name, accept, "must be one of " + ", ".join(choices), default)

    def zone(self, name: str) -> ZoneInfo:
        """An IANA time zone."""

        def accept(value: Any) -> ZoneInfo | None:
            try:
                return ZoneInfo(value)
            except (KeyError, OSError, TypeError, ValueError):  # an unknown name is a KeyError, a path a ValueError
                return None

        return self._value(name, accept, "must be an IANA time zone, such as Europe/Paris", _MISSING)

    def currencies(self, name: str) -> dict[str, int]:
        """Minor units in a whole one, by ISO 4217 code."""

        def accept(value: Any) -> dict[str, int] | None:
            good = (
                isinstance(value, Mapping)
                and value
                and all(
                    isinstance(code, str) and _CURRENCY.fullmatch(code) and type(units) is int and units in _UNITS
                    for code, units in value.items()
                )
            )
            return dict(value) if good else None

        return self._value(name, accept, "must give each ISO 4217 code its minor units, such as EUR: 100", _MISSING)

    def reader(self, name: str, *, default: Any = _MISSING) -> "Reader":
        """A mapping within this one."""
        self._read.add(name)
        if name not in self.values and default is _MISSING:
            self.refuse(name, "is missing.")
        return Reader(self.values.get(name, default), (*self.path, name))

    def readers(self, name: str) -> list["Reader"]:
        """A list of mappings."""

        def accept(value: Any) -> list[Any] | None:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            return list(value) if is_list and len(value) <= limits.PROGRAM_LIST_MAX else None

        listed = self._value(name, accept, f"must be a list of at most {limits.PROGRAM_LIST_MAX}", [])
        return [Reader(each, (*self.path, name, str(index))) for index, each in enumerate(listed)]

    def _value(self, name: str, accept: Callable[[Any], T | None], rule: str, default: Any) -> T:
        self._read.add(name)
        value = self.values.get(name, default)
        if value is _MISSING:
            self.refuse(name, "is missing.")
        accepted = accept(value)
        if accepted is None:
            self.refuse(name, f"{rule}.")
        return accepted

    def refuse(self, name: str, message: str) -> NoReturn:
        """Refuses `InvalidProgram` for the value of a name."""
        raise InvalidProgram(f"{'.'.join((*self.path, name))} {message}", field=(*self.path, name))
