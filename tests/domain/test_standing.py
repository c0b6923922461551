"""Blocking, unblocking and closing: what an account may do is judged under the same lock as its points."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from domain import access, ledger, members, purchases, standing
from domain.access import Actor, Role
from domain.accounts import DEBT, Line, Status
from domain.entries import EntryKind, Explanation
from domain.ledger import Outcome
from domain.members import AlreadyEnrolled, Lookup, Profile
from domain.refusals import (
    HoldsOpen,
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
)
from domain.standing import AlreadyBlocked, NotBlocked
from domain.store import Contended
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    ADA,
    BOB,
    ISSUER,
    MANAGER,
    PROGRAM,
    TILL,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    basket,
    block,
    buy,
    close,
    contents,
    day,
    draft,
    enroll,
    external,
    give_back,
    head_of,
    hold,
    merge,
    program,
    redeem,
    refuses,
    release,
    unblock,
    unchanged,
    update,
)

NOW = at("2026-01-10")
LATER = NOW + timedelta(days=1)
BY_ID = Lookup("id", "ADA")


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada, who enrolled herself and holds 100 points, in a store that is up to date and in one that always comes late."""
    return furnished(request.param())


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    furnished(made)
    return made


def furnished(store: Memory) -> Memory:
    enroll(store, "ada", NOW, actor=ADA, email="ada@example.org", card_number="C-1")
    buy(store, "ada", 10_000, NOW, receipt="1")
    return store


def status(store: Memory) -> Status:
    return head_of(store, "ADA").state.status


def checked(store: Memory) -> Memory:
    for log in store._logs.values():
        books.check(log, ZONE)
        books.check_due(log, store.due)
    return store


def join(store: Memory, account: str, *, actor: Actor = TILL, **who: str) -> str:
    """Enrolls somebody under a key of their own."""
    profile = Profile(NOW, **who)
    return members.enroll(
        store, PROGRAM, actor=actor, idempotency_key=account, profile=profile, account=account, now=NOW
    ).account


Turn = Callable[..., Outcome]


# --- blocked ----------------------------------------------------------------------------------------------------------


def test_a_block_is_an_entry_with_its_reason_and_moves_nothing(store: Memory) -> None:
    before = head_of(store, "ADA").state

    outcome = block(store, "ada", LATER, key="k", reason="CARD_STOLEN")

    entry = outcome.entry
    assert (entry.kind, entry.lines, entry.points, entry.balance_after) == (EntryKind.BLOCK, (), 0, 100)
    assert entry.explanation == (Explanation("block:CARD_STOLEN", 0),)
    assert (entry.reason, entry.actor, entry.at, entry.note) == ("CARD_STOLEN", MANAGER.id, LATER, None)
    assert outcome.record.state == replace(before, at=LATER, status=Status.BLOCKED)
    checked(store)


def test_who_is_blocked_neither_spends_nor_earns_and_no_receipt_is_lost(store: Memory) -> None:
    block(store, "ada", NOW, key="k")

    for actor in (TILL, ADA):
        with refuses(store, MemberBlocked, "input", "member"):
            redeem(store, "ada", "latte", NOW, key="r", actor=actor)
    bought = buy(store, "ada", 5_000, NOW, receipt="2").entry
    assert (bought.points, bought.explanation) == (0, (Explanation(purchases.BLOCKED, 0, 5_000),))
    shown = purchases.preview(store, PROGRAM, actor=TILL, member=external("ada"), basket=basket(5_000, NOW), now=NOW)
    assert (shown.entry.points, shown.balance) == (0, 100)
    assert adjust(store, "ada", -30, NOW, key="a").record.state.balance == 70
    checked(store)


def test_time_goes_on_for_who_is_blocked(store: Memory) -> None:
    adjust(store, "ada", 5, NOW, key="a", program=program(expiry={"days": 1, "rounding": "day"}))
    block(store, "ada", NOW, key="k")

    assert ledger.current(head_of(store, "ADA"), NOW + timedelta(days=2), PROGRAM).state.balance == 100


def test_who_is_unblocked_is_as_before_and_what_was_bought_meanwhile_earned_nothing(store: Memory) -> None:
    block(store, "ada", NOW, key="k1")
    buy(store, "ada", 5_000, NOW, receipt="2")

    entry = unblock(store, "ada", LATER, key="k2", reason="WAS_US").entry

    assert (entry.kind, entry.lines, entry.reason) == (EntryKind.UNBLOCK, (), "WAS_US")
    assert entry.explanation == (Explanation("unblock:WAS_US", 0),)
    assert redeem(store, "ada", "latte", LATER, key="r").record.state.balance == 60
    assert buy(store, "ada", 5_000, NOW, receipt="2").entry.points == 0
    checked(store)


def test_an_account_can_be_blocked_again_and_again(store: Memory) -> None:
    for number in range(3):
        block(store, "ada", NOW, key=f"b{number}")
        unblock(store, "ada", NOW, key=f"u{number}")

    assert status(store) is Status.ACTIVE
    checked(store)


@pytest.mark.parametrize(("turn", "refusal"), [(block, AlreadyBlocked), (unblock, NotBlocked)])
def test_what_is_so_already_is_refused_and_stays_refused(store: Memory, turn: Turn, refusal: type) -> None:
    if turn is block:
        block(store, "ada", NOW, key="first")
    with refuses(store, refusal, "input", "member"):
        turn(store, "ada", NOW, key="k")
    (unblock if turn is block else block)(store, "ada", NOW, key="second")

    with refuses(store, refusal, "input", "member", replayed=True):
        turn(store, "ada", LATER, key="k")


@pytest.mark.parametrize("turn", [block, unblock, close])
def test_a_turn_is_taken_once_and_answered_as_before(store: Memory, turn: Turn) -> None:
    if turn is unblock:
        block(store, "ada", NOW, key="b")
    first = turn(store, "ada", NOW, key="k", note="Seen on camera.")

    with unchanged(store):
        again = turn(store, "ada", LATER, key="k", note=" Seen on camera.\n")

    assert again == replace(first, replayed=True)
    for more in ({"reason": "OTHER"}, {"note": None}, {"note": "Seen on tape."}):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            turn(store, "ada", NOW, **{"key": "k", "note": "Seen on camera.", **more})


def test_one_key_is_not_a_block_and_an_unblock(store: Memory) -> None:
    block(store, "ada", NOW, key="k", reason="SAME")

    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        unblock(store, "ada", NOW, key="k", reason="SAME")


@pytest.mark.parametrize("turn", [block, unblock, close])
def test_a_turn_needs_a_key_a_reason_and_a_member(store: Memory, turn: Turn) -> None:
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        turn(store, "nobody", NOW, key=" ", reason="")
    with refuses(store, InvalidText, "input", "reason"):
        turn(store, "nobody", NOW, key="k", reason="because", note="")
    with refuses(store, InvalidText, "input", "note"):
        turn(store, "nobody", NOW, key="k", note="")
    with refuses(store, MemberNotFound, "input", "member"):
        turn(store, "nobody", NOW, key="k")


def test_a_redemption_that_races_a_block_is_refused_or_came_first(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: block(interrupted, "ada", NOW, key="k"))

    with pytest.raises(MemberBlocked):
        redeem(interrupted, "ada", "latte", NOW, key="r")

    assert head_of(interrupted, "ADA").state.balance == 100
    unblock(interrupted, "ada", NOW, key="u")
    with refuses(interrupted, MemberBlocked, "input", "member", replayed=True):
        redeem(interrupted, "ada", "latte", NOW, key="r")
    checked(interrupted)


def test_200_redemptions_and_a_block_at_once() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", 800_000, NOW, receipt="1")

    answers = at_once(
        [
            *(lambda number=number: redeem(store, "ada", "latte", NOW, key=str(number)) for number in range(200)),
            lambda: block(store, "ada", NOW, key="b"),
        ]
    )

    done = sum(isinstance(answer, Outcome) for answer in answers[:-1])
    assert sum(isinstance(answer, MemberBlocked) for answer in answers[:-1]) == 200 - done
    assert isinstance(answers[-1], Outcome)
    assert head_of(checked(store), "ADA").state.balance == 8_000 - 40 * done
    log = store._logs["ADA"]
    after = log[answers[-1].record.seq :]
    assert all(entry.kind is EntryKind.REFUSED for record in after for entry in record.entries)


def test_20_blocks_at_once_are_one(store: Memory) -> None:
    answers = at_once([lambda number=number: block(store, "ada", NOW, key=str(number)) for number in range(20)])

    assert sum(isinstance(answer, Outcome) for answer in answers) == 1
    assert sum(isinstance(answer, AlreadyBlocked) for answer in answers) == 19
    assert [entry.kind for record in store._logs["ADA"] for entry in record.entries].count(EntryKind.BLOCK) == 1


# --- closed -----------------------------------------------------------------------------------------------------------


def test_what_is_left_goes_with_visible_lines(store: Memory) -> None:
    buy(store, "ada", 700, NOW, receipt="2", program=program(pending={"days": 14}))
    adjust(store, "ada", 5, NOW, key="a", program=program(expiry={}))

    outcome = close(store, "ada", LATER, key="k", reason="MOVED_AWAY")

    entry = outcome.entry
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.CLOSURE, -112, 0)
    assert entry.lines[0] == Line(day("2028-01-31"), -100)
    assert sorted(line.points for line in entry.lines) == [-100, -7, -5]
    assert entry.explanation == (Explanation("closure:MOVED_AWAY", -112),)
    assert (entry.reason, entry.actor) == ("MOVED_AWAY", MANAGER.id)
    state = outcome.record.state
    assert (state.status, state.worth, state.buckets, state.pending) == (Status.CLOSED, 0, {}, {})
    checked(store)
    later = ledger.current(outcome.record, LATER + timedelta(days=4_000), PROGRAM)
    assert (later.entries, later.state) == ((), state)


def test_a_debt_is_written_off_by_a_line_of_its_own(store: Memory) -> None:
    terms = program(returns={"policy": "debt"}).terms
    redeem(store, "ada", "latte", NOW, key="r")
    give_back(store, "1", NOW, key="all", terms=terms)
    buy(store, "ada", 700, NOW, receipt="2", program=program(pending={"days": 14}))
    assert (head_of(store, "ADA").state.debt, head_of(store, "ADA").state.balance) == (40, 0)

    entry = close(store, "ada", NOW, key="k").entry

    assert entry.lines[-1] == Line(DEBT, 40)
    assert entry.explanation == (Explanation("closure:LEFT", -7), Explanation(standing.WRITTEN_OFF, 40))
    assert (entry.points, head_of(store, "ADA").state.worth, head_of(store, "ADA").state.debt) == (33, 0, 0)
    checked(store)


def test_an_empty_account_closes_without_a_line() -> None:
    store = Memory()
    enroll(store, "ada", NOW)

    entry = close(store, "ada", NOW, key="k").entry

    assert (entry.lines, entry.points, entry.explanation) == ((), 0, (Explanation("closure:LEFT", 0),))
    checked(store)


def test_points_that_expired_before_the_closure_expired_and_were_not_forfeited(store: Memory) -> None:
    adjust(store, "ada", 5, NOW, key="a", program=program(expiry={"days": 1, "rounding": "day"}))

    record = close(store, "ada", NOW + timedelta(days=3), key="k").record

    assert [entry.kind for entry in record.entries] == [EntryKind.EXPIRY, EntryKind.CLOSURE]
    assert [entry.points for entry in record.entries] == [-5, -100]


def test_a_closed_account_refuses_everything(store: Memory) -> None:
    closing = {"reason": "LEFT", "note": None}
    close(store, "ada", NOW, key="k")
    at_id = {"actor": MANAGER, "member": BY_ID, "now": NOW}
    basket_of = basket(500, NOW)

    for call in (
        lambda: purchases.record(store, PROGRAM, source="t", external_id="9", basket=basket_of, **at_id),
        lambda: standing.block(store, PROGRAM, idempotency_key="1", **at_id, **closing),
        lambda: standing.unblock(store, PROGRAM, idempotency_key="2", **at_id, **closing),
        lambda: standing.close(store, PROGRAM, idempotency_key="3", **at_id, **closing),
    ):
        with refuses(store, MemberClosed, "input", "member"):
            call()
    assert status(store) is Status.CLOSED


def test_who_left_can_come_back_as_somebody_new(store: Memory) -> None:
    """Everything that led to them is free from the same moment on; what they were stays readable for support."""
    close(store, "", NOW, key="k", actor=ADA)

    assert members.own_account(store, ADA) is None
    for lookup in (external("ada"), Lookup("email", "ada@example.org"), Lookup("card", "C-1")):
        with pytest.raises(MemberNotFound):
            members.resolve(store, actor=MANAGER, by=lookup, field=("by",))
    kept = contents(store).profiles["ADA"]
    assert (kept.email, kept.card_number) == ("ada@example.org", "C-1")
    join(store, "NEW", actor=ADA, external_id="ada", email="ada@example.org", card_number="C-1")

    assert members.own_account(store, ADA) == "NEW"
    assert head_of(store, "NEW").state.worth == 0
    # The old account is still there, and still closed.
    with refuses(store, MemberClosed, "input", "member"):
        close(store, "", LATER, key="k2", member=BY_ID)
    with unchanged(store):
        assert close(store, "", LATER, key="k", actor=replace(ADA, account="ADA")).replayed
    checked(store)


def test_the_retry_of_a_closure_is_answered_though_its_author_is_nobody_now(store: Memory) -> None:
    first = close(store, "", NOW, key="k", actor=ADA)

    with unchanged(store):
        assert close(store, "", LATER, key="k", actor=ADA) == replace(first, replayed=True)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        close(store, "", LATER, key="k", actor=ADA, reason="OTHER")
    with refuses(store, MemberNotFound, "input", "member"):
        close(store, "", LATER, key="k2", actor=ADA)


def test_a_late_retry_never_closes_the_account_of_who_came_back(store: Memory) -> None:
    close(store, "", NOW, key="k", actor=ADA)
    join(store, "NEW", actor=ADA, external_id="ada")

    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        close(store, "", LATER, key="k", actor=ADA)
    assert head_of(store, "NEW").state.status is Status.ACTIVE


def test_a_key_of_the_same_subject_at_another_issuer_tells_nothing(store: Memory) -> None:
    redeem(store, "", "latte", NOW, key="r", actor=ADA, code="SECRET")
    close(store, "", NOW, key="k", actor=ADA)
    other = access.actor(Role.MEMBER, issuer="https://other.example", subject=ADA.subject)
    assert other.id == ADA.id

    with refuses(store, MemberNotFound, "input", "member"):
        redeem(store, "", "latte", NOW, key="r", actor=other)
    with unchanged(store):
        assert redeem(store, "", "latte", NOW, key="r", actor=ADA).entry.code == "SECRET"


def test_a_login_whose_token_names_the_account_stays_with_the_closed_one(store: Memory) -> None:
    named = access.actor(Role.MEMBER, issuer=ISSUER, subject="elsewhere", account="ADA")
    close(store, "", NOW, key="k", actor=named)

    with refuses(store, MemberClosed, "input", "member"):
        redeem(store, "", "latte", NOW, key="r", actor=named)
    with refuses(store, AlreadyEnrolled):
        join(store, "B", actor=named, email="x@example.org")


def test_what_led_to_an_account_that_was_merged_into_a_closed_one_stays_taken(store: Memory) -> None:
    """The merge may be undone: whoever the merged account is of then needs it."""
    enroll(store, "old", NOW, email="old@example.org")
    merge(store, "old", "ada", NOW, key="m")

    assert close(store, "old", NOW, key="k").record.account == "ADA"

    with refuses(store, AlreadyEnrolled, "input", "externalId"):
        join(store, "OLD2", external_id="old")
    with refuses(store, MemberClosed, "input", "member"):
        redeem(store, "old", "latte", NOW, key="r")
    assert join(store, "NEW", external_id="ada") == "NEW"


def test_members_end_their_own_membership_only(store: Memory) -> None:
    enroll(store, "bob", NOW, actor=BOB)

    for member in (external("ada"), BY_ID, external("nobody")):
        with refuses(store, MemberNotFound, "input", "member"):
            close(store, "", NOW, key="k", actor=BOB, member=member)
    assert close(store, "", NOW, key="k", actor=BOB).record.account == "BOB"
    with refuses(store, MemberNotFound, "input", "member") as refused:
        standing.close(
            store, PROGRAM, actor=MANAGER, idempotency_key="k", member=None, reason="LEFT", note=None, now=NOW
        )
    assert refused.value.message == "Name the member."


def test_nobody_leaves_a_block_behind_by_leaving(store: Memory) -> None:
    block(store, "ada", NOW, key="b")

    with refuses(store, MemberBlocked, "input", "member"):
        close(store, "", NOW, key="k", actor=ADA)
    assert close(store, "ada", NOW, key="k").record.state.status is Status.CLOSED


def test_an_account_is_not_closed_over_what_a_till_holds(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")

    for number, actor in enumerate((MANAGER, ADA)):
        with refuses(store, HoldsOpen, "input", "member") as refused:
            close(store, "ada", NOW, key=f"k{number}", actor=actor)
        assert refused.value.message == "30 points are set aside by a till; capture or release them first."
    release(store, held, NOW, key="r")
    with refuses(store, HoldsOpen, "input", "member", replayed=True):
        close(store, "ada", NOW, key="k0")

    assert close(store, "ada", NOW, key="k").entry.points == -100
    checked(store)


def test_a_hold_that_has_lapsed_is_no_obstacle(store: Memory) -> None:
    hold(store, "ada", 30, NOW, key="h")

    record = close(store, "ada", LATER, key="k").record

    assert [entry.kind for entry in record.entries] == [EntryKind.LAPSE, EntryKind.CLOSURE]
    assert record.entries[-1].points == -100
    checked(store)


# --- races ------------------------------------------------------------------------------------------------------------


def test_points_that_come_while_an_account_is_closed_go_with_it_or_are_refused(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: buy(interrupted, "ada", 500, NOW, receipt="2"))

    assert close(interrupted, "ada", NOW, key="k").entry.points == -105

    checked(interrupted)


def test_who_spends_while_the_account_is_closed_is_refused_for_good(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: close(interrupted, "ada", NOW, key="k"))

    with pytest.raises(MemberClosed):
        redeem(interrupted, "ada", "latte", NOW, key="r")

    last = head_of(interrupted, "ADA")
    assert (last.entries[-1].kind, last.state.worth) == (EntryKind.REFUSED, 0)
    with refuses(interrupted, MemberClosed, "input", "member", replayed=True):
        redeem(interrupted, "ada", "latte", LATER, key="r")
    checked(interrupted)


def test_a_contact_that_comes_while_an_account_is_closed_is_given_up_with_it(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: update(interrupted, "ada", NOW, key="u", phone="+15551234567"))

    close(interrupted, "ada", NOW, key="k")

    assert contents(interrupted).lookups == {}


def test_a_closure_whose_caller_died_after_the_claim_is_made_by_the_retry(interrupted: Interrupted) -> None:
    def die() -> None:
        interrupted.before_append.append(die)
        raise Contended

    interrupted.before_append.append(die)
    with pytest.raises(OutcomeUnknown):
        close(interrupted, "", NOW, key="k", actor=ADA, note="Too much mail.")
    interrupted.before_append.clear()
    assert status(interrupted) is Status.ACTIVE

    assert not close(interrupted, "", LATER, key="k", actor=ADA, note="Too much mail.").replayed
    assert close(interrupted, "", LATER, key="k", actor=ADA, note="Too much mail.").replayed
    checked(interrupted)


def test_a_closure_among_purchases_and_redemptions_at_once_leaves_nothing(store: Memory) -> None:
    answers = at_once(
        [
            *(lambda number=number: buy(store, "ada", 500, NOW, receipt=f"b{number}") for number in range(20)),
            *(lambda number=number: redeem(store, "ada", "cookie", NOW, key=f"r{number}") for number in range(20)),
            lambda: close(store, "ada", NOW, key="k"),
        ]
    )

    assert isinstance(answers[-1], Outcome)
    refused = [answer for answer in answers if not isinstance(answer, Outcome)]
    # Who came after the look-ups were given up found nobody.
    assert all(isinstance(each, MemberClosed | MemberNotFound | InsufficientPoints) for each in refused)
    head = head_of(checked(store), "ADA")
    assert (head.state.worth, head.state.status) == (0, Status.CLOSED)


def test_20_who_want_to_come_back_at_once_are_one(store: Memory) -> None:
    close(store, "", NOW, key="k", actor=ADA)

    answers = at_once(
        [lambda number=number: join(store, f"NEW{number}", actor=ADA, email="ada@example.org") for number in range(20)]
    )

    assert sum(isinstance(answer, AlreadyEnrolled) for answer in answers) == 19


def test_the_note_of_a_turn_is_kept_apart_from_it(store: Memory) -> None:
    outcome = block(store, "ada", NOW, key="k", note="Called twice,\r\nsounded like two people.")

    digest = outcome.entry.note
    assert digest is not None
    note = store.note("ADA", digest)
    assert note is not None
    assert note.text == "Called twice,\nsounded like two people."
    assert "Called" not in repr(contents(store).logs) + repr(contents(store).claims)
    sent = draft("x")
    assert sent is not None
    assert note.salt == sent.salt
