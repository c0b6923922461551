"""An account as its member sees it: what can be spent, what is on its way, and when points expire."""

from datetime import date, datetime
from enum import Enum

import strawberry

from domain import accounts, days, ledger, members
from domain.accounts import ROLLING, State, Status
from domain.entries import Record
from domain.ledger import Outcome
from domain.programs import Program
from schema import tiers
from schema.context import Context
from schema.nodes import Node, to_id
from schema.scalars import DateTime, Day, Long
from schema.tiers import AccountTier, TierProgress


@strawberry.type(description="Points that expire on the same day.")
class ExpiringPoints:
    """One bucket of an account."""

    on: Day = strawberry.field(description="The last day on which these points can be spent.")
    points: Long
    is_rolling: bool = strawberry.field(description="Whether the member's next activity moves that day.")


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
    state: strawberry.Private[State]
    program: strawberry.Private[Program]
    today: strawberry.Private[int]

    @strawberry.field(description="The tier the member has; null in a program without tiers.")
    def tier(self) -> AccountTier | None:
        """By the ladder in force."""
        ladder = self.program.ladder
        return tiers.account_tier_of(ladder, self.state) if ladder else None

    @strawberry.field(
        description="What counts towards the tiers, and what is missing; null in a program without tiers."
    )
    def tier_progress(self) -> TierProgress | None:
        """Reckoned when asked for."""
        ladder = self.program.ladder
        return tiers.progress_of(ladder, self.state, self.today) if ladder else None


def account_of(record: Record, program: Program, *, at: datetime) -> Account:
    """The account of a record that was advanced to the moment of asking, `at` (`ledger.current`)."""
    state, zone = record.state, program.zone
    # An account that was merged is only ever seen as it was before.
    status = AccountStatus.CLOSED if state.status is Status.MERGED else AccountStatus[state.status.name]
    return Account(
        balance=Long(state.balance),
        pending=Long(state.pending_points),
        held=Long(state.held_points),
        debt=Long(state.debt),
        status=status,
        expiring=[
            ExpiringPoints(on=_day(state.last_day(bucket)), points=Long(points), is_rolling=bucket == ROLLING)
            for bucket, points in state.soonest_first(state.buckets).items()
            if bucket < days.NEVER
        ],
        pending_points=[
            PendingPoints(
                available_on=_day(matures), available_at=DateTime(days.end_of(matures - 1, zone)), points=Long(points)
            )
            for (matures, _), points in state.pending.items()
        ],
        holds=[hold_of(record.account, number, held) for number, held in state.holds.items()],
        state=state,
        program=program,
        today=days.day_of(at, zone),
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
    program = context.program
    return account_of(ledger.current(record, context.now, program), program, at=context.now)
