"""Cursors: opaque, and good for the one list they came from."""

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage.cursors import Cursors, InvalidCursor
from tests.domain.world import search

CURSORS = Cursors(b"a secret of thirty-two characters")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
positions = st.from_regex(r"\A[0-9]{1,10}\.[0-9]{1,3}\Z") | texts
# A scope is a text of the program's own, so it never holds the character that ends it.
scopes = texts.filter(lambda scope: "\0" not in scope)


@search(100)
@given(scopes, positions)
def test_a_cursor_opens_where_it_was_sealed(scope: str, position: str) -> None:
    assert CURSORS.open(scope, CURSORS.seal(scope, position)) == position


@search(100)
@given(scopes, scopes, positions)
def test_a_cursor_opens_nowhere_else(scope: str, other: str, position: str) -> None:
    assume(scope != other)
    with pytest.raises(InvalidCursor):
        CURSORS.open(other, CURSORS.seal(scope, position))


def test_a_cursor_of_another_program_is_none_of_ours() -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.open("entries", Cursors(b"another secret of enough letters").seal("entries", "1.0"))


@search(100)
@given(positions, st.data())
def test_a_cursor_that_was_changed_anywhere_is_none(position: str, data: st.DataObject) -> None:
    cursor = CURSORS.seal("entries", position)
    at = data.draw(st.integers(0, len(cursor)))
    kept = data.draw(st.integers(at, min(len(cursor), at + 2)))
    changed = cursor[:at] + data.draw(st.text(max_size=2) | st.sampled_from(["A", "=", "!", "\n", "-"])) + cursor[kept:]
    assume(changed != cursor)

    with pytest.raises(InvalidCursor):
        CURSORS.open("entries", changed)


@search(150)
@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage_is_no_cursor(garbage: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.open("entries", garbage)


@pytest.mark.parametrize("cursor", ["", "=", "A", "\ud800", "é", "A" * 100_000, "%00", " "])
def test_some_garbage_everybody_tries(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.open("entries", cursor)


def test_a_cursor_does_not_show_its_secret_and_fits_an_address() -> None:
    cursor = CURSORS.seal("entries", "12.0")

    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(cursor) < 32
