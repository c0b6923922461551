"""Two accounts become one, and two again: no point is lost, no key moves points twice, whoever retries what and when."""

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import ledger, limits, members, merges, standing
from domain.accounts import Line, State, Status
from domain.entries import EntryKind, Explanation, Record, caller_key
from domain.ledger import Outcome
from domain.members import Lookup
from domain.merges import MergeWithSelf, NotMerged, SurvivorMerged, TooManyMerges, UndoWindowPassed
from domain.notes import Draft
from domain.refusals import (
    HoldsOpen,
    IdempotencyKeyReused,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
)
from domain.transfers import TransferToSelf
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    ADA,
    BOB,
    MANAGER,
    PROGRAM,
    TILL,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    buy,
    day,
    enroll,
    external,
    give,
    head_of,
    hold,
    merge,
    owe,
    program,
    redeem,
    refuses,
    release,
    tick,
    unchanged,
    unmerge,
)

NOW = at("2026-01-10")


def furnished(store: Memory) -> Memory:
    """Ada with 100 points, and Dup, her other account, with 30; each has a login."""
    enroll(store, "ada", NOW, actor=ADA)
    enroll(store, "dup", NOW, actor=BOB, email="dup@example.org", phone="+15550001111", card_number="C-2")
    buy(store, "ada", 10_000, NOW, receipt="1")
    buy(store, "dup", 3_000, NOW, receipt="2")
    return store


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """A store that is up to date, and one whose cheap reads always come late."""
    made: Memory = request.param()
    return furnished(made)


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    furnished(made)
    return made


@pytest.fixture
def eager_threads() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def audited(store: Memory) -> Memory:
    books.check_all(store._logs, ZONE)
    for log in store._logs.values():
        books.check_due(log, store.due)
    return store


def standing_of(store: Memory, name: str, change: Any) -> None:
    more: dict[str, Any] = {"actor": MANAGER, "idempotency_key": f"{name} {change.__name__}", "reason": "FRAUD"}
    change(store, PROGRAM, member=external(name), note=None, now=NOW, **more)


def kinds(record: Record) -> list[EntryKind]:
    return [entry.kind for entry in record.entries]


class Crash(BaseException):
    """The process is gone."""


def crash() -> None:
    raise Crash


def interrupted_call(store: Interrupted, call: Callable[[], object], *, at_point: str = "before_append") -> None:
    """The call claims its key, and dies."""
    getattr(store, at_point).append(crash)
    with pytest.raises(Crash):
        call()


# --- becoming one -----------------------------------------------------------------------------------------------------


def test_everything_of_the_duplicate_becomes_the_survivor_s_in_two_records_that_name_each_other(store: Memory) -> None:
    outcome = merge(store, "dup", "ada", NOW, key="k")

    merged, closed = outcome.entry, head_of(store, "DUP").entries[-1]
    assert outcome.record == head_of(store, "ADA")
    assert (merged.kind, merged.points, merged.balance_after) == (EntryKind.MERGE, 30, 130)
    assert (closed.kind, closed.points, closed.balance_after) == (EntryKind.MERGED, -30, 0)
    assert (merged.peer, merged.key) == (("DUP", 3), caller_key(MANAGER.id, "k"))
    assert (closed.peer, closed.key) == (("ADA", outcome.record.seq), None)
    assert (merged.reason, closed.reason, merged.actor) == ("SAME_PERSON", "SAME_PERSON", MANAGER.id)
    assert merged.explanation == (Explanation("merge:SAME_PERSON", 30),)
    # What was counted of the duplicate stays in its own log, for the day on which the merge is undone.
    kept = store._logs["DUP"][-2].state.marks
    assert kept == {"active": day("2026-01-10"), "joined": day("2026-01-10"), "purchases": 1}
    assert head_of(store, "DUP").state == State(NOW, status=Status.MERGED, marks=kept)
    assert head_of(store, "ADA").state.merged == ("DUP",)
    audited(store)


def test_a_merged_account_stands_still_though_its_tier_would_end() -> None:
    ladder = [{"id": "base", "name": "Base", "threshold": 0}, {"id": "gold", "name": "Gold", "threshold": 50}]
    made, store = program(tiers={"ladder": ladder}, windows={"merge_undo_days": 365}), Memory()
    enroll(store, "ada", NOW)
    enroll(store, "dup", NOW)
    buy(store, "dup", 6_000, NOW, receipt="1", program=made)
    merge(store, "dup", "ada", at("2027-06-01"), key="m", program=made)
    closed = head_of(store, "DUP")
    after = at("2028-03-01")

    assert closed.state.standing is not None
    assert tick(store, "DUP", now=after, program=made) is None
    assert ledger.current(closed, after, made).entries == ()
    assert ledger.survivor_of(head_of(store, "DUP")) == ("ADA", 2)
    unmerge(store, "dup", after, key="u", program=made)

    # It is itself again, and its tier has ended meanwhile.
    assert kinds(head_of(store, "DUP")) == [EntryKind.REOPENING]
    (review,) = ledger.current(head_of(store, "DUP"), after, made).entries
    assert (review.kind, review.at, review.standing) == (EntryKind.TIER, after, None)
    audited(store)


def test_points_keep_their_dates_and_pending_points_stay_pending(store: Memory) -> None:
    waiting = program(pending={"days": 14})
    buy(store, "dup", 700, at("2026-02-10"), receipt="3")
    buy(store, "dup", 900, at("2026-02-10"), receipt="4", program=waiting)

    merge(store, "dup", "ada", at("2026-02-11"), key="k")

    state = head_of(store, "ADA").state
    assert state.buckets == {day("2028-01-31"): 130, day("2028-02-29"): 7}
    assert state.pending == {(day("2026-02-24"), day("2028-02-29")): 9}
    assert (day("2026-02-24"), "ADA") in store.due
    audited(store)


def test_what_time_did_comes_first_on_both_sides_and_the_closing_entry_last(store: Memory) -> None:
    brief = program(expiry={"days": 1, "rounding": "day"})
    for name in ("ada", "dup"):
        buy(store, name, 500, NOW, receipt=name, program=brief)

    outcome = merge(store, "dup", "ada", NOW + timedelta(days=9), key="k")

    assert kinds(outcome.record) == [EntryKind.EXPIRY, EntryKind.MERGE]
    assert kinds(head_of(store, "DUP")) == [EntryKind.EXPIRY, EntryKind.MERGED]
    audited(store)


@pytest.mark.parametrize(
    ("of_ada", "of_dup", "left"),
    [
        (0, 50, (80, 0)),
        (150, 0, (0, 20)),
        (150, 50, (0, 70)),
        (100, 30, (0, 0)),
        (131, 30, (0, 31)),
        (0, 300, (0, 170)),
    ],
)
def test_what_either_owes_is_paid_from_what_the_other_has(
    store: Memory, of_ada: int, of_dup: int, left: tuple[int, int]
) -> None:
    for name, owed in (("ada", of_ada), ("dup", of_dup)):
        if owed:
            owe(store, name, owed, NOW, key=name)

    merge(store, "dup", "ada", NOW, key="k")

    state = head_of(store, "ADA").state
    assert (state.balance, state.debt) == left
    assert state.worth == 130 - of_ada - of_dup
    audited(store)


def test_points_that_have_expired_by_the_survivor_s_clock_expire_visibly(store: Memory) -> None:
    # Another machine, which is ahead, has booked something there already.
    adjust(store, "ada", 1, at("2028-02-01 00:01"), key="ahead")

    outcome = merge(store, "dup", "ada", at("2028-01-31 23:59"), key="k")

    assert [(entry.kind, entry.points) for entry in outcome.record.entries] == [
        (EntryKind.MERGE, 30),
        (EntryKind.EXPIRY, -30),
    ]
    audited(store)


def test_accounts_with_as_many_dates_as_they_hold_become_one_that_holds_no_more() -> None:
    store = Memory()
    daily = program(expiry={"months": 24, "rounding": "day"})
    for offset, name in enumerate(("ada", "dup")):
        enroll(store, name, NOW)
        for number in range(limits.BUCKETS_MAX):
            buy(store, name, 100, NOW + timedelta(days=2 * number + offset), receipt=f"{name}{number}", program=daily)
    later = NOW + timedelta(days=2 * limits.BUCKETS_MAX)

    merge(store, "dup", "ada", later, key="k", program=daily)

    state = head_of(audited(store), "ADA").state
    assert (state.balance, len(state.buckets)) == (2 * limits.BUCKETS_MAX, limits.BUCKETS_MAX)
    # Its points can be told from the survivor's, wherever they were moved to.
    unmerge(store, "dup", later, key="u", program=daily)
    assert [head_of(audited(store), name).state.balance for name in ("ADA", "DUP")] == [limits.BUCKETS_MAX] * 2


def test_a_note_stands_with_the_survivor_s_entry(store: Memory) -> None:
    outcome = merge(store, "dup", "ada", NOW, key="k", note=Draft("Same address.", b"s" * limits.NOTE_SALT_BYTES))

    assert outcome.entry.note is not None
    note = store.note("ADA", outcome.entry.note)
    assert note is not None
    assert note.text == "Same address."
    assert head_of(store, "DUP").entries[-1].note is None


# --- from then on -----------------------------------------------------------------------------------------------------


def test_whatever_led_to_either_leads_to_the_survivor(store: Memory) -> None:
    merge(store, "dup", "ada", NOW, key="k")

    for number, name in enumerate(("ada", "dup")):
        assert buy(store, name, 500, NOW, receipt=f"after {number}").record.account == "ADA"
        assert redeem(store, name, "cookie", NOW, key=f"after {number}").record.account == "ADA"
        assert adjust(store, name, 1, NOW, key=f"after {number}").record.account == "ADA"
    for actor in (ADA, BOB):
        assert redeem(store, "", "cookie", NOW, key="own", actor=actor).record.account == "ADA"
    for by in (Lookup("email", "dup@example.org"), Lookup("card", "C-2"), Lookup("id", "DUP"), Lookup("id", "ADA")):
        for actor in (ADA, BOB, TILL, MANAGER):
            found = members.resolve(store, actor=actor, by=by, field=())
            assert ledger.known_head(store, found, strong=True).account == "ADA"
    audited(store)


def test_a_member_does_not_become_anybody_else_by_a_merge(store: Memory) -> None:
    enroll(store, "eve", NOW, actor=replace(ADA, subject="eve"))
    merge(store, "dup", "ada", NOW, key="k")

    with pytest.raises(MemberNotFound):
        members.resolve(store, actor=ADA, by=external("eve"), field=())
    with pytest.raises(MemberNotFound):
        members.resolve(store, actor=replace(ADA, subject="eve"), by=external("dup"), field=())


def test_retries_of_what_was_booked_before_the_merge_are_answered_as_before(store: Memory) -> None:
    bought = buy(store, "dup", 500, NOW, receipt="3")
    redeemed = redeem(store, "", "cookie", NOW, key="k", actor=BOB)
    merge(store, "dup", "ada", NOW, key="m")

    with unchanged(store):
        assert buy(store, "dup", 500, NOW, receipt="3") == replace(bought, replayed=True)
        assert redeem(store, "", "cookie", NOW, key="k", actor=BOB) == replace(redeemed, replayed=True)
    unmerge(store, "dup", NOW, key="u")
    with unchanged(store):
        assert buy(store, "dup", 500, NOW, receipt="3") == replace(bought, replayed=True)
        assert redeem(store, "", "cookie", NOW, key="k", actor=BOB) == replace(redeemed, replayed=True)


def test_merges_of_merges_are_followed_to_the_end(store: Memory) -> None:
    for name in ("c", "d", "e"):
        enroll(store, name, NOW)
    for duplicate, survivor in (("dup", "ada"), ("ada", "c"), ("c", "d"), ("d", "e")):
        # Named by whoever was merged before: the account they live on in is meant.
        merge(store, duplicate, survivor, NOW, key=f"{duplicate} {survivor}")

    assert buy(store, "dup", 500, NOW, receipt="after").record.account == "E"
    assert head_of(store, "E").state.balance == 135
    audited(store)


def test_who_was_merged_before_is_named_as_the_account_they_live_on_in(store: Memory) -> None:
    for name in ("c", "d"):
        enroll(store, name, NOW)
    merge(store, "dup", "ada", NOW, key="1")
    merge(store, "c", "dup", NOW, key="2")
    assert head_of(store, "C").entries[-1].peer == ("ADA", head_of(store, "ADA").seq)

    merge(store, "dup", "d", NOW, key="3")
    assert head_of(store, "ADA").entries[-1].peer == ("D", head_of(store, "D").seq)
    assert [head_of(store, name).state.merged for name in ("ADA", "D")] == [("DUP", "C"), ("ADA",)]
    audited(store)


# --- what is refused, in this order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "\x7f", "k" * (limits.KEY_LENGTH_MAX + 1)])
def test_a_key_is_a_short_printable_text(store: Memory, key: str) -> None:
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        merge(store, "nobody", "nobody", NOW, key=key, reason="no reason")
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        unmerge(store, "nobody", NOW, key=key, reason="no reason")


@pytest.mark.parametrize("reason", ["", "same person", "X" * 65])
def test_a_reason_is_a_code(store: Memory, reason: str) -> None:
    with refuses(store, InvalidText, "input", "reason"):
        merge(store, "nobody", "nobody", NOW, key="k", reason=reason)
    with refuses(store, InvalidText, "input", "reason"):
        unmerge(store, "nobody", NOW, key="k", reason=reason)


def test_a_note_is_a_text(store: Memory) -> None:
    bad = Draft("", b"s" * limits.NOTE_SALT_BYTES)
    with refuses(store, InvalidText, "input", "note"):
        merge(store, "nobody", "nobody", NOW, key="k", note=bad)
    with refuses(store, InvalidText, "input", "note"):
        unmerge(store, "nobody", NOW, key="k", note=bad)


def test_both_are_somebody(store: Memory) -> None:
    with refuses(store, MemberNotFound, "input", "survivor"):
        merge(store, "nobody", "nobody", NOW, key="k")
    with refuses(store, MemberNotFound, "input", "duplicate"):
        merge(store, "nobody", "ada", NOW, key="k")
    with refuses(store, MemberNotFound, "input", "duplicate"):
        unmerge(store, "nobody", NOW, key="k")


def test_nobody_is_merged_with_themselves_also_not_the_other_way_round() -> None:
    store = furnished(Memory())
    with refuses(store, MergeWithSelf, "input", "duplicate"):
        merge(store, "ada", "ada", NOW, key="k")
    merge(store, "dup", "ada", NOW, key="m")

    for duplicate, survivor in (("dup", "ada"), ("ada", "dup"), ("dup", "dup"), ("ada", "ada")):
        with refuses(store, MergeWithSelf, "input", "duplicate"):
            merge(store, duplicate, survivor, NOW, key="k")


def test_a_key_is_one_merge(store: Memory) -> None:
    enroll(store, "cat", NOW)
    merge(store, "dup", "ada", NOW, key="k")

    for call in (
        lambda: merge(store, "cat", "ada", NOW, key="k"),
        lambda: merge(store, "dup", "cat", NOW, key="k"),
        lambda: merge(store, "ada", "ada", NOW, key="k"),
        lambda: merge(store, "dup", "ada", NOW, key="k", reason="OTHER"),
        lambda: unmerge(store, "dup", NOW, key="k"),
        lambda: unmerge(store, "cat", NOW, key="k"),
    ):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            call()


@pytest.mark.parametrize(("name", "named"), [("ada", "survivor"), ("dup", "duplicate")])
@pytest.mark.parametrize(
    ("change", "refusal"), [(standing.close, MemberClosed), (standing.block, MemberBlocked)], ids=["closed", "blocked"]
)
def test_both_are_active(store: Memory, name: str, named: str, change: Any, refusal: type[Refusal]) -> None:
    standing_of(store, name, change)

    with refuses(store, refusal, "input", named):
        merges.merge(
            store,
            PROGRAM,
            actor=MANAGER,
            idempotency_key="k",
            duplicate=Lookup("id", "DUP"),
            survivor=Lookup("id", "ADA"),
            reason="SAME_PERSON",
            note=None,
            now=NOW,
        )


@pytest.mark.parametrize(("name", "named"), [("ada", "survivor"), ("dup", "duplicate")])
def test_a_merge_waits_until_no_till_holds_points(store: Memory, name: str, named: str) -> None:
    held = hold(store, name, 10, NOW, key="hold", ttl_seconds=60)

    with refuses(store, HoldsOpen, "input", named):
        merge(store, "dup", "ada", NOW + timedelta(seconds=59), key="k1")
    merge(store, "dup", "ada", NOW + timedelta(seconds=60), key="k2")
    assert EntryKind.LAPSE in kinds(head_of(store, name.upper()))
    with refuses(store, HoldsOpen, "input", named, replayed=True):
        merge(store, "dup", "ada", NOW + timedelta(days=1), key="k1")
    audited(store)
    assert held.record.account == name.upper()


def test_no_more_accounts_live_on_in_one_than_can_be_followed(store: Memory) -> None:
    for number in range(limits.MERGES_FOLLOWED_MAX + 1):
        enroll(store, f"m{number}", NOW)
    # A chain of as many, and a bunch of as many: both count all that live on in the account.
    for number in range(limits.MERGES_FOLLOWED_MAX):
        merge(store, f"m{number}", f"m{number + 1}", NOW, key=f"m{number}")
    last = f"m{limits.MERGES_FOLLOWED_MAX}"

    assert buy(store, "m0", 500, NOW, receipt="after").record.account == last.upper()
    with refuses(store, TooManyMerges, "input", "duplicate") as refused:
        merge(store, "dup", last, NOW, key="k1")
    assert refused.value.message == "17 accounts would live on in this one."
    with refuses(store, TooManyMerges, "input", "duplicate"):
        merge(store, last, "ada", NOW, key="k2")
    audited(store)


def test_a_retry_of_a_merge_is_answered_as_before(store: Memory) -> None:
    first = merge(store, "dup", "ada", NOW, key="k")

    for change in (
        lambda: None,
        lambda: unmerge(store, "dup", NOW, key="u"),
        lambda: buy(store, "dup", 1, NOW, receipt="9"),
    ):
        change()
        with unchanged(store):
            assert merge(store, "dup", "ada", NOW + timedelta(days=30), key="k") == replace(first, replayed=True)


# --- becoming two again -----------------------------------------------------------------------------------------------


def test_an_undo_brings_both_accounts_back_and_names_its_merge(store: Memory) -> None:
    merged = merge(store, "dup", "ada", NOW, key="k")

    undone = unmerge(store, "dup", NOW, key="u")

    back = head_of(store, "DUP")
    assert (undone.entry.kind, undone.entry.points, undone.record.account) == (EntryKind.UNMERGE, -30, "ADA")
    assert (undone.entry.peer, undone.entry.cause) == (("DUP", 4), (merged.record.seq, merged.index))
    assert (kinds(back), back.entries[0].peer) == ([EntryKind.REOPENING], ("ADA", undone.record.seq))
    assert back.entries[0].explanation == (Explanation("unmerge:OTHER_PERSON", 30),)
    assert (back.state.status, back.state.buckets) == (Status.ACTIVE, {day("2028-01-31"): 30})
    assert (head_of(store, "ADA").state.balance, head_of(store, "ADA").state.merged) == (100, ())
    for name in ("ada", "dup"):
        assert buy(store, name, 500, NOW, receipt=name).record.account == name.upper()
    assert redeem(store, "", "cookie", NOW, key="own", actor=BOB).record.account == "DUP"
    audited(store)


def test_an_undo_takes_no_more_than_the_survivor_still_has(store: Memory) -> None:
    buy(store, "dup", 2_000, at("2026-03-01"), receipt="3")
    buy(store, "ada", 500, at("2026-03-01"), receipt="4")
    merge(store, "dup", "ada", at("2026-03-02"), key="k")
    adjust(store, "ada", -140, at("2026-03-03"), key="spent")

    undone = unmerge(store, "dup", at("2026-03-04"), key="u")

    # 100 + 30 expiring in January, 20 + 5 in March; all of January's and 10 of March's are gone.
    assert undone.entry.lines == (Line(day("2028-03-31"), -15),)
    assert [head_of(store, name).state.balance for name in ("ADA", "DUP")] == [0, 15]
    audited(store)


def test_an_undo_moves_no_points_that_came_later(store: Memory) -> None:
    merge(store, "dup", "ada", NOW, key="k")
    adjust(store, "ada", -130, NOW, key="spent")
    buy(store, "dup", 9_900, at("2026-02-01"), receipt="later")

    unmerge(store, "dup", at("2026-02-02"), key="u")

    assert [head_of(store, name).state.balance for name in ("ADA", "DUP")] == [99, 0]
    audited(store)


def test_points_that_matured_meanwhile_go_back_as_what_they_are_now(store: Memory) -> None:
    waiting = program(pending={"days": 14})
    buy(store, "dup", 900, NOW, receipt="3", program=waiting)
    buy(store, "dup", 400, at("2026-01-20"), receipt="4", program=waiting)
    merge(store, "dup", "ada", at("2026-01-21"), key="k")

    undone = unmerge(store, "dup", at("2026-01-25"), key="u")

    assert undone.entry.lines == (
        Line(day("2028-01-31"), -39),
        Line(day("2028-01-31"), -4, day("2026-02-03")),
    )
    state = head_of(store, "DUP").state
    assert (state.balance, state.pending_points, state.pending) == (
        39,
        4,
        {(day("2026-02-03"), day("2028-01-31")): 4},
    )
    audited(store)


def test_points_that_expired_meanwhile_stay_expired(store: Memory) -> None:
    brief = program(expiry={"days": 3, "rounding": "day"})
    buy(store, "dup", 900, NOW, receipt="3", program=brief)
    merge(store, "dup", "ada", NOW, key="k")

    unmerge(store, "dup", NOW + timedelta(days=9), key="u")

    assert head_of(audited(store), "DUP").state.buckets == {day("2028-01-31"): 30}


@pytest.mark.parametrize(("earned", "back"), [(0, 170), (100, 70), (170, 0), (200, 0)])
def test_of_a_debt_that_was_taken_over_what_is_still_owed_goes_back(store: Memory, earned: int, back: int) -> None:
    owe(store, "dup", 300, NOW, key="debt")
    merge(store, "dup", "ada", NOW, key="k")
    buy(store, "ada", earned * 100, NOW, receipt="3")
    before = head_of(store, "ADA").state

    unmerge(store, "dup", NOW, key="u")

    ada, dup = (head_of(audited(store), name).state for name in ("ADA", "DUP"))
    assert (ada.debt, dup.debt, dup.balance) == (0, back, 0)
    assert ada.balance == before.balance == max(0, earned - 170)


def test_a_merge_can_be_undone_for_as_many_days_as_the_program_says(store: Memory) -> None:
    brief = program(windows={"merge_undo_days": 2})
    merge(store, "dup", "ada", NOW, key="k")

    with refuses(store, UndoWindowPassed, "input", "duplicate") as refused:
        unmerge(store, "dup", NOW + timedelta(days=2), key="u", program=brief)
    assert refused.value.message == "A merge can be undone for 2 days."
    unmerge(store, "dup", NOW + timedelta(days=2, milliseconds=-1), key="u", program=brief)
    merge(store, "dup", "ada", NOW, key="k2")
    with refuses(store, UndoWindowPassed, "input", "duplicate"):
        unmerge(store, "dup", NOW + timedelta(days=3), key="u2", program=program(windows={"merge_undo_days": 0}))


def test_only_what_is_merged_can_be_undone(store: Memory) -> None:
    with refuses(store, NotMerged, "input", "duplicate"):
        unmerge(store, "dup", NOW, key="u1")
    merge(store, "dup", "ada", NOW, key="k")
    with refuses(store, NotMerged, "input", "duplicate"):
        unmerge(store, "ada", NOW, key="u2")
    first = unmerge(store, "dup", NOW, key="u3")
    with unchanged(store):
        assert unmerge(store, "dup", NOW + timedelta(days=30), key="u3") == replace(first, replayed=True)
    with refuses(store, NotMerged, "input", "duplicate"):
        unmerge(store, "dup", NOW, key="u4")
    with refuses(store, NotMerged, "input", "duplicate", replayed=True):
        unmerge(store, "dup", NOW, key="u1")


def test_merges_of_merges_are_undone_from_the_end(store: Memory) -> None:
    enroll(store, "cat", NOW)
    merge(store, "dup", "ada", NOW, key="1")
    merge(store, "ada", "cat", NOW, key="2")

    with refuses(store, SurvivorMerged, "input", "duplicate"):
        unmerge(store, "dup", NOW, key="u1")
    unmerge(store, "ada", NOW, key="u2")
    assert head_of(store, "ADA").state.merged == ("DUP",)
    unmerge(store, "dup", NOW, key="u3")
    assert [head_of(store, name).state.balance for name in ("ADA", "DUP", "CAT")] == [100, 30, 0]
    audited(store)


@pytest.mark.parametrize("change", [standing.close, standing.block], ids=["closed", "blocked"])
def test_nobody_waits_for_a_survivor_who_is_blocked_or_gone(store: Memory, change: Any) -> None:
    merge(store, "dup", "ada", NOW, key="k")
    standing_of(store, "ada", change)

    unmerge(store, "dup", NOW, key="u")

    assert head_of(store, "DUP").state.balance == (30 if change is standing.block else 0)
    assert head_of(store, "ADA").state.status is not Status.ACTIVE
    assert buy(store, "dup", 500, NOW, receipt="3").entry.points == 5
    audited(store)


def test_points_that_a_till_holds_stay_with_the_survivor(store: Memory) -> None:
    merge(store, "dup", "ada", NOW, key="k")
    held = hold(store, "dup", 120, NOW, key="hold")

    unmerge(store, "dup", NOW, key="u")
    release(store, held, NOW, key="release")

    assert [head_of(store, name).state.balance for name in ("ADA", "DUP")] == [120, 10]
    audited(store)


def test_what_was_given_away_counts_on_the_account_that_gave_it(store: Memory) -> None:
    strict = program(transfers={"points_per_day_max": 20})
    enroll(store, "cat", NOW)
    give(store, "dup", "cat", 20, NOW, key="1", program=strict)
    merge(store, "dup", "ada", NOW, key="m")
    give(store, "dup", "cat", 20, NOW, key="2", program=strict)
    unmerge(store, "dup", NOW, key="u")

    assert [head_of(store, name).state.sent[1] for name in ("ADA", "DUP")] == [20, 20]
    audited(store)


# --- exactly once across it all ---------------------------------------------------------------------------------------

# What may have been claimed and not booked, by whoever it is then: each adds to a balance, or takes from it.
CALLS: dict[str, Callable[[Memory], Outcome]] = {
    "purchase": lambda store: buy(store, "dup", 700, NOW, receipt="claimed"),
    "redemption": lambda store: redeem(store, "dup", "cookie", NOW, key="claimed"),
    "own redemption": lambda store: redeem(store, "", "cookie", NOW, key="claimed", actor=BOB),
    "adjustment": lambda store: adjust(store, "dup", 9, NOW, key="claimed"),
    "gift": lambda store: give(store, "dup", "eve", 9, NOW, key="claimed"),
    "gift to": lambda store: give(store, "eve", "dup", 9, NOW, key="claimed"),
}


def told(call: Callable[[], Outcome]) -> object:
    """The answer to a call: where its entry stands, or the refusal."""
    try:
        outcome = call()
    except Refusal as refusal:
        return refusal
    return outcome.record.account, outcome.record.seq, outcome.index, outcome.entry


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dies", ["before_append", "after_append"])
@pytest.mark.parametrize("events", ["m", "mu", "mum", "mub", "mn", "mnoub", "mumn"])
@pytest.mark.parametrize("claimed_after", [0, 1, 2])
def test_a_call_that_died_is_booked_once_whatever_became_of_the_account(
    interrupted: Interrupted, call: str, dies: str, events: str, claimed_after: int
) -> None:
    """`m` merges the duplicate into Ada and `u` undoes it; `n` merges Ada into Cat and `o` undoes that; `b` is a purchase.

    It is booked wherever the account that was asked about lives then; what was booked stays where it is.
    """
    store = interrupted
    for name in ("cat", "eve"):
        enroll(store, name, NOW)
        buy(store, name, 3_000, NOW, receipt=name)
    happened = {
        "m": lambda key: merge(store, "dup", "ada", NOW, key=key),
        "u": lambda key: unmerge(store, "dup", NOW, key=key),
        "n": lambda key: merge(store, "ada", "cat", NOW, key=key),
        "o": lambda key: unmerge(store, "ada", NOW, key=key),
        "b": lambda key: buy(store, "dup", 300, NOW, receipt=key),
    }
    for number, event in enumerate(events):
        if number == claimed_after:
            interrupted_call(store, lambda: CALLS[call](store), at_point=dies)
        happened[event](f"event {number}")
    if claimed_after >= len(events):
        interrupted_call(store, lambda: CALLS[call](store), at_point=dies)

    (claim,) = [claim for key, claim in store._claims.items() if key.value == "claimed"]
    lives_on_in = ledger.known_head(store, claim.asked_about).account

    outcome = CALLS[call](store)

    assert outcome.replayed is (dies == "after_append")
    assert outcome.record.account == lives_on_in or outcome.replayed
    audited(store)
    with unchanged(store):
        assert CALLS[call](store) == replace(outcome, replayed=True)


def test_a_duplicate_who_is_not_found_any_more_is_nobody_and_not_the_survivor(interrupted: Interrupted) -> None:
    interrupted_call(interrupted, lambda: merge(interrupted, "dup", "ada", NOW, key="k"))
    standing_of(interrupted, "dup", standing.close)

    with pytest.raises(MemberNotFound):
        merge(interrupted, "dup", "ada", NOW, key="k")
    assert head_of(interrupted, "ADA").entries[-1].kind is EntryKind.REFUSED
    with refuses(interrupted, MemberNotFound, "input", "duplicate", replayed=True):
        merge(interrupted, "dup", "ada", NOW, key="k")
    audited(interrupted)


def test_a_merge_is_answered_as_before_when_the_duplicate_is_not_found_any_more(store: Memory) -> None:
    merged = merge(store, "dup", "ada", NOW, key="k")
    unmerge(store, "dup", NOW, key="u")
    standing_of(store, "dup", standing.close)

    with unchanged(store):
        assert merge(store, "dup", "ada", NOW, key="k") == replace(merged, replayed=True)


def test_what_was_claimed_while_two_were_one_is_not_booked_on_the_other_when_they_are_two_again(
    interrupted: Interrupted,
) -> None:
    enroll(interrupted, "cat", NOW)
    merge(interrupted, "dup", "ada", NOW, key="m")
    merge(interrupted, "ada", "cat", NOW, key="n")
    interrupted_call(interrupted, lambda: redeem(interrupted, "dup", "cookie", NOW, key="k"), at_point="before_append")
    unmerge(interrupted, "ada", NOW, key="o")
    unmerge(interrupted, "dup", NOW, key="u")

    outcome = redeem(interrupted, "dup", "cookie", NOW, key="k")

    assert outcome.record.account == "DUP"
    with unchanged(audited(interrupted)):
        assert redeem(interrupted, "dup", "cookie", NOW, key="k") == replace(outcome, replayed=True)


def test_a_merge_seen_late_does_not_book_on_who_is_no_longer_the_survivor() -> None:
    """The undo is a moment old, and the cheap read of the duplicate's head still says merged."""
    store = Stale()
    furnished(store)
    merge(store, "dup", "ada", NOW, key="k")
    unmerge(store, "dup", NOW, key="u")
    stale = store.head("DUP")
    assert stale is not None
    assert stale.state.status is Status.MERGED

    assert buy(store, "dup", 500, NOW, receipt="3").record.account == "DUP"


def test_an_undo_between_the_two_reads_of_a_merged_account_is_not_missed(interrupted: Interrupted) -> None:
    store = interrupted
    merge(store, "dup", "ada", NOW, key="k")
    reads = iter(range(10))
    head = store.head

    def undone_meanwhile(account: str, *, strong: bool = False) -> Record | None:
        found = head(account, strong=strong)
        if next(reads) == 0:
            unmerge(store, "dup", NOW, key="u")
        return found

    store.head = undone_meanwhile  # type: ignore[method-assign]

    assert buy(store, "dup", 500, NOW, receipt="3").record.account == "DUP"


def meanwhile(store: Interrupted, calls: dict[int, Callable[[], object]]) -> None:
    """Makes each call right after so many reads of a head."""
    head = store.head
    reads = 0

    def reading(account: str, *, strong: bool = False) -> Record | None:
        nonlocal reads
        found = head(account, strong=strong)
        reads += 1
        if call := calls.pop(reads, None):
            store.head = head  # type: ignore[method-assign]
            call()
            store.head = reading  # type: ignore[method-assign]
        return found

    store.head = reading  # type: ignore[method-assign]


def test_a_merge_while_its_undoing_is_decided_comes_after_it(interrupted: Interrupted) -> None:
    # It is decided twice; before the second time the account itself is read a third time, and then merged.
    meanwhile(interrupted, {3: lambda: merge(interrupted, "dup", "ada", NOW, key="k")})

    with pytest.raises(NotMerged):
        unmerge(interrupted, "dup", NOW, key="u")
    with refuses(interrupted, NotMerged, "input", "duplicate", replayed=True):
        unmerge(interrupted, "dup", NOW, key="u")
    assert unmerge(interrupted, "dup", NOW, key="v").entry.kind is EntryKind.UNMERGE


def test_an_account_that_is_merged_anew_while_that_is_decided_does_not_live_on_in_two(interrupted: Interrupted) -> None:
    enroll(interrupted, "cat", NOW)
    merge(interrupted, "dup", "ada", NOW, key="k")

    def anew(survivor: str) -> Callable[[], object]:
        def call() -> None:
            unmerge(interrupted, "dup", NOW, key=f"not {survivor}")
            merge(interrupted, "dup", survivor, NOW, key=survivor)

        return call

    # Each time it is decided: the account, its survivor, the account again; and then it has another survivor.
    meanwhile(interrupted, {3: anew("cat"), 8: anew("ada")})

    with pytest.raises(OutcomeUnknown):
        unmerge(interrupted, "dup", NOW, key="u")
    assert unmerge(interrupted, "dup", NOW, key="u").record.account == "ADA"


@pytest.mark.parametrize("moment", ["before_claim", "before_append"])
@pytest.mark.parametrize("other", ["m", "u", "crossing", "away", "buy", "spend", "gift out", "gift in", "hold"])
@pytest.mark.parametrize("one", ["m", "u", "buy", "spend", "gift"])
def test_whatever_happens_in_the_middle_of_it_the_books_are_right(
    interrupted: Interrupted, moment: str, other: str, one: str
) -> None:
    store = interrupted
    enroll(store, "cat", NOW)
    buy(store, "cat", 1_000, NOW, receipt="cat")
    calls: dict[str, Callable[[], Outcome]] = {
        "m": lambda: merge(store, "dup", "ada", NOW, key="m"),
        "u": lambda: unmerge(store, "dup", NOW, key="u"),
        "crossing": lambda: merge(store, "ada", "dup", NOW, key="crossing"),
        "away": lambda: merge(store, "dup", "cat", NOW, key="away"),
        "buy": lambda: buy(store, "dup", 500, NOW, receipt="3"),
        "spend": lambda: adjust(store, "dup", -30, NOW, key="spend"),
        "gift": lambda: give(store, "dup", "ada", 7, NOW, key="gift"),
        "gift out": lambda: give(store, "dup", "ada", 5, NOW, key="gift out"),
        "gift in": lambda: give(store, "cat", "dup", 5, NOW, key="gift in"),
        "hold": lambda: hold(store, "dup", 5, NOW, key="hold"),
    }
    if one == "u" or other == "u":
        merge(store, "dup", "ada", NOW, key="before")
    heard: list[object] = []
    getattr(store, moment).append(lambda: heard.append(told(calls[other])))

    answer = told(calls[one])

    audited(store)
    # Whose answer was decided hears it again. That two accounts are one is not decided for a key: it may change.
    for name, said in ((one, answer), *((other, said) for said in heard)):
        if not isinstance(said, MergeWithSelf | TransferToSelf):
            with unchanged(store):
                assert told(calls[name]) == said


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("seed", range(4))
def test_merges_race_with_everything_else_and_lose_nothing(store: Memory, seed: int) -> None:
    enroll(store, "cat", NOW)
    names = ("ada", "dup", "cat")
    for name in names:
        buy(store, name, 5_000, NOW, receipt=name)
    pick = random.Random(seed)
    calls: list[Callable[[], Outcome]] = []
    for number in range(16):
        one, two = pick.sample(names, 2)
        calls += [
            lambda one=one, number=number: buy(store, one, 100 * (number % 7), NOW, receipt=f"r{number}"),
            lambda one=one, number=number: redeem(store, one, "cookie", NOW, key=f"k{number}"),
            lambda one=one, two=two, number=number: give(store, one, two, 1 + number, NOW, key=f"g{number}"),
        ]
        if number % 4 == 0:
            calls.append(lambda one=one, two=two, number=number: merge(store, one, two, NOW, key=f"m{number}"))
            calls.append(lambda one=one, number=number: unmerge(store, one, NOW, key=f"u{number}"))
    calls += calls
    pick.shuffle(calls)

    answers = at_once(calls)

    assert not [answer for answer in answers if not isinstance(answer, Outcome | Refusal)], answers
    audited(store)
    answered: dict[int, list[object]] = {}
    for call, answer in zip(calls, answers, strict=True):
        answered.setdefault(id(call), []).append(answer if isinstance(answer, Refusal) else answer.entry)
    for first, second in answered.values():
        # Of two deliveries at once one may have been told that nothing was to be decided; neither was told another story.
        assert first == second or not all(getattr(each, "final", True) for each in (first, second))
