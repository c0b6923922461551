"""What may be refused. The class name of a refusal is its public code: `InsufficientPoints` ↔ `INSUFFICIENT_POINTS`."""

import re
import unicodedata
from typing import ClassVar

from domain import limits

# Controls, halves of a character, line and paragraph separators. Joiners and wide spaces (Cf, Zs) are spelling in some scripts.
_UNWANTED = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Overrides and isolates of the writing direction: they make a text look like another one.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_REGISTRY: dict[str, type["Refusal"]] = {}


class Refusal(Exception):
    """A typed no: `code` says which, `field` is the path of the input it is about, `message` is for a person.

    A *final* refusal is recorded with the caller's key, so that a retry can never turn a no into a yes. Errors in the
    input itself are not recorded: they are the same every time, and nothing was ever decided for the key.
    """

    final: ClassVar[bool] = False
    code: ClassVar[str]

    def __init__(self, message: str, *, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.replayed = False

    def __eq__(self, other: object) -> bool:
        """Equal when they say the same; whether it is the first time is not part of it."""
        return isinstance(other, type(self)) and (self.code, self.message, self.field) == (
            other.code,
            other.message,
            other.field,
        )

    def __hash__(self) -> int:
        return hash((self.code, self.message, self.field))

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
        _REGISTRY[cls.code] = cls

    @staticmethod
    def restore(code: str, message: str, field: tuple[str, ...]) -> "Refusal":
        """The recorded refusal again, as the first caller heard it."""
        return _REGISTRY[code](message, field=field).again()

    def again(self) -> "Refusal":
        """The same refusal as the answer to a retry."""
        refusal = type(self)(self.message, field=self.field)
        refusal.replayed = True
        return refusal


class InvalidText(Refusal):
    """A text is empty, too long, or holds characters its field does not allow."""


class InvalidTime(Refusal):
    """A moment lies in the future or too far in the past."""


class InvalidDate(Refusal):
    """A date is over, or too far ahead."""


class InvalidPoints(Refusal):
    """A number of points is zero, negative where points are only taken, or beyond `limits.ADJUSTMENT_POINTS_MAX`."""


class MemberNotFound(Refusal):
    """Nobody enrolled under the given id, external id, contact or card, or the caller may not see them."""


class InsufficientPoints(Refusal):
    """The spendable balance is smaller than what was asked for."""

    final = True


class MemberBlocked(Refusal):
    """The account is blocked: it does not spend until staff have unblocked it."""

    final = True


class MemberClosed(Refusal):
    """The membership has ended; nothing is booked on the account any more."""

    final = True


class HoldsOpen(Refusal):
    """A till still has points of the account set aside: what would end the account has to wait."""

    final = True


class IdempotencyKeyReused(Refusal):
    """The key was used before with other input or for another member; nothing is done."""


class OutcomeUnknown(Refusal):
    """The store was too busy, or did not answer in time. The same call with the same key is safe and finds out."""


def _is_unwanted(character: str) -> bool:
    return character in _TURNING or unicodedata.category(character) in _UNWANTED


def require_text(
    value: str, *, field: tuple[str, ...], length_max: int, length_min: int = 1, pattern: re.Pattern[str] | None = None
) -> str:
    """`value` without surrounding white space; refuses `InvalidText` outside the length or with control characters."""
    text = value.strip()
    name = field[-1] if field else "text"
    if not length_min <= len(text) <= length_max:
        raise InvalidText(f"{name} must have {length_min} to {length_max} characters, not {len(text)}.", field=field)
    if not text.isprintable() and any(map(_is_unwanted, text)):
        raise InvalidText(f"{name} must not contain control characters.", field=field)
    if pattern is not None and not pattern.fullmatch(text):
        raise InvalidText(f"{name} must match {pattern.pattern}.", field=field)
    return text


# A code, not a sentence: free text never stands in the ledger, which nobody can erase.
_REASON = re.compile(r"[A-Z][A-Z0-9_]*")


def require_reason(value: str, *, field: tuple[str, ...] = ("input", "reason")) -> str:
    """A reason code such as `GOODWILL`. Refuses `InvalidText`."""
    return require_text(value, field=field, length_max=limits.REASON_LENGTH_MAX, pattern=_REASON)
