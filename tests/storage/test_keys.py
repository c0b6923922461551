"""The key design: texts that sort as numbers do, and partitions that cannot be mistaken for each other."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain import entries, limits
from domain.entries import Key
from storage import keys
from tests.domain.world import search

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
sources = texts.filter(lambda source: ":" not in source)


@search(100)
@given(st.integers(0, 9_999_999_999), st.integers(0, 9_999_999_999))
def test_sequences_sort_as_their_numbers_do(one: int, other: int) -> None:
    assert (keys.entry(one) < keys.entry(other)) == (one < other)
    assert keys.sequence(keys.entry(one)) == one
    assert keys.ENTRY_FIRST <= keys.entry(one) <= keys.ENTRY_LAST
    assert (keys.version(one) < keys.version(other)) == (one < other)


def test_the_profile_sorts_behind_every_entry() -> None:
    assert keys.PROFILE > keys.ENTRY_LAST


@search(100)
@given(st.integers(0, 9_999_999_999), st.integers(0, 10**6), st.binary(max_size=32))
def test_nothing_else_of_an_account_sorts_among_its_entries_or_behind_them(seq: int, index: int, digest: bytes) -> None:
    assert keys.end(seq, index) < keys.ENTRY_FIRST
    assert keys.note(digest) < keys.ENTRY_FIRST
    assert keys.notice(index % 10**6, digest.hex()) < keys.ENTRY_FIRST
    assert not keys.NOTICE_FIRST <= keys.note(digest) <= keys.NOTICE_LAST


@search(100)
@given(st.tuples(st.integers(0, 999_999), texts), st.tuples(st.integers(0, 999_999), texts))
def test_notices_sort_by_their_day_and_what_they_are_about(one: tuple[int, str], other: tuple[int, str]) -> None:
    def sorts_as(text: str) -> bytes:
        return text.encode()

    first, second = keys.notice(*one), keys.notice(*other)
    assert (sorts_as(first) < sorts_as(second)) == ((one[0], sorts_as(one[1])) < (other[0], sorts_as(other[1])))
    assert keys.noticed(first) == one
    assert keys.NOTICE_FIRST <= first < keys.NOTICE_LAST


@search(100)
@given(
    st.tuples(st.integers(0, 9_999_999_999), st.integers(0, 99)),
    st.tuples(st.integers(0, 9_999_999_999), st.integers(0, 99)),
)
def test_two_redemptions_have_two_ends(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (keys.end(*one) == keys.end(*other)) == (one == other)


@search(100)
@given(texts)
def test_a_return_is_never_mistaken_for_the_claim_it_stands_beside(return_id: str) -> None:
    assert keys.purchase_return(return_id) != keys.CLAIM
    assert keys.purchase_return(return_id).startswith(keys.RETURN_PREFIX)
    assert keys.purchase_return(return_id)[len(keys.RETURN_PREFIX) :] == return_id


@search(100)
@given(st.builds(Key, sources, texts.filter(bool)), texts)
def test_the_key_of_a_return_leads_back_to_its_purchase(purchase: Key, return_id: str) -> None:
    key = entries.return_key(purchase, return_id)

    assert entries.returned_purchase(key) == (purchase, return_id)
    # No caller's key and no purchase's can be the same.
    assert ":" not in key.source
    assert key.source.startswith("~r.")


@search(100)
@given(st.builds(Key, sources, texts), st.builds(Key, sources, texts))
def test_two_keys_are_two_claims(one: Key, other: Key) -> None:
    assume(one != other)

    assert keys.claim(one) != keys.claim(other)


def test_the_longest_key_fits_a_partition_key() -> None:
    value = "🏴" * limits.KEY_LENGTH_MAX

    purchase = keys.claim(Key("s" * limits.SOURCE_LENGTH_MAX, value))
    own = keys.claim(entries.caller_key("m." + "|" * 255, value))

    assert len(purchase.encode()) <= 2_048
    assert len(keys.purchase_return("🏴" * limits.RETURN_ID_LENGTH_MAX).encode()) <= 1_024
    assert len(own.encode()) <= 2_048


@search(100)
@given(texts, texts, texts)
def test_a_look_up_shows_nothing_of_its_value(kind: str, value: str, other: str) -> None:
    assume(value != other)
    pepper = b"p" * 32

    assert keys.lookup(kind, value, pepper) == keys.lookup(kind, value, pepper)
    assert keys.lookup(kind, value, pepper) != keys.lookup(kind, other, pepper)
    assert keys.lookup(kind, value, pepper) != keys.lookup(kind, value, b"q" * 32)
    assert len(keys.lookup(kind, value, pepper)) == len(f"U#{kind}#") + 64


def test_a_source_with_a_colon_cannot_be() -> None:
    with pytest.raises(AssertionError):
        keys.claim(Key("a:b", "c"))


@pytest.mark.parametrize("shards", [1, 4, 256])
def test_accounts_spread_over_all_shards(shards: int) -> None:
    spread = Counter(keys.shard(f"01J{number:023d}", shards) for number in range(shards * 100))

    assert set(spread) == set(range(shards))
    assert max(spread.values()) < 200
