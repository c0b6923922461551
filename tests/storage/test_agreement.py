"""The store in memory is the store we trust in every other test, because here it is held to the table's behavior.

The same random calls are made on both; their answers and, after every step, all that they hold must be equal. What fails prints
the calls that led there. `REGULARS_SOAK=20` looks twenty times as long, at new examples every time.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain import accounts, entries, ledger, members, notices, purchases, rewards, visits
from domain.access import Actor
from domain.entries import BasketLine, Claim, End, Entry, EntryKind, Key, Note, PurchaseReturn, Record
from domain.ledger import Outcome
from domain.members import Lookup, Profile
from domain.notices import Notice, NoticeKind
from domain.refusals import Refusal
from domain.store import Beside, ClaimTaken, Contended, EndTaken, LookupTaken, ReturnTaken, Store, Update
from storage.memory import Memory
from tests.domain import books, world
from tests.domain.world import ADA, BOB, MANAGER, PROGRAM, SOAK, TILL, basket, program, search
from tests.engines import Engine
from tests.storage.tables import NOW, PEPPER, all_of_memory, all_of_table, comparable, fresh_table

# Few of everything, so that calls meet: on a member, on a contact, on a key.
NAMES = st.sampled_from(["ada", "bob", "çyd ☕"])
ACCOUNTS = st.sampled_from(["A0", "A1", "A2", "A3", "nobody"])
MAILS = st.sampled_from([None, "ada@example.org", "Bob@example.org"])
CARDS = st.sampled_from([None, "C-1"])
RECEIPTS = st.sampled_from(["r1", "r2", "r3", "r:4 é"])
# Half of them new ones.
KEYS = st.sampled_from(["k1", "k:4 é"]) | st.integers(0, 10**6).map("n{}".format)
ENROLLERS = st.sampled_from([TILL, TILL, ADA, BOB])
PROGRAMS = {
    "usual": PROGRAM,
    "two days": program(expiry={"days": 2, "rounding": "day"}),
    "a month, later": program(expiry={"months": 1}, pending={"days": 3}),
    "for ever, clamp": program(expiry={}, rewards=[], returns={"policy": "clamp"}),
    "later, pending only": program(
        pending={"days": 3}, returns={"policy": "pending_only"}, transfers={"points_max": 0}
    ),
}
_TIERS = {
    "ladder": [
        {"id": "base", "name": "Base", "threshold": 0},
        {"id": "gold", "name": "Gold", "threshold": 150, "benefits": {"multiplier_percent": 150, "extra_months": 1}},
    ]
}
_MOMENTS = [
    {"id": "welcome", "when": "enrollment", "points": 3},
    {"id": "second", "when": "purchase", "nth": 2, "points": 20, "valid_days": 9},
    {"id": "rich", "when": "balance", "at_least": 200},
]
PROGRAMS |= {
    "while active": program(expiry={"policy": "inactivity", "days": 10}, tiers=_TIERS, moments=_MOMENTS),
    "while active, later": program(
        expiry={"policy": "inactivity", "days": 3},
        pending={"days": 9},
        activities=["gift"],
        returns={"policy": "clamp"},
    ),
    "new year's eve": program(expiry={"policy": "calendar", "dates": ["12-31"]}, tiers=_TIERS, moments=_MOMENTS),
    "anniversary": program(expiry={"policy": "anniversary"}, activities=["redemption"]),
}
CHOSEN = st.sampled_from(list(PROGRAMS))
AMOUNTS = st.sampled_from([0, 99, 100, 1_550, 4_000, 10**12])
SKUS = st.sampled_from([None, "latte", "Käse ☕"])
LINES = st.lists(st.builds(BasketLine, SKUS, SKUS, st.integers(0, 1_000_000), st.integers(0, 500)), max_size=4)
POINTS = st.sampled_from([-1, -40, 1, 40, 10**9, -(10**9), 0])
NOTES = st.sampled_from([None, None, "Called twice. ☕"])
EMAILS = st.sampled_from(["ada@example.org", "bob@example.org", "new@example.org", None])
# Some of these are all that a member can have.
TAGS = st.lists(st.sampled_from([f"t{number}" for number in range(30)]), max_size=12, unique=True)
DAYS = st.sampled_from([9_999, 45_000])
# Look-ups that nobody else here knows of.
SLOW = st.lists(st.sampled_from("abc"), max_size=2, unique=True)


class Agreement(RuleBasedStateMachine):
    """A member's life in two stores."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.tables = fresh_table(engine)
        self.memory = Memory(pepper=PEPPER)
        self.now = NOW
        self.joined = 0
        self.calls: list[Callable[[Store], Any]] = []
        # What some slow writer has read a while ago.
        self.remembered: list[Record] = []
        # What can be ended.
        self.held: list[Outcome] = []
        self.redeemed: list[Outcome] = []

    def both(self, call: Callable[[Store], Any]) -> Any:
        """Makes the call on both stores; their one answer."""
        self.calls.append(call)
        in_memory, on_table = answer(call, self.memory), answer(call, self.tables.store)
        assert on_table == in_memory
        return in_memory

    # --- calls --------------------------------------------------------------------------------------------------------

    @initialize()
    def somebody_is_there(self) -> None:
        for actor, name, email in ((ADA, "ada", "ada@example.org"), (BOB, "bob", None), (TILL, "çyd ☕", None)):
            self.enroll(actor, f"join {name}", name, email, None, "while active")
            self.record(f"first {name}", name, 10_000, [], 0, "usual", None)
        for account in ("A0", "A1", "A2"):
            self.somebody_reads(account)

    @rule(actor=ENROLLERS, key=KEYS, name=NAMES | st.none(), email=MAILS, card=CARDS, chosen=CHOSEN)
    def enroll(
        self, actor: Actor, key: str, name: str | None, email: str | None, card: str | None, chosen: str
    ) -> None:
        profile = Profile(self.now, name=name, external_id=name, email=email, card_number=card)
        account = f"A{self.joined}"
        enrolled = self.both(
            lambda store: members.enroll(
                store,
                PROGRAMS[chosen],
                actor=actor,
                idempotency_key=key,
                profile=profile,
                account=account,
                now=self.now,
            )
        )
        self.joined += enrolled == members.Enrolled(account, replayed=False)

    @rule(
        receipt=RECEIPTS,
        name=NAMES,
        amount=AMOUNTS,
        lines=LINES,
        age=st.sampled_from([0, 0, 1, 30, 401]),
        chosen=CHOSEN,
        location=SKUS,
    )
    def record(
        self,
        receipt: str,
        name: str,
        amount: int,
        lines: list[BasketLine],
        age: int,
        chosen: str,
        location: str | None,
    ) -> None:
        total = sum(line.amount_minor for line in lines) if lines else amount
        # Days, so that a retry may hit on the very same basket.
        occurred_at = self.now.replace(hour=5) - timedelta(days=age)
        self.both(
            lambda store: purchases.record(
                store,
                PROGRAMS[chosen],
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
        chosen=CHOSEN,
    )
    def redeem(self, key: str, lookup: Lookup, reward_id: str, chosen: str) -> None:
        outcome = self.both(
            lambda store: rewards.redeem(
                store,
                PROGRAMS[chosen],
                actor=TILL,
                idempotency_key=key,
                member=lookup,
                reward_id=reward_id,
                code="C0DE",
                now=self.now,
            )
        )
        if isinstance(outcome, Outcome):
            self.redeemed.append(outcome)

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

    @rule(key=KEYS, which=st.integers(0, 9), chosen=CHOSEN)
    def cancel(self, key: str, which: int, chosen: str) -> None:
        if self.redeemed:
            redeemed = self.redeemed[which % len(self.redeemed)]
            self.both(lambda store: world.cancel(store, redeemed, self.now, key=key, program=PROGRAMS[chosen]))

    @rule(key=KEYS, name=NAMES, points=POINTS, chosen=CHOSEN, note=NOTES)
    def adjust(self, key: str, name: str, points: int, chosen: str, note: str | None) -> None:
        self.both(
            lambda store: world.adjust(
                store, name, points, self.now, key=key, program=PROGRAMS[chosen], reason="WHY", note=note
            )
        )

    @rule(
        receipt=RECEIPTS | st.sampled_from(["first ada", "first bob"]),
        key=KEYS,
        lines=st.none() | st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 500_000])), max_size=2),
        amount=st.none() | st.sampled_from([1, 99, 1_550, 10**6]),
        member=st.none() | NAMES,
        chosen=CHOSEN,
    )
    def give_back(
        self,
        receipt: str,
        key: str,
        lines: list[tuple[int, int]] | None,
        amount: int | None,
        member: str | None,
        chosen: str,
    ) -> None:
        self.both(
            lambda store: world.give_back(
                store,
                receipt,
                self.now,
                key=key,
                lines=lines,
                amount=amount,
                member=member,
                program=PROGRAMS[chosen],
                terms=PROGRAMS[chosen].terms,
            )
        )

    @rule(key=KEYS, name=NAMES, points=st.sampled_from([1, 10, 10**6]), ttl=st.sampled_from([None, 60, 86_400]))
    def hold(self, key: str, name: str, points: int, ttl: int | None) -> None:
        held = self.both(lambda store: world.hold(store, name, points, self.now, key=key, ttl_seconds=ttl))
        if isinstance(held, Outcome):
            self.held.append(held)

    @rule(key=KEYS, which=st.integers(0, 9), points=st.sampled_from([None, 1, 10]))
    def capture(self, key: str, which: int, points: int | None) -> None:
        if self.held:
            held = self.held[which % len(self.held)]
            self.both(lambda store: world.capture(store, held, self.now, key=key, points=points))

    @rule(key=KEYS, which=st.integers(0, 9))
    def release(self, key: str, which: int) -> None:
        if self.held:
            held = self.held[which % len(self.held)]
            self.both(lambda store: world.release(store, held, self.now, key=key))

    @rule(key=KEYS, giver=NAMES, receiver=NAMES, points=st.sampled_from([1, 15, 10**5]), chosen=CHOSEN)
    def give(self, key: str, giver: str, receiver: str, points: int, chosen: str) -> None:
        self.both(lambda store: world.give(store, giver, receiver, points, self.now, key=key, program=PROGRAMS[chosen]))

    @rule(key=KEYS, duplicate=NAMES, survivor=NAMES)
    def merge(self, key: str, duplicate: str, survivor: str) -> None:
        self.both(lambda store: world.merge(store, duplicate, survivor, self.now, key=key))

    @rule(key=KEYS, duplicate=NAMES)
    def unmerge(self, key: str, duplicate: str) -> None:
        self.both(lambda store: world.unmerge(store, duplicate, self.now, key=key))

    @rule(key=KEYS, name=NAMES, email=EMAILS, card=CARDS)
    def update(self, key: str, name: str, email: str | None, card: str | None) -> None:
        self.both(lambda store: world.update(store, name, self.now, key=key, email=email, card_number=card))

    @rule(key=KEYS, name=NAMES, home=SKUS, added=TAGS, removed=TAGS)
    def tag(self, key: str, name: str, home: str | None, added: list[str], removed: list[str]) -> None:
        self.both(
            lambda store: world.update(
                store, name, self.now, key=key, home_location=home, add_tags=added, remove_tags=removed
            )
        )

    @rule(key=KEYS, actor=st.sampled_from([ADA, BOB]), email=EMAILS)
    def update_oneself(self, key: str, actor: Actor, email: str | None) -> None:
        self.both(lambda store: world.update(store, "", self.now, key=key, actor=actor, email=email))

    @rule(key=KEYS, name=NAMES, is_blocked=st.booleans(), note=NOTES)
    def turn(self, key: str, name: str, is_blocked: bool, note: str | None) -> None:
        call = world.block if is_blocked else world.unblock
        self.both(lambda store: call(store, name, self.now, key=key, note=note))

    @rule(key=KEYS, name=st.sampled_from(["çyd ☕", "new"]))
    def close(self, key: str, name: str) -> None:
        self.both(lambda store: world.close(store, name, self.now, key=key))

    @rule(which=st.integers(1, 12))
    def again(self, which: int) -> None:
        """What was called a while ago, later."""
        call = self.calls[-min(which, len(self.calls))]
        self.both(call)

    @rule(account=ACCOUNTS, chosen=CHOSEN)
    def tick(self, account: str, chosen: str) -> None:
        self.both(lambda store: visits.visit(store, PROGRAMS[chosen], account, now=self.now, telling=False))

    @rule(hours=st.sampled_from([1, 12, 24, 24 * 7, 24 * 40, -1]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # --- a slow writer ------------------------------------------------------------------------------------------------

    @rule(account=ACCOUNTS)
    def somebody_reads(self, account: str) -> None:
        head = self.both(lambda store: store.head(account, strong=True))
        if isinstance(head, Record):
            self.remembered.append(head)

    @rule(
        which=st.integers(0, 9),
        other=st.integers(0, 9) | st.none(),
        key=KEYS,
        points=st.integers(1, 50),
        returned=st.none() | RECEIPTS,
        ended=st.none() | st.integers(90, 91),
        gained=SLOW,
        given_up=SLOW,
    )
    def somebody_writes_what_they_read_a_while_ago(
        self,
        which: int,
        other: int | None,
        key: str,
        points: int,
        returned: str | None,
        ended: int | None,
        gained: list[str],
        given_up: list[str],
    ) -> None:
        if not self.remembered:
            return
        head = self.remembered[which % len(self.remembered)]
        heads = [head, *(each for each in self.remembered[other:] if each.account != head.account)][: 1 + bool(other)]

        def decide(before: Record) -> Entry:
            lines = accounts.earn(before.state, points, expires=50_000, today=40_000)
            return Entry(EntryKind.ADJUSTMENT, self.now, lines, 0, actor="g.slow", reason="SLOW")

        first, *others = [
            ledger.book(each, Key("slow", f"{key} {each.account}"), decide, now=self.now, program=PROGRAM)
            for each in heads
        ]
        account, slow = head.account, Key("slow", key)
        update = None
        if gained or given_up:
            # Of look-ups that stand in no profile; the profile stays what it is.
            home = self.memory.home(account, entries=0)
            assert home is not None
            assert home.profile is not None
            looked_up = [tuple(Lookup("slow", value) for value in values) for values in (gained, given_up)]
            if set(gained) & set(given_up):
                return
            update = Update(account, home.profile, *looked_up)
        beside = Beside(
            booked=PurchaseReturn(slow, returned, b"f" * 16, self.now, account=account, seq=head.seq)
            if returned
            else None,
            end=End(account, 1, ended, EntryKind.CANCELLATION, slow, self.now) if ended else None,
            update=update,
        )
        claim = Claim(slow, account, head.seq, key.encode().ljust(16, b"."), self.now)
        self.both(lambda store: store.remember(claim))
        self.both(lambda store: [store.note_due(each.record.account, sorted(each.due)) for each in (first, *others)])
        self.both(lambda store: store.keep_note(account, Note(key, b"s" * 16, key.encode())))

        def append(store: Store) -> None:
            # Each store has hashes of its own.
            record, *more = [
                replace(
                    each.record, prior=store.records_after(each.record.account, each.record.seq - 2, limit=1)[0].hash
                )
                for each in (first, *others)
            ]
            store.append(record, replace(beside, records=tuple(more)))

        self.both(append)

    @rule(purchase=RECEIPTS, return_id=RECEIPTS, call=st.sampled_from(["park", "refuse", "complete"]))
    def somebody_is_late_with_a_return(self, purchase: str, return_id: str, call: str) -> None:
        key = Key("late", purchase)
        asked = PurchaseReturn(key, return_id, b"f" * 16, self.now)
        claim = Claim(key, "A0", 0, b"c" * 16, self.now, had_returns=True)
        match call:
            case "park":
                self.both(lambda store: store.park(asked))
            case "refuse":
                self.both(lambda store: store.refuse_return(asked))
            case "complete" if self.memory.claim(key):
                self.both(lambda store: store.complete(claim))

    @rule(account=ACCOUNTS, day=DAYS, about=st.sampled_from(["x.1", "e.1"]), points=POINTS)
    def somebody_is_told(self, account: str, day: int, about: str, points: int) -> None:
        notice = Notice(NoticeKind.REMINDER, day, about, self.now, 1, args={"points": points})
        self.both(lambda store: store.give_notice(account, notice))

    @rule(account=ACCOUNTS, day=DAYS, about=st.sampled_from(["x.1", "e.1"]))
    def somebody_reads_what_they_were_told(self, account: str, day: int, about: str) -> None:
        read = Notice(NoticeKind.REMINDER, day, about, self.now, 1, read_at=self.now)
        self.both(lambda store: notices.mark_read(store, account, [(day, about)], now=self.now))
        self.both(lambda store: store.mark_read(account, read))

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
            self.both(lambda store, actor=actor: store.claim(entries.caller_key(actor.id, key)))
        for source in ("till", "late", "slow"):
            self.both(lambda store, source=source: store.claim(Key(source, key)))
            self.both(lambda store, source=source: list(store.returns(Key(source, key))))

    @rule(account=ACCOUNTS, which=st.integers(0, 9), key=KEYS)
    def somebody_asks_how_it_ended(self, account: str, which: int, key: str) -> None:
        self.both(lambda store: [store.end(account, 1, index) for index in (90, 91)])
        self.both(lambda store: store.note(account, key.encode()))
        self.both(
            lambda store: [list(store.notices(account, before=place, limit=2)) for place in (None, (45_000, "x"))]
        )
        if self.redeemed:
            at = self.redeemed[which % len(self.redeemed)]
            self.both(lambda store: store.end(at.record.account, at.record.seq, at.index))

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
    except ReturnTaken as taken:
        return ReturnTaken, taken.taken
    except EndTaken as taken:
        return EndTaken, taken.end
    except Contended:
        return Contended
    return comparable(given) if isinstance(given, Claim) else given


# A failure is first made short, request by request, which takes minutes.
@pytest.mark.timeout(900 * SOAK)
def test_the_table_and_the_memory_answer_alike(engine: Engine) -> None:
    run_state_machine_as_test(
        lambda: Agreement(engine),
        settings=search(24, stateful_step_count=60, suppress_health_check=list(HealthCheck)),
    )
