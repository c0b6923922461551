"""The store in memory is the store we trust in every other test, because here it is held to the table's behavior.

The same random calls are made on both; their answers and, after every step, all that they hold must be equal. What fails prints
the calls that led there. `REGULARS_SOAK=20` looks twenty times as long, at new examples every time.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain import accounts, adjustments, ledger, members, purchases, rewards
from domain.access import Actor
from domain.accounts import State
from domain.days import NEVER
from domain.ledger import BasketLine, Claim, ClaimTaken, Contended, Entry, EntryKind, Key, LookupTaken, Record, Store
from domain.members import Lookup, Profile
from domain.refusals import Refusal
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import ADA, BOB, MANAGER, PROGRAM, SOAK, TILL, basket, program, search
from tests.engines import Engine
from tests.storage.tables import NOW, PEPPER, all_of_memory, all_of_table, comparable, fresh_table

# Few of everything, so that calls meet: on a member, on a contact, on a key.
NAMES = st.sampled_from(["ada", "bob", "çyd ☕"])
ACCOUNTS = st.sampled_from(["A0", "A1", "A2", "A3", "nobody"])
MAILS = st.sampled_from([None, "ada@example.org", "Bob@example.org"])
CARDS = st.sampled_from([None, "C-1"])
KEYS = st.sampled_from(["k1", "k2", "k3", "k:4 é"])
ENROLLERS = st.sampled_from([TILL, TILL, ADA, BOB])
PROGRAMS = st.sampled_from(
    [
        PROGRAM,
        program(expiry={"days": 2, "rounding": "day"}),
        program(expiry={"months": 1}, pending={"days": 3}),
        program(expiry={}, rewards=[]),
    ]
)
AMOUNTS = st.sampled_from([0, 99, 100, 1_550, 4_000, 10**12])
SKUS = st.sampled_from([None, "latte", "Käse ☕"])
LINES = st.lists(st.builds(BasketLine, SKUS, SKUS, st.integers(0, 1_000_000), st.integers(0, 500)), max_size=4)
POINTS = st.sampled_from([-1, -40, 1, 40, 10**9, -(10**9), 0])


class Agreement(RuleBasedStateMachine):
    """A member's life in two stores."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.tables = fresh_table(engine)
        self.memory = Memory(pepper=PEPPER)
        self.now = NOW
        self.joined = 0
        # What some slow writer has read a while ago.
        self.remembered: list[Record] = []

    def both(self, call: Callable[[Store], Any]) -> Any:
        """Makes the call on both stores; their one answer."""
        in_memory, on_table = answer(call, self.memory), answer(call, self.tables.store)
        assert on_table == in_memory
        return in_memory

    # --- calls --------------------------------------------------------------------------------------------------------

    @initialize()
    def somebody_is_there(self) -> None:
        self.enroll(TILL, "k0", "ada", None, None)

    @rule(actor=ENROLLERS, key=KEYS, name=NAMES | st.none(), email=MAILS, card=CARDS)
    def enroll(self, actor: Actor, key: str, name: str | None, email: str | None, card: str | None) -> None:
        profile = Profile(self.now, name=name, external_id=name, email=email, card_number=card)
        account = f"A{self.joined}"
        enrolled = self.both(
            lambda store: members.enroll(
                store, actor=actor, idempotency_key=key, profile=profile, account=account, now=self.now
            )
        )
        self.joined += enrolled == members.Enrolled(account, replayed=False)

    @rule(
        receipt=KEYS,
        name=NAMES,
        amount=AMOUNTS,
        lines=LINES,
        age=st.sampled_from([0, 0, 1, 30, 401]),
        chosen=PROGRAMS,
        location=SKUS,
    )
    def record(
        self,
        receipt: str,
        name: str,
        amount: int,
        lines: list[BasketLine],
        age: int,
        chosen: Any,
        location: str | None,
    ) -> None:
        total = sum(line.amount_minor for line in lines) if lines else amount
        # Days, so that a retry may hit on the very same basket.
        occurred_at = self.now.replace(hour=5) - timedelta(days=age)
        self.both(
            lambda store: purchases.record(
                store,
                chosen,
                actor=TILL,
                source="till",
                external_id=receipt,
                member=Lookup("external", name),
                basket=basket(total, occurred_at, location=location, lines=lines),
                now=self.now,
            )
        )

    @rule(
        key=KEYS,
        lookup=st.builds(Lookup, st.just("external"), NAMES) | st.builds(Lookup, st.just("id"), ACCOUNTS),
        reward_id=st.sampled_from(["cookie", "latte", "tea"]),
        chosen=PROGRAMS,
    )
    def redeem(self, key: str, lookup: Lookup, reward_id: str, chosen: Any) -> None:
        self.both(
            lambda store: rewards.redeem(
                store,
                chosen,
                actor=TILL,
                idempotency_key=key,
                member=lookup,
                reward_id=reward_id,
                code="C0DE",
                now=self.now,
            )
        )

    @rule(key=KEYS, actor=st.sampled_from([ADA, BOB]))
    def redeem_for_oneself(self, key: str, actor: Actor) -> None:
        self.both(
            lambda store: rewards.redeem(
                store,
                PROGRAM,
                actor=actor,
                idempotency_key=key,
                member=None,
                reward_id="cookie",
                code="C0DE",
                now=self.now,
            )
        )

    @rule(key=KEYS, name=NAMES, points=POINTS, chosen=PROGRAMS)
    def adjust(self, key: str, name: str, points: int, chosen: Any) -> None:
        self.both(
            lambda store: adjustments.adjust(
                store,
                chosen,
                actor=MANAGER,
                idempotency_key=key,
                member=Lookup("external", name),
                points=points,
                reason="WHY",
                now=self.now,
            )
        )

    @rule(hours=st.sampled_from([1, 12, 24, 24 * 7, 24 * 40, -1]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # --- a slow writer ------------------------------------------------------------------------------------------------

    @rule(account=ACCOUNTS)
    def somebody_reads(self, account: str) -> None:
        head = self.both(lambda store: store.head(account, strong=True))
        if isinstance(head, Record):
            self.remembered.append(head)

    @rule(which=st.integers(0, 9), key=KEYS, points=st.integers(1, 50))
    def somebody_writes_what_they_read_a_while_ago(self, which: int, key: str, points: int) -> None:
        if not self.remembered:
            return
        head = self.remembered[which % len(self.remembered)]

        def decide(state: State) -> Entry:
            lines = accounts.earn(state, points, expires=50_000, today=40_000)
            return Entry(EntryKind.ADJUSTMENT, self.now, lines, 0, actor="g.slow", reason="SLOW")

        late, _ = ledger.book(head, Key("slow", key), decide, now=self.now, zone=PROGRAM.zone)
        claim = Claim(Key("slow", key), head.account, head.seq, key.encode().ljust(16, b"."), self.now)
        due = [expires for expires in late.state.buckets if expires < NEVER]
        self.both(lambda store: store.append(claim, late, due=due))

    # --- reading ------------------------------------------------------------------------------------------------------

    @rule(account=ACCOUNTS, seq=st.integers(0, 12), limit=st.integers(1, 5), strong=st.booleans())
    def somebody_looks(self, account: str, seq: int, limit: int, strong: bool) -> None:
        self.both(lambda store: store.home(account, entries=limit, strong=strong))
        self.both(lambda store: tuple(store.records_before(account, seq, limit=limit)))
        self.both(lambda store: tuple(store.records_after(account, seq, limit=limit)))

    @rule(key=KEYS, name=NAMES, email=MAILS, card=CARDS, strong=st.booleans())
    def somebody_is_looked_up(self, key: str, name: str, email: str | None, card: str | None, strong: bool) -> None:
        self.both(lambda store: store.find_account(Lookup("external", name), strong=strong))
        for kind, value in (("email", email), ("card", card)):
            self.both(lambda store, kind=kind, value=value: store.find_account(Lookup(kind, value or "")))
        for actor in (TILL, ADA, BOB, MANAGER):
            self.both(lambda store, actor=actor: store.claim(ledger.caller_key(actor.id, key)))

    # --- what must always hold ----------------------------------------------------------------------------------------

    @invariant()
    def both_hold_the_same(self) -> None:
        assert all_of_table(self.tables) == all_of_memory(self.memory)

    @invariant()
    def the_books_are_right(self) -> None:
        for log in self.memory._logs.values():
            books.check(log, PROGRAM.zone)
            books.check_due(log, self.memory.due)


def answer(call: Callable[[Store], Any], store: Store) -> Any:
    """What a call comes to, comparable between stores."""
    try:
        given = call(store)
    except Refusal as refusal:
        return type(refusal), refusal.message, refusal.field, refusal.replayed
    except ClaimTaken as taken:
        return ClaimTaken, comparable(taken.claim)
    except LookupTaken as taken:
        return LookupTaken, taken.lookup
    except Contended:
        return Contended
    return comparable(given) if isinstance(given, Claim) else given


# A failure is first made short, request by request, which takes minutes.
@pytest.mark.timeout(900 * SOAK)
def test_the_table_and_the_memory_answer_alike(engine: Engine) -> None:
    run_state_machine_as_test(
        lambda: Agreement(engine),
        settings=search(12, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
