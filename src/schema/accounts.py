"""An account as its member sees it: what can be spent, what is on its way, and when points expire."""

from datetime import date

import strawberry

from domain import days, ledger
from domain.accounts import State
from domain.ledger import Outcome
from schema.context import Context
from schema.scalars import Day, Long


@strawberry.type(description="Points that expire on the same day.")
class ExpiringPoints:
    """One bucket of an account."""

    on: Day = strawberry.field(description="The last day on which these points can be spent.")
    points: Long


@strawberry.type(description="Points earned that cannot be spent yet.")
class PendingPoints:
    """One pending bucket of an account."""

    available_on: Day = strawberry.field(description="The first day on which these points can be spent.")
    points: Long


@strawberry.type(description="A member's points at the moment of asking.")
class Account:
    """A points account. Every number is what it is now, whether or not a job has booked what time has done."""

    balance: Long = strawberry.field(description="Points that can be spent now.")
    pending: Long = strawberry.field(description="Points earned that cannot be spent yet; not in the balance.")
    expiring: list[ExpiringPoints] = strawberry.field(
        description="Every expiry date with its points, soonest first. Points are spent in this order."
    )
    pending_points: list[PendingPoints] = strawberry.field(
        description="Pending points by the day they become available."
    )


def account_of(state: State) -> Account:
    """The account of a state that was advanced to now."""
    return Account(
        balance=Long(state.balance),
        pending=Long(state.pending_points),
        expiring=[
            ExpiringPoints(on=_day(day), points=Long(points))
            for day, points in state.buckets.items()
            if day < days.NEVER
        ],
        pending_points=[
            PendingPoints(available_on=_day(matures), points=Long(points))
            for (matures, _), points in state.pending.items()
        ],
    )


def _day(day: int) -> Day:
    on: date = days.date_of(day)
    return Day(on)


def account_after(context: Context, outcome: Outcome) -> Account:
    """The account an operation left, as it is now: a replayed answer reads it again, for time and others went on."""
    record = outcome.record
    if outcome.replayed:
        newest = context.store.head(record.account, strong=True)
        assert newest is not None
        record = newest
    return account_of(ledger.current(record, context.now, context.program.zone).state)
