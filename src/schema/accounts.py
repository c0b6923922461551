"""An account as its member sees it: what can be spent, what is on its way, and when points expire."""

from datetime import date
from enum import Enum
from zoneinfo import ZoneInfo

import strawberry

from domain import accounts, days, ledger, members
from domain.accounts import Status
from domain.entries import Record
from domain.ledger import Outcome
from schema.context import Context
from schema.nodes import Node, to_id
from schema.scalars import DateTime, Day, Long


@strawberry.type(description="Points that expire on the same day.")
class ExpiringPoints:
    """One bucket of an account."""

    on: Day = strawberry.field(description="The last day on which these points can be spent.")
    points: Long


@strawberry.type(description="Points earned that cannot be spent yet.")
class PendingPoints:
    """One pending bucket of an account."""

    available_on: Day = strawberry.field(description="The first day on which these points can be spent.")
    available_at: DateTime = strawberry.field(description="The first instant of that day in the program's time zone.")
    points: Long


@strawberry.type(description="Points set aside for a till.")
class Hold(Node):
    """One open hold of an account."""

    points: Long = strawberry.field(description="Points that can be captured.")
    lapses_at: DateTime = strawberry.field(description="When they go back by themselves.")


@strawberry.enum(description="What an account may do.")
class AccountStatus(Enum):
    """`domain.accounts.Status`, but for merged ones: they are seen as the account they live on in."""

    ACTIVE = strawberry.enum_value("ACTIVE", description="Earns and spends.")
    BLOCKED = strawberry.enum_value("BLOCKED", description="Neither earns nor spends until staff unblock it.")
    CLOSED = strawberry.enum_value("CLOSED", description="The membership has ended.")


@strawberry.type(description="A member's points at the moment of asking, or at an earlier one.")
class Account:
    """A points account. Every number is what it is now, whether or not a job has booked what time has done."""

    balance: Long = strawberry.field(description="Points that can be spent now.")
    pending: Long = strawberry.field(description="Points earned that cannot be spent yet; not in the balance.")
    held: Long = strawberry.field(description="Points set aside by open holds; not in the balance.")
    debt: Long = strawberry.field(
        description="Points owed, after a return of points that were spent; the next points that come in pay it."
    )
    status: AccountStatus
    expiring: list[ExpiringPoints] = strawberry.field(
        description="Every expiry date with its points, soonest first. Points are spent in this order."
    )
    pending_points: list[PendingPoints] = strawberry.field(
        description="Pending points by the day they become available."
    )
    holds: list[Hold] = strawberry.field(description="Open holds, oldest first.")


def account_of(record: Record, zone: ZoneInfo) -> Account:
    """The account of a record that was advanced to the moment of asking (`ledger.current`)."""
    state = record.state
    # An account that was merged is only ever seen as it was before.
    status = AccountStatus.CLOSED if state.status is Status.MERGED else AccountStatus[state.status.name]
    return Account(
        balance=Long(state.balance),
        pending=Long(state.pending_points),
        held=Long(state.held_points),
        debt=Long(state.debt),
        status=status,
        expiring=[
            ExpiringPoints(on=_day(day), points=Long(points))
            for day, points in state.buckets.items()
            if day < days.NEVER
        ],
        pending_points=[
            PendingPoints(
                available_on=_day(matures), available_at=DateTime(days.end_of(matures - 1, zone)), points=Long(points)
            )
            for (matures, _), points in state.pending.items()
        ],
        holds=[hold_of(record.account, number, held) for number, held in state.holds.items()],
    )


def hold_of(account: str, number: int, held: accounts.Hold) -> Hold:
    """An open hold as its till sees it."""
    return Hold(id=to_id("Hold", f"{account}:{number}"), points=Long(held.points), lapses_at=DateTime(held.lapses_at))


def _day(day: int) -> Day:
    on: date = days.date_of(day)
    return Day(on)


def account_after(context: Context, outcome: Outcome) -> Account:
    """The account an operation left, as it is now: a replayed answer reads it again, for time and others went on.

    Where a merge took it elsewhere, or took it back, members are told of the account that is theirs now.
    """
    record = outcome.record
    if outcome.replayed:
        own = members.own_account(context.store, context.actor)
        record = ledger.known_head(context.store, own or record.account, strong=True)
    zone = context.program.zone
    return account_of(ledger.current(record, context.now, zone), zone)
