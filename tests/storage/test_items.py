"""Items: what is written is what is read, how large it gets, and where personal data stands."""

import dataclasses
import json
import random
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynamodb.connection import Connection

from domain import accounts, ledger, limits, members
from domain.accounts import DEBT, ROLLING, Hold, Line, Origin, Standing, State, Status
from domain.days import NEVER, Rounding
from domain.entries import (
    Basket,
    BasketLine,
    Claim,
    End,
    Entry,
    EntryKind,
    Explanation,
    Key,
    Money,
    Note,
    PurchaseReturn,
    Record,
    Reversal,
    caller_key,
)
from domain.expiry import Rolling
from domain.members import AlreadyEnrolled, Profile
from domain.moments import Birthday
from domain.notices import Consent, Notice, NoticeKind
from domain.refusals import IdempotencyKeyReused, InsufficientPoints, Refusal
from storage import items, keys
from storage.items.records import KINDS, STATUSES
from storage.items.strings import ORIGIN_OF
from storage.table import Table
from tests.domain import world
from tests.domain.world import ADA, PROGRAM, TILL, buy, redeem, search
from tests.storage.tables import NOW, Tables, comparable, item_bytes

# --- anything a member, a till or a program may say -------------------------------------------------------------------

instants = st.datetimes(
    datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2200-01-01"), timezones=st.just(UTC)
).map(lambda instant: instant.replace(microsecond=instant.microsecond // 1_000 * 1_000))
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
sources = st.from_regex(r"\A~?[A-Za-z0-9._%-]{1,20}\Z")
rules = st.from_regex(r"\A(reward:|adjustment:)?[A-Za-z0-9._-]{1,20}\Z")
account_ids = st.from_regex(r"\A[0-9A-Z]{1,26}\Z")
known_keys = st.builds(Key, sources, texts)
points = st.integers(-(10**18), 10**18)
held = st.integers(1, 10**18)
sequences = st.integers(1, 9_999_999_999)
day_numbers = st.integers(10_000, 40_000)
moneys = st.builds(Money, st.integers(0, 10**12), st.from_regex(r"\A[A-Z]{3}\Z"))
optional = st.none() | texts
refusals = st.builds(
    lambda kind, message, field: kind(message, field=tuple(field)),
    st.sampled_from([InsufficientPoints, AlreadyEnrolled, IdempotencyKeyReused]),
    texts,
    st.lists(texts, max_size=4),
)


def every_field(made: type[Any], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a dataclass with something in each of its fields: a field that is new has to come back too."""
    left_out = {"prior", "hash"} if made is Record else set()
    assert set(fields) | left_out == {each.name for each in dataclasses.fields(made)}
    return st.builds(made, **fields)


bucket_numbers = day_numbers | st.sampled_from([ROLLING, NEVER])
# Available, pending, held and owed points.
lines = (
    st.builds(Line, bucket_numbers, points.filter(bool), st.just(0) | day_numbers)
    | st.builds(Line, bucket_numbers, points.filter(bool), hold=sequences)
    | st.builds(Line, st.just(DEBT), points.filter(bool))
)
ids = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,20}\Z")
rollings = every_field(
    Rolling,
    until=day_numbers,
    months=st.integers(0, 1_320),
    days=st.integers(0, 36_500),
    rounding=st.sampled_from(Rounding),
)
standings: st.SearchStrategy[Standing | None] = st.none()
# A tier, and at most two lesser ones that last longer.
for _ in range(3):
    standings = st.none() | every_field(
        Standing, tier=ids, until=st.just(0) | day_numbers, origin=st.sampled_from(Origin), then=standings
    )
mark_names = st.sampled_from(["active", "joined", "lifetime", "purchases"]) | ids.map("m.{}".format)
periods = st.integers(2_000 * 12, 2_200 * 12)
entries = every_field(
    Entry,
    kind=st.sampled_from(EntryKind),
    at=instants,
    lines=st.lists(lines, max_size=6).map(tuple),
    balance_after=st.integers(0, 10**18),
    explanation=st.lists(st.builds(Explanation, rules, points, st.none() | st.integers(0, 10**12)), max_size=3).map(
        tuple
    ),
    key=st.none() | known_keys,
    actor=optional,
    occurred_at=st.none() | instants,
    total=st.none() | moneys,
    location=optional,
    channel=optional,
    reward=st.none() | st.tuples(st.from_regex(r"\A[a-z0-9._-]{1,20}\Z"), st.integers(1, 10**6)),
    code=optional,
    reason=optional,
    note=st.none() | st.binary(min_size=16, max_size=16),
    terms=st.none() | st.integers(1, 10**6),
    lapses_at=st.none() | instants,
    cause=st.none() | st.tuples(sequences, st.integers(0, 99)),
    peer=st.none() | st.tuples(account_ids, sequences),
    refusal=st.none() | refusals,
    rolls=st.none() | rollings,
    qualifies=st.dictionaries(periods, points.filter(bool), max_size=3).map(lambda each: tuple(each.items())),
    standing=standings,
    marks=st.dictionaries(mark_names, st.integers(0, 10**12), max_size=4).map(lambda each: tuple(each.items())),
)


@st.composite
def states(draw: st.DrawFn, at: datetime) -> State:
    buckets = st.dictionaries(bucket_numbers, held, max_size=8)
    made: State = draw(
        every_field(
            State,
            at=st.just(at),
            buckets=buckets,
            pending=st.dictionaries(st.tuples(day_numbers, bucket_numbers), held, max_size=5),
            holds=st.dictionaries(sequences, st.builds(Hold, instants, buckets.filter(bool)), max_size=4),
            debt=st.integers(0, 10**18),
            status=st.sampled_from(Status),
            sent=st.just((0, 0)) | st.tuples(day_numbers, held),
            merged=st.lists(account_ids, max_size=3).map(tuple),
            rolling=st.none() | rollings,
            standing=standings,
            qualifying=st.dictionaries(periods, held, max_size=13),
            marks=st.dictionaries(mark_names, held, max_size=8),
        )
    )
    return made


@st.composite
def records(draw: st.DrawFn) -> Record:
    written = draw(st.lists(entries, min_size=1, max_size=3))
    made: Record = draw(
        every_field(
            Record, account=account_ids, seq=sequences, entries=st.just(tuple(written)), state=states(written[-1].at)
        )
    )
    return made


baskets = every_field(
    Basket,
    occurred_at=instants,
    total=moneys,
    location=optional,
    channel=optional,
    lines=st.lists(
        st.builds(BasketLine, optional, optional, st.integers(0, 10**6), st.integers(0, 10**12)), max_size=6
    ).map(tuple),
)
claims = every_field(
    Claim,
    key=known_keys,
    account=account_ids | st.just(""),
    seq_seen=st.integers(0, 10**10),
    # A claim that waits for its purchase has none.
    fingerprint=st.just(b"") | st.binary(min_size=16, max_size=16),
    at=instants,
    basket=st.none() | baskets,
    refusal=st.none() | refusals,
    expires_at=st.none() | instants.map(lambda instant: instant.replace(microsecond=0)),
    had_returns=st.booleans(),
    followed=st.lists(st.tuples(account_ids, sequences), max_size=3).map(tuple),
)
returns = every_field(
    PurchaseReturn,
    purchase=known_keys,
    id=texts,
    fingerprint=st.binary(min_size=16, max_size=16),
    at=instants,
    lines=st.dictionaries(st.integers(0, 199), st.integers(1, 10**6), max_size=5),
    amount_minor=st.none() | st.integers(0, 10**12),
    currency=optional,
    occurred_at=st.none() | instants,
    reason=optional,
    member=account_ids | st.just(""),
    account=account_ids | st.just(""),
    seq=st.integers(0, 9_999_999_999),
    reversal=st.none() | st.builds(Reversal, *[st.integers(0, 10**15)] * 4),
    refusal=st.none() | refusals,
)
ends = every_field(
    End,
    account=account_ids,
    seq=sequences,
    index=st.integers(0, 99),
    kind=st.sampled_from(EntryKind),
    key=known_keys,
    at=instants,
)
notes = every_field(Note, text=texts, salt=st.binary(min_size=16, max_size=16), digest=st.binary(min_size=1))
arguments = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("points", "balance", "date", "stage", "earned", "missing"), st.integers(-(10**15), 10**15)),
        "tier": st.sampled_from(["gold", "2024", "a.b-c"]),
        "reward": st.sampled_from(["latte", "7"]),
        # A campaign's own words.
        "title": texts,
        "text": texts,
    },
)
notices = every_field(
    Notice,
    kind=st.sampled_from(NoticeKind),
    day=st.integers(0, 999_999),
    about=st.from_regex(r"[a-z0-9.#-]{1,20}", fullmatch=True),
    at=instants,
    version=st.integers(1, 10**6),
    moment=st.sampled_from(["", "birthday", "2"]),
    args=arguments,
    read_at=st.none() | instants,
)
profiles = every_field(
    Profile,
    enrolled_at=instants,
    name=optional,
    external_id=optional,
    email=optional,
    phone=optional,
    card_number=optional,
    login=optional,
    birthday=st.none()
    | every_field(
        Birthday,
        month=st.integers(1, 12),
        day=st.integers(1, 31),
        year=st.none() | st.integers(1_900, 2_100),
        known=day_numbers,
    ),
    consents=st.dictionaries(st.sampled_from(Consent), st.booleans()),
    tags=st.frozensets(st.from_regex(r"[a-z0-9._-]{1,32}", fullmatch=True), max_size=20),
    home_location=optional,
)


def through_json(item: items.Item) -> Any:
    """An item as a client sends it; every value has to be one that DynamoDB knows."""

    def plain(value: Any) -> Any:
        return {"hex": value.hex()} if isinstance(value, bytes) else value

    json.dumps(item, default=plain)
    return item


@search(100)
@given(records())
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert items.record_from(through_json(items.record_item(record))) == record


@search(75)
@given(claims)
def test_a_claim_comes_back_as_it_was(claim: Claim) -> None:
    again = items.claim_from(through_json(items.claim_item(claim)))

    assert comparable(again) == comparable(claim)
    assert again.refusal is None or again.refusal.replayed


@search(50)
@given(returns)
def test_a_return_comes_back_as_it_was(booked: PurchaseReturn) -> None:
    assert items.return_from(through_json(items.return_item(booked))) == booked


@search(50)
@given(ends)
def test_an_end_comes_back_as_it_was(end: End) -> None:
    assert items.end_from(through_json(items.end_item(end))) == end


@search(50)
@given(notes)
def test_a_note_comes_back_as_it_was(note: Note) -> None:
    assert items.note_from(through_json(items.note_item("A", note))) == note


@search(100)
@given(notices)
def test_a_notice_comes_back_as_it_was(notice: Notice) -> None:
    assert items.notice_from(through_json(items.notice_item("A", notice))) == notice


@search(100)
@given(profiles)
def test_a_profile_comes_back_as_it_was(profile: Profile) -> None:
    assert items.profile_from(through_json(items.profile_item("A", profile))) == profile


@search(75)
@given(baskets)
def test_a_basket_comes_back_as_it_was(basket: Basket) -> None:
    attribute = items.BasketAttribute()

    assert attribute.deserialize(attribute.serialize(basket)) == basket


def test_what_stands_for_what_is_for_ever() -> None:
    """Records are never rewritten: a letter of this table may be added, none may change or be used for something else."""
    assert {letter: kind.value for kind, letter in KINDS.items()} == {
        "A": "ADJUSTMENT",
        "B": "RETURN",
        "C": "CAPTURE",
        "D": "DEBT_PAYMENT",
        "E": "TRANSFER_IN",
        "F": "REFUSED",
        "G": "TRANSFER_OUT",
        "H": "HOLD",
        "I": "UPDATE",
        "J": "ENROLLMENT",
        "K": "BLOCK",
        "L": "RELEASE",
        "M": "MATURITY",
        "N": "CANCELLATION",
        "O": "REOPENING",
        "P": "PURCHASE",
        "Q": "CLOSURE",
        "R": "REDEMPTION",
        "S": "BONUS",
        "T": "TIER",
        "U": "UNBLOCK",
        "V": "UNMERGE",
        "W": "MERGE",
        "X": "EXPIRY",
        "Y": "MERGED",
        "Z": "LAPSE",
        "c": "CAMPAIGN_BONUS",
        "d": "CAMPAIGN_REVERSAL",
    }
    assert set(KINDS) == set(EntryKind)
    assert {letter: status.value for status, letter in STATUSES.items()} == {
        "B": "BLOCKED",
        "C": "CLOSED",
        "M": "MERGED",
    }
    # An account that may do everything has none, as most do.
    assert set(Status) - set(STATUSES) == {Status.ACTIVE}
    assert {letter: origin.value for letter, origin in ORIGIN_OF.items()} == {
        "E": "EARNED",
        "L": "LIFETIME",
        "M": "MANUAL",
    }
    assert set(ORIGIN_OF.values()) == set(Origin)
    # The months that a rolling day is rounded to are written as they are.
    assert {each.name: each.value for each in Rounding} == {
        "DAY": 0,
        "MONTH": 1,
        "QUARTER": 3,
        "HALF_YEAR": 6,
        "YEAR": 12,
    }


def test_a_record_is_stored_as_it_always_was() -> None:
    """The format itself: old records must be read for ever, and hash to what they hashed to."""
    state = State(
        at=NOW,
        buckets={45_600: 42, NEVER: 1},
        pending={(45_000, 45_600): 7},
        holds={3: Hold(NOW, {45_600: 5, 45_700: 6}), 9: Hold(NOW, {NEVER: 1})},
        debt=4,
        status=Status.CLOSED,
        sent=(43_839, 20),
        merged=("B", "C"),
    )
    entry = Entry(
        kind=EntryKind.RETURN,
        at=NOW,
        lines=(Line(45_600, 42), Line(45_600, -7, 45_000), Line(45_600, 5, hold=3), Line(DEBT, -4)),
        balance_after=43,
        explanation=(Explanation("base", 42, 4_217), Explanation("adjustment:A", -3)),
        key=Key("till", "a b:c"),
        actor="p.till",
        occurred_at=NOW,
        total=Money(4_217, "USD"),
        location="harbor",
        channel="store",
        reward=("latte", 3),
        code="0123",
        reason="BROKEN",
        note=b"n" * 16,
        terms=7,
        lapses_at=NOW,
        cause=(17, 1),
        peer=("B", 18),
        refusal=InsufficientPoints("No.", field=("input", "points")),
    )

    item = items.record_item(Record("A", 12, (entry,), state, prior=b"p" * 16))

    said = {
        "k": {"S": "B"},
        "t": {"N": "3787750800000"},
        "b": {"N": "43"},
        "l": {"S": "45600+42 45000.45600-7 3/45600+5 d-4"},
        "x": {"S": "base=42@4217 adjustment:A=-3"},
        "i": {"S": "till:a b:c"},
        "u": {"S": "p.till"},
        "o": {"N": "3787750800000"},
        "m": {"S": "4217USD"},
        "lo": {"S": "harbor"},
        "ch": {"S": "store"},
        "w": {"S": "3#latte"},
        "c": {"S": "0123"},
        "rs": {"S": "BROKEN"},
        "n": {"S": "6e" * 16},
        "v": {"N": "7"},
        "z": {"N": "3787750800000"},
        "ca": {"S": "17:1"},
        "p": {"S": "18@B"},
        "r": {"L": [{"S": "INSUFFICIENT_POINTS"}, {"S": "No."}, {"S": "input"}, {"S": "points"}]},
    }
    assert item == {
        "PK": {"S": "M#A"},
        "SK": {"S": "E#0000000012"},
        "e": {"L": [{"M": said}]},
        "b": {"S": f"45600+42 {NEVER}+1"},
        "p": {"S": "45000.45600+7"},
        "o": {"S": f"3@3787750800000:45600+5,45700+6 9@3787750800000:{NEVER}+1"},
        "d": {"N": "4"},
        "s": {"S": "C"},
        "g": {"S": "43839:20"},
        "m": {"S": "B C"},
        "h": {"B": bytes.fromhex("235d3f0921b3a6832596801453a7a17c")},
    }


def test_what_time_moves_is_stored_in_attributes_of_its_own_and_nowhere_where_there_is_none() -> None:
    """Records of before such attributes were: they say nothing of them, and hash to what they hashed to."""
    bare = Record("A", 12, (Entry(EntryKind.PURCHASE, NOW, (Line(45_600, 42),), 42),), State(NOW, {45_600: 42}))
    entry = Entry(
        kind=EntryKind.PURCHASE,
        at=NOW,
        lines=(Line(ROLLING, 42),),
        balance_after=42,
        rolls=Rolling(44_100, 8, 3, Rounding.MONTH),
        qualifies=((24_312, 42), (24_300, -7)),
        standing=Standing("gold", 44_500, Origin.MANUAL, Standing("silver", 0, Origin.LIFETIME)),
        marks=(("active", 43_839), ("m.third", 0)),
    )
    state = State(
        NOW,
        {ROLLING: 42, 45_600: 1},
        {(43_900, ROLLING): 7},
        {3: Hold(NOW, {ROLLING: 5})},
        rolling=Rolling(44_100, 8, 3, Rounding.MONTH),
        standing=Standing("gold", 44_500, Origin.MANUAL, Standing("silver", 0, Origin.LIFETIME)),
        qualifying={24_300: 5, 24_312: 42},
        marks={"active": 43_839, "joined": 43_000, "m.welcome": 1, "purchases": 3},
    )

    old, new = items.record_item(bare), items.record_item(Record("A", 12, (entry,), state))

    said = {"k": {"S": "P"}, "t": {"N": "3787750800000"}, "b": {"N": "42"}}
    assert old == {
        "PK": {"S": "M#A"},
        "SK": {"S": "E#0000000012"},
        "e": {"L": [{"M": {**said, "l": {"S": "45600+42"}}}]},
        "b": {"S": "45600+42"},
        "h": {"B": bytes.fromhex("754ab2d690e5639a51242b04e9487db7")},
    }
    assert items.record_from(old) == bare
    assert new == {
        "PK": {"S": "M#A"},
        "SK": {"S": "E#0000000012"},
        "e": {
            "L": [
                {
                    "M": {
                        **said,
                        "l": {"S": "0+42"},
                        "rl": {"S": "44100:8:3:1"},
                        "q": {"S": "24312:42 24300:-7"},
                        "ti": {"S": "gold:44500:M silver:0:L"},
                        "mk": {"S": "active=43839 m.third=0"},
                    }
                }
            ]
        },
        "b": {"S": "0+42 45600+1"},
        "p": {"S": "43900.0+7"},
        "o": {"S": "3@3787750800000:0+5"},
        "r": {"S": "44100:8:3:1"},
        "t": {"S": "gold:44500:M silver:0:L"},
        "q": {"S": "24300+5 24312+42"},
        "c": {"S": "active=43839 joined=43000 m.welcome=1 purchases=3"},
        "h": {"B": bytes.fromhex("f4324bbfa32aee4f9c046c69d3dcc11b")},
    }
    assert items.record_from(new) == Record("A", 12, (entry,), state)


def test_every_final_refusal_can_be_restored() -> None:
    def family(kind: type[Refusal]) -> set[type[Refusal]]:
        return {kind}.union(*map(family, kind.__subclasses__()))

    for kind in family(Refusal) - {Refusal}:
        if kind.final:
            assert type(Refusal.restore(kind.code, "No.", ())) is kind


# --- sizes ------------------------------------------------------------------------------------------------------------

# What real tills send: a UUID or a till's own number, a ULID account.
ACCOUNT = "01JABCDEFGHJKMNPQRSTVWXYZ0"
RECEIPT = "7f4e8c1e-3f0d-4c0a-9a55-0d6f0ac3f3a5"


def purchase_entry(amount_minor: int, *, held: State, key: Key, label: str, actor: str) -> Record:
    """The record of a purchase of that amount on an account as it is."""
    gained = accounts.earn(held, amount_minor // 100, expires=45_600, today=43_800)
    after = accounts.fold(held, gained, at=NOW)
    entry = Entry(
        EntryKind.PURCHASE,
        NOW,
        gained,
        after.balance,
        (Explanation("base", amount_minor // 100, amount_minor),),
        key=key,
        actor=actor,
        occurred_at=NOW - timedelta(hours=1),
        total=Money(amount_minor, "USD"),
        location=label,
        channel=label,
        terms=1,
        marks=(("active", 20_780), ("purchases", 123)),
    )
    return Record(
        ACCOUNT, 1_234, (entry,), replace(after, marks={"active": 20_780, "joined": 20_500, "purchases": 123})
    )


def monthly(buckets: int, held: int) -> State:
    """An account that has earned as much every month."""
    return State(NOW, {43_810 + 30 * month: held for month in range(buckets)})


def test_a_typical_entry_has_at_most_360_bytes() -> None:
    record = purchase_entry(
        4_217, held=monthly(6, 180), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert item_bytes(items.record_item(record)) <= 360


def test_a_busy_entry_has_at_most_600_bytes() -> None:
    # 24 months to the month's end are 25 buckets.
    record = purchase_entry(
        421_700, held=monthly(24, 12_345), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert item_bytes(items.record_item(record)) <= 600


def of_a_regular(record: Record) -> Record:
    """The record of somebody with a tier, two years that count for it, and six marks."""
    marks = {
        "active": 20_778,
        "joined": 20_422,
        "m.third-purchase": 1,
        "m.tier-up": 2,
        "m.welcome": 1,
        "purchases": 140,
    }
    (entry,) = record.entries
    entry = replace(entry, qualifies=((24_312, 42),), marks=(("active", 20_778), ("purchases", 140)))
    standing = Standing("branch", 21_197, Origin.EARNED)
    state = replace(record.state, standing=standing, qualifying={24_300: 1_242, 24_312: 1_593}, marks=marks)
    return replace(record, entries=(entry,), state=state)


def test_a_purchase_of_a_regular_with_a_tier_has_at_most_460_bytes() -> None:
    record = purchase_entry(
        4_217, held=monthly(6, 180), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert item_bytes(items.record_item(of_a_regular(record))) <= 460


def test_the_worst_purchase_of_the_default_terms_is_one_write_unit() -> None:
    # As many buckets as the terms can make, amounts and texts as long as they may be; keys and labels in ASCII.
    record = purchase_entry(
        limits.AMOUNT_MINOR_MAX,
        held=monthly(24, 10**10),
        key=Key("s" * limits.SOURCE_LENGTH_MAX, RECEIPT),
        label="l" * limits.LABEL_LENGTH_MAX,
        actor="p." + "c" * 36,
    )

    assert item_bytes(items.record_item(record)) < 1_024


def test_a_full_account_of_ordinary_amounts_is_one_write_unit() -> None:
    # 60 buckets, and one more that makes two of them merge.
    record = purchase_entry(
        99_900, held=monthly(60, 999), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert len(record.state.buckets) == limits.BUCKETS_MAX
    assert len(record.entries[0].lines) == 3
    assert item_bytes(items.record_item(record)) < 1_024


def test_an_account_with_something_in_every_pot_is_one_write_unit() -> None:
    """The worst that the default terms make of a member who does everything: 25 months of points, two weeks of purchases that
    are still pending, three tills with a hold each, a gift today, and two accounts that were merged into this one."""
    state = replace(
        monthly(24, 12_345),
        pending={(43_800 + day, 45_600): 123 for day in range(10)},
        holds={seq: Hold(NOW, {43_810: 500, 43_840: 12}) for seq in (1_230, 1_231, 1_232)},
        sent=(43_800, 5_000),
        merged=(ACCOUNT, ACCOUNT),
    )

    record = purchase_entry(
        4_217, held=state, key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert item_bytes(items.record_item(record)) < 1_024


def test_a_member_of_a_program_that_uses_everything_is_one_write_unit() -> None:
    # A tier and the one behind it, a year of months that count towards one, a dozen moments, and points that activity keeps alive
    # beside gifts of half a year.
    busy = purchase_entry(
        421_700, held=monthly(6, 12_345), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )
    rolling, standing = Rolling(45_600, 18), Standing("platinum", 45_600, then=Standing("silver", 0, Origin.LIFETIME))
    state = replace(
        busy.state,
        buckets={ROLLING: 12_345, **busy.state.buckets},
        rolling=rolling,
        standing=standing,
        qualifying={24_300 + month: 12_345 for month in range(limits.QUALIFYING_PERIODS_MAX)},
        marks=busy.state.marks | {"lifetime": 123_456} | {f"m.moment-{number:02}": 2_026 for number in range(12)},
    )
    (entry,) = busy.entries
    entry = replace(entry, rolls=rolling, qualifies=((24_312, 4_217),), marks=(*entry.marks, ("lifetime", 123_456)))

    assert item_bytes(items.record_item(replace(busy, entries=(entry,), state=state))) < 1_024


MANAGER_ID = "g." + "c" * 36


@pytest.mark.parametrize(
    ("item", "bytes_max"),
    [
        # What the answers of tills and managers typically leave behind beside the record.
        (items.end_item(End(ACCOUNT, 1_234, 0, EntryKind.CANCELLATION, caller_key(MANAGER_ID, RECEIPT), NOW)), 175),
        (
            items.return_item(
                PurchaseReturn(
                    Key("till-7", RECEIPT),
                    RECEIPT,
                    b"f" * 16,
                    NOW,
                    lines={0: 1, 3: 2},
                    reason="BROKEN",
                    account=ACCOUNT,
                    seq=1_234,
                    reversal=Reversal(4_217, 42, 0, 0),
                )
            ),
            225,
        ),
        (items.note_item(ACCOUNT, Note("n" * 140, b"s" * 16, b"d" * 16)), 260),
        (
            items.notice_item(
                ACCOUNT,
                Notice(
                    NoticeKind.SUMMARY,
                    45_000,
                    "s.month",
                    NOW,
                    12,
                    "month",
                    dict.fromkeys(("points", "balance", "date", "earned", "spent", "expired", "expiring"), 12_345)
                    | {"reward": "filter-coffee", "missing": 12_345, "tier": "silver"},
                    NOW,
                ),
            ),
            320,
        ),
        (
            items.LookupRow(
                keys.lookup("email", "ada@example.org", b"p" * 32), keys.LOOKUP, account=ACCOUNT
            ).serialize(),
            110,
        ),
        (
            items.LookupRow(
                keys.lookup("email", "ada@example.org", b"p" * 32), keys.LOOKUP, ttl=1_800_000_000
            ).serialize(),
            100,
        ),
    ],
    ids=["end", "return", "note", "notice", "look-up", "look-up given up"],
)
def test_what_stands_beside_a_record_is_small(item: items.Item, bytes_max: int) -> None:
    assert item_bytes(item) <= bytes_max


def test_the_longest_return_fits_its_key() -> None:
    booked = PurchaseReturn(Key("till", "1"), "☕" * limits.RETURN_ID_LENGTH_MAX, b"f" * 16, NOW)

    assert len(items.return_item(booked)["SK"]["S"].encode()) <= 1_024


def claim_of(lines: list[BasketLine]) -> Claim:
    total = Money(sum(line.amount_minor for line in lines), "USD")
    basket = Basket(NOW, total, "harbor", "store", tuple(lines))
    return Claim(Key("till-7", RECEIPT), ACCOUNT, 1_233, b"f" * 16, NOW, basket)


def grocery(lines: int) -> list[BasketLine]:
    """A receipt with products and departments as groceries have them."""
    chance = random.Random(7)
    departments = ["GROCERY", "DRUG GM", "PRODUCE", "MEAT-PCKGD", "DELI", "PASTRY", "SALAD BAR"]
    return [
        BasketLine(str(chance.randint(25_671, 18_316_298)), chance.choice(departments), 1, chance.randint(50, 999))
        for _ in range(lines)
    ]


@pytest.mark.parametrize(
    ("lines", "bytes_max"), [(0, 250), (1, 275), (9, 400), (60, 1_024), (161, 2_048), (200, 3_072)]
)
def test_a_claim_stays_small_with_real_baskets(lines: int, bytes_max: int) -> None:
    item = items.claim_item(claim_of(grocery(lines)))

    assert item_bytes(item) <= bytes_max


def test_the_worst_basket_is_far_below_an_item_of_dynamodb() -> None:
    # Texts that nothing compresses, four bytes a character.
    chance = random.Random(7)
    label = ["".join(chr(chance.randint(0x1F300, 0x1F5FF)) for _ in range(limits.LABEL_LENGTH_MAX)) for _ in range(400)]
    lines = [BasketLine(label[2 * n], label[2 * n + 1], 10**6, 10**12 // 200) for n in range(limits.PURCHASE_LINES_MAX)]

    item = items.claim_item(claim_of(lines))

    assert item_bytes(item) < 400_000 / 4
    assert items.claim_from(item).basket == claim_of(lines).basket


@pytest.mark.parametrize("border", [1_024, 2_048])
def test_sizes_are_those_the_database_bills(table: Tables, border: int) -> None:
    record = purchase_entry(4_217, held=monthly(25, 180), key=Key("till-7", RECEIPT), label="harbor", actor="p.till")

    def sized(size: int) -> items.Item:
        item = items.record_item(replace(record, entries=(replace(record.entries[0], code="c"),)))
        missing = size - item_bytes(item)
        item = items.record_item(replace(record, entries=(replace(record.entries[0], code="c" * (1 + missing)),)))
        assert item_bytes(item) == size
        return item

    # Around the border; the size function may be off by a byte or two for what AWS calls "approximately" in numbers.
    for size, units in ((border - 24, border // 1_024), (border + 24, border // 1_024 + 1)):
        put = table.client.put_item(TableName=table.name, Item=sized(size), ReturnConsumedCapacity="TOTAL")
        assert put["ConsumedCapacity"]["CapacityUnits"] == units


@pytest.mark.parametrize("border", [1_024, 2_048])
def test_a_claim_with_its_compressed_basket_is_billed_as_computed(table: Tables, border: int) -> None:
    claims_by_size = [items.claim_item(claim_of(grocery(lines))) for lines in range(60, 260)]
    below = max((item for item in claims_by_size if item_bytes(item) < border - 4), key=item_bytes)
    above = min((item for item in claims_by_size if item_bytes(item) > border + 4), key=item_bytes)

    for item, units in ((below, border // 1_024), (above, border // 1_024 + 1)):
        put = table.client.put_item(TableName=table.name, Item=item, ReturnConsumedCapacity="TOTAL")
        assert put["ConsumedCapacity"]["CapacityUnits"] == units


# --- where personal data stands ---------------------------------------------------------------------------------------

PERSONAL = {
    "name": "Ada Ängström-Lovelace",
    "external_id": "crm-7741-ada",
    "email": "ada.private@example.org",
    "phone": "+15550123987",
    "card_number": "card-99-1234-7",
}
PHONE_BEFORE = "+15550999888"
SAID = "Ada says that her sister uses the card."


def everything_said(value: Any) -> list[str]:
    """Every text in an item, compressed ones too."""
    match value:
        case dict():
            return [text for each in (*value, *value.values()) for text in everything_said(each)]
        case list():
            return [text for each in value for text in everything_said(each)]
        case bytes():
            plain = zlib.decompress(value) if value[:1] == b"\x78" else value
            return [plain.decode(errors="replace")]
    return [str(value)]


def test_personal_data_stands_in_the_profile_and_nowhere_else(table: Tables) -> None:
    store = table.store

    def join(key: str, account: str) -> members.Enrolled:
        born, answers = Birthday(5, 23, 1987), {Consent.OFFERS: False}
        personal = {**PERSONAL, "phone": PHONE_BEFORE, "home_location": "pier-19"}
        profile = Profile(NOW, **personal, birthday=born, consents=answers)
        return members.enroll(store, PROGRAM, actor=ADA, idempotency_key=key, profile=profile, account=account, now=NOW)

    assert join("k1", "A").account == "A"
    assert join("k1", "B").replayed
    with pytest.raises(AlreadyEnrolled):
        join("k2", "B")
    crm = PERSONAL["external_id"]
    for number in range(3):
        buy(store, crm, 4_000, NOW, receipt=f"r{number}", lines=[BasketLine("1", "DELI", 1, 4_000)])
    redeem(store, crm, "latte", NOW, key="k3")
    redeem(store, crm, "latte", NOW, key="k4", actor=ADA)
    world.adjust(store, crm, -40, NOW, key="k5")
    with pytest.raises(InsufficientPoints):
        world.adjust(store, crm, -40, NOW, key="k6")
    with pytest.raises(IdempotencyKeyReused):
        buy(store, crm, 1, NOW, receipt="r1")
    world.give_back(store, "r1", NOW, key="k7", amount=100, member=crm)
    world.give_back(store, "unknown", NOW, key="k8", member=crm)
    buy(store, crm, 4_000, NOW, receipt="r9")
    world.hold(store, crm, 5, NOW, key="k9")
    world.block(store, crm, NOW, key="k10", note=SAID)
    world.update(store, crm, NOW, key="k11", phone=PERSONAL["phone"], add_tags=["owes-us-a-smile"])
    for kind in ("email", "phone"):
        lookup = members.lookup(kind, PERSONAL[kind], field=())
        assert members.resolve(store, actor=TILL, by=lookup, field=()) == "A"

    def where(value: str) -> set[str]:
        return {
            key[1].split("#")[0]
            for key, item in table.contents().items()
            if any(value in text for text in everything_said(item))
        }

    assert {name: where(value) for name, value in PERSONAL.items()} == {name: {"P"} for name in PERSONAL}
    assert where("1987-05-23") == where("offers=0") == where("owes-us-a-smile") == where("pier-19") == {"P"}
    # What somebody wrote about a member can be erased too, and what was given up is nowhere.
    assert where(SAID) == {"A"}
    assert where(PHONE_BEFORE) == set()


def test_a_contact_cannot_be_guessed_from_the_fingerprint_of_what_named_it() -> None:
    """A phone number is one of a few billion: an unkeyed hash of it would be found by trying them all."""
    connection = Connection(region="eu-central-1")
    one, other = (Table(connection, "t", pepper=pepper, shards=1) for pepper in (b"one" * 11, b"two" * 11))
    facts = ("purchaseRecord", "phone", "+15551234567")

    assert ledger.fingerprint(one, *facts) == ledger.fingerprint(one, *facts)
    assert ledger.fingerprint(one, *facts) != ledger.fingerprint(other, *facts)
