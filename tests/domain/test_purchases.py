"""Recording a purchase: what it earns, and every no in the order of its docstring."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits, purchases
from domain.days import Rounding, day_number
from domain.entries import Basket, BasketLine, EntryKind, Explanation, Key, Money
from domain.expiry import Expiry
from domain.ledger import Outcome
from domain.members import Lookup
from domain.programs import Program
from domain.purchases import (
    CurrencyNotAccepted,
    InvalidAmount,
    InvalidQuantity,
    LinesTotalMismatch,
    Preview,
    TooManyLines,
)
from domain.refusals import IdempotencyKeyReused, InvalidText, InvalidTime, MemberNotFound
from storage.memory import Memory
from tests.domain.world import (
    PROGRAM,
    TILL,
    Stale,
    at,
    basket,
    buy,
    day,
    enroll,
    external,
    program,
    refuses,
    search,
    unchanged,
)

NOW = at("2026-01-10")
TICK = timedelta(milliseconds=1)


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """A store whose cheap reads are up to date, and one whose cheap reads always come late."""
    made: Memory = request.param()
    enroll(made, "ada", NOW)
    return made


def record(
    store: Memory,
    receipt: Basket,
    *,
    source: str = "till",
    external_id: str = "1",
    member: Lookup | None = None,
    now: datetime = NOW,
    program: Program = PROGRAM,
    is_dated: bool = True,
) -> Outcome:
    return purchases.record(
        store,
        program,
        actor=TILL,
        source=source,
        external_id=external_id,
        member=member or external("ada"),
        basket=receipt,
        now=now,
        is_dated=is_dated,
    ).outcome


def preview(store: Memory, receipt: Basket, *, member: Lookup | None = None, now: datetime = NOW) -> Preview:
    return purchases.preview(store, PROGRAM, actor=TILL, member=member or external("ada"), basket=receipt, now=now)


def line(amount_minor: int, *, quantity: int = 1, sku: str | None = "latte") -> BasketLine:
    return BasketLine(sku, "drinks", quantity, amount_minor)


# --- what it earns ----------------------------------------------------------------------------------------------------


def test_a_purchase_earns_a_point_for_each_whole_unit_of_its_total(store: Memory) -> None:
    receipt = basket(1_299, NOW - timedelta(hours=1), lines=[line(1_000), line(299)])

    outcome = record(store, receipt)

    entry = outcome.entry
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.PURCHASE, 12, 12)
    assert entry.explanation == (Explanation("base", 12, 1_299),)
    assert (entry.occurred_at, entry.at) == (NOW - timedelta(hours=1), NOW)
    assert (entry.total, entry.location, entry.channel) == (Money(1_299, "USD"), "harbor", "store")
    assert (entry.key, entry.actor, entry.terms) == (Key("till", "1"), TILL.id, 1)
    claim = store.claim(Key("till", "1"))
    assert claim is not None
    assert claim.basket == receipt


@pytest.mark.parametrize(
    ("amount_minor", "currency", "points"),
    [
        (0, "USD", 0),
        (99, "USD", 0),
        (100, "USD", 1),
        (199, "USD", 1),
        (199, "JPY", 199),
        (1_999, "KWD", 1),
        (limits.AMOUNT_MINOR_MAX, "USD", 10**10),
        (limits.AMOUNT_MINOR_MAX, "JPY", 10**12),
    ],
)
def test_what_is_left_of_the_last_unit_earns_nothing(
    store: Memory, amount_minor: int, currency: str, points: int
) -> None:
    assert buy(store, "ada", amount_minor, NOW, receipt="1", currency=currency).entry.points == points


def test_a_rule_may_give_many_points_a_unit_or_none(store: Memory) -> None:
    many, none = (program(earning={"id": "base", "points": points}) for points in (1_000, 0))

    assert buy(store, "ada", 199, NOW, receipt="1", program=many).entry.points == 1_000
    free = buy(store, "ada", 199, NOW, receipt="2", program=none).entry
    assert (free.points, free.lines, free.explanation) == (0, (), (Explanation("base", 0, 199),))


def test_nothing_is_refused_of_what_real_tills_send(store: Memory) -> None:
    # Zero totals, zero lines, zero quantities, fuel in millilitres, 200 lines, a location nobody has told the program.
    lines = [line(0, quantity=0, sku=None), line(0, quantity=limits.LINE_QUANTITY_MAX), *[line(5, sku="☕")] * 198]

    assert record(store, basket(990, NOW, lines=lines, location="nowhere"), external_id="1").entry.points == 9
    assert record(store, basket(0, NOW, location=None), external_id="2").entry.points == 0
    assert record(store, basket(0, NOW, lines=[line(0)]), external_id="3").entry.points == 0


def test_points_expire_by_when_the_purchase_happened(store: Memory) -> None:
    late = buy(store, "ada", 100, at("2026-02-01 00:00"), receipt="1", occurred_at=at("2026-01-31 23:59:59"))

    assert late.entry.lines[0].expires == day("2028-01-31")


def test_the_day_of_a_purchase_is_the_day_in_the_program_zone(store: Memory) -> None:
    # Half past four in the morning of 1 February in London is still January in New York.
    moment = datetime(2026, 2, 1, 4, 30, tzinfo=UTC)

    assert buy(store, "ada", 100, moment, receipt="1").entry.lines[0].expires == day("2028-01-31")


def test_terms_of_the_day_of_booking_are_remembered(store: Memory) -> None:
    newer = replace(PROGRAM, terms=replace(PROGRAM.terms, version=7))

    assert buy(store, "ada", 100, NOW, receipt="1", program=newer).entry.terms == 7


@search(150)
@given(
    amounts=st.lists(st.integers(0, limits.AMOUNT_MINOR_MAX // 8), max_size=8),
    points=st.integers(0, 1_000),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
    age=st.timedeltas(timedelta(0), limits.OCCURRED_AGE_MAX),
)
def test_a_preview_is_what_the_purchase_then_earns(
    amounts: list[int], points: int, currency: str, age: timedelta
) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    rules = program(
        earning={"id": "base", "points": points},
        expiry={"months": 1, "rounding": "day"},
        pending={"days": points % 40},
    )
    receipt = basket(sum(amounts), NOW - age, currency=currency, lines=[line(amount) for amount in amounts])

    with unchanged(store):
        seen = purchases.preview(store, rules, actor=TILL, member=external("ada"), basket=receipt, now=NOW)
    outcome = record(store, receipt, program=rules)

    assert replace(outcome.entry, key=None) == seen.entry
    assert outcome.record.state.balance == seen.balance
    whole = sum(amounts) // rules.currencies[currency]
    assert seen.entry.points == whole * points
    assert type(seen.entry.points) is int


# --- what is refused, in this order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["", " ", "a b", "till:1", "~till", "s" * (limits.SOURCE_LENGTH_MAX + 1), "tíll"])
def test_a_source_is_a_plain_name(store: Memory, source: str) -> None:
    with refuses(store, InvalidText, "input", "source"):
        record(store, basket(-1, NOW), source=source)


@pytest.mark.parametrize("external_id", ["", "  ", "a\x00b", "a\nb", "x" * (limits.KEY_LENGTH_MAX + 1), "\ud800"])
def test_a_receipt_has_a_usable_id(store: Memory, external_id: str) -> None:
    with refuses(store, InvalidText, "input", "externalId"):
        record(store, basket(-1, NOW), external_id=external_id)


def test_the_longest_names_are_accepted(store: Memory) -> None:
    source, receipt, label = "s" * limits.SOURCE_LENGTH_MAX, "é" * limits.KEY_LENGTH_MAX, "☕" * limits.LABEL_LENGTH_MAX
    outcome = record(
        store,
        basket(0, NOW, location=label, channel=label, lines=[BasketLine(label, label, 0, 0)]),
        source=source,
        external_id=receipt,
    )

    assert outcome.entry.key == Key(source, receipt)


@pytest.mark.parametrize("amount_minor", [-1, limits.AMOUNT_MINOR_MAX + 1])
def test_an_amount_is_neither_negative_nor_astronomical(store: Memory, amount_minor: int) -> None:
    with refuses(store, InvalidAmount, "input", "total", "amountMinor"):
        record(store, basket(amount_minor, NOW, location=""))
    with refuses(store, InvalidAmount, "input", "lines", "1", "amountMinor"):
        record(store, basket(5, NOW, lines=[line(5), line(amount_minor)]))


@pytest.mark.parametrize("text", ["", " ", "a\tb", "x" * (limits.LABEL_LENGTH_MAX + 1), "a\u2028b"])
@pytest.mark.parametrize("name", ["location", "channel"])
def test_labels_are_short_and_printable(store: Memory, name: str, text: str) -> None:
    with refuses(store, InvalidText, "input", name):
        record(store, replace(basket(0, NOW), **{name: text}))


def test_labels_of_lines_are_short_and_printable(store: Memory) -> None:
    with refuses(store, InvalidText, "input", "lines", "1", "sku"):
        record(store, basket(0, NOW, lines=[line(0), line(0, sku="\n")]))
    with refuses(store, InvalidText, "input", "lines", "0", "category"):
        record(store, basket(0, NOW, lines=[BasketLine(None, "x" * 65, 0, 0)]))


@pytest.mark.parametrize("blank", [" " * 300_000, "\n"])
def test_white_space_around_a_label_is_not_kept(store: Memory, blank: str) -> None:
    # What is checked is what is stored: an entry is for ever, and its size is its price.
    padded = f"{blank}harbor{blank}"

    outcome = record(store, basket(0, NOW, location=padded, channel=padded, lines=[BasketLine(padded, padded, 0, 0)]))

    claim = store.claim(Key("till", "1"))
    assert claim is not None
    plain = basket(0, NOW, location="harbor", channel="harbor", lines=[BasketLine("harbor", "harbor", 0, 0)])
    assert claim.basket == plain
    assert (outcome.entry.location, outcome.entry.channel) == ("harbor", "harbor")


def test_a_receipt_has_at_most_200_lines(store: Memory) -> None:
    full = [line(0)] * limits.PURCHASE_LINES_MAX

    with refuses(store, TooManyLines, "input", "lines"):
        record(store, basket(1, NOW, lines=[*full, line(0)]))
    assert record(store, basket(0, NOW, lines=full)).entry.points == 0


@pytest.mark.parametrize("quantity", [-1, limits.LINE_QUANTITY_MAX + 1])
def test_a_quantity_is_neither_negative_nor_astronomical(store: Memory, quantity: int) -> None:
    with refuses(store, InvalidQuantity, "input", "lines", "0", "quantity"):
        record(store, basket(1, NOW, lines=[line(0, quantity=quantity)]))


@pytest.mark.parametrize("amounts", [[99], [101], [100, 1], [0]])
def test_lines_add_up_to_the_total(store: Memory, amounts: list[int]) -> None:
    with refuses(store, LinesTotalMismatch, "input", "lines"):
        record(store, basket(100, NOW, lines=[line(amount) for amount in amounts]), member=external("nobody"))


def test_nobody_earns_for_an_unknown_member(store: Memory) -> None:
    for lookup in (external("nobody"), Lookup("email", "ada@example.org"), Lookup("id", "NOBODY"), Lookup("id", "")):
        with refuses(store, MemberNotFound, "input", "member"):
            record(store, basket(100, NOW, currency="EUR"), member=lookup)


@pytest.mark.parametrize("currency", ["EUR", "usd", "", "US"])
def test_a_currency_is_one_of_the_program(store: Memory, currency: str) -> None:
    with refuses(store, CurrencyNotAccepted, "input", "total", "currency") as refused:
        record(store, basket(0, NOW - timedelta(days=401), currency=currency))
    assert refused.value.message == "The program accepts JPY, KWD, USD."


def test_of_very_many_currencies_some_are_named(store: Memory) -> None:
    codes = [f"A{first}{second}" for first in "ABCDEF" for second in "ABCDEF"]

    with pytest.raises(CurrencyNotAccepted) as refused:
        buy(store, "ada", 100, NOW, receipt="1", currency="EUR", program=program(currencies=dict.fromkeys(codes, 100)))

    assert refused.value.message == f"The program accepts {', '.join(codes[:20])} and 16 more."


@pytest.mark.parametrize(
    ("off", "is_refused"),
    [
        (limits.OCCURRED_AHEAD_MAX, False),
        (limits.OCCURRED_AHEAD_MAX + TICK, True),
        (-limits.OCCURRED_AGE_MAX, False),
        (-limits.OCCURRED_AGE_MAX - TICK, True),
        (timedelta(days=365_000), True),
        (-timedelta(days=365_000), True),
    ],
)
def test_a_purchase_happened_in_the_last_400_days(store: Memory, off: timedelta, is_refused: bool) -> None:
    if is_refused:
        with refuses(store, InvalidTime, "input", "occurredAt"):
            record(store, basket(100, NOW + off))
    else:
        assert record(store, basket(100, NOW + off)).entry.points == 1


def test_a_receipt_is_the_same_receipt_only_when_everything_on_it_is_the_same(store: Memory) -> None:
    receipt = basket(100, NOW, lines=[line(60), line(40)])
    record(store, receipt)

    for other in (
        replace(receipt, total=Money(100, "JPY")),
        replace(receipt, occurred_at=NOW - TICK),
        replace(receipt, location=None),
        replace(receipt, channel="app"),
        replace(receipt, lines=()),
        replace(receipt, lines=receipt.lines[::-1]),
        replace(receipt, lines=(line(60), line(40, quantity=2))),
        replace(receipt, lines=(line(60), line(40, sku=None))),
    ):
        with refuses(store, IdempotencyKeyReused, "input", "externalId"):
            record(store, other)
    # The same moment in another offset is the same moment.
    elsewhere = replace(receipt, occurred_at=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert record(store, elsewhere).replayed


# --- a retry is answered as before, whatever has changed since --------------------------------------------------------


def test_a_retry_that_comes_when_the_purchase_is_too_old_is_answered(store: Memory) -> None:
    first = record(store, basket(100, NOW))
    much_later = NOW + limits.OCCURRED_AGE_MAX + TICK

    with unchanged(store):
        again = record(store, basket(100, NOW), now=much_later)

    assert again == replace(first, replayed=True)
    with refuses(store, IdempotencyKeyReused, "input", "externalId"):
        record(store, basket(101, NOW), now=much_later)
    with refuses(store, InvalidTime, "input", "occurredAt"):
        record(store, basket(100, NOW), now=much_later, external_id="2")


def test_a_retry_is_answered_when_the_program_has_dropped_the_currency(store: Memory) -> None:
    first = record(store, basket(100, NOW, currency="JPY"))
    dollars = program(currencies={"USD": 100})

    with unchanged(store):
        again = record(store, basket(100, NOW, currency="JPY"), program=dollars)

    assert again == replace(first, replayed=True)
    with refuses(store, CurrencyNotAccepted, "input", "total", "currency"):
        record(store, basket(100, NOW, currency="JPY"), program=dollars, external_id="2")


def test_a_purchase_that_does_not_say_when_it_was_is_the_same_purchase_later(store: Memory) -> None:
    first = record(store, basket(100, NOW), is_dated=False)
    tomorrow = NOW + timedelta(days=1)

    with unchanged(store):
        again = record(store, basket(100, tomorrow), now=tomorrow, is_dated=False)

    assert again == replace(first, replayed=True)
    assert again.entry.occurred_at == NOW
    # To say when it was, be it the very moment, is another input.
    with refuses(store, IdempotencyKeyReused, "input", "externalId"):
        record(store, basket(100, NOW), now=tomorrow)
    with refuses(store, IdempotencyKeyReused, "input", "externalId"):
        record(store, basket(101, tomorrow), now=tomorrow, is_dated=False)


def test_a_retry_says_what_was_kept_of_the_receipt(store: Memory) -> None:
    def recorded(now: datetime) -> purchases.Recorded:
        receipt = basket(100, now, location=" harbor ", lines=[line(100, sku="\tlatte")])
        return purchases.record(
            store,
            PROGRAM,
            actor=TILL,
            source="till",
            external_id="1",
            member=external("ada"),
            basket=receipt,
            now=now,
            is_dated=False,
        )

    first, again = recorded(NOW), recorded(NOW + timedelta(days=1))

    assert first.basket == again.basket == basket(100, NOW, lines=[line(100)])
    claim = store.claim(Key("till", "1"))
    assert claim is not None
    assert claim.basket == first.basket


def test_a_retry_is_not_judged_by_newer_terms(store: Memory) -> None:
    first = record(store, basket(100, NOW))

    again = record(store, basket(100, NOW), program=program(earning={"id": "base", "points": 50}))

    assert again == replace(first, replayed=True)


# --- looking at a purchase before it happens --------------------------------------------------------------------------


def test_a_preview_counts_what_time_has_done(store: Memory) -> None:
    brief = program(expiry={"days": 1, "rounding": "day"})
    buy(store, "ada", 700, NOW, receipt="1", program=brief)
    later = NOW + timedelta(days=9)

    with unchanged(store):
        assert preview(store, basket(500, later), now=later).balance == 5


def test_a_preview_refuses_what_the_purchase_would_be_refused_for(store: Memory) -> None:
    with refuses(store, InvalidAmount, "input", "total", "amountMinor"):
        preview(store, basket(-1, NOW))
    with refuses(store, CurrencyNotAccepted, "input", "total", "currency"):
        preview(store, basket(1, NOW, currency="EUR"))
    with refuses(store, LinesTotalMismatch, "input", "lines"):
        preview(store, basket(1, NOW, lines=[line(2)]))
    with refuses(store, MemberNotFound, "input", "member"):
        preview(store, basket(1, NOW), member=external("nobody"))
    with refuses(store, InvalidTime, "input", "occurredAt"):
        preview(store, basket(1, NOW + timedelta(days=1)))


def test_somebody_who_joined_a_moment_ago_can_look_and_buy(store: Memory) -> None:
    assert preview(store, basket(500, NOW)).balance == 5
    assert record(store, basket(500, NOW)).record.state.balance == 5


def test_a_preview_says_where_the_points_go_when_the_account_is_full() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    by_day = replace(PROGRAM, terms=replace(PROGRAM.terms, expiry=Expiry(months=24, rounding=Rounding.DAY)))
    days_ago = range(3, 3 * limits.BUCKETS_MAX + 1, 3)
    for ago in days_ago:
        record(store, basket(100, NOW - timedelta(days=ago)), external_id=str(ago), program=by_day)

    # A bucket of its own would be one too many: it moves to its neighbour, a day later.
    near = basket(100, NOW - timedelta(days=4))
    seen = purchases.preview(store, by_day, actor=TILL, member=external("ada"), basket=near, now=NOW)
    booked = record(store, near, external_id="near", program=by_day)

    later = day_number((NOW - timedelta(days=3)).astimezone(PROGRAM.zone).date().replace(year=2028))
    assert seen.expires == later
    assert booked.record.state.buckets[later] == 2
    assert len(booked.record.state.buckets) == limits.BUCKETS_MAX


# --- coming back ------------------------------------------------------------------------------------------------------


def comeback(days: int, percent: int) -> Program:
    return program(
        earning={"id": "base", "points": 1, "comeback": {"days": days, "percent": percent}},
        tiers={
            "ladder": [
                {"id": "base", "name": "Base", "threshold": 0},
                {"id": "gold", "name": "Gold", "threshold": 10, "benefits": {"multiplier_percent": 150}},
            ]
        },
    )


@pytest.mark.parametrize(
    ("percent", "silent_days", "expected"),
    [
        (200, 29, [("base", 9), ("tier:gold", 4)]),
        (200, 30, [("base", 9), ("tier:gold", 4), ("comeback:silence", 13)]),
        (150, 400, [("base", 9), ("tier:gold", 4), ("comeback:silence", 6)]),
        (100, 30, [("base", 9), ("tier:gold", 4), ("comeback:silence", 0)]),
        (50, 29, [("base", 9), ("tier:gold", 4)]),
        (50, 30, [("base", 4), ("tier:gold", 2), ("comeback:silence", 0)]),
        (0, 30, [("base", 0), ("tier:gold", 0), ("comeback:silence", 0)]),
    ],
)
def test_whoever_comes_back_after_a_silence_earns_by_the_comeback_rule(
    store: Memory, percent: int, silent_days: int, expected: list[tuple[str, int]]
) -> None:
    rules = comeback(30, percent)
    buy(store, "ada", 1_000, NOW, receipt="1", program=rules)

    back = buy(store, "ada", 999, NOW + timedelta(days=silent_days), receipt="2", program=rules)
    after = buy(store, "ada", 999, NOW + timedelta(days=silent_days + 1), receipt="3", program=rules)

    assert [(line.rule, line.points) for line in back.entry.explanation] == expected
    assert back.entry.points == sum(points for _, points in expected)
    # From the next purchase on everything is as usual.
    assert [line.rule for line in after.entry.explanation] == ["base", "tier:gold"]


def test_a_silence_is_counted_to_the_day_of_the_receipt_and_nobody_comes_back_who_was_never_there(
    store: Memory,
) -> None:
    rules = comeback(30, 200)

    first = buy(store, "ada", 500, NOW + timedelta(days=100), receipt="1", program=rules)
    late = buy(
        store, "ada", 500, NOW + timedelta(days=200), receipt="2", program=rules, occurred_at=NOW + timedelta(days=129)
    )

    assert [line.rule for line in first.entry.explanation] == ["base"]
    assert [line.rule for line in late.entry.explanation] == ["base"]
