"""Made-up members, to try things on many of them: always the same ones, written through the program's own use cases."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from domain import access, limits, members, purchases, standing
from domain.access import Role
from domain.accounts import Status
from domain.entries import Basket, Money
from domain.members import AlreadyEnrolled, Lookup, Profile
from domain.moments import Birthday
from domain.programs import Program
from domain.refusals import IdempotencyKeyReused, OutcomeUnknown
from domain.standing import AlreadyBlocked
from domain.store import Store

SOURCE = "seed"
REASON = "SEED"
TILL = access.actor(Role.PARTNER, issuer="regulars", subject=SOURCE, scopes=access.SCOPE_GRANTS)
MANAGER = access.actor(Role.MANAGER, issuer="regulars", subject=SOURCE)

# One member in a hundred is blocked, and one in two hundred has left.
_BLOCKED_EACH, _CLOSED_EACH = 100, 200
# A fifth have bought nothing yet. Who has spends 1 to some 3,000 whole units at a time, as often one as a thousand.
_BUYS_NOTHING = 0.2
_AMOUNT_EXPONENT_MAX = 3.5
# Half of those who have bought come again, half of these once more, and so on.
_AGAIN_RATE = 0.7
# What the shop knows of its members, and of how many.
_TAGS = {"app": 0.6, "newsletter": 0.3, "student": 0.1}
# So many of those that may be there are compared before another one is written.
_COMPARED = 10
_KNOWS_HOME, _TELLS_BIRTHDAY = 0.9, 0.8


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase: so long after joining, for so many whole units."""

    after: timedelta
    units: int


@dataclass(frozen=True, slots=True)
class Planned:
    """What there is to know of a made-up member; the same for the same seed, in every run."""

    number: int
    joined_ago: timedelta
    birthday: Birthday | None
    tags: frozenset[str]
    home_location: str | None
    bought: tuple[Bought, ...]
    status: Status

    @property
    def external_id(self) -> str:
        """The name under which the member is enrolled."""
        return f"seed-{self.number:06}"


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a member: whether they were enrolled just now, and how many of their purchases were new."""

    is_new: bool
    purchases: int


def planned(number: int, *, seed: int, history: int, days: int, program: Program) -> Planned:
    """The member of a number from 1: who joined up to `days` days ago, and has bought up to `history` times since.

    A longer history only adds purchases.
    """
    chance = Random(f"{seed} {number}")  # noqa: S311 (variety, not secrecy)
    joined_ago = timedelta(days=1) * (days * chance.random())
    birthday = Birthday(chance.randint(1, 12), chance.randint(1, 28)) if chance.random() < _TELLS_BIRTHDAY else None
    tags = frozenset(tag for tag, share in _TAGS.items() if chance.random() < share)
    home = chance.choice([place.id for place in program.locations]) if program.locations else None
    home = home if chance.random() < _KNOWS_HOME else None
    status = Status.ACTIVE
    if number % _CLOSED_EACH == 0:
        status = Status.CLOSED
    elif number % _BLOCKED_EACH == _BLOCKED_EACH // 2:
        status = Status.BLOCKED
    count = 0 if chance.random() < _BUYS_NOTHING else 1 + int(chance.expovariate(_AGAIN_RATE))
    # Who has left is known for ever by what they have bought: their contacts are free, and their enrolling is forgotten.
    count = max(count, 1) if status is Status.CLOSED else count
    bought = [
        Bought(joined_ago * chance.random(), int(10 ** chance.uniform(0, _AMOUNT_EXPONENT_MAX)))
        for _ in range(min(count, history))
    ]
    return Planned(number, joined_ago, birthday, tags, home, tuple(bought), status)


@dataclass(frozen=True, slots=True)
class Seeder:
    """Writes made-up members into a store. Doing it again changes nothing, and goes on where it was cut off."""

    store: Store
    program: Program
    seed: int
    history: int
    days: int
    now: Callable[[], datetime]
    new_account: Callable[[], str]

    def require_same(self) -> None:
        """Refuses `IdempotencyKeyReused` where members of another seed are there: they would have bought other things."""
        for plan in map(self._planned, range(1, _COMPARED + 1)):
            known = self.store.claim(purchases.key_of(SOURCE, _receipt(plan, 1))) if plan.bought else None
            if known is not None and known.basket is not None and known.basket.total != self._paid(plan.bought[0]):
                raise IdempotencyKeyReused(f"{plan.external_id} is of another seed.")

    def write(self, number: int) -> Written:
        """Writes one member whole. Refuses `IdempotencyKeyReused` for one of another seed, and `OutcomeUnknown`."""
        plan = self._planned(number)
        retrying = Retrying(
            stop=stop_after_attempt(limits.SEED_ATTEMPTS_MAX),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception_type(OutcomeUnknown),
            reraise=True,
        )
        return retrying(self._write, plan)

    def _planned(self, number: int) -> Planned:
        return planned(number, seed=self.seed, history=self.history, days=self.days, program=self.program)

    def _write(self, plan: Planned) -> Written:
        account, joined = self._enrolled(plan)
        is_new = joined is not None
        if joined is None:
            home = self.store.home(account, entries=0, strong=True)
            if home is None or home.profile is None or home.records[0].state.status is Status.CLOSED:
                return Written(is_new=False, purchases=0)
            joined = home.profile.enrolled_at
        new = 0
        for number, bought in sorted(enumerate(plan.bought, 1), key=lambda each: each[1].after):
            at = _in_milliseconds(joined + bought.after)
            new += not self._record(plan, account, number, Basket(at, self._paid(bought), plan.home_location, None, ()))
        self._turn(plan, account)
        return Written(is_new, new)

    def _enrolled(self, plan: Planned) -> tuple[str, datetime | None]:
        """The member's account, and when they joined if that is just now."""
        if plan.status is Status.CLOSED:
            known = self.store.claim(purchases.key_of(SOURCE, _receipt(plan, 1)))
            if known is not None:
                return known.account, None
        known_as = Lookup("external", plan.external_id)
        # Enrolling again would change nothing either, but it first notes days on which something is due.
        account = self.store.find_account(known_as)
        if account is not None:
            return account, None
        joined = _in_milliseconds(self.now() - plan.joined_ago)
        profile = Profile(
            enrolled_at=joined,
            external_id=plan.external_id,
            birthday=plan.birthday,
            tags=plan.tags,
            home_location=plan.home_location,
        )
        try:
            enrolled = members.enroll(
                self.store,
                self.program,
                actor=TILL,
                idempotency_key=plan.external_id,
                profile=profile,
                account=self.new_account(),
                now=joined,
            )
        except AlreadyEnrolled:
            # The key of their enrolling is forgotten after five weeks; they are not.
            account = self.store.find_account(known_as, strong=True)
            if account is None:
                raise
            return account, None
        return enrolled.account, None if enrolled.replayed else joined

    def _paid(self, bought: Bought) -> Money:
        currency, minor = next(iter(self.program.currencies.items()))
        return Money(bought.units * minor, currency)

    def _record(self, plan: Planned, account: str, number: int, basket: Basket) -> bool:
        """Records a purchase, at the time when it happened; whether it was known."""
        return purchases.record(
            self.store,
            self.program,
            actor=TILL,
            source=SOURCE,
            external_id=_receipt(plan, number),
            member=Lookup("id", account),
            basket=basket,
            now=basket.occurred_at,
        ).outcome.replayed

    def _turn(self, plan: Planned, account: str) -> None:
        if plan.status is Status.ACTIVE:
            return
        turn = standing.block if plan.status is Status.BLOCKED else standing.close
        with contextlib.suppress(AlreadyBlocked):
            turn(
                self.store,
                self.program,
                actor=MANAGER,
                idempotency_key=f"{plan.status.value} {plan.external_id}",
                member=Lookup("id", account),
                reason=REASON,
                note=None,
                now=self.now(),
            )


def _receipt(plan: Planned, number: int) -> str:
    return f"{plan.external_id}-{number}"


def _in_milliseconds(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)
