"""What somebody writes about an entry stands apart from it, and can go without a trace in the ledger."""

import hashlib
from datetime import timedelta

import pytest

from domain import limits, notes
from domain.entries import Note
from domain.notes import Draft
from domain.refusals import IdempotencyKeyReused, InsufficientPoints, InvalidText
from storage.memory import Memory
from tests.domain.world import (
    Interrupted,
    Stale,
    adjust,
    at,
    contents,
    enroll,
    head_of,
    merge,
    refuses,
    unchanged,
)

NOW = at("2026-01-10")
SALT = bytes(range(limits.NOTE_SALT_BYTES))
TEXT = "Her son called; the receipt was his."


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    made: Memory = request.param()
    enroll(made, "ada", NOW)
    return made


def test_an_entry_has_the_hash_of_its_note_and_nothing_of_the_text(store: Memory) -> None:
    entry = adjust(store, "ada", 5, NOW, key="k", note=TEXT).entry

    assert entry.note is not None
    assert len(entry.note) == limits.NOTE_DIGEST_BYTES
    note = store.note("ADA", entry.note)
    assert note == Note(TEXT, b"sixteen of salt.", entry.note)
    assert "receipt was his" not in repr(contents(store).logs) + repr(contents(store).claims)


def test_an_entry_without_a_note_has_no_hash(store: Memory) -> None:
    assert adjust(store, "ada", 5, NOW, key="k").entry.note is None
    assert contents(store).notes == {}


def test_the_hash_is_of_the_salt_and_the_text() -> None:
    one, same, salted, other = (
        notes.checked(Draft(text, salt)) for text, salt in ((TEXT, SALT), (TEXT, SALT), (TEXT, SALT[::-1]), ("x", SALT))
    )

    assert one
    assert salted
    assert other
    assert one == same
    assert one.digest == hashlib.sha256(SALT + TEXT.encode()).digest()[:16]
    assert len({one.digest, salted.digest, other.digest}) == 3


def test_a_note_has_lines_and_no_space_around_it() -> None:
    for text in ("one\ntwo", " one\r\ntwo\n", "\none\ntwo "):
        kept = notes.checked(Draft(text, SALT))
        assert kept
        assert kept.text == "one\ntwo"
    assert notes.checked(None) is None


def test_the_longest_note_is_kept(store: Memory) -> None:
    text = "💥" * limits.NOTE_LENGTH_MAX
    digest = adjust(store, "ada", 5, NOW, key="k", note=text).entry.note

    assert digest
    kept = store.note("ADA", digest)
    assert kept
    assert kept.text == text


@pytest.mark.parametrize(
    "note",
    ["", " \n\t", "x" * (limits.NOTE_LENGTH_MAX + 1), "a\x00b", "a\tb", "a\u2028b", "a\rb", "\ud800", "a\u202eb"],
)
def test_a_note_is_text(store: Memory, note: str) -> None:
    with refuses(store, InvalidText, "input", "note"):
        adjust(store, "nobody", 0, NOW, key="k", note=note)


def test_a_note_is_part_of_what_was_asked(store: Memory) -> None:
    first = adjust(store, "ada", 5, NOW, key="k", note=TEXT)

    with unchanged(store):
        again = adjust(store, "ada", 5, NOW + timedelta(days=1), key="k", note=f" {TEXT}\n")
    assert (again.replayed, again.entry) == (True, first.entry)
    for note in (None, TEXT[:-1]):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            adjust(store, "ada", 5, NOW, key="k", note=note)


def test_what_is_refused_leaves_no_note(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points"):
        adjust(store, "ada", -5, NOW, key="k", note=TEXT)

    assert contents(store).notes == {}


def test_the_note_of_an_entry_that_lost_a_race_is_kept_once() -> None:
    store = Interrupted()
    enroll(store, "ada", NOW)
    store.before_append.append(lambda: adjust(store, "ada", 1, NOW, key="other"))

    entry = adjust(store, "ada", 5, NOW, key="k", note=TEXT).entry

    assert [(account, note.digest) for (account, _), note in contents(store).notes.items()] == [("ADA", entry.note)]


def test_the_note_of_what_was_asked_of_a_merged_account_stands_where_its_entry_does(store: Memory) -> None:
    enroll(store, "bob", NOW)
    merge(store, "bob", "ada", NOW, key="m")

    outcome = adjust(store, "bob", 5, NOW, key="k", note=TEXT)

    assert outcome.record.account == "ADA"
    assert outcome.entry.note
    assert store.note("ADA", outcome.entry.note)


def test_without_its_note_an_entry_says_the_same_of_its_points(store: Memory) -> None:
    entry = adjust(store, "ada", 5, NOW, key="k", note=TEXT).entry
    store._notes.clear()

    assert entry.note
    assert store.note("ADA", entry.note) is None
    assert head_of(store, "ADA").entries[-1] == entry
