"""Sentences that support can read aloud."""

from dataclasses import replace

import pytest

from domain import explanations, ledger
from domain.ledger import Entry, EntryKind, Explanation, Money
from storage.memory import Memory
from tests.domain.world import PROGRAM, adjust, at, buy, enroll, head_of, program, redeem

NOW = at("2026-01-10")


def sentences(*entries: Entry) -> list[str]:
    return [explanations.describe(each, entry, PROGRAM) for entry in entries for each in entry.explanation]


def test_every_kind_of_entry_is_told_in_a_sentence() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    bought = buy(store, "ada", 5_099, NOW, receipt="1", program=program(expiry={"days": 9, "rounding": "day"}))
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    given = adjust(store, "ada", 3, NOW, key="k1", reason="LATE")
    taken = adjust(store, "ada", -3, NOW, key="k2", reason="OOPS")
    buy(store, "ada", 200, NOW, receipt="2", program=program(pending={"days": 3}))
    later = ledger.current(head_of(store, "ADA"), at("2026-02-01"), PROGRAM.zone)

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
