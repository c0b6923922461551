"""Changing who a member is known as: the profile and the ways to find them move together, once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import ledger, limits, members, profiles
from domain.access import Actor, Role
from domain.accounts import Status
from domain.entries import EntryKind, Explanation, caller_key
from domain.members import (
    AlreadyEnrolled,
    FieldReserved,
    InvalidBirthday,
    InvalidEmail,
    InvalidPhone,
    Lookup,
    Profile,
    TooManyTags,
)
from domain.moments import Birthday
from domain.notices import Consent
from domain.profiles import Changes, LastContact, TagAddedAndRemoved
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
)
from domain.store import Contended
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    ADA,
    BOB,
    MANAGER,
    PROGRAM,
    TILL,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    block,
    buy,
    close,
    contents,
    day,
    enroll,
    external,
    head_of,
    merge,
    program,
    redeem,
    refuses,
    unchanged,
    unmerge,
    update,
)

NOW = at("2026-01-10")
LATER = NOW + timedelta(days=1)
EMAIL, PHONE = "ada@example.org", "+15551234567"


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada, who enrolled herself, in a store that is up to date and in one whose cheap reads always come late."""
    made: Memory = request.param()
    enroll(made, "ada", NOW, actor=ADA, email=EMAIL, name="Ada")
    return made


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    enroll(made, "ada", NOW, actor=ADA, email=EMAIL, name="Ada")
    return made


def found(store: Memory, kind: str, value: str) -> str | None:
    try:
        return members.resolve(store, actor=MANAGER, by=Lookup(kind, value), field=("by",))
    except MemberNotFound:
        return None


def profile(store: Memory, account: str = "ADA") -> Profile:
    return contents(store).profiles[account]


def checked(store: Memory) -> Memory:
    """The books are right, and every look-up leads to whoever has it in their profile, and nothing else does."""
    kept = contents(store)
    for log in kept.logs.values():
        books.check(log, ZONE)
    living = {account for account, log in kept.logs.items() if log[-1].state.status is not Status.CLOSED}
    assert kept.lookups == {
        lookup: account for account in living for lookup in members.lookups_of(kept.profiles[account])
    }
    return store


# --- what changes -----------------------------------------------------------------------------------------------------


def test_what_is_given_changes_and_what_is_not_stays(store: Memory) -> None:
    outcome = update(store, "ada", LATER, key="k", email=" Ada@New.example ", phone="+1 (555) 123-4567", reason="MOVED")

    assert profile(store) == Profile(NOW, "Ada", "ada", "ada@new.example", PHONE, login=members.subject_of(ADA).value)
    assert (found(store, "email", "ada@new.example"), found(store, "phone", PHONE)) == ("ADA", "ADA")
    assert (found(store, "email", EMAIL), found(store, "external", "ada")) == (None, "ADA")
    entry = outcome.entry
    assert (entry.kind, entry.lines, entry.points, entry.reason) == (EntryKind.UPDATE, (), 0, "MOVED")
    assert (entry.actor, entry.at, outcome.record.seq) == (MANAGER.id, LATER, 2)
    assert entry.explanation == (Explanation("changed:email", 0), Explanation("changed:phone", 0))
    checked(store)


def test_the_ledger_never_tells_what_it_was_or_is(store: Memory) -> None:
    update(store, "ada", NOW, key="k", email="new@example.org", phone=PHONE, name="Augusta", card_number="C-77")

    told = repr(contents(store).logs) + repr(contents(store).claims)
    for value in (EMAIL, "new@example.org", PHONE, "Augusta", "C-77"):
        assert value not in told


def test_null_clears(store: Memory) -> None:
    outcome = update(store, "ada", NOW, key="k", email=None, name=None)

    assert (profile(store).email, profile(store).name, found(store, "email", EMAIL)) == (None, None, None)
    assert [line.rule for line in outcome.entry.explanation] == ["changed:name", "changed:email"]


@pytest.mark.parametrize("changes", [{}, {"email": EMAIL.upper()}, {"phone": None}, {"name": " Ada"}])
def test_what_changes_nothing_is_an_entry_that_says_so(store: Memory, changes: dict[str, str | None]) -> None:
    before = profile(store)

    outcome = update(store, "ada", NOW, key="k", **changes)

    assert (outcome.entry.kind, outcome.entry.explanation, profile(store)) == (EntryKind.UPDATE, (), before)
    with unchanged(store):
        assert update(store, "ada", LATER, key="k", **changes) == replace(outcome, replayed=True)


def test_points_and_their_dates_stay(store: Memory) -> None:
    state = buy(store, "ada", 5_000, NOW, receipt="1").record.state

    after = update(store, "ada", LATER, key="k", name="Augusta").record.state

    assert after == replace(state, at=LATER)


def test_a_contact_that_is_given_up_is_free_at_once(store: Memory) -> None:
    update(store, "ada", NOW, key="k", email="new@example.org")

    enroll(store, "bob", NOW, email=EMAIL)
    update(store, "bob", NOW, key="k2", email=None)
    update(store, "ada", NOW, key="k3", email=EMAIL)

    assert found(store, "email", EMAIL) == "ADA"
    checked(store)


def test_all_of_it_can_be_given_up_for_one_new_contact(store: Memory) -> None:
    update(store, "ada", NOW, key="k", email=None, external_id=None, phone=PHONE)

    assert (found(store, "external", "ada"), found(store, "phone", PHONE)) == (None, "ADA")
    assert members.own_account(store, ADA) == "ADA"
    checked(store)


def test_members_change_what_they_say_of_themselves(store: Memory) -> None:
    outcome = update(store, "", NOW, key="k", actor=ADA, email="new@example.org", name=None, phone=PHONE)

    assert (outcome.record.account, outcome.entry.actor) == ("ADA", ADA.id)
    assert (profile(store).email, profile(store).phone) == ("new@example.org", PHONE)


def test_the_profile_that_changes_is_that_of_the_account_a_merged_one_lives_on_in(store: Memory) -> None:
    enroll(store, "old", NOW, email="old@example.org")
    merge(store, "old", "ada", NOW, key="m")

    outcome = update(store, "old", NOW, key="k", name="Augusta")

    assert (outcome.record.account, profile(store).name, profile(store, "OLD").name) == ("ADA", "Augusta", None)
    # What led to the merged account still leads to it, and so is not free: the merge may be undone.
    with refuses(store, AlreadyEnrolled, "input", "email"):
        update(store, "ada", NOW, key="k2", email="old@example.org")


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_retry_is_answered_as_before_though_the_profile_went_on(store: Memory) -> None:
    first = update(store, "ada", NOW, key="k", email="one@example.org")
    update(store, "ada", NOW, key="k2", email="two@example.org")
    enroll(store, "bob", NOW, email="one@example.org")

    with unchanged(store):
        again = update(store, "ada", LATER, key="k", email="ONE@example.org")

    assert again == replace(first, replayed=True)


def test_a_refusal_is_final_though_the_contact_is_free_again(store: Memory) -> None:
    enroll(store, "bob", NOW, email="bob@example.org")
    with refuses(store, AlreadyEnrolled, "input", "email") as refused:
        update(store, "ada", NOW, key="k", email="bob@example.org")
    assert refused.value.message == "A member with this email is enrolled already."
    update(store, "bob", NOW, key="k2", email=None)

    with refuses(store, AlreadyEnrolled, "input", "email", replayed=True):
        update(store, "ada", LATER, key="k", email="bob@example.org")


def test_one_key_is_one_change(store: Memory) -> None:
    enroll(store, "bob", NOW)
    update(store, "ada", NOW, key="k", name="Augusta", phone=None)

    for name, changes in (
        ("ada", {"name": "Augusta"}),
        ("ada", {"name": None, "phone": None}),
        ("ada", {"name": "Augusta", "phone": PHONE}),
        ("ada", {"name": "Augusta", "phone": None, "email": EMAIL}),
        ("bob", {"name": "Augusta", "phone": None}),
    ):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            update(store, name, NOW, key="k", **changes)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        update(store, "ada", NOW, key="k", name="Augusta", phone=None, reason="MOVED")


def test_whoever_was_named_by_what_they_gave_up_is_answered_as_before(store: Memory) -> None:
    """A till that has not heard of the change sends again what it sent: the key knows whose it was."""
    by_email = Lookup("email", EMAIL)
    bought = buy(store, "ada", 5_000, NOW, receipt="1")
    update(store, "ada", NOW, key="k", external_id="lovelace")
    given = profiles.update(
        store,
        PROGRAM,
        actor=TILL,
        idempotency_key="k",
        member=by_email,
        changes=Changes({"email": None}),
        reason=None,
        now=NOW,
    )

    with unchanged(store):
        assert buy(store, "ada", 5_000, LATER, receipt="1", occurred_at=NOW) == replace(bought, replayed=True)
        again = profiles.update(
            store,
            PROGRAM,
            actor=TILL,
            idempotency_key="k",
            member=by_email,
            changes=Changes({"email": None}),
            reason=None,
            now=NOW,
        )
    assert again == replace(given, replayed=True)
    for call in (
        lambda: buy(store, "ada", 5_000, NOW, receipt="2"),
        lambda: redeem(store, "ada", "latte", NOW, key="r"),
        lambda: adjust(store, "ada", 1, NOW, key="a"),
    ):
        with refuses(store, MemberNotFound, "input", "member"):
            call()
    with refuses(store, IdempotencyKeyReused, "input", "externalId"):
        buy(store, "ada", 5_001, NOW, receipt="1")


def test_the_new_owner_of_a_contact_does_not_get_what_a_retry_was_about(store: Memory) -> None:
    bought = buy(store, "ada", 5_000, NOW, receipt="1")
    update(store, "ada", NOW, key="k", external_id="lovelace")
    members.enroll(
        store,
        PROGRAM,
        actor=TILL,
        idempotency_key="e",
        profile=Profile(NOW, external_id="ada"),
        account="OTHER",
        now=NOW,
    )

    with unchanged(store):
        assert buy(store, "ada", 5_000, NOW, receipt="1") == replace(bought, replayed=True)


# --- what is refused, in this order -----------------------------------------------------------------------------------


def test_a_change_needs_a_key_and_a_reason_is_a_code(store: Memory) -> None:
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        update(store, "nobody", NOW, key="", reason="", email="nonsense")
    with refuses(store, InvalidText, "input", "reason"):
        update(store, "nobody", NOW, key="k", reason="just so", email="nonsense")


@pytest.mark.parametrize(
    ("name", "field", "value", "refusal"),
    [
        ("name", "name", "", InvalidText),
        ("name", "name", "n" * (limits.NAME_LENGTH_MAX + 1), InvalidText),
        ("email", "email", "a\x00b@c.de", InvalidText),
        ("email", "email", "ada", InvalidEmail),
        ("phone", "phone", "5551234", InvalidPhone),
        ("card_number", "cardNumber", " ", InvalidText),
        ("external_id", "externalId", "x" * (limits.EXTERNAL_ID_LENGTH_MAX + 1), InvalidText),
        ("home_location", "homeLocation", "", InvalidText),
        ("home_location", "homeLocation", "h" * (limits.LABEL_LENGTH_MAX + 1), InvalidText),
    ],
)
def test_new_texts_have_the_form_of_those_enrolled(
    store: Memory, name: str, field: str, value: str, refusal: type[Refusal]
) -> None:
    with refuses(store, refusal, "input", field):
        update(store, "nobody", NOW, key="k", **{name: value})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"card_number": "C-1"}, "cardNumber"),
        ({"card_number": None}, "cardNumber"),
        ({"external_id": "grace"}, "externalId"),
        ({"external_id": None, "name": "A"}, "externalId"),
    ],
)
def test_members_do_not_change_what_the_shop_gave_them(
    store: Memory, changes: dict[str, str | None], field: str
) -> None:
    for actor in (ADA, BOB):
        with refuses(store, FieldReserved, "input", field):
            update(store, "", NOW, key="k", actor=actor, **changes)
    for number, actor in enumerate((TILL, MANAGER)):
        update(store, "ada", NOW, key=f"k{number}", actor=actor, card_number=f"C-{number}")


def test_nobody_is_changed_under_an_unknown_name_and_members_change_only_themselves(store: Memory) -> None:
    enroll(store, "bob", NOW, actor=BOB)
    with refuses(store, MemberNotFound, "input", "member"):
        update(store, "nobody", NOW, key="k", name="A")
    for lookup in (external("ada"), Lookup("id", "ADA"), external("nobody")):
        with refuses(store, MemberNotFound, "input", "member"):
            profiles.update(
                store,
                PROGRAM,
                actor=BOB,
                idempotency_key="k",
                member=lookup,
                changes=Changes({"name": "A"}),
                reason=None,
                now=NOW,
            )
    with refuses(store, MemberNotFound, "input", "member") as refused:
        profiles.update(
            store,
            PROGRAM,
            actor=TILL,
            idempotency_key="k",
            member=None,
            changes=Changes({"name": "A"}),
            reason=None,
            now=NOW,
        )
    assert refused.value.message == "Name the member."


def test_a_closed_account_stays_as_it_was(store: Memory) -> None:
    close(store, "ada", NOW, key="c")

    with refuses(store, MemberClosed, "input", "member"):
        profiles.update(
            store, PROGRAM, actor=MANAGER, idempotency_key="k", member=Lookup("id", "ADA"), changes=Changes({"name": "A"}),
            reason=None, now=NOW,
        )  # fmt: skip


def test_a_blocked_account_is_changed_by_the_shop_and_not_by_whoever_is_logged_in(store: Memory) -> None:
    block(store, "ada", NOW, key="b")

    with refuses(store, MemberBlocked, "input", "member"):
        update(store, "", NOW, key="k", actor=ADA, email="thief@example.org")
    update(store, "ada", NOW, key="k", email="rescued@example.org")
    assert head_of(store, "ADA").state.status is Status.BLOCKED


def test_the_last_contact_stays(store: Memory) -> None:
    update(store, "ada", NOW, key="k1", external_id=None)

    for actor, name in ((MANAGER, "email"), (ADA, "email")):
        with refuses(store, LastContact, "input"):
            profiles.update(
                store, PROGRAM, actor=actor, idempotency_key="k2", member=Lookup("id", "ADA"), changes=Changes({name: None}),
                reason=None, now=NOW,
            )  # fmt: skip
    assert found(store, "email", EMAIL) == "ADA"


@pytest.mark.parametrize(
    ("who", "field"),
    [
        ({"external_id": "bob"}, "externalId"),
        ({"email": "bob@example.org"}, "email"),
        ({"phone": "+15550001111"}, "phone"),
        ({"card_number": "B-1"}, "cardNumber"),
    ],
)
def test_what_somebody_else_has_cannot_be_taken(store: Memory, who: dict[str, str], field: str) -> None:
    enroll(store, "bob", NOW, email="bob@example.org", phone="+15550001111", card_number="B-1")

    with refuses(store, AlreadyEnrolled, "input", field):
        update(store, "ada", NOW, key="k", **{"name": "Augusta", "phone": PHONE, **who})

    # Not even what was free has changed.
    assert (profile(store).name, found(store, "phone", PHONE)) == ("Ada", None)
    checked(store)


# --- races ------------------------------------------------------------------------------------------------------------


def test_a_change_that_loses_a_race_is_made_of_the_newer_profile(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: update(interrupted, "ada", NOW, key="other", name="Augusta", phone=PHONE))

    update(interrupted, "ada", NOW, key="k", email="new@example.org")

    assert (profile(interrupted).name, profile(interrupted).email) == ("Augusta", "new@example.org")
    assert profile(interrupted).phone == PHONE
    checked(interrupted)


def test_a_contact_that_is_taken_between_reading_and_writing_is_refused_for_good(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: enroll(interrupted, "bob", NOW, email="new@example.org"))

    with pytest.raises(AlreadyEnrolled):
        update(interrupted, "ada", NOW, key="k", email="new@example.org", name="Augusta")

    last = head_of(interrupted, "ADA").entries[-1]
    assert (last.kind, last.lines, profile(interrupted).name) == (EntryKind.REFUSED, (), "Ada")
    with refuses(interrupted, AlreadyEnrolled, "input", "email", replayed=True):
        update(interrupted, "ada", NOW, key="k", email="new@example.org", name="Augusta")
    checked(interrupted)


def test_a_change_whose_caller_died_after_the_claim_is_made_by_the_retry(interrupted: Interrupted) -> None:
    def die() -> None:
        interrupted.before_append.append(die)
        raise Contended

    interrupted.before_append.append(die)
    with refuses(interrupted, OutcomeUnknown):
        update(interrupted, "ada", NOW, key="k", email="new@example.org")
    interrupted.before_append.clear()
    # Meanwhile the account went on.
    update(interrupted, "ada", NOW, key="other", name="Augusta")

    assert not update(interrupted, "ada", LATER, key="k", email="new@example.org").replayed
    assert update(interrupted, "ada", LATER, key="k", email="new@example.org").replayed
    assert (profile(interrupted).name, profile(interrupted).email) == ("Augusta", "new@example.org")
    checked(interrupted)


def test_a_contact_that_20_members_want_at_once_goes_to_one(store: Memory) -> None:
    names = [f"m{number}" for number in range(20)]
    for name in names:
        enroll(store, name, NOW)

    answers = at_once(
        [lambda name=name: update(store, name, NOW, key=name, phone=PHONE, name=name.upper()) for name in names]
    )

    (winner,) = [answer for answer in answers if isinstance(answer, ledger.Outcome)]
    assert sum(isinstance(answer, AlreadyEnrolled) for answer in answers) == 19
    assert found(store, "phone", PHONE) == winner.record.account
    checked(store)


def test_20_changes_of_one_member_at_once_are_all_made(store: Memory) -> None:
    at_once(
        [
            lambda number=number: update(store, "ada", NOW, key=str(number), email=f"a{number}@example.org")
            for number in range(20)
        ]
        + [lambda number=number: update(store, "ada", NOW, key=f"n{number}", name=f"A{number}") for number in range(20)]
    )

    assert head_of(store, "ADA").seq == 41
    checked(store)


def test_a_contact_that_moves_from_one_to_the_other_is_never_lost(store: Memory) -> None:
    enroll(store, "bob", NOW, phone=PHONE)

    def give_up() -> object:
        return update(store, "bob", NOW, key="k", phone=None)

    answers = at_once([give_up, *(lambda number=number: update(store, "ada", NOW, key=str(number), phone=PHONE)
                                  for number in range(20))])  # fmt: skip

    took = [answer for answer in answers[1:] if isinstance(answer, ledger.Outcome)]
    assert found(store, "phone", PHONE) == ("ADA" if took else None)
    checked(store)


# --- birthday and answers -----------------------------------------------------------------------------------------------

BORN = Birthday(3, 1, 1990)


def test_members_tell_and_clear_their_own_birthday(store: Memory) -> None:
    told = update(store, "", LATER, key="1", actor=ADA, birthday=BORN)
    assert profile(store).birthday == replace(BORN, known=day("2026-01-11"))
    assert told.entry.explanation == (Explanation("changed:birthday", 0),)

    update(store, "ada", LATER, key="2", name="Augusta")
    assert profile(store).birthday is not None

    update(store, "", LATER, key="3", actor=ADA, birthday=None)
    assert profile(store).birthday is None
    checked(store)


def test_the_same_birthday_told_again_changes_nothing(store: Memory) -> None:
    update(store, "ada", NOW, key="1", birthday=BORN)
    again = update(store, "ada", LATER, key="2", birthday=BORN)

    assert again.entry.explanation == ()
    assert profile(store).birthday == replace(BORN, known=day("2026-01-10"))


def test_a_retry_on_another_day_is_the_same_wish(store: Memory) -> None:
    first = update(store, "ada", NOW, key="1", birthday=BORN)
    again = update(store, "ada", LATER, key="1", birthday=BORN)

    assert (again.replayed, again.entry) == (True, first.entry)
    for other in (replace(BORN, day=2), None):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            update(store, "ada", NOW, key="1", birthday=other)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        update(store, "ada", NOW, key="1")


def test_a_birthday_that_cannot_be_changes_nothing(store: Memory) -> None:
    for birthday, field in ((Birthday(2, 30), ()), (Birthday(1, 1, 2030), ("year",))):
        with refuses(store, InvalidBirthday, "input", "birthday", *field):
            update(store, "ada", NOW, key="1", birthday=birthday, name="Augusta")


def test_a_blocked_member_tells_nothing(store: Memory) -> None:
    block(store, "ada", NOW, key="b")

    with refuses(store, MemberBlocked, "input", "member"):
        update(store, "", NOW, key="1", actor=ADA, birthday=BORN, consents={Consent.OFFERS: False})


def test_answers_are_given_one_by_one_and_taken_back(store: Memory) -> None:
    def answer(key: str, **answers: bool | None) -> dict[Consent, bool]:
        update(store, "", NOW, key=key, actor=ADA, consents={Consent[name]: each for name, each in answers.items()})
        return dict(profile(store).consents)

    assert answer("1", OFFERS=False) == {Consent.OFFERS: False}
    assert answer("2", REMINDERS=True) == {Consent.OFFERS: False, Consent.REMINDERS: True}
    assert answer("3", OFFERS=None) == {Consent.REMINDERS: True}
    assert answer("4", REMINDERS=True) == {Consent.REMINDERS: True}
    told = [record.entries[0].explanation for record in contents(store).logs["ADA"][1:]]
    assert told == [(Explanation("changed:consents", 0),)] * 3 + [()]


def test_a_new_birthday_gets_a_due_row_where_the_program_has_such_a_moment(store: Memory) -> None:
    terms = program(moments=[{"id": "b", "when": "birthday"}])
    update(store, "ada", NOW, key="1", birthday=BORN)
    assert contents(store).due == frozenset()

    update(store, "ada", NOW, key="2", birthday=Birthday(2, 29), program=terms)
    assert contents(store).due == {(day("2026-02-28"), "ADA")}
    update(store, "ada", NOW, key="3", birthday=Birthday(2, 29), program=terms)
    update(store, "ada", NOW, key="4", name="Augusta", program=terms)
    assert contents(store).due == {(day("2026-02-28"), "ADA")}


# --- tags and the home location -----------------------------------------------------------------------------------------


def tag(store: Memory, key: str, *added: str, without: tuple[str, ...] = (), actor: Actor = TILL) -> ledger.Outcome:
    name = "" if actor.role is Role.MEMBER else "ada"
    return update(store, name, NOW, key=key, actor=actor, add_tags=added, remove_tags=without)


def changed(outcome: ledger.Outcome) -> list[str]:
    return [line.rule.removeprefix("changed:") for line in outcome.entry.explanation]


def test_tags_are_given_and_taken_one_by_one(store: Memory) -> None:
    assert changed(tag(store, "1", "vip", "coffee-lover")) == ["tags"]
    assert changed(tag(store, "2", "new", actor=MANAGER)) == ["tags"]
    assert changed(tag(store, "3", "new", without=("vip", "never-had"))) == ["tags"]

    assert profile(store).tags == {"coffee-lover", "new"}
    update(store, "ada", NOW, key="4", name="Augusta")
    assert profile(store).tags == {"coffee-lover", "new"}
    checked(store)


def test_tags_that_are_there_or_gone_already_change_nothing(store: Memory) -> None:
    tag(store, "1", "vip")

    again = tag(store, "2", "vip", without=("new",))

    assert (changed(again), profile(store).tags) == ([], {"vip"})


def test_the_ledger_never_tells_which_tags(store: Memory) -> None:
    tag(store, "1", "often-late", without=("always-late",))

    assert "late" not in repr(contents(store).logs) + repr(contents(store).claims)


def test_a_retry_brings_back_no_tag_that_was_taken_since(store: Memory) -> None:
    first = tag(store, "1", "vip", "new")
    tag(store, "2", without=("vip",))

    with unchanged(store):
        assert tag(store, "1", "new", "vip", "new") == replace(first, replayed=True)
    assert profile(store).tags == {"new"}
    for other in ((("vip",), ()), (("vip", "new", "more"), ()), (("vip", "new"), ("more",)), ((), ("vip", "new"))):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            tag(store, "1", *other[0], without=other[1])


def test_a_key_of_before_there_were_tags_is_known_again(store: Memory) -> None:
    """Whoever changes something else has the fingerprint they always had."""
    update(store, "ada", NOW, key="k", name="Augusta")

    claim = contents(store).claims[caller_key(MANAGER.id, "k")]
    asked = ("memberUpdate", ("external", "ada"), [("name", "Augusta")], None)
    assert claim.fingerprint == ledger.fingerprint(store, *asked)


def test_a_tag_is_not_added_and_removed_in_one_call(store: Memory) -> None:
    with refuses(store, TagAddedAndRemoved, "input", "removeTags"):
        update(store, "nobody", NOW, key="k", add_tags=["a", "b"], remove_tags=["b", "c"])


def test_members_neither_tag_themselves_nor_take_tags_from_themselves(store: Memory) -> None:
    tag(store, "1", "vip")

    with refuses(store, FieldReserved, "input", "addTags"):
        tag(store, "2", "gold", actor=ADA)
    with refuses(store, FieldReserved, "input", "removeTags"):
        tag(store, "2", without=("vip",), actor=ADA)
    assert profile(store).tags == {"vip"}


def test_a_member_has_twenty_tags_and_no_more(store: Memory) -> None:
    some = [f"t{number}" for number in range(limits.TAGS_MAX - 1)]
    tag(store, "1", *some)
    with refuses(store, TooManyTags, "input", "addTags"):
        tag(store, "2", "a", "b")
    # One goes, one comes, and who has twenty can still be called something else.
    tag(store, "3", "a", "b", without=("t0",))
    update(store, "ada", NOW, key="4", name="Augusta")

    assert profile(store).tags == {*some[1:], "a", "b"}
    # The no stays a no, though there would be room now.
    tag(store, "5", without=tuple(some))
    with refuses(store, TooManyTags, "input", "addTags", replayed=True):
        tag(store, "2", "a", "b")
    checked(store)


def test_two_systems_that_tag_at_once_do_not_undo_each_other(interrupted: Interrupted) -> None:
    tag(interrupted, "1", "old", "kept")
    interrupted.before_append.append(lambda: tag(interrupted, "2", "crm", without=("old",)))

    tag(interrupted, "3", "shop")

    assert profile(interrupted).tags == {"kept", "crm", "shop"}


def test_20_tags_given_at_once_are_all_there(store: Memory) -> None:
    tags = [f"t{number}" for number in range(limits.TAGS_MAX)]

    at_once([lambda tag_=each: tag(store, tag_, tag_) for each in tags])

    assert profile(store).tags == set(tags)
    checked(store)


def test_members_say_where_they_go_and_take_it_back(store: Memory) -> None:
    outcome = update(store, "", NOW, key="1", actor=ADA, home_location=" a place nobody has heard of ")
    assert (profile(store).home_location, changed(outcome)) == ("a place nobody has heard of", ["homeLocation"])

    update(store, "ada", NOW, key="2", name="Augusta")
    assert profile(store).home_location is not None

    outcome = update(store, "ada", NOW, key="3", home_location=None)
    assert (profile(store).home_location, changed(outcome)) == (None, ["homeLocation"])
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        update(store, "ada", NOW, key="3", home_location="harbor")


def test_whoever_survives_a_merge_keeps_their_own_tags_and_home(store: Memory) -> None:
    enroll(store, "old", NOW, tags=frozenset({"old"}), home_location="market")
    update(store, "ada", NOW, key="1", add_tags=["vip"], home_location="harbor")
    merge(store, "old", "ada", NOW, key="m")
    assert (profile(store).tags, profile(store).home_location) == ({"vip"}, "harbor")

    # Whatever is said of the one who was merged is of the one they are now, and stays there when the merge is undone.
    update(store, "old", NOW, key="2", add_tags=["both"])
    unmerge(store, "old", LATER, key="u")
    assert (profile(store).tags, profile(store, "OLD").tags) == ({"vip", "both"}, {"old"})
    assert profile(store, "OLD").home_location == "market"
