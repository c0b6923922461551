"""Business refusals in payloads: `userErrors { code field message }`, with the codes of each mutation in an enum of its own."""

from enum import Enum
from typing import Protocol, TypeVar

import strawberry

from domain.refusals import OutcomeUnknown, Refusal

CodeEnum = TypeVar("CodeEnum", bound=Enum)
CodeEnum_contra = TypeVar("CodeEnum_contra", bound=Enum, contravariant=True)
UserErrorT = TypeVar("UserErrorT")
UserErrorT_co = TypeVar("UserErrorT_co", covariant=True)


# The description of every mutation's key.
IDEMPOTENCY_KEY = (
    "Up to 256 characters of your own, one for each wish. Sent again with the same input it gives the same answer and moves "
    "nothing; with other input it is refused. Remembered for at least 30 days."
)


@strawberry.interface(description="Why a mutation did nothing.")
class UserError:
    """What every refusal tells, whatever its mutation."""

    field: list[str] | None = strawberry.field(
        description="Path of the input it is about, from `input` on; null when it is about no single field."
    )
    message: str = strawberry.field(description="A sentence for a person; its wording may change.")


class _MadeOfRefusal(Protocol[CodeEnum_contra, UserErrorT_co]):
    def __call__(self, *, code: CodeEnum_contra, field: list[str] | None, message: str) -> UserErrorT_co: ...


def user_error(refusal: Refusal, error: _MadeOfRefusal[CodeEnum, UserErrorT], codes: type[CodeEnum]) -> UserErrorT:
    """A refusal as the `error` type of its mutation. What may have happened all the same is a fault, not an answer."""
    if isinstance(refusal, OutcomeUnknown):
        raise refusal
    return error(code=codes[refusal.code], field=list(refusal.field) or None, message=refusal.message)
