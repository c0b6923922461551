"""Texts of a program with places to fill in: `$points points expire on $date.` Two dollar signs are one."""

from collections.abc import Iterable, Mapping
from string import Template

from domain.documents import Reader

# What every text may name. What is not known is left empty.
NAME, POINTS, BALANCE, TIER, DATE = "name", "points", "balance", "tier", "date"
USUAL = (NAME, POINTS, BALANCE, TIER, DATE)


def parse(reader: Reader, name: str, length_max: int, *, default: str, more: Iterable[str] = ()) -> str:
    """A text of a document. Refuses `InvalidProgram`, also for a `$place` that nothing fills in."""
    text = reader.text(name, length_max, default=default)
    template, known = Template(text), {*USUAL, *more}
    if not template.is_valid():
        reader.refuse(name, "has a $ without a name; write $$ for a dollar sign.")
    for place in template.get_identifiers():
        if place not in known:
            reader.refuse(name, f"names ${place}; it can name " + ", ".join(f"${each}" for each in sorted(known)) + ".")
    return text


def filled(text: str, values: Mapping[str, object]) -> str:
    """A text with its places filled in."""
    return Template(text).safe_substitute(values)
