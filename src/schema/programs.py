"""The program through the API: what members can know of the rules in force."""

import strawberry

from domain import explanations
from domain.access import Permission
from schema import tiers
from schema.access import Permitted
from schema.context import Info
from schema.scalars import Long
from schema.tiers import Tier, TierLadder


@strawberry.type(description="A currency that purchases may be paid in.")
class Currency:
    """One currency of a program."""

    code: str = strawberry.field(description="ISO 4217 code.")
    minor_per_unit: Long = strawberry.field(description="Minor units in a whole one, such as 100 cents in a dollar.")


@strawberry.type(description="The program in force.")
class Program:
    """What is public of a program."""

    version: Long = strawberry.field(description="The number of its publication; 1 is the first.")
    name: str
    time_zone: str = strawberry.field(description="The IANA time zone of its days, such as `America/New_York`.")
    currencies: list[Currency]
    expiry: str = strawberry.field(description="How long points that are earned now can be spent, in a sentence.")
    ladder: TierLadder | None = strawberry.field(description="How tiers are reached; null in a program without.")
    tiers: list[Tier] = strawberry.field(description="The tiers, the lowest first; at most 10.")
    reminder_stages: list[Long] = strawberry.field(
        description="How many days before points expire members are reminded, the earliest first."
    )


def program(info: Info) -> Program:
    """The rules in force."""
    known = info.context.program
    ladder = tiers.ladder_of(known.ladder) if known.ladder else None
    return Program(
        version=Long(known.version),
        name=known.name,
        time_zone=known.zone.key,
        currencies=[
            Currency(code=code, minor_per_unit=Long(units)) for code, units in sorted(known.currencies.items())
        ],
        expiry=explanations.expiry_in_words(known.terms.expiry),
        ladder=ladder,
        tiers=ladder.tiers if ladder else [],
        reminder_stages=[Long(stage) for stage in known.notices.stages],
    )


@strawberry.type
class ProgramQueries:
    """Fields of the query root."""

    program: Program = strawberry.field(
        resolver=program,
        description="The rules in force, as far as members can know them. For everybody who is signed in.",
        extensions=[Permitted(Permission.PROGRAM_READ)],
    )
