"""Staff set a tier: for a reason, once for each key, and never on a membership that has ended."""

from typing import Any

import pytest

from domain import limits
from domain.accounts import Origin, Standing
from domain.entries import EntryKind
from domain.members import Lookup
from domain.promotions import UnknownTier
from domain.refusals import IdempotencyKeyReused, InvalidDate, InvalidText, MemberClosed, MemberNotFound, Refusal
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    PROGRAM,
    Interrupted,
    Stale,
    at,
    at_once,
    block,
    buy,
    close,
    day,
    enroll,
    head_of,
    program,
    refuses,
    set_tier,
    unchanged,
)

RULES = program(
    tiers={
        "ladder": [
            {"id": "bronze", "name": "Bronze", "threshold": 0},
            {"id": "silver", "name": "Silver", "threshold": 500},
            {"id": "gold", "name": "Gold", "threshold": 1_000},
        ]
    },
    moments=[{"id": "up", "when": "tier_up", "points": 5}],
)
NOW = at("2026-03-01")


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    made: Memory = request.param()
    enroll(made, "ada", at("2026-01-05"))
    return made


def give(store: Memory, tier: str, **more: Any) -> Any:
    return set_tier(
        store, more.pop("name", "ada"), tier, more.pop("now", NOW), **{"key": "k", "program": RULES, **more}
    )


def test_a_tier_is_set_with_who_and_why(store: Memory) -> None:
    outcome = give(store, " gold ", until="2026-03-01", note="Long a friend of the house.")

    (entry,) = outcome.record.entries
    assert (entry.kind, entry.actor, entry.reason, entry.points) == (EntryKind.TIER, "s.grace", "GOODWILL", 0)
    assert entry.standing == Standing("gold", day("2026-03-01"), Origin.MANUAL)
    assert entry.note
    note = store.note("ADA", entry.note)
    assert note
    assert note.text == "Long a friend of the house."
    books.check(store._logs["ADA"], RULES.zone)


def test_its_last_day_may_be_today_or_a_hundred_years_ahead(store: Memory) -> None:
    give(store, "gold", until="2026-03-01", key="today")
    give(store, "gold", until="2126-03-02", key="late")

    assert head_of(store, "ADA").state.standing == Standing("gold", day("2126-03-02"), Origin.MANUAL)
    assert day("2126-03-02") == day("2026-03-01") + limits.TIER_DAYS_AHEAD_MAX
    assert (day("2126-03-02"), "ADA") in store.due


def test_what_staff_give_is_no_moment_of_the_membership(store: Memory) -> None:
    assert give(store, "gold").record.state.balance == 0


def test_a_blocked_account_may_be_given_a_tier(store: Memory) -> None:
    block(store, "ada", NOW, key="b")

    assert give(store, "gold").record.state.standing


@pytest.mark.parametrize(
    ("input_", "refusal", "field"),
    [
        ({"key": ""}, InvalidText, "idempotencyKey"),
        ({"tier": " "}, InvalidText, "tier"),
        ({"tier": "x" * 65}, InvalidText, "tier"),
        ({"reason": "because"}, InvalidText, "reason"),
        ({"note": " "}, InvalidText, "note"),
        ({"name": "nobody"}, MemberNotFound, "member"),
        ({"tier": "Gold"}, UnknownTier, "tier"),
        ({"tier": "platinum"}, UnknownTier, "tier"),
        ({"program": PROGRAM}, UnknownTier, "tier"),
        ({"until": "2026-02-28"}, InvalidDate, "until"),
        # What clients send for no day, and what stands around it.
        ({"until": "1969-12-31"}, InvalidDate, "until"),
        ({"until": "1970-01-01"}, InvalidDate, "until"),
        ({"until": "1970-01-02"}, InvalidDate, "until"),
        ({"until": "2126-03-03"}, InvalidDate, "until"),
        ({"until": "9999-12-31"}, InvalidDate, "until"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    store: Memory, input_: dict[str, Any], refusal: type[Refusal], field: str
) -> None:
    with refuses(store, refusal, "input", field):
        give(store, **{"tier": "gold", **input_})


def test_refusals_come_in_their_order(store: Memory) -> None:
    """Each input has one mistake less; what is refused is always the first."""
    close(store, "ada", NOW, key="c")
    wrong: dict[str, Any] = {"key": "", "name": "nobody", "tier": "none", "until": "2020-01-01"}
    for mended, refusal, field in (
        ({}, InvalidText, "idempotencyKey"),
        ({"key": "k"}, MemberNotFound, "member"),
        # Whoever has left is found by their id alone.
        ({"member": Lookup("id", "ADA")}, UnknownTier, "tier"),
        ({"tier": "gold"}, InvalidDate, "until"),
        ({"until": "2027-01-01"}, MemberClosed, "member"),
    ):
        wrong |= mended
        with refuses(store, refusal, "input", field):
            give(store, **wrong)


def test_on_a_membership_that_has_ended_the_no_is_remembered(store: Memory) -> None:
    close(store, "ada", NOW, key="c")
    with refuses(store, MemberClosed, "input", "member"):
        give(store, "gold", member=Lookup("id", "ADA"))
    with refuses(store, MemberClosed, "input", "member", replayed=True):
        give(store, "gold", member=Lookup("id", "ADA"))


def test_a_key_sets_one_tier(store: Memory) -> None:
    first = give(store, "gold", until="2026-12-31")
    with unchanged(store):
        again = give(store, "gold", until="2026-12-31", now=at("2026-05-01"))
    assert (again.replayed, again.entry) == (True, first.entry)

    enroll(store, "bob", NOW)
    for other in (
        {"tier": "silver"},
        {"until": None},
        {"until": "2027-12-31"},
        {"reason": "OTHER"},
        {"note": "x"},
        {"name": "bob"},
    ):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            give(store, **{"tier": "gold", "until": "2026-12-31", **other})


def test_a_retry_after_its_last_day_is_answered_as_before(store: Memory) -> None:
    give(store, "gold", until="2026-03-01")

    assert give(store, "gold", until="2026-03-01", now=at("2026-03-02")).replayed


def test_many_managers_at_once_set_it_one_after_the_other() -> None:
    store = Memory()
    enroll(store, "ada", at("2026-01-05"))

    answers = at_once([lambda number=number: give(store, "gold", key=f"k{number % 4}") for number in range(12)])

    assert not [each for each in answers if isinstance(each, Exception)]
    assert sum(not each.replayed for each in answers) == 4
    assert len(store._logs["ADA"]) == 1 + 4
    books.check(store._logs["ADA"], RULES.zone)


def test_what_was_earned_meanwhile_is_known_when_it_is_decided() -> None:
    """The purchase that reaches silver comes between reading the account and writing to it."""
    store = Interrupted()
    enroll(store, "ada", at("2026-01-05"))
    store.before_append.append(lambda: buy(store, "ada", 50_000, NOW, receipt="1", program=RULES))

    give(store, "gold", until="2026-06-30")

    assert head_of(store, "ADA").state.standing == Standing(
        "gold", day("2026-06-30"), Origin.MANUAL, then=Standing("silver", day("2027-12-31"))
    )
