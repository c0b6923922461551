"""Joining, and being found."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import access, ledger, limits, members
from domain.access import Actor, Role
from domain.entries import Claim, EntryKind, Record
from domain.members import (
    AlreadyEnrolled,
    ConsentRepeated,
    ContactMissing,
    Enrolled,
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
from domain.refusals import IdempotencyKeyReused, InvalidText, MemberNotFound, OutcomeUnknown, Refusal
from domain.store import NOTHING, Beside, Contended
from storage.memory import Memory
from tests.domain.world import (
    ADA,
    BOB,
    ISSUER,
    MANAGER,
    PROGRAM,
    TILL,
    Stale,
    adjust,
    at,
    at_once,
    contents,
    day,
    enroll,
    external,
    head_of,
    program,
    refuses,
    search,
    unchanged,
)

NOW = at("2026-01-10")
SUPPORT = access.actor(Role.SUPPORT, issuer=ISSUER, subject="sue")
SCOPELESS = access.actor(Role.PARTNER, issuer=ISSUER, subject="till-2")


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """A store whose cheap reads are up to date, and one whose cheap reads always come late."""
    made: Memory = request.param()
    return made


def join(
    store: Memory,
    *,
    key: str = "k",
    account: str = "A",
    actor: Actor = TILL,
    later: timedelta = timedelta(0),
    **who: Any,
) -> Enrolled:
    profile = Profile(enrolled_at=NOW, **who)
    return members.enroll(
        store, PROGRAM, actor=actor, idempotency_key=key, profile=profile, account=account, now=NOW + later
    )


def found(store: Memory, kind: str, value: str, *, actor: Actor = MANAGER) -> str:
    lookup = members.lookup(kind, value, field=("by",))
    return members.resolve(store, actor=actor, by=lookup, field=("by",))


# --- joining ----------------------------------------------------------------------------------------------------------


def test_a_new_member_has_an_empty_account_and_can_be_found_by_everything_given(store: Memory) -> None:
    enrolled = join(
        store, name="Ada Lovelace", external_id="ada", email="ada@example.org", phone="+15551234567", card_number="C-1"
    )

    assert enrolled == Enrolled("A", replayed=False)
    record = head_of(store, "A")
    (entry,) = record.entries
    assert (record.seq, record.state.balance, record.state.pending_points) == (1, 0, 0)
    assert (entry.kind, entry.lines, entry.actor, entry.at) == (EntryKind.ENROLLMENT, (), TILL.id, NOW)
    for kind, value in (
        ("external", "ada"),
        ("email", "ada@example.org"),
        ("phone", "+15551234567"),
        ("card", "C-1"),
        ("id", "A"),
    ):
        assert found(store, kind, value) == "A"
    assert contents(store).profiles["A"] == Profile(
        NOW, "Ada Lovelace", "ada", "ada@example.org", "+15551234567", "C-1"
    )


@pytest.mark.parametrize(
    "who", [{"external_id": "x"}, {"email": "a@b.c"}, {"phone": "+15551234567"}, {"card_number": "1"}]
)
def test_one_contact_or_id_is_enough(store: Memory, who: dict[str, str]) -> None:
    assert join(store, **who).account == "A"


def test_a_member_who_joins_is_known_by_their_login_from_then_on(store: Memory) -> None:
    assert members.own_account(store, ADA) is None

    join(store, actor=ADA, email="ada@example.org")

    assert members.own_account(store, ADA) == "A"
    assert members.own_account(store, BOB) is None
    # A subject is unique within its issuer only.
    assert members.own_account(store, access.actor(Role.MEMBER, issuer="https://other", subject=ADA.subject)) is None


def test_who_is_enrolled_by_a_till_has_no_login_yet(store: Memory) -> None:
    join(store, actor=TILL, email="ada@example.org")

    assert members.own_account(store, TILL) is None
    assert members.own_account(store, ADA) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ada@Example.ORG", "ada@example.org"),
        ("  ada@example.org\n", "ada@example.org"),
        ("a.b+c@sub.example.co", "a.b+c@sub.example.co"),
        ("ÄDA@EXAMPLE.ORG", "äda@example.org"),
        ("a" * (limits.EMAIL_LENGTH_MAX - 4) + "@b.c", "a" * (limits.EMAIL_LENGTH_MAX - 4) + "@b.c"),
    ],
)
def test_an_email_is_one_however_it_is_typed(store: Memory, given: str, kept: str) -> None:
    join(store, email=given)

    assert contents(store).profiles["A"].email == kept
    assert found(store, "email", given) == found(store, "email", kept) == "A"
    with refuses(store, AlreadyEnrolled, "input", "email"):
        join(store, key="k2", account="B", email=kept.upper())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("+1 (555) 123-4567", "+15551234567"),
        (" +49.30.1234567 ", "+49301234567"),
        ("+1234567", "+1234567"),
        ("+123456789012345", "+123456789012345"),
    ],
)
def test_a_phone_is_one_however_it_is_typed(store: Memory, given: str, kept: str) -> None:
    join(store, phone=given)

    assert contents(store).profiles["A"].phone == kept
    assert found(store, "phone", given) == found(store, "phone", kept) == "A"
    with refuses(store, AlreadyEnrolled, "input", "phone"):
        join(store, key="k2", account="B", phone=kept)


@search(200)
@given(st.text(max_size=12) | st.from_regex(r"\A[ +()0-9.-]{5,20}\Z") | st.emails())
def test_what_is_normalized_once_is_normal(text: str) -> None:
    for kind in ("email", "phone", "external", "card"):
        try:
            once = members.lookup(kind, text, field=("by",))
        except Refusal:
            continue
        assert members.lookup(kind, once.value, field=("by",)) == once


def test_names_of_the_world_are_names(store: Memory) -> None:
    # A zero-width non-joiner is spelling in Persian, an ideographic space stands between Japanese names.
    for account, name in enumerate(("Zoë Ångström", "山田　太郎", "نرگس‌خانم", "D'Arcy-Müller", "👩‍🚀")):
        join(store, key=str(account), account=str(account), external_id=str(account), name=name)
        assert contents(store).profiles[str(account)].name == name


# --- what is refused, in this order -----------------------------------------------------------------------------------


def test_joining_needs_a_key(store: Memory) -> None:
    for key in ("", "\t", "k" * (limits.KEY_LENGTH_MAX + 1)):
        with refuses(store, InvalidText, "input", "idempotencyKey"):
            join(store, key=key, email="not an email")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("name", "name", ""),
        ("name", "name", "n" * (limits.NAME_LENGTH_MAX + 1)),
        ("name", "name", "a\x00b"),
        ("name", "name", "a\u2029b"),
        ("external_id", "externalId", " "),
        ("external_id", "externalId", "x" * (limits.EXTERNAL_ID_LENGTH_MAX + 1)),
        ("external_id", "externalId", "\ud800"),
        ("card_number", "cardNumber", ""),
        ("email", "email", ""),
        ("email", "email", "a@" + "b" * limits.EMAIL_LENGTH_MAX + ".c"),
        ("phone", "phone", ""),
        ("phone", "phone", "+" + "1" * 31),
    ],
)
def test_texts_have_their_length_and_no_control_characters(store: Memory, name: str, field: str, value: str) -> None:
    with refuses(store, InvalidText, "input", field):
        join(store, **{"external_id": "x", name: value})


@pytest.mark.parametrize(
    "email", ["ada", "ada@", "@example.org", "ada@example", "a b@c.de", "a@b@c.de", "a@b..", "a@b.c."]
)
def test_an_email_has_a_name_and_a_domain(store: Memory, email: str) -> None:
    with refuses(store, InvalidEmail, "input", "email"):
        join(store, email=email, phone="nonsense")


@pytest.mark.parametrize(
    "phone",
    ["15551234567", "+0123456789", "+123456", "+1234567890123456", "+1555CALLNOW", "++15551234567", "+١٢٣٤٥٦٧٨", "-"],
)
def test_a_phone_is_in_international_form(store: Memory, phone: str) -> None:
    with refuses(store, InvalidPhone, "input", "phone"):
        join(store, phone=phone)


def test_a_name_alone_is_not_enough(store: Memory) -> None:
    with refuses(store, ContactMissing, "input"):
        join(store, name="Ada")
    with refuses(store, ContactMissing, "input"):
        join(store, actor=ADA)


@pytest.mark.parametrize(
    ("kind", "who", "field"),
    [
        ("external", {"external_id": "ada"}, "externalId"),
        ("email", {"email": "ada@example.org"}, "email"),
        ("phone", {"phone": "+15551234567"}, "phone"),
        ("card", {"card_number": "C-1"}, "cardNumber"),
    ],
)
def test_a_contact_belongs_to_one_member(store: Memory, kind: str, who: dict[str, str], field: str) -> None:
    join(store, external_id="ada", email="ada@example.org", phone="+15551234567", card_number="C-1")

    with refuses(store, AlreadyEnrolled, "input", field) as refused:
        join(store, key="k2", account="B", **{"external_id": "bob", **who})

    assert refused.value.message == f"A member with this {field} is enrolled already."
    # Not even what was free is taken now, and the other member is still who they were.
    with pytest.raises(MemberNotFound):
        found(store, "external", "bob")
    assert found(store, kind, next(iter(who.values()))) == "A"


def test_kinds_of_look_ups_do_not_mix(store: Memory) -> None:
    join(store, external_id="77")

    assert join(store, key="k2", account="B", card_number="77").account == "B"
    assert (found(store, "external", "77"), found(store, "card", "77")) == ("A", "B")


def test_a_member_joins_once(store: Memory) -> None:
    join(store, actor=ADA, email="ada@example.org")

    with refuses(store, AlreadyEnrolled) as refused:
        join(store, key="k2", account="B", actor=ADA, email="ada@another.example")
    assert refused.value.message == "A member with this login is enrolled already."


def test_a_member_whose_token_names_their_account_has_joined(store: Memory) -> None:
    join(store, external_id="ada")
    named = access.actor(Role.MEMBER, issuer=ISSUER, subject="new-login", account="A")

    with refuses(store, AlreadyEnrolled):
        join(store, key="k2", account="B", actor=named, email="ada@example.org")


# --- again ------------------------------------------------------------------------------------------------------------


def test_joining_again_with_the_same_key_is_joining_once(store: Memory) -> None:
    join(store, email="ada@example.org", name="Ada")

    with unchanged(store):
        again = join(store, account="B", later=timedelta(days=30), email=" ADA@example.org", name="Ada ")

    assert again == Enrolled("A", replayed=True)


def test_a_key_enrolls_one_member(store: Memory) -> None:
    join(store, email="ada@example.org")

    for who in ({"email": "bob@example.org"}, {"email": "ada@example.org", "name": "Ada"}, {"external_id": "x"}):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            join(store, account="B", **who)


def test_who_was_refused_stays_refused_under_that_key(store: Memory) -> None:
    join(store, external_id="ada", email="ada@example.org")
    with refuses(store, AlreadyEnrolled, "input", "email"):
        join(store, key="k2", account="B", email="ada@example.org")

    with refuses(store, AlreadyEnrolled, "input", "email", replayed=True):
        join(store, key="k2", account="C", later=timedelta(days=1), email="ada@example.org")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        join(store, key="k2", account="C", email="new@example.org")


def test_keys_of_enrolling_and_of_moving_points_are_the_same_keys(store: Memory) -> None:
    join(store, external_id="ada", actor=MANAGER)

    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        adjust(store, "ada", 5, NOW, key="k")


def test_20_tries_to_join_at_once_make_one_member(store: Memory) -> None:
    answers = at_once(
        [lambda number=number: join(store, account=str(number), email="ada@example.org") for number in range(20)]
    )

    assert len({answer.account for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 19]
    assert list(contents(store).logs) == [answers[0].account]


def test_a_contact_that_20_members_want_at_once_goes_to_one(store: Memory) -> None:
    answers = at_once(
        [
            lambda number=number: join(store, key=str(number), account=str(number), email="ada@example.org")
            for number in range(20)
        ]
    )

    (winner,) = [answer for answer in answers if isinstance(answer, Enrolled)]
    assert sum(isinstance(answer, AlreadyEnrolled) for answer in answers) == 19
    assert found(store, "email", "ada@example.org") == winner.account
    assert list(contents(store).profiles) == [winner.account]


class Busy(Memory):
    """Is too busy to write anything."""

    pauses = 0

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        raise Contended

    def remember(self, claim: Claim) -> None:
        raise Contended

    def pause(self, attempt: int) -> None:
        self.pauses += 1


def test_nobody_joins_a_store_that_stays_busy() -> None:
    busy = Busy()

    with refuses(busy, OutcomeUnknown):
        join(busy, email="ada@example.org")
    assert busy.pauses == limits.COMMIT_ATTEMPTS_MAX


def test_a_refusal_that_cannot_be_remembered_is_not_given() -> None:
    busy = Busy()
    busy._lookups[Lookup("email", "ada@example.org")] = "A"

    with refuses(busy, OutcomeUnknown):
        join(busy, email="ada@example.org")


# --- being found ------------------------------------------------------------------------------------------------------


def test_tills_and_staff_find_everybody(store: Memory) -> None:
    join(store, external_id="ada")

    for actor in (TILL, SCOPELESS, MANAGER, SUPPORT):
        assert found(store, "external", "ada", actor=actor) == "A"


def test_members_find_themselves_only(store: Memory) -> None:
    enroll(store, "ada", NOW, actor=ADA)
    enroll(store, "bob", NOW, actor=BOB)

    assert found(store, "external", "ada", actor=ADA) == "ADA"
    assert found(store, "id", "ADA", actor=ADA) == "ADA"
    unknown, hidden = [], []
    for kind, value in (("external", "nobody"), ("id", "NOBODY")):
        with pytest.raises(MemberNotFound) as refused:
            found(store, kind, value, actor=ADA)
        unknown.append(refused.value)
    for kind, value in (("external", "bob"), ("id", "BOB")):
        with pytest.raises(MemberNotFound) as refused:
            found(store, kind, value, actor=ADA)
        hidden.append(refused.value)
    # Who may not see others cannot tell them from nobody.
    assert [(each.message, each.field) for each in hidden] == [(each.message, each.field) for each in unknown]


def test_a_token_that_names_another_account_finds_that_account_only(store: Memory) -> None:
    enroll(store, "ada", NOW, actor=ADA)
    enroll(store, "bob", NOW)
    named = replace(ADA, account="BOB")

    assert members.own_account(store, named) == "BOB"
    assert found(store, "external", "bob", actor=named) == "BOB"
    with pytest.raises(MemberNotFound):
        found(store, "external", "ada", actor=named)


def test_who_has_not_joined_finds_nobody(store: Memory) -> None:
    enroll(store, "ada", NOW)

    for lookup in (external("ada"), Lookup("id", "ADA"), Lookup("id", "")):
        with pytest.raises(MemberNotFound):
            members.resolve(store, actor=BOB, by=lookup, field=("by",))


# --- what is told on joining --------------------------------------------------------------------------------------------


def test_a_birthday_and_answers_are_kept_in_the_profile_alone(store: Memory) -> None:
    join(store, external_id="ada", birthday=Birthday(2, 29, 2000), consents={Consent.OFFERS: False})

    kept = contents(store).profiles["A"]
    assert kept.birthday == Birthday(2, 29, 2000, known=day("2026-01-10"))
    assert kept.consents == {Consent.OFFERS: False}
    told = repr(contents(store).logs) + repr(contents(store).claims)
    assert "Birthday" not in told
    assert "Consent" not in told


@pytest.mark.parametrize(
    ("birthday", "field"),
    [
        (Birthday(2, 30), ()),
        (Birthday(2, 29, 2001), ()),
        (Birthday(4, 31), ()),
        (Birthday(0, 1), ()),
        (Birthday(13, 1), ()),
        (Birthday(1, 0), ()),
        (Birthday(1, -1), ()),
        (Birthday(1, 10**9), ()),
        (Birthday(1, 1, 0), ()),
        (Birthday(1, 1, 10**12), ()),
        (Birthday(1, 1, 1900), ("year",)),
        (Birthday(1, 11, 2026), ("year",)),
        (Birthday(1, 1, 2027), ("year",)),
    ],
)
def test_a_birthday_that_nobody_can_have_is_refused(store: Memory, birthday: Birthday, field: tuple[str, ...]) -> None:
    with refuses(store, InvalidBirthday, "input", "birthday", *field):
        join(store, external_id="ada", birthday=birthday)


@pytest.mark.parametrize("birthday", [Birthday(2, 29), Birthday(1, 10, 2026), Birthday(1, 1, 1901), Birthday(12, 31)])
def test_a_birthday_that_somebody_may_have_is_taken(store: Memory, birthday: Birthday) -> None:
    join(store, external_id="ada", birthday=birthday)

    assert contents(store).profiles["A"].birthday == replace(birthday, known=day("2026-01-10"))


def test_joining_with_another_birthday_or_other_answers_is_another_wish(store: Memory) -> None:
    told = {"external_id": "ada", "birthday": Birthday(3, 1), "consents": {Consent.OFFERS: True}}
    join(store, **told)

    assert join(store, later=timedelta(days=3), **told).replayed
    for other in (
        {"birthday": Birthday(3, 2)},
        {"birthday": None},
        {"consents": {Consent.OFFERS: False}},
        {"consents": {}},
    ):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            join(store, **{**told, **other})


def test_a_kind_of_consent_is_answered_once() -> None:
    yes, no = (Consent.OFFERS, True), (Consent.OFFERS, False)

    assert members.answers([yes, (Consent.SUMMARY, None)]) == {Consent.OFFERS: True, Consent.SUMMARY: None}
    with pytest.raises(ConsentRepeated) as refused:
        members.answers([yes, no])
    assert refused.value.field == ("input", "consents")


TOLD = {"external_id": "ada", "tags": frozenset({"vip", "coffee-lover"}), "home_location": "harbor"}


def test_tags_and_a_home_location_are_kept_in_the_profile_alone(store: Memory) -> None:
    join(store, **{**TOLD, "home_location": " a place nobody has heard of "})

    kept = contents(store).profiles["A"]
    assert (kept.tags, kept.home_location) == ({"vip", "coffee-lover"}, "a place nobody has heard of")
    told = repr(contents(store).logs) + repr(contents(store).claims)
    for word in ("vip", "coffee", "place nobody"):
        assert word not in told


@pytest.mark.parametrize("home", ["", " ", "h" * (limits.LABEL_LENGTH_MAX + 1), "a\x00b"])
def test_a_home_location_is_a_label(store: Memory, home: str) -> None:
    with refuses(store, InvalidText, "input", "homeLocation"):
        join(store, external_id="ada", home_location=home)


@pytest.mark.parametrize("tag", ["a", "vip", "0", "coffee-lover_2.1", "-", "x" * limits.TAG_LENGTH_MAX, " vip\n"])
def test_a_tag_is_a_word_in_small_letters(tag: str) -> None:
    assert members.tags(["new", tag, tag], field=("input", "tags")) == {"new", tag.strip()}


@pytest.mark.parametrize(
    "tag", ["", " ", "VIP", "v i p", "vip,new", "café", "vip\x00", "x" * (limits.TAG_LENGTH_MAX + 1), "٣"]
)
def test_what_is_no_tag_is_refused_by_its_place(tag: str) -> None:
    with pytest.raises(InvalidText) as refused:
        members.tags(["new", tag], field=("input", "tags"))
    assert refused.value.field == ("input", "tags", "1")
    assert refused.value.message == ("A tag has 1 to 32 characters: small letters a to z, digits, dots, _ and -.")


def test_nobody_gives_more_tags_than_a_member_can_have() -> None:
    many = [str(number) for number in range(limits.TAGS_MAX)]

    assert members.tags(many, field=("input", "tags")) == frozenset(many)
    with pytest.raises(TooManyTags) as refused:
        members.tags([*many, "!"], field=("input", "tags"))
    assert refused.value.field == ("input", "tags")


def test_members_who_join_say_where_they_go_and_do_not_tag_themselves(store: Memory) -> None:
    with refuses(store, FieldReserved, "input", "tags"):
        join(store, actor=ADA, tags=frozenset({"vip"}))

    join(store, actor=ADA, external_id="ada", home_location="harbor")
    assert contents(store).profiles["A"].home_location == "harbor"


def test_joining_with_other_tags_or_another_home_is_another_wish(store: Memory) -> None:
    join(store, **TOLD)

    assert join(store, later=timedelta(days=3), **{**TOLD, "home_location": "harbor "}).replayed
    for other in (
        {"tags": frozenset({"vip"})},
        {"tags": frozenset()},
        {"home_location": "market"},
        {"home_location": None},
    ):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            join(store, **{**TOLD, **other})


def test_a_key_of_before_there_were_tags_is_known_again(store: Memory) -> None:
    """Whoever enrolled without them has the fingerprint they always had."""
    join(store, external_id="ada", name="Ada")

    (claim,) = contents(store).claims.values()
    assert claim.fingerprint == ledger.fingerprint(store, "memberEnroll", "Ada", "ada", None, None, None)


@pytest.mark.parametrize(
    ("birthday", "on"),
    [
        (Birthday(3, 1), ["2026-03-01"]),
        # On the day itself, when those who have it today may have been told already.
        (Birthday(1, 10), ["2026-01-10", "2026-01-11"]),
        (Birthday(1, 9), ["2027-01-09"]),
    ],
)
def test_a_birthday_gets_a_due_row_where_the_program_has_such_a_moment(birthday: Birthday, on: list[str]) -> None:
    for rules, due in (([], set()), ([{"id": "b", "when": "birthday"}], {(day(each), "ADA") for each in on})):
        store = Memory()
        enroll(store, "ada", NOW, program=program(moments=rules), birthday=birthday)
        assert contents(store).due == due
