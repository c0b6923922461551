"""Items: what is written is what is read, how large it gets, and where personal data stands."""

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
from domain.accounts import Line, State
from domain.days import NEVER
from domain.ledger import (
    Basket,
    BasketLine,
    Claim,
    Entry,
    EntryKind,
    Explanation,
    Key,
    Money,
    Record,
)
from domain.members import AlreadyEnrolled, Profile
from domain.refusals import IdempotencyKeyReused, InsufficientPoints, Refusal
from storage import items
from storage.table import Table
from tests.domain import world
from tests.domain.world import ADA, TILL, buy, redeem, search
from tests.storage.tables import NOW, Tables, comparable, item_bytes

# --- anything a member, a till or a program may say -------------------------------------------------------------------

instants = st.datetimes(
    datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2200-01-01"), timezones=st.just(UTC)
).map(lambda instant: instant.replace(microsecond=instant.microsecond // 1_000 * 1_000))
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
sources = st.from_regex(r"\A~?[A-Za-z0-9._%-]{1,20}\Z")
rules = st.from_regex(r"\A(reward:|adjustment:)?[A-Za-z0-9._-]{1,20}\Z")
known_keys = st.builds(Key, sources, texts)
points = st.integers(-(10**18), 10**18)
day_numbers = st.integers(10_000, 40_000)
moneys = st.builds(Money, st.integers(0, 10**12), st.from_regex(r"\A[A-Z]{3}\Z"))
entries = st.builds(
    Entry,
    kind=st.sampled_from(EntryKind),
    at=instants,
    lines=st.lists(
        st.builds(Line, day_numbers | st.just(NEVER), points.filter(bool), st.just(0) | day_numbers), max_size=6
    ).map(tuple),
    balance_after=st.integers(0, 10**18),
    explanation=st.lists(st.builds(Explanation, rules, points, st.none() | st.integers(0, 10**12)), max_size=3).map(
        tuple
    ),
    key=st.none() | known_keys,
    actor=st.none() | texts,
    occurred_at=st.none() | instants,
    total=st.none() | moneys,
    location=st.none() | texts,
    channel=st.none() | texts,
    reward=st.none() | st.tuples(st.from_regex(r"\A[a-z0-9._-]{1,20}\Z"), st.integers(1, 10**6)),
    code=st.none() | texts,
    reason=st.none() | texts,
    terms=st.none() | st.integers(1, 10**6),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    written = draw(st.lists(entries, min_size=1, max_size=3))
    held = st.integers(1, 10**18)
    state = State(
        at=written[-1].at,
        buckets=draw(st.dictionaries(day_numbers | st.just(NEVER), held, max_size=8)),
        pending=draw(st.dictionaries(st.tuples(day_numbers, day_numbers), held, max_size=5)),
    )
    account = draw(st.from_regex(r"\A[0-9A-Z]{1,26}\Z"))
    return Record(account, draw(st.integers(1, 9_999_999_999)), tuple(written), state)


baskets = st.builds(
    Basket,
    occurred_at=instants,
    total=moneys,
    location=st.none() | texts,
    channel=st.none() | texts,
    lines=st.lists(
        st.builds(BasketLine, st.none() | texts, st.none() | texts, st.integers(0, 10**6), st.integers(0, 10**12)),
        max_size=6,
    ).map(tuple),
)
refusals = st.builds(
    lambda kind, message, field: kind(message, field=tuple(field)),
    st.sampled_from([InsufficientPoints, AlreadyEnrolled, IdempotencyKeyReused]),
    texts,
    st.lists(texts, max_size=4),
)
claims = st.builds(
    Claim,
    key=known_keys,
    account=st.from_regex(r"\A[0-9A-Z]{0,26}\Z"),
    seq_seen=st.integers(0, 10**10),
    fingerprint=st.binary(min_size=16, max_size=16),
    at=instants,
    basket=st.none() | baskets,
    refusal=st.none() | refusals,
    expires_at=st.none() | instants.map(lambda instant: instant.replace(microsecond=0)),
)
optional = st.none() | texts
profiles = st.builds(Profile, instants, optional, optional, optional, optional, optional)


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


@search(100)
@given(profiles)
def test_a_profile_comes_back_as_it_was(profile: Profile) -> None:
    assert items.profile_from(through_json(items.profile_item("A", profile))) == profile


@search(75)
@given(baskets)
def test_a_basket_comes_back_as_it_was(basket: Basket) -> None:
    attribute = items.BasketAttribute()

    assert attribute.deserialize(attribute.serialize(basket)) == basket


def test_every_kind_of_entry_has_a_letter_of_its_own() -> None:
    assert set(items._KINDS) == set(EntryKind)
    assert len(items._KIND_OF) == len(EntryKind)


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
    )
    return Record(ACCOUNT, 1_234, (entry,), after)


def monthly(buckets: int, held: int) -> State:
    """An account that has earned as much every month."""
    return State(NOW, {43_810 + 30 * month: held for month in range(buckets)})


def test_a_typical_entry_has_at_most_400_bytes() -> None:
    record = purchase_entry(
        4_217, held=monthly(6, 180), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert item_bytes(items.record_item(record)) <= 400


def test_a_busy_entry_has_at_most_600_bytes() -> None:
    # 24 months to the month's end are 25 buckets.
    record = purchase_entry(
        421_700, held=monthly(24, 12_345), key=Key("till-7", RECEIPT), label="harbor", actor="p.3k2l1m0n9b8v7c6x5z4a"
    )

    assert item_bytes(items.record_item(record)) <= 600


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
        profile = Profile(NOW, **PERSONAL)
        return members.enroll(store, actor=ADA, idempotency_key=key, profile=profile, account=account, now=NOW)

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
    for kind in ("email", "phone"):
        lookup = members.lookup(kind, PERSONAL[kind], field=())
        assert members.resolve(store, actor=TILL, by=lookup, field=()) == "A"

    found = {
        (key[1], name)
        for key, item in table.contents().items()
        for name, value in PERSONAL.items()
        if any(value in text for text in everything_said(item))
    }

    assert found == {("P", name) for name in PERSONAL}


def test_a_contact_cannot_be_guessed_from_the_fingerprint_of_what_named_it() -> None:
    """A phone number is one of a few billion: an unkeyed hash of it would be found by trying them all."""
    connection = Connection(region="eu-central-1")
    one, other = (Table(connection, "t", pepper=pepper, shards=1) for pepper in (b"one" * 11, b"two" * 11))
    facts = ("purchaseRecord", "phone", "+15551234567")

    assert ledger.fingerprint(one, *facts) == ledger.fingerprint(one, *facts)
    assert ledger.fingerprint(one, *facts) != ledger.fingerprint(other, *facts)
