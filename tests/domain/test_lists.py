"""Lists of members: what a line of a file means, what an import comes to however it goes, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits, lists
from domain.access import Role, actor
from domain.campaigns import Audience
from domain.campaigns.store import MemberOutcome
from domain.lists import By, Failure, Flaw, ListStatus, OutOfTime, Report, Turn, turn_from
from domain.lists.store import Part
from domain.messages import NotATurn
from domain.refusals import IdempotencyKeyReused, InvalidText, OutcomeUnknown, Refusal
from domain.store import Contended
from tests.domain.campaigning import Desk, draft
from tests.domain.listing import ListDesk
from tests.domain.world import ISSUER, close, enroll, merge

OTHER = actor(Role.MANAGER, issuer=ISSUER, subject="olive")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three lines, pages of two accounts."""
    monkeypatch.setattr(limits, "LIST_PART_LINES", 3)
    monkeypatch.setattr(limits, "LIST_PAGE_ACCOUNTS", 2)


def refused(act: Callable[[], Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value


# --- making one ---------------------------------------------------------------------------------------------------------


def test_a_list_waits_for_its_file() -> None:
    desk = ListDesk()

    made = desk.create(By.EMAIL, name="  Walkers  ")

    assert not made.replayed
    assert made.member_list == desk.lists.find("L0000")
    assert (made.member_list.name, made.member_list.by) == ("Walkers", By.EMAIL)
    assert made.member_list.status is ListStatus.UPLOADING
    assert not made.is_to_be_imported


@pytest.mark.parametrize(
    ("name", "key", "field"), [(" ", "k", "name"), ("x" * 201, "k", "name"), ("x", "", "idempotencyKey")]
)
def test_a_list_without_a_name_or_key_is_refused_and_not_there(name: str, key: str, field: str) -> None:
    desk = ListDesk()

    no = refused(lambda: desk.create(name=name, key=key))

    assert isinstance(no, InvalidText)
    assert no.field == ("input", field)
    assert desk.lists.newest(limit=9) == []


def test_the_same_call_again_finds_its_list_and_another_one_under_the_key_is_refused() -> None:
    desk = ListDesk()
    made = desk.create()

    again = desk.create()

    assert (again.member_list, again.replayed) == (made.member_list, True)
    for other in ({"by": By.PHONE}, {"name": "Runners"}):
        assert isinstance(refused(lambda other=other: desk.create(**other)), IdempotencyKeyReused)  # type: ignore[misc]
    # Another person's key is another key.
    assert not desk.create(who=OTHER).replayed
    assert len(desk.lists.newest(limit=9)) == 2


# --- asking for the import ----------------------------------------------------------------------------------------------


def test_what_was_not_uploaded_is_not_imported_and_can_be_later() -> None:
    desk = ListDesk.of("ada")
    made = desk.create().member_list

    no = refused(lambda: desk.begin(made))

    assert (no.code, no.field) == ("LIST_NOT_UPLOADED", ("input", "id"))
    assert desk.lists.find(made.id) == made
    # Nothing was decided for the key.
    desk.upload(made, "ada\n")
    assert not desk.begin(made).replayed
    desk.work()
    assert desk.lists.find(made.id).status is ListStatus.READY


def test_an_import_of_no_list_or_too_large_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = ListDesk.of("ada")
    made = desk.create().member_list
    desk.upload(made, "ada\nada\n")
    monkeypatch.setattr(limits, "LIST_BYTES_MAX", 7)

    assert refused(lambda: desk.begin("nothing")).code == "LIST_NOT_FOUND"
    assert refused(lambda: desk.begin(made)).code == "LIST_TOO_LARGE"
    assert (desk.lists.find(made.id), desk.queue) == (made, [])


def test_the_same_import_again_is_the_same_and_wakes_it_where_nobody_goes_on() -> None:
    desk = ListDesk.of("ada")
    made = desk.create().member_list
    desk.upload(made, "ada\n")
    desk.begin(made)
    desk.queue.clear()  # whoever asked died before it was handed out

    again = desk.begin(made)

    assert again.replayed
    assert desk.queue == [Turn(made.id)]
    desk.work()
    assert desk.members(made) == ["ada"]
    last = desk.begin(made)
    assert (last.replayed, last.is_to_be_imported, last.member_list.status) == (True, False, ListStatus.READY)


def test_a_list_is_imported_once_whoever_asks() -> None:
    desk = ListDesk.of("ada")
    made = desk.imported("ada\n")

    assert refused(lambda: desk.begin(made, key="second")).code == "LIST_STATE"
    assert refused(lambda: desk.begin(made, who=OTHER)).code == "LIST_STATE"
    # The key that made the list is no key of its import, nor is that of another one.
    assert refused(lambda: desk.begin(made, key="create")).code == "IDEMPOTENCY_KEY_REUSED"
    other = desk.create(key="another").member_list
    assert refused(lambda: desk.begin(other)).code == "IDEMPOTENCY_KEY_REUSED"
    assert desk.lists.find(made.id) == made


# --- what a line means --------------------------------------------------------------------------------------------------


def report(**counts: int) -> Report:
    return Report(**counts)


def test_each_line_counts_once_and_says_what_is_wrong_with_it() -> None:
    desk = ListDesk.of("ada", "bob", "eve")
    for name in ("ada", "bob", "eve", "old", "gone"):
        enroll(desk.store, f"m-{name}", desk.now, email=f"{name}@example.com")
    close(desk.store, "m-gone", desk.now, key="close")
    file = "email\nada@example.com\n\nno address\n ADA@Example.com \nnobody@example.com\ngone@example.com\nbob@example.com\n"

    made = desk.imported(file, By.EMAIL)

    assert desk.members(made) == ["m-ada", "m-bob"]
    # Nothing leads to a membership that has ended: its email is free for others.
    assert made.report == report(lines=6, members=2, malformed=1, duplicates=1, unknown=2)
    assert desk.lists.examples(made.id) == {Flaw.MALFORMED: (4,), Flaw.DUPLICATE: (5,), Flaw.UNKNOWN: (6, 7)}


@pytest.mark.parametrize(
    ("by", "value"),
    [
        (By.EXTERNAL_ID, " m-ada "),
        (By.EMAIL, "Ada@Example.COM"),
        (By.PHONE, "+1 (555) 000-1111"),
        (By.CARD_NUMBER, "4711"),
        (By.MEMBER_ID, "id-m-ada"),
    ],
)
def test_a_member_is_found_by_whatever_the_file_names_them_by(by: By, value: str) -> None:
    desk = ListDesk()
    enroll(desk.store, "m-ada", desk.now, email="ada@example.com", phone="+15550001111", card_number="4711")

    made = desk.imported(f"{by.name}\n{value}\n", by)

    assert desk.members(made) == ["m-ada"]
    assert made.report == report(lines=1, members=1)


def test_a_membership_that_has_ended_is_told_where_its_account_is_named() -> None:
    desk = ListDesk.of("ada", "gone")
    close(desk.store, "gone", desk.now, key="close")

    made = desk.imported("id-ada\nid-gone\nid-nobody\nada\n", By.MEMBER_ID)

    assert desk.members(made) == ["ada"]
    assert made.report == report(lines=4, members=1, closed=1, unknown=1, malformed=1)
    assert desk.lists.examples(made.id)[Flaw.CLOSED] == (2,)


def test_a_merged_card_means_the_account_it_lives_on_in() -> None:
    desk = ListDesk.of("ada", "old", "older")
    merge(desk.store, "older", "old", desk.now, key="older")
    merge(desk.store, "old", "ada", desk.now, key="old")

    alone = desk.imported("older\n", key="1")
    both = desk.imported("old\nada\nolder\n", key="2")

    assert desk.members(alone) == desk.members(both) == ["ada"]
    assert alone.report == report(lines=1, members=1, merged=1)
    assert both.report == report(lines=3, members=1, duplicates=2, merged=2)


@pytest.mark.parametrize(
    ("file", "found", "flaws"),
    [
        ("ada\r\nbob\r\n", ["ada", "bob"], {}),
        ("\ufeffada\nbob", ["ada", "bob"], {}),
        ("\ufeffexternalId\nada", ["ada"], {}),
        ("External ID,Name\nada,Ada\n", ["ada"], {}),
        ('"external_id"\n"ada","says ""hi"", twice"\n"b,ob"\n', ["ada"], {Flaw.UNKNOWN: (3,)}),
        ("\n\n  \r\nada\n\n", ["ada"], {}),
        ("ada\nexternalId\n", ["ada"], {Flaw.UNKNOWN: (2,)}),
        # A heading of other lists is no heading of this one.
        ("email\nada\n", ["ada"], {Flaw.UNKNOWN: (1,)}),
        # A quote that somebody forgot costs its own line.
        ('"ada\nbob\n', ["bob"], {Flaw.MALFORMED: (1,)}),
        ('"ada"x\nbob\n', ["bob"], {Flaw.MALFORMED: (1,)}),
        (",Ada\nbob\n", ["bob"], {Flaw.MALFORMED: (1,)}),
        ("ada\rbob\n", [], {Flaw.MALFORMED: (1,)}),
        ("ad\x00a\nbob\n", ["bob"], {Flaw.MALFORMED: (1,)}),
        (f"{'x' * 129}\nbob\n", ["bob"], {Flaw.MALFORMED: (1,)}),
        # Signs by which a part says what it found are no accounts.
        ("-\n!\nx\n.\n>ada\nbob\n", ["bob"], {Flaw.UNKNOWN: (1, 2, 3, 4, 5)}),
    ],
)
def test_what_a_file_may_look_like(file: str, found: list[str], flaws: dict[Flaw, tuple[int, ...]]) -> None:
    desk = ListDesk.of("ada", "bob")

    made = desk.imported(file)

    assert (made.status, desk.members(made)) == (ListStatus.READY, found)
    assert desk.lists.examples(made.id) == flaws


@pytest.mark.usefixtures("small")
@given(
    names=st.lists(
        st.sampled_from(["ada", "bob", "eve", "ADA", "nobody", "", " ", '"', "bob,x", '"eve"', "x" * 200]), max_size=14
    ),
    ends=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(1, 9),
)
def test_a_file_in_pieces_comes_to_what_its_lines_come_to(names: list[str], ends: str, size: int) -> None:
    """However the file is torn and cut, each line is looked at once, under its own number."""
    desk = ListDesk.of("ada", "bob", "eve")
    desk.shelf.size = size
    known = {"ada": "ada", "bob": "bob", "eve": "eve", "bob,x": "bob", '"eve"': "eve"}
    meant = [(number, known.get(name)) for number, name in enumerate(names, 1) if name.strip()]
    found = {account for _, account in meant if account}
    unknown = [number for number, account in meant if account is None and names[number - 1] not in ('"', "x" * 200)]

    made = desk.imported(ends.join(names))

    if not meant:
        assert made.failure is Failure.EMPTY
        return
    assert made.report is not None
    assert desk.members(made) == sorted(found)
    assert (
        made.report.lines
        == len(meant)
        == made.report.members
        + sum(getattr(made.report, flaw) for flaw in ("unknown", "malformed", "duplicates", "closed"))
    )
    assert list(desk.lists.examples(made.id).get(Flaw.UNKNOWN, ())) == unknown


# --- files of which nothing comes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "failure"),
    [
        (b"", Failure.EMPTY),
        (b"\n \r\n", Failure.EMPTY),
        (b"externalId\n", Failure.EMPTY),
        ("ada\nzoë\n".encode("latin-1"), Failure.NOT_TEXT),
        ("ada\n".encode("utf-16"), Failure.NOT_TEXT),
        (b"PK\x03\x04\x8f\xff", Failure.NOT_TEXT),
        (b"ada\n" + b"x" * (limits.LIST_LINE_BYTES_MAX + 1), Failure.LINE_TOO_LONG),
        (b"ada\n" + b"x" * (limits.LIST_LINE_BYTES_MAX + 1) + b"\n", Failure.LINE_TOO_LONG),
    ],
)
def test_a_file_that_is_no_list_fails_and_says_why(file: bytes, failure: Failure) -> None:
    desk = ListDesk.of("ada", shelf=lists_shelf())

    made = desk.imported(file)

    assert (made.status, made.failure, made.report) == (ListStatus.FAILED, failure, None)
    assert desk.members(made) == []
    assert desk.queue == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [limits.LIST_LINE_BYTES_MAX, limits.LIST_LINE_BYTES_MAX + 1])
def test_the_longest_line_has_so_many_bytes_without_its_end(end: bytes, size: int) -> None:
    desk = ListDesk.of("ada", shelf=lists_shelf())

    made = desk.imported(b"ada\n" + b"x" * size + end)

    failure = Failure.LINE_TOO_LONG if size > limits.LIST_LINE_BYTES_MAX else None
    assert (made.status is ListStatus.FAILED, made.failure) == (failure is not None, failure)


def lists_shelf() -> Any:
    from tests.domain.listing import Shelf

    return Shelf(size=5_000)


def test_a_file_with_too_many_lines_fails_and_one_with_just_as_many_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIST_LINES_MAX", 4)
    desk = ListDesk.of("ada")

    assert desk.imported("ada\n" * 4, key="1").status is ListStatus.READY
    assert desk.imported("ada\n" * 5, key="2").failure is Failure.TOO_MANY_LINES
    # Of those that are blank as well: it is lines that are read.
    assert desk.imported("ada\n" + "\n" * 4, key="3").failure is Failure.TOO_MANY_LINES


def test_a_file_that_is_replaced_or_gone_after_the_import_was_asked_for_fails() -> None:
    desk = ListDesk.of("ada", "bob")
    for key, after in (("1", b"bob\n"), ("2", None)):
        made = desk.create(key=f"c{key}").member_list
        desk.upload(made, "ada\n")
        desk.begin(made, key=key)
        if after is None:
            del desk.shelf.files[made.id]
        else:
            desk.upload(made, after)

        desk.work()

        ended = desk.lists.find(made.id)
        assert (ended.status, ended.failure) == (ListStatus.FAILED, Failure.CHANGED)
        assert desk.members(made) == []


@pytest.mark.usefixtures("small")
def test_no_more_examples_are_kept_than_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIST_EXAMPLES_MAX", 2)
    desk = ListDesk.of("ada")

    made = desk.imported("nobody\n" * 7 + "ada\n")

    assert made.report == report(lines=8, members=1, unknown=7)
    assert desk.lists.examples(made.id) == {Flaw.UNKNOWN: (1, 2)}


# --- however it goes ----------------------------------------------------------------------------------------------------

FILE = "ada\nnobody\nbob\nada\neve\n,\nkim\nbob\nlou\n"
NAMES = ("ada", "bob", "eve", "kim", "lou")
WANTED = Report(lines=9, members=5, unknown=1, duplicates=2, malformed=1)


class Killed(Exception):
    """The worker is gone, in the middle of what it did."""


class Mortal:
    """Lists whose `nth` write kills whoever makes it: before it happens, or right after."""

    WRITES = ("save", "keep_cut", "keep_part", "keep_page", "keep_examples")

    def __init__(self, inner: Any, nth: int, *, after: bool) -> None:
        self.inner = inner
        self.left = nth
        self.after = after

    def __getattr__(self, name: str) -> Any:
        act = getattr(self.inner, name)
        if name not in self.WRITES:
            return act

        def write(*arguments: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Killed
            answer = act(*arguments, **more)
            if self.left == 0:
                raise Killed
            return answer

        return write


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("nth", range(1, 10))
def test_whoever_dies_at_a_write_is_followed_by_one_who_ends_it(nth: int, after: bool) -> None:
    desk = ListDesk.of(*NAMES)
    made = desk.create().member_list
    desk.upload(made, FILE)
    desk.begin(made)
    alive = desk.lists
    desk.lists = Mortal(alive, nth, after=after)
    died = 0
    while desk.queue:
        turn = desk.queue[0]
        try:
            desk.take(turn)
        except Killed:
            # Its message comes again, to somebody else.
            died += 1
            desk.lists = alive
            assert alive.find(made.id).status is ListStatus.IMPORTING or after
            continue
        desk.queue.remove(turn)

    ended = alive.find(made.id)
    assert died == 1  # the cut, three parts, three pages, the examples and the list itself are nine writes
    assert (ended.status, ended.report) == (ListStatus.READY, WANTED)
    desk.lists = alive
    assert desk.members(ended) == sorted(NAMES)


@pytest.mark.usefixtures("small")
def test_messages_that_come_twice_late_and_out_of_order_change_nothing() -> None:
    desk = ListDesk.of(*NAMES)
    made = desk.create().member_list
    desk.upload(made, FILE)
    desk.begin(made)
    desk.take(Turn(made.id))
    turns = [each for each in desk.queue if each.part]
    desk.queue.clear()
    assert [turn.part for turn in turns] == [1, 2, 3]

    for turn in (*turns[::-1], *turns, Turn(made.id)):
        desk.take(turn)

    ended = desk.lists.find(made.id)
    assert (ended.status, ended.report, desk.members(ended)) == (ListStatus.READY, WANTED, sorted(NAMES))
    # Who joins later is not on it: it never changes.
    enroll(desk.store, "nobody", desk.now)
    desk.take(Turn(made.id))
    for turn in turns:
        desk.take(turn)
    assert desk.lists.find(made.id) == ended
    assert desk.members(ended) == sorted(NAMES)


@pytest.mark.usefixtures("small")
def test_two_workers_who_see_different_members_agree_on_what_was_written_first() -> None:
    desk = ListDesk.of(*NAMES)
    made = desk.create().member_list
    desk.upload(made, FILE)
    desk.begin(made)
    desk.take(Turn(made.id))
    desk.queue.clear()
    desk.lists.keep_part(made.id, Part(1, ("ADA", "-", "-")))  # to whom bob was no member yet

    for number in (3, 2, 1):
        desk.take(Turn(made.id, number))

    # He is named once more, in another part.
    assert desk.lists.find(made.id).report == replace(WANTED, unknown=2, duplicates=1)
    assert desk.members(made) == sorted(NAMES)


@pytest.mark.usefixtures("small")
def test_a_part_is_not_begun_without_time_and_nothing_is_lost_of_one_that_had_too_little() -> None:
    desk = ListDesk.of(*NAMES)
    made = desk.create().member_list
    desk.upload(made, FILE)
    desk.begin(made)
    desk.take(desk.queue.pop(0))

    desk.seconds_left = limits.LIST_PART_TIME.total_seconds() - 1
    desk.take(Turn(made.id, 1))
    assert desk.queue[-1] == Turn(made.id, 1)
    assert desk.lists.parts_kept(made.id) == frozenset()

    desk.seconds_left = 0
    with pytest.raises(OutOfTime):
        lists.resolving._looked_up(desk.tools, desk.lists.find(made.id), desk.lists.cut(made.id), 1)
    desk.seconds_left = 120
    desk.work()
    assert desk.lists.find(made.id).report == WANTED


@pytest.mark.usefixtures("small")
def test_a_list_at_which_something_goes_wrong_again_and_again_has_failed() -> None:
    desk = ListDesk.of(*NAMES)
    made = desk.create().member_list
    desk.upload(made, FILE)
    desk.begin(made)
    desk.take(desk.queue.pop(0))

    def broken(*_arguments: Any, **_more: Any) -> str:
        raise OutcomeUnknown("The store did not answer.")

    whole = desk.store.find_account
    desk.store.find_account = broken  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        desk.take(Turn(made.id, 1))
    assert desk.lists.find(made.id).status is ListStatus.IMPORTING
    desk.is_last = True
    with pytest.raises(OutcomeUnknown):
        desk.take(Turn(made.id, 1))
    desk.store.find_account = whole  # type: ignore[method-assign]

    ended = desk.lists.find(made.id)
    assert (ended.status, ended.failure) == (ListStatus.FAILED, Failure.GIVEN_UP)
    # Moving the message back later is safe.
    desk.is_last = False
    desk.work()
    desk.take(Turn(made.id, 1))
    assert desk.lists.find(made.id) == ended


@pytest.mark.usefixtures("small")
def test_an_end_that_somebody_was_in_the_way_of_is_written_by_the_next_who_comes() -> None:
    desk = ListDesk.of(*NAMES)
    made = desk.create().member_list
    desk.upload(made, FILE)
    desk.begin(made)
    desk.take(desk.queue.pop(0))
    for turn in desk.queue[:-1]:
        desk.take(turn)
    last = desk.queue[-1]
    desk.queue.clear()

    def busy(*_arguments: Any) -> None:
        raise Contended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.lists, "save", busy)
        with pytest.raises(OutcomeUnknown):
            desk.take(last)
    assert desk.lists.find(made.id).status is ListStatus.IMPORTING
    desk.take(last)

    assert desk.lists.find(made.id).report == WANTED


# --- messages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [Turn("L0001"), Turn("L0001", 1), Turn("L0001", 500)])
def test_a_turn_is_read_as_it_was_written(turn: Turn) -> None:
    assert turn_from(turn.text()) == turn


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"part":1}',
        '{"list":""}',
        '{"list":7}',
        '{"list":"L","part":0}',
        '{"list":"L","part":true}',
        '{"list":"L","part":501}',
        '{"list":"L","part":null}',
        '{"list":"L","more":1}',
        f'{{"list":"{"x" * 65}"}}',
    ],
)
def test_an_altered_message_is_no_turn(text: str) -> None:
    with pytest.raises(NotATurn):
        turn_from(text)


def test_a_turn_of_no_list_no_import_or_no_part_is_poison() -> None:
    desk = ListDesk.of("ada")
    waiting = desk.create().member_list
    other = desk.create(key="other").member_list
    desk.upload(other, "ada\n")
    desk.begin(other)
    desk.queue.clear()

    for turn in (Turn("nothing"), Turn(waiting.id), Turn(other.id, 2)):
        with pytest.raises(NotATurn):
            desk.take(turn)
    assert desk.lists.find(waiting.id) == waiting
    assert desk.lists.find(other.id).status is ListStatus.IMPORTING


# --- campaigns ----------------------------------------------------------------------------------------------------------


def test_a_campaign_means_a_list_that_is_ready_and_no_other() -> None:
    desk = Desk.of("ada", "bob", "eve")
    at_desk = ListDesk(store=desk.store)
    at_desk.lists = desk.lists
    waiting = at_desk.create().member_list

    def wanted(list_id: str) -> Any:
        return draft(audience=Audience(list_id=list_id))

    no = refused(lambda: desk.create(wanted("nothing")))
    assert (no.code, no.field) == ("LIST_NOT_FOUND", ("input", "audience", "listId"))
    assert refused(lambda: desk.create(wanted(waiting.id))).code == "LIST_NOT_READY"
    failed = at_desk.imported("", key="f")
    assert refused(lambda: desk.create(wanted(failed.id))).code == "LIST_NOT_READY"
    ready = at_desk.imported("ada\nnobody\neve\n", key="r")
    assert not desk.create(wanted(ready.id)).replayed


def test_a_campaign_of_a_list_gives_to_those_on_it_and_tells_of_those_who_have_left() -> None:
    desk = Desk.of("ada", "bob", "eve", "kim")
    at_desk = ListDesk(store=desk.store)
    at_desk.lists = desk.lists
    ready = at_desk.imported("ada\neve\nkim\n")
    close(desk.store, "kim", desk.now, key="close")

    campaign = desk.launched(audience=Audience(list_id=ready.id))
    desk.work()

    assert desk.results(campaign) == {
        "ada": MemberOutcome.APPLIED,
        "bob": None,
        "eve": MemberOutcome.APPLIED,
        "kim": MemberOutcome.CLOSED,
    }
    assert desk.given(campaign) == {"ada": 100, "eve": 100}
