"""Sentences that support can read aloud."""

from dataclasses import replace

import pytest

from domain import explanations, ledger
from domain.days import Rounding
from domain.entries import Entry, EntryKind, Explanation, Money
from domain.expiry import Expiry, Policy
from domain.programs import Program
from storage.memory import Memory
from tests.domain.world import (
    PROGRAM,
    adjust,
    at,
    block,
    buy,
    cancel,
    capture,
    close,
    enroll,
    give,
    give_back,
    head_of,
    hold,
    merge,
    program,
    redeem,
    release,
    set_tier,
    unblock,
    unmerge,
    update,
)

NOW = at("2026-01-10")


def sentences(*entries: Entry, by: Program = PROGRAM) -> list[str]:
    return [explanations.describe(each, entry, by) for entry in entries for each in entry.explanation]


def test_every_kind_of_entry_is_told_in_a_sentence() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    bought = buy(store, "ada", 5_099, NOW, receipt="1", program=program(expiry={"days": 9, "rounding": "day"}))
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    given = adjust(store, "ada", 3, NOW, key="k1", reason="LATE")
    taken = adjust(store, "ada", -3, NOW, key="k2", reason="OOPS")
    buy(store, "ada", 200, NOW, receipt="2", program=program(pending={"days": 3}))
    later = ledger.current(head_of(store, "ADA"), at("2026-02-01"), PROGRAM)

    assert sentences(bought.entry, redeemed.entry, given.entry, taken.entry, *later.entries) == [
        "50 points for 50.99 USD by rule 'base', parts of a unit dropped.",
        "40 points spent on A latte, soonest-expiring points first.",
        "3 points added by staff: LATE.",
        "3 points taken by staff: OOPS.",
        "2 points became available.",
        "7 points expired at the end of 2026-01-19.",
    ]


def test_a_reward_that_is_gone_is_told_by_its_id() -> None:
    entry = Entry(EntryKind.REDEMPTION, NOW, (), 0, (Explanation("reward:tea", -9),), reward=("tea", 1))

    assert sentences(entry) == ["9 points spent on tea, soonest-expiring points first."]


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (Money(1_290, "USD"), "12.90 USD"),
        (Money(5, "USD"), "0.05 USD"),
        (Money(0, "USD"), "0.00 USD"),
        (Money(1_290, "JPY"), "1290 JPY"),
        (Money(1_290, "KWD"), "1.290 KWD"),
        (Money(1_290, "EUR"), "1290 minor units of EUR"),
    ],
)
def test_money_is_told_in_whole_units(total: Money, text: str) -> None:
    assert explanations.money(total, PROGRAM) == text


def test_an_entry_that_no_rule_explains_is_told_by_its_rule() -> None:
    entry = Entry(EntryKind.PURCHASE, NOW, (), 0, (Explanation("base", 1),))

    assert sentences(replace(entry, total=None)) == ["1 points by 'base'."]


def test_holds_and_cancellations_are_told_in_sentences() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", 3_000, NOW, receipt="1")
    buy(store, "ada", 2_500, NOW, receipt="2", program=program(expiry={"days": 9, "rounding": "day"}))
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    first, second, third = (hold(store, "ada", 5, NOW, key=f"h{number}") for number in range(3))
    captured = capture(store, first, NOW, key="c", points=3)
    released = release(store, second, NOW, key="r")
    lapsed = ledger.current(head_of(store, "ADA"), at("2026-01-11"), PROGRAM)
    cancelled = cancel(store, redeemed, at("2026-02-01"), key="x")

    assert sentences(third.entry, captured.entry, released.entry, *lapsed.entries, cancelled.entry) == [
        "5 points set aside until 2026-01-10T17:15:00Z, soonest-expiring points first.",
        "3 held points spent, 2 went back.",
        "5 held points went back: the till let them go.",
        "5 held points went back: nobody captured them in time.",
        "15 points of a cancelled redemption are back.",
        "25 points of a cancelled redemption had expired and can be spent again for a while.",
    ]


def test_returns_are_told_in_sentences() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    clamp = program(returns={"policy": "clamp"})
    buy(store, "ada", 4_500, NOW, receipt="1", program=clamp)
    redeem(store, "ada", "latte", NOW, key="k")
    returned = give_back(store, "1", NOW, key="r", amount=1_050, program=clamp).outcome
    assert returned is not None
    blocked = replace(returned.entry, explanation=(Explanation("account:blocked", 0, 1_050),))

    assert sentences(returned.entry, blocked) == [
        "10 points owed for 10.50 USD returned: rule 'base' gave them.",
        "5 points written off: they could not be taken any more, and by the terms they are not owed.",
        "0 points: the purchase earned none, as the account was blocked.",
    ]


def test_what_happens_to_an_account_is_told_in_sentences() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    debt = program(returns={"policy": "debt"})
    buy(store, "ada", 4_500, NOW, receipt="1", program=debt)
    redeem(store, "ada", "latte", NOW, key="k")
    changed = update(
        store, "ada", NOW, key="u", name="Ada", email="a@b.c", phone="+15551234567", card_number="1", external_id="ada2",
        home_location="harbor", add_tags=["vip"],
    )  # fmt: skip
    update(store, "ada2", NOW, key="u2", external_id="ada")
    blocked = block(store, "ada", NOW, key="b", reason="SUSPICION")
    unblocked = unblock(store, "ada", NOW, key="n", reason="CLEARED")
    give_back(store, "1", NOW, key="r", program=debt, terms=debt.terms)
    closed = close(store, "ada", NOW, key="c", reason="MOVED_AWAY")

    assert sentences(changed.entry, blocked.entry, unblocked.entry, closed.entry) == [
        "The name was changed.",
        "The email was changed.",
        "The phone number was changed.",
        "The card number was changed.",
        "The external id was changed.",
        "The home location was changed.",
        "The set of tags was changed.",
        "The account was blocked by staff: SUSPICION.",
        "The account was unblocked by staff: CLEARED.",
        "The membership ended, and 0 points with it: MOVED_AWAY.",
        "40 points that were owed are written off.",
    ]


def test_gifts_and_merges_are_told_in_sentences() -> None:
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
    buy(store, "ada", 3_000, NOW, receipt="1")
    given = give(store, "ada", "bob", 20, NOW, key="g")
    received = head_of(store, "BOB").entries[0]
    merged = merge(store, "bob", "ada", NOW, key="m")
    closed = head_of(store, "BOB").entries[0]
    undone = unmerge(store, "bob", NOW, key="u")

    assert sentences(given.entry, received, merged.entry, closed, undone.entry, *head_of(store, "BOB").entries) == [
        "20 points given to another member, soonest-expiring points first.",
        "20 points came from another member; they keep their expiry dates.",
        "20 points came with another account of the same person: SAME_PERSON.",
        "20 points went to the account this one is a part of now: SAME_PERSON.",
        "20 points went back to an account that is its own again: OTHER_PERSON.",
        "20 points came back when a merge was undone: OTHER_PERSON.",
    ]


# --- tiers and activity -----------------------------------------------------------------------------------------------


def tiered(metric: str = "points", **more: object) -> Program:
    steps = [
        {"id": "base", "name": "Everybody", "threshold": 0},
        {"id": "silver", "name": "Silver", "threshold": 50, "benefits": {"multiplier_percent": 150}},
        {"id": "gold", "name": "Gold", "threshold": 90, "lifetime": 200},
    ]
    return program(tiers={"metric": metric, "soft_landing": False, "ladder": steps}, **more)


def test_every_change_of_a_tier_is_told_in_a_sentence() -> None:
    rules, store = tiered(), Memory()
    for name in ("ada", "dup"):
        enroll(store, name, NOW)
    reached = buy(store, "ada", 5_000, NOW, receipt="1", program=rules).record.entries
    kept = buy(store, "ada", 6_000, at("2027-02-01"), receipt="2", program=rules).record.entries
    for_ever = buy(store, "ada", 9_000, at("2027-02-02"), receipt="3", program=rules).record.entries
    assert sentences(*reached, *kept, *for_ever, by=rules) == [
        "50 points for 50.00 USD by rule 'base', parts of a unit dropped.",
        "Silver was reached with 50 points, to 2027-12-31.",
        "60 points for 60.00 USD by rule 'base', parts of a unit dropped.",
        "30 points more in the tier Silver.",
        "Silver was reached again with 60 points, to 2028-12-31.",
        "90 points for 90.00 USD by rule 'base', parts of a unit dropped.",
        "45 points more in the tier Silver.",
        "Gold was reached with 200 points, for ever.",
    ]

    buy(store, "dup", 6_000, at("2027-02-01"), receipt="4", program=rules)
    given = set_tier(store, "dup", "gold", at("2027-02-02"), key="s", program=rules, until="2027-03-31", reason="VIP")
    ended = ledger.current(head_of(store, "DUP"), at("2027-04-01"), rules)
    taken = set_tier(store, "dup", "base", at("2027-04-02"), key="t", program=rules, until="2027-04-30", reason="FRAUD")
    later = ledger.current(head_of(store, "DUP"), at("2029-01-01 00:00"), rules)
    assert sentences(given.entry, *ended.entries, taken.entry, *later.entries[:2], by=rules) == [
        "Gold was set by staff, to 2027-03-31: VIP.",
        "The tier before it ended; with 60 points it is Silver, to 2028-12-31.",
        "Everybody was set by staff, to 2027-04-30: FRAUD.",
        "What staff had set ended; with 60 points it is Silver again, to 2028-12-31.",
        "The tier before it ended; with 0 points it is Everybody.",
    ]


def test_the_tier_of_a_merge_is_told_when_it_comes_and_when_it_goes() -> None:
    rules, store = tiered("visits"), Memory()
    for name in ("ada", "dup"):
        enroll(store, name, NOW)
    set_tier(store, "dup", "gold", NOW, key="s", program=rules)
    merged = merge(store, "dup", "ada", NOW, key="m", program=rules)
    undone = unmerge(store, "dup", NOW, key="u", program=rules)

    assert sentences(*merged.record.entries, *undone.record.entries, by=rules) == [
        "0 points came with another account of the same person: SAME_PERSON.",
        "Gold came with another account of the same person, for ever.",
        "0 points went back to an account that is its own again: OTHER_PERSON.",
        "With the merge undone it is Everybody again.",
    ]


@pytest.mark.parametrize(
    ("metric", "amount"), [("points", "60 points"), ("spend", "60 whole currency units"), ("visits", "60 purchases")]
)
def test_what_counts_is_named(metric: str, amount: str) -> None:
    entry = Entry(EntryKind.TIER, NOW, (), 0, (Explanation("tier:silver:kept", 0, 60),))

    assert sentences(entry, by=tiered(metric)) == [f"Silver was reached again with {amount}."]


def test_a_tier_that_is_gone_is_told_by_its_id() -> None:
    entry = Entry(EntryKind.TIER, NOW, (), 0, (Explanation("tier:pearl:lifetime", 0, 60),))

    for rules in (PROGRAM, tiered()):
        assert sentences(entry, by=rules) == ["pearl is for ever, with 60 points in all the time."]


def test_a_purchase_after_a_silence_says_so() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", 1_000, NOW, receipt="1")
    more = program(earning={"id": "base", "points": 1, "comeback": {"days": 30, "percent": 150}})
    less = program(earning={"id": "base", "points": 1, "comeback": {"days": 30, "percent": 50}})
    comebacks = [
        buy(store, "ada", 1_000, at(now), receipt=now, program=rules).entry
        for now, rules in (("2026-03-01", more), ("2026-06-01", less))
    ]

    assert sentences(*comebacks) == [
        "10 points for 10.00 USD by rule 'base', parts of a unit dropped.",
        "5 points more for coming back after a long time without an activity.",
        "5 points for 10.00 USD by rule 'base', parts of a unit dropped.",
        "After a long time without an activity each rule gives a part of its points.",
    ]


def test_points_that_a_silence_took_have_no_date_to_tell() -> None:
    store, rules = Memory(), program(expiry={"policy": "inactivity", "months": 1})
    enroll(store, "ada", NOW)
    buy(store, "ada", 1_000, NOW, receipt="1", program=rules)

    later = ledger.current(head_of(store, "ADA"), at("2026-06-01"), rules)

    assert sentences(*later.entries) == ["10 points expired: there was no activity for too long."]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Expiry(policy=Policy.NEVER), "Points never expire."),
        (Expiry(months=0), "Points never expire."),
        (Expiry(months=24), "Points can be spent for 24 months, to the end of the month."),
        (Expiry(months=0, days=1, rounding=Rounding.DAY), "Points can be spent for 1 day."),
        (
            Expiry(months=1, days=5, rounding=Rounding.QUARTER),
            "Points can be spent for 1 month and 5 days, to the end of the quarter.",
        ),
        (
            Expiry(months=0, policy=Policy.CALENDAR, dates=((3, 31), (12, 31)), rounding=Rounding.DAY),
            "Points expire at the end of these dates of a year: 03-31, 12-31.",
        ),
        (
            Expiry(months=6, policy=Policy.CALENDAR, dates=((12, 31),), rounding=Rounding.DAY),
            "Points expire at the end of these dates of a year: 12-31, but no earlier than 6 months after they were earned.",
        ),
        (
            Expiry(months=12, policy=Policy.ANNIVERSARY, rounding=Rounding.DAY),
            "Points expire on the anniversary of joining, but no earlier than 12 months after they were earned.",
        ),
        (
            Expiry(months=18, policy=Policy.INACTIVITY, rounding=Rounding.DAY),
            "Points expire after 18 months without an activity.",
        ),
    ],
)
def test_an_expiry_policy_is_told_in_a_sentence(policy: Expiry, words: str) -> None:
    assert explanations.expiry_in_words(policy) == words
