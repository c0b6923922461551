"""Reading a file of members: one a line, the first column of each, text in UTF-8.

A line is a line, whatever stands in it: a quoted value never goes on in the next one. So a quote that somebody forgot costs its
own line, and a file can be cut between any two.
"""

import csv
import re
from collections.abc import Iterable, Iterator

from domain import limits
from domain.lists.member_list import By, Failure
from domain.lists.store import Cut, Unusable

_MARK = "\ufeff"
_FILL = re.compile(r"[\s_-]")
# How a first line may call what the lines below it are; without white space, _ and -.
_HEADERS = {
    By.EXTERNAL_ID: "externalid",
    By.EMAIL: "email",
    By.PHONE: "phone",
    By.CARD_NUMBER: "cardnumber",
    By.MEMBER_ID: "memberid",
}


class Malformed(ValueError):
    """A line of which nobody can say what its first value is."""


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, each with its end. Raises `Unusable` when one is too long."""
    rest = b""
    for chunk in chunks:
        # Only a line feed ends a line: a lone carriage return is part of it, and makes its value malformed.
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _bounded(line) + b"\n"
        _bounded(rest)
    if rest:
        yield rest


def cut(chunks: Iterable[bytes]) -> Cut:
    """Where the parts of a file begin. Raises `Unusable` when it is no text, or has too many lines or one that is too long."""
    starts: list[int] = []
    place = 0
    for number, line in enumerate(lines(chunks)):
        if number == limits.LIST_LINES_MAX:
            raise Unusable(Failure.TOO_MANY_LINES)
        if number % limits.LIST_PART_LINES == 0:
            starts.append(place)
        try:
            line.decode()
        except UnicodeDecodeError:
            raise Unusable(Failure.NOT_TEXT) from None
        place += len(line)
    return Cut(tuple(starts), place)


def values(part: Iterable[bytes], by: By, *, is_first: bool) -> Iterator[str | Malformed | None]:
    """What each line names: nothing (None) where it is blank, and where it is a heading."""
    awaits_heading = is_first
    for number, line in enumerate(part):
        text = line.decode()
        if is_first and number == 0:
            text = text.removeprefix(_MARK)
        if not text.strip():
            yield None
            continue
        try:
            value = _first(text)
        except Malformed as malformed:
            awaits_heading = False
            yield malformed
            continue
        is_heading = awaits_heading and _FILL.sub("", value).lower() == _HEADERS[by]
        awaits_heading = False
        yield None if is_heading else value


def _first(text: str) -> str:
    """The first column of a line."""
    try:
        return next(csv.reader([text.rstrip("\r\n")], strict=True))[0]
    except csv.Error as error:
        raise Malformed(str(error)) from None


def _bounded(line: bytes) -> bytes:
    if len(line.removesuffix(b"\r")) > limits.LIST_LINE_BYTES_MAX:
        raise Unusable(Failure.LINE_TOO_LONG)
    return line
