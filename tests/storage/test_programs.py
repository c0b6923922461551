"""Published programs: one immutable version after another, seen by everybody soon."""

import json
from typing import Any

import pytest

from domain import limits, programs
from domain.documents import InvalidProgram
from domain.programs import Program
from storage.programs import ProgramChanged, Programs
from tests.domain.world import DOCUMENT, PROGRAM, at_once, program
from tests.storage.tables import Tables

OTHER = program(name="Redbird Coffee")


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def on(table: Tables, **more: Any) -> Programs:
    return Programs(table.connection, table.name, **more)


def published(table: Tables) -> list[str]:
    return sorted(sk for pk, sk in table.contents() if pk == "CFG")


def test_before_anything_is_published_there_is_no_program(table: Tables) -> None:
    assert on(table).current() is None


def test_what_is_published_is_in_force(table: Tables) -> None:
    assert on(table).publish(PROGRAM) == PROGRAM

    assert on(table).current() == PROGRAM
    assert published(table) == ["V#0000000001"]


def test_every_publication_is_a_version_and_older_ones_stay(table: Tables) -> None:
    on(table).publish(PROGRAM)
    before = table.contents()

    second = on(table).publish(OTHER)

    assert (second.version, second.terms.version, second.name) == (2, 1, "Redbird Coffee")
    assert on(table).current() == second
    assert published(table) == ["V#0000000001", "V#0000000002"]
    assert table.contents().items() > before.items()


def test_version_ten_comes_after_version_nine(table: Tables) -> None:
    for number in range(11):
        on(table).publish(program(name=f"Program {number}"))

    newest = on(table).current()

    assert newest is not None
    assert (newest.version, newest.name) == (11, "Program 10")


def test_publishing_what_is_in_force_is_no_new_version(table: Tables) -> None:
    first = on(table).publish(PROGRAM)

    assert on(table).publish(program()) == first
    assert on(table).publish(programs.parse(DOCUMENT, version=7)) == first
    assert published(table) == ["V#0000000001"]


def test_going_back_is_going_on(table: Tables) -> None:
    for each in (PROGRAM, OTHER, PROGRAM):
        on(table).publish(each)

    newest = on(table).current()

    assert newest is not None
    assert (newest.version, newest.name) == (3, PROGRAM.name)


def test_one_of_many_publications_at_once_is_the_next_version(table: Tables) -> None:
    on(table).publish(PROGRAM)

    answers = at_once([lambda number=number: on(table).publish(program(name=f"P{number}")) for number in range(8)])

    versions = [answer.version for answer in answers if isinstance(answer, Program)]
    assert sorted(versions) == list(range(2, 2 + len(versions)))
    assert {type(answer) for answer in answers} <= {Program, ProgramChanged}
    assert len(published(table)) == 1 + len(versions)


def test_who_publishes_on_an_older_program_is_told(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = on(table)
    seen = programs.successor

    def meanwhile(mine: Program, before: Program | None) -> Program:
        monkeypatch.setattr(programs, "successor", seen)
        on(table).publish(PROGRAM)
        return seen(mine, before)

    monkeypatch.setattr(programs, "successor", meanwhile)

    with pytest.raises(ProgramChanged):
        slow.publish(OTHER)
    assert on(table).current() == PROGRAM
    assert published(table) == ["V#0000000001"]


def test_a_program_is_read_again_when_it_is_no_longer_fresh(table: Tables) -> None:
    clock = Clock()
    reader = on(table, fresh_s=30, clock=clock)
    assert reader.current() is None
    on(table).publish(PROGRAM)
    # None is not kept: the first program is seen at once.
    assert reader.current() == PROGRAM

    on(table).publish(OTHER)
    clock.now = 29.9
    assert reader.current() == PROGRAM
    clock.now = 30
    newer = reader.current()
    assert newer is not None
    assert newer.name == "Redbird Coffee"


def test_who_published_sees_it_at_once(table: Tables) -> None:
    writer = on(table, clock=Clock())
    assert writer.current() is None
    writer.publish(PROGRAM)
    assert writer.current() == PROGRAM

    writer.publish(OTHER)

    newest = writer.current()
    assert newest is not None
    assert newest.name == "Redbird Coffee"


def test_a_program_too_large_for_an_item_is_refused(table: Tables) -> None:
    many = [
        {"id": f"r{number}", "name": "☕" * 200, "cost": 1, "description": "x"}
        for number in range(limits.PROGRAM_LIST_MAX)
    ]

    with pytest.raises(InvalidProgram, match="larger than"):
        on(table).publish(program(rewards=many))
    assert published(table) == []


def test_the_largest_program_fits(table: Tables) -> None:
    filler = {"cost": 1, "name": "R"}
    rewards = [{"id": f"r{number}", **filler, "description": ""} for number in range(limits.PROGRAM_LIST_MAX)]
    used = len(json.dumps(programs.stored(program(rewards=rewards)), separators=(",", ":")).encode())
    spare = (limits.PROGRAM_BYTES_MAX - used) // len(rewards)
    for reward in rewards:
        reward["description"] = "x" * spare

    largest = on(table).publish(program(rewards=rewards))

    assert on(table).current() == largest


def test_every_version_is_found_again_and_read_once(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    on(table).publish(PROGRAM)
    on(table).publish(program(returns={"policy": "clamp"}))
    reader = on(table)

    first, second = reader.version(1), reader.version(2)

    assert first == PROGRAM
    assert second is not None
    assert (second.version, second.terms.returns.value) == (2, "clamp")
    # What nobody published is not remembered as missing: it may be published a moment later.
    assert reader.version(3) is None
    third = on(table).publish(OTHER)
    assert reader.version(3) == third
    monkeypatch.setattr(reader, "_call", lambda *_: pytest.fail("a version never changes"))
    assert (reader.version(1), reader.version(2)) == (first, second)


def test_only_so_many_versions_are_kept(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROGRAMS_KEPT_MAX", 2)
    for number in range(4):
        on(table).publish(program(name=f"Program {number}"))
    reader = on(table)

    for number in (1, 2, 3, 4, 1):
        found = reader.version(number)
        assert found is not None
        assert found.name == f"Program {number - 1}"
        assert len(reader._versions) <= 2
