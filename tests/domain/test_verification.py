"""The verifier finds what is wrong, says where, and blames nothing else; of what is right it has nothing to say."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from domain import limits, verification
from domain.accounts import DEBT, ROLLING, Hold, Line, Origin, Standing, State, Status
from domain.days import NEVER
from domain.entries import Entry, EntryKind, Explanation, Key, PurchaseReturn, Record, bonus_key, reversal_key
from domain.expiry import Rolling
from domain.refusals import InsufficientPoints
from domain.verification import Code, Finding, Judged, Memory, Replay, Use
from storage.memory import Memory as Store
from tests.domain import test_accounts
from tests.domain.lives import lived, lives
from tests.domain.world import ZONE, at, buy, day, enroll, give, hold, merge, program, redeem, search, unmerge

NOW = at("2026-01-10")
TODAY = day("2026-01-10")
NO = InsufficientPoints("9 points are needed, 0 are available.")


def findings(log: Iterable[Record], *zones: ZoneInfo) -> list[Finding]:
    replay = Replay("A", zones or (ZONE,))
    return [finding for record in log for finding in replay.follow(record)]


def found(log: Iterable[Record], *zones: ZoneInfo) -> list[tuple[int, Code]]:
    return [(each.seq, each.code) for each in findings(log, *zones)]


# --- what is right ----------------------------------------------------------------------------------------------------


@search(150)
@given(lives)
def test_nothing_is_found_in_any_life(number: int) -> None:
    store = lived(number)

    for log in store._logs.values():
        replay = Replay("A", (ZONE,))
        for record in log:
            assert replay.follow(record) == []
            for entry, rolling in zip(record.entries, replay.rolled, strict=True):
                if verification.has_peer(entry):
                    assert entry.peer is not None
                    other = store._logs[entry.peer[0]][entry.peer[1] - 1]
                    assert verification.check_peer(record, entry, other, rolling=rolling) == []


@search(150)
@given(test_accounts.stories)
def test_nothing_is_found_in_any_story_of_one_account(story: Sequence[test_accounts.Step]) -> None:
    log = test_accounts.lived_out(test_accounts.live(story))

    assert findings(log) == []
    # Whoever comes in late knows less, and finds no more.
    assert findings(log[len(log) // 2 :])[1:] == []


def test_a_program_that_moved_to_another_time_zone_is_right_by_either() -> None:
    store, tokyo = Store(), ZoneInfo("Asia/Tokyo")
    short = program(expiry={"days": 1, "rounding": "day"})
    moved = program(expiry={"days": 1, "rounding": "day"}, timezone="Asia/Tokyo")
    enroll(store, "ada", NOW)
    buy(store, "ada", 500, NOW, receipt="1", program=short)
    buy(store, "ada", 500, at("2026-01-11 13:00"), receipt="2", program=moved)

    log = store._logs["ADA"]

    assert EntryKind.EXPIRY in {entry.kind for entry in log[-1].entries}
    assert found(log, ZONE, tokyo) == []
    assert found(log, ZONE) == [(3, Code.OUT_OF_TIME)]


# --- what is wrong with one record ------------------------------------------------------------------------------------

LATER = TODAY + 300


def furnished() -> list[Record]:
    """Ada's log: she joined, bought, pending points as well, has points held, gave some away, and took an account over."""
    store = Store()
    for name in ("ada", "ann", "bob"):
        enroll(store, name, NOW)
    buy(store, "ada", 10_000, NOW, receipt="1")
    buy(store, "ada", 700, NOW, receipt="2", program=program(pending={"days": 5}))
    merge(store, "ann", "ada", NOW, key="m")
    hold(store, "ada", 20, NOW, key="h", ttl_seconds=3_600)
    give(store, "ada", "bob", 30, NOW, key="g")
    redeem(store, "ada", "cookie", NOW + timedelta(minutes=1), key="r")
    redeem(store, "ada", "cookie", NOW + timedelta(minutes=2), key="s")
    return store._logs["ADA"]


def altered(log: Sequence[Record], seq: int, *, state: dict[str, Any] | None = None, **entry: Any) -> list[Record]:
    """The log with other values in the last entry of a record, or in its state."""
    record = log[seq - 1]
    entries = (*record.entries[:-1], replace(record.entries[-1], **entry))
    return [*log[: seq - 1], replace(record, entries=entries, state=replace(record.state, **(state or {}))), *log[seq:]]


BUCKET = day("2028-01-31")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"buckets": {BUCKET: 36}}, "The bucket of 2028-01-31 is given as 36, the lines add up to 35."),
        (
            {"buckets": {BUCKET + 1: 35}},
            "The bucket of 2028-01-31 is given as 0, the lines add up to 35; the bucket of",
        ),
        (
            {"pending": {}},
            "The pending bucket of 2026-01-15, of points of 2028-01-31 is given as 0, the lines add up to 7.",
        ),
        ({"holds": {}}, "Hold 5 of points of 2028-01-31 is given as 0, the lines add up to 20."),
        (
            {"holds": {5: Hold(NOW + timedelta(hours=2), {BUCKET: 20})}},
            "Hold 5 is said to lapse at another moment than it was made for.",
        ),
        ({"status": Status.BLOCKED}, "The account is said to be BLOCKED, not ACTIVE."),
        ({"sent": (TODAY, 31)}, "31 points on 2026-01-10 are said to be given away, not 30 points on 2026-01-10."),
        ({"sent": (0, 0)}, "No points are said to be given away, not 30 points on 2026-01-10."),
        ({"merged": ()}, "No accounts are said to live on here, not ANN."),
        (
            {"at": NOW + timedelta(minutes=1, seconds=1)},
            "The account is said to be of another moment than its last entry.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_state_that_its_lines_do_not_give_is_found_where_it_is_and_nowhere_else(
    state: dict[str, Any], message: str
) -> None:
    log = furnished()
    assert findings(log) == []

    for wrong in (altered(log, 7, state=state), altered(log, 7, state=state)[:7]):
        (finding,) = findings(wrong)

        assert (finding.account, finding.seq, finding.code) == ("ADA", 7, Code.STATE_MISMATCH)
        assert finding.message.startswith(message)


def test_a_debt_that_its_lines_do_not_give() -> None:
    log = owing()

    (finding,) = findings(altered(log, 2, state={"debt": 4}))

    assert (finding.seq, finding.code) == (2, Code.STATE_MISMATCH)
    assert finding.message == "The debt is given as 4, the lines add up to 5."


def test_a_line_that_was_altered_is_found_in_its_record_alone() -> None:
    log = furnished()
    lines = (Line(BUCKET, -14),)

    # The balance and the explanation of the entry tell of it as well.
    assert found(altered(log, 7, lines=lines)) == [
        (7, Code.BALANCE_MISMATCH),
        (7, Code.EXPLANATION_MISMATCH),
        (7, Code.STATE_MISMATCH),
    ]


def test_a_balance_after() -> None:
    (finding,) = findings(altered(furnished(), 7, balance_after=36))

    assert finding == Finding(
        "ADA",
        7,
        Code.BALANCE_MISMATCH,
        "The balance after REDEMPTION is given as 36, its lines make it 35.",
    )


def test_an_explanation() -> None:
    (finding,) = findings(altered(furnished(), 7, explanation=(Explanation("reward:cookie", -16),)))

    assert (finding.seq, finding.code) == (7, Code.EXPLANATION_MISMATCH)
    assert finding.message == "REDEMPTION moves -15 points, its explanation adds up to -16."


def test_an_explanation_of_points_that_only_moved_is_of_the_balance() -> None:
    log = furnished()

    assert log[4].entries[-1].explanation == (Explanation("hold", -20),)
    assert found(altered(log, 5, explanation=(Explanation("hold", -21),))) == [(5, Code.EXPLANATION_MISMATCH)]
    assert found(altered(log, 5, explanation=(Explanation("hold", 0),))) == []


def test_points_that_were_not_there() -> None:
    # What was taken too much came back within the same record: in the end everything adds up.
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))
    entries = (
        Entry(EntryKind.REDEMPTION, NOW, (Line(LATER, -5),), -5),
        Entry(EntryKind.ADJUSTMENT, NOW, (Line(LATER, 9),), 4),
    )

    (finding,) = findings([first, Record("A", 2, entries, State(NOW, {LATER: 4}))])

    assert finding == Finding(
        "A", 2, Code.OVERDRAWN, "REDEMPTION takes 5 points more than the bucket of 2026-11-06 has."
    )


def test_more_debt_was_paid_than_there_was() -> None:
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))
    entries = (
        Entry(EntryKind.ADJUSTMENT, NOW, (Line(DEBT, 3),), 0),
        Entry(EntryKind.ADJUSTMENT, NOW, (Line(DEBT, -3),), 0),
    )

    (finding,) = findings([first, Record("A", 2, entries, State(NOW))])

    assert finding == Finding("A", 2, Code.OVERDRAWN, "ADJUSTMENT takes 3 points more than the debt has.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": EntryKind.REFUSED, "lines": ()}, "REFUSED without a refusal."),
        ({"refusal": NO, "lines": ()}, "UPDATE with a refusal."),
        (
            {"kind": EntryKind.REFUSED, "refusal": NO, "lines": (Line(LATER, 1), Line(LATER, -1))},
            "A refused operation moves points (2 lines).",
        ),
    ],
    ids=["no reason", "a reason for nothing", "lines"],
)
def test_a_refusal_that_is_none(changes: dict[str, Any], message: str) -> None:
    entry = replace(Entry(EntryKind.UPDATE, NOW, (), 0), **changes)
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))

    (finding,) = findings([first, Record("A", 2, (entry,), State(NOW))])

    assert finding == Finding("A", 2, Code.REFUSAL_MISMATCH, message)


def test_a_refusal_is_an_entry_like_others() -> None:
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))
    entry = Entry(EntryKind.REFUSED, NOW, (), 0, refusal=NO)

    assert found([first, Record("A", 2, (entry,), State(NOW))]) == []


# --- what is kept beside the points -----------------------------------------------------------------------------------

TIERS = {
    "ladder": [
        {"id": "base", "name": "Base", "threshold": 0},
        {"id": "gold", "name": "Gold", "threshold": 50},
    ]
}
MOMENTS = [{"id": "third", "when": "purchase", "nth": 3, "points": 5}]
ROLLED = program(
    expiry={"policy": "inactivity", "days": 30}, tiers=TIERS, moments=MOMENTS, activities=["purchase", "gift"]
)


def rolling_log() -> list[Record]:
    """Ada's log: her points roll, her third purchase brought her a bonus and a tier, and some are held, and some wait."""
    store = Store()
    enroll(store, "ada", NOW, program=ROLLED)
    buy(store, "ada", 1_000, NOW, receipt="1", program=ROLLED)
    waiting = program(expiry={"policy": "inactivity", "days": 30}, pending={"days": 5})
    buy(store, "ada", 700, NOW, receipt="2", program=waiting)
    hold(store, "ada", 4, NOW, key="h", ttl_seconds=7_200, program=ROLLED)
    buy(store, "ada", 9_000, NOW + timedelta(hours=1), receipt="3", program=ROLLED)
    return store._logs["ADA"]


UNTIL = day("2026-02-09")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"rolling": Rolling(UNTIL + 1, 0, 30)},
            "The rolling day is said to be 2026-02-10 (0 months and 30 days, to the day), not 2026-02-09 (0 months and",
        ),
        (
            {"rolling": Rolling(UNTIL, 0, 31)},
            "The rolling day is said to be 2026-02-09 (0 months and 31 days, to the day), not 2026-02-09 (0 months and 30",
        ),
        ({"standing": None}, "The tier is said to be the lowest, not gold until 2027-12-31 (EARNED)."),
        (
            {"standing": Standing("gold", 0, Origin.MANUAL)},
            "The tier is said to be gold without an end (MANUAL), not gold until 2027-12-31 (EARNED).",
        ),
        ({"qualifying": {24_312: 101}}, "The number of month 24312 is given as 101, not 100."),
        ({"qualifying": {}}, "The number of month 24312 is given as 0, not 100."),
        (
            {"marks": {"active": TODAY, "joined": TODAY, "purchases": 3}},
            "The number of the mark m.third is given as 0, not 1.",
        ),
        (
            {"marks": {"active": TODAY, "joined": TODAY, "purchases": 4, "m.third": 1}},
            "The number of the mark purchases is given as 4, not 3.",
        ),
        (
            {"marks": {"active": TODAY - 1, "joined": TODAY, "purchases": 3, "m.third": 1}},
            f"The number of the mark active is given as {TODAY - 1}, not {TODAY}.",
        ),
        ({"buckets": {ROLLING: 102}}, "The rolling bucket is given as 102, the lines add up to 101."),
        (
            {"pending": {(TODAY + 5, UNTIL): 7}},
            "The pending bucket of 2026-01-15, of points of the rolling bucket is given as 0, the lines add up to 7;",
        ),
        (
            {"holds": {4: Hold(NOW + timedelta(hours=2), {UNTIL: 4})}},
            "Hold 4 of points of the rolling bucket is given as 0, the lines add up to 4; hold 4 of points of 2026-02-09",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_kept_beside_the_points_is_what_the_entries_say(state: dict[str, Any], message: str) -> None:
    log = rolling_log()
    assert findings(log) == []

    for wrong in (altered(log, 5, state=state), [*altered(log, 5, state=state), later_of(log)]):
        (finding,) = findings(wrong)

        assert (finding.account, finding.seq, finding.code) == ("ADA", 5, Code.STATE_MISMATCH)
        assert finding.message.startswith(message), finding.message


def later_of(log: Sequence[Record]) -> Record:
    """A record that changes nothing."""
    state = log[-1].state
    return Record(log[-1].account, log[-1].seq + 1, (Entry(EntryKind.UPDATE, state.at, (), state.balance),), state)


@pytest.mark.parametrize(
    ("seq", "entry"),
    [
        (5, {"marks": (("m.third", 2),)}),
        (4, {"marks": (("active", TODAY + 1),)}),
        (4, {"qualifies": ((24_312, 1),)}),
        (4, {"rolls": Rolling(UNTIL + 1, 0, 30)}),
    ],
)
def test_an_entry_that_says_something_else_is_found_where_it_is(seq: int, entry: dict[str, Any]) -> None:
    log = rolling_log()

    assert found([*altered(log, seq, **entry), later_of(log)]) == [(seq, Code.STATE_MISMATCH)]


def test_points_of_a_rolling_bucket_without_a_last_day() -> None:
    entry = Entry(EntryKind.PURCHASE, NOW, (Line(ROLLING, 3),), 3)

    (finding,) = findings([Record("A", 1, (entry,), State(NOW, {ROLLING: 3}))])

    assert finding == Finding("A", 1, Code.STATE_MISMATCH, "The points of the rolling bucket have no last day.")


def test_whoever_comes_in_late_takes_the_marks_as_they_are_and_checks_what_follows() -> None:
    log = rolling_log()

    assert [each.code for each in findings([*log[2:], later_of(log)])] == [Code.SEQUENCE_GAP]
    marks = log[-1].state.marks | {"purchases": 9}
    assert found([*altered(log, 5, state={"marks": marks})[2:], later_of(log)]) == [
        (1, Code.SEQUENCE_GAP),
        (5, Code.STATE_MISMATCH),
    ]


def test_only_as_many_periods_are_kept_as_count() -> None:
    def period(number: int) -> Entry:
        return Entry(EntryKind.PURCHASE, NOW, (), 0, qualifies=((24_000 + number, 5),))

    most = limits.QUALIFYING_PERIODS_MAX
    entries = tuple(period(number) for number in range(most + 2))
    state = State(NOW, qualifying={24_000 + number: 5 for number in range(2, most + 2)})
    # What is taken too much of a period is owed by no other one.
    newest = 24_001 + most
    taken = Entry(EntryKind.RETURN, NOW, (), 0, qualifies=((newest, -9), (newest - 1, -1), (24_000, -5)))
    after = State(NOW, qualifying={24_000 + number: 5 - (number == most) for number in range(2, most + 1)})

    assert found([Record("A", 1, entries, state), Record("A", 2, (taken,), after)]) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            Entry(EntryKind.TIER, NOW, (), 0, standing=Standing("gold", LATER)),
            "TIER of gold is explained by nothing.",
        ),
        (
            Entry(
                EntryKind.TIER, NOW, (), 0, (Explanation("tier:silver:reached", 0),), standing=Standing("gold", LATER)
            ),
            "TIER of gold is explained by tier:silver:reached.",
        ),
        (
            Entry(EntryKind.TIER, NOW, (), 0, (Explanation("moment:gold", 0),)),
            "TIER of the lowest tier is explained by moment:gold.",
        ),
        (
            Entry(EntryKind.BONUS, NOW, (), 0, (Explanation("moment:third", 0),)),
            "BONUS marks no moment, and is explained by moment:third.",
        ),
        (
            Entry(EntryKind.BONUS, NOW, (), 0, (Explanation("moment:first", 0),), marks=(("m.third", 1),)),
            "BONUS marks third, and is explained by moment:first.",
        ),
    ],
)
def test_tiers_and_moments_are_explained_by_their_rules(entry: Entry, message: str) -> None:
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))
    state = State(NOW, standing=entry.standing, marks=dict(entry.marks))

    (finding,) = findings([first, Record("A", 2, (entry,), state)])

    assert finding == Finding("A", 2, Code.EXPLANATION_MISMATCH, message)


CAMPAIGN = (Explanation("campaign:SUMMER", 0),)


@pytest.mark.parametrize(
    ("kind", "key", "reason", "explanation", "is_right"),
    [
        (EntryKind.CAMPAIGN_BONUS, bonus_key("C1", "A"), "SUMMER", CAMPAIGN, True),
        (EntryKind.CAMPAIGN_REVERSAL, reversal_key("C1", "A"), "SUMMER", CAMPAIGN, True),
        (EntryKind.CAMPAIGN_BONUS, None, "SUMMER", CAMPAIGN, False),
        (EntryKind.CAMPAIGN_BONUS, Key("till", "1"), "SUMMER", CAMPAIGN, False),
        # The key of another account, and of the other kind.
        (EntryKind.CAMPAIGN_BONUS, bonus_key("C1", "B"), "SUMMER", CAMPAIGN, False),
        (EntryKind.CAMPAIGN_BONUS, reversal_key("C1", "A"), "SUMMER", CAMPAIGN, False),
        (EntryKind.CAMPAIGN_REVERSAL, bonus_key("C1", "A"), "SUMMER", CAMPAIGN, False),
        (EntryKind.CAMPAIGN_BONUS, bonus_key("C1", "A"), "WINTER", CAMPAIGN, False),
        (EntryKind.CAMPAIGN_BONUS, bonus_key("C1", "A"), "SUMMER", (), False),
        # Nothing else hides behind a key that needs no claim.
        (EntryKind.ADJUSTMENT, bonus_key("C1", "A"), "SUMMER", CAMPAIGN, False),
    ],
)
def test_what_a_campaign_gives_has_its_key_of_this_account(
    kind: EntryKind, key: Key | None, reason: str, explanation: tuple[Explanation, ...], is_right: bool
) -> None:
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))
    entry = Entry(kind, NOW, (), 0, explanation, key=key, reason=reason)

    assert found([first, Record("A", 2, (entry,), State(NOW))]) == (
        [] if is_right else [(2, Code.EXPLANATION_MISMATCH)]
    )


def test_a_second_bonus_of_a_campaign_is_found_however_late_it_is() -> None:
    key = bonus_key("C1", "A")
    uses = [Use("A", 3, NOW, is_refused=False), Use("A", 9, NOW + timedelta(days=999), is_refused=False)]

    (finding,) = verification.check_uses(key, uses)

    assert (finding.account, finding.seq, finding.code) == ("A", 9, Code.KEY_TWICE)
    assert verification.check_uses(key, uses[:1]) == []


def test_the_key_of_a_campaign_needs_nothing_that_remembers_it() -> None:
    for key in (bonus_key("C1", "A"), reversal_key("C1", "A")):
        use = Use("A", 3, NOW, is_refused=False)
        judged = verification.check_memory(
            key, [use], None, now=NOW, grace=timedelta(0), lives_on=lambda _one, _other: False
        )
        assert judged == Judged()


def test_a_moment_that_was_had_twice() -> None:
    def bonus(value: int) -> Entry:
        return Entry(EntryKind.BONUS, NOW, (), 0, (Explanation("moment:m", 0),), marks=(("m.m", value),))

    def log(*values: int) -> list[Record]:
        return [
            Record("A", seq, (bonus(value),), State(NOW, marks={"m.m": value})) for seq, value in enumerate(values, 1)
        ]

    assert findings(log(2026, 2027)) == []
    assert findings(log(2026, 2026)) == [Finding("A", 2, Code.MOMENT_TWICE, "The moment 'm' was had before (2026).")]
    assert found(log(2027, 2026)) == [(2, Code.MOMENT_TWICE)]


# --- time -------------------------------------------------------------------------------------------------------------


def test_time_that_runs_backwards() -> None:
    log = furnished()
    before = log[5].state.at - timedelta(milliseconds=1)

    (finding,) = findings(altered(log, 7, at=before, state={"at": before}))

    assert (finding.seq, finding.code) == (7, Code.TIME_BACKWARDS)
    assert (
        finding.message == "REDEMPTION is of 2026-01-10T16:59:59.999Z, what came before it of 2026-01-10T17:00:00.000Z."
    )


def test_time_that_runs_backwards_within_a_record() -> None:
    entries = (
        Entry(EntryKind.ENROLLMENT, NOW, (), 0),
        Entry(EntryKind.UPDATE, NOW - timedelta(milliseconds=1), (), 0),
    )

    assert found([Record("A", 1, entries, State(entries[-1].at))]) == [(1, Code.TIME_BACKWARDS)]


def pots(lines: tuple[Line, ...], taken: Entry, *, lapses_at: datetime | None = None) -> list[Record]:
    """A log in which an entry takes away what `lines` had brought."""
    live = sum(line.points for line in lines if not (line.matures or line.hold))
    got = Entry(EntryKind.HOLD if lapses_at else EntryKind.PURCHASE, NOW, lines, live, lapses_at=lapses_at)
    state = State(
        NOW,
        {line.expires: line.points for line in lines if not (line.matures or line.hold)},
        {(line.matures, line.expires): line.points for line in lines if line.matures},
        {line.hold: Hold(lapses_at, {line.expires: line.points}) for line in lines if line.hold and lapses_at},
    )
    taken = replace(taken, lines=tuple(replace(line, points=-line.points) for line in lines))
    return [Record("A", 1, (got,), state), Record("A", 2, (taken,), State(taken.at))]


MIDNIGHT = at("2026-01-11 00:00")
INSTANT = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("line", "kind", "moment", "message"),
    [
        (
            Line(TODAY, 5),
            EntryKind.EXPIRY,
            MIDNIGHT - INSTANT,
            "expires at 2026-01-11T04:59:59.999Z, before its last day",
        ),
        (Line(TODAY, 5), EntryKind.REDEMPTION, MIDNIGHT, "REDEMPTION takes from the bucket of 2026-01-10"),
        (
            Line(LATER, 5, TODAY + 1),
            EntryKind.MATURITY,
            MIDNIGHT - INSTANT,
            "matures at 2026-01-11T04:59:59.999Z, before",
        ),
        (Line(LATER, 5, hold=1), EntryKind.LAPSE, MIDNIGHT - INSTANT, "hold 1 of points of 2026-11-06 lapses at"),
        (Line(LATER, 5, hold=1), EntryKind.CAPTURE, MIDNIGHT, "CAPTURE takes from hold 1 of points of 2026-11-06 at"),
    ],
    ids=lambda value: value.value if isinstance(value, EntryKind) else "",
)
def test_points_that_moved_when_they_could_not(line: Line, kind: EntryKind, moment: datetime, message: str) -> None:
    lapses_at = MIDNIGHT if line.hold else None
    in_time = MIDNIGHT - INSTANT if moment == MIDNIGHT else MIDNIGHT

    (finding,) = findings(pots((line,), Entry(kind, moment, (), 0), lapses_at=lapses_at))

    assert (finding.seq, finding.code) == (2, Code.OUT_OF_TIME)
    assert message in finding.message
    assert found(pots((line,), Entry(kind, in_time, (), 0), lapses_at=lapses_at)) == []


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            Line(TODAY, 5),
            Code.EXPIRED_POINTS_LEFT,
            "5 points of 2026-01-10 are still there at 2026-01-11T05:00:00.000Z.",
        ),
        (
            Line(LATER, 5, TODAY + 1),
            Code.RIPE_POINTS_LEFT,
            "5 points are still pending at 2026-01-11T05:00:00.000Z, due on 2026-01-11.",
        ),
        (
            Line(LATER, 5, hold=1),
            Code.LAPSED_HOLD_LEFT,
            "Hold 1 is still open at 2026-01-11T05:00:00.000Z, it ended at 2026-01-11T05:00:00.000Z.",
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Code) else "",
)
def test_what_time_had_taken_and_is_still_there(line: Line, code: Code, message: str) -> None:
    first, last = pots((line,), Entry(EntryKind.UPDATE, NOW, (), 0), lapses_at=MIDNIGHT if line.hold else None)
    live = first.state.balance

    def untouched(moment: datetime) -> list[Record]:
        entry = Entry(EntryKind.UPDATE, moment, (), live)
        return [first, replace(last, entries=(entry,), state=replace(first.state, at=moment))]

    assert findings(untouched(MIDNIGHT - INSTANT)) == []
    assert findings(untouched(MIDNIGHT)) == [Finding("A", 2, code, message)]


def rolling_pots(taken: Entry, *, left: State | None = None, lapses_at: datetime | None = None) -> list[Record]:
    """A log in which points roll until today, and an entry takes them away: live, pending and held ones."""
    state = State(
        NOW,
        {ROLLING: 5},
        {(TODAY + 9, ROLLING): 3},
        {1: Hold(NOW + timedelta(days=3), {ROLLING: 2})},
        rolling=Rolling(TODAY, 0, 1),
    )
    got = (
        Entry(EntryKind.PURCHASE, NOW, (Line(ROLLING, 7), Line(ROLLING, 3, TODAY + 9)), 7, rolls=state.rolling),
        Entry(
            EntryKind.HOLD, NOW, (Line(ROLLING, -2), Line(ROLLING, 2, hold=1)), 5, lapses_at=state.holds[1].lapses_at
        ),
    )
    after = replace(left or state, at=taken.at)
    return [Record("A", 1, got, state), Record("A", 2, (replace(taken, balance_after=after.balance),), after)]


SILENCED = (
    Line(ROLLING, -5),
    Line(ROLLING, -2, hold=1),
    Line(TODAY, 2, hold=1),
    Line(ROLLING, -3, TODAY + 9),
    Line(TODAY, 3, TODAY + 9),
)
GONE = State(NOW, {}, {(TODAY + 9, TODAY): 3}, {1: Hold(NOW + timedelta(days=3), {TODAY: 2})})


def test_a_silence_takes_what_rolls_at_its_end_and_no_sooner() -> None:
    def at_moment(moment: datetime) -> list[tuple[str, Code]]:
        log = rolling_pots(Entry(EntryKind.EXPIRY, moment, SILENCED, 0), left=GONE)
        return [(each.message.partition(" expires ")[0], each.code) for each in findings(log)]

    assert at_moment(MIDNIGHT) == []
    assert at_moment(MIDNIGHT - INSTANT) == [
        ("the rolling bucket", Code.OUT_OF_TIME),
        ("hold 1 of points of the rolling bucket", Code.OUT_OF_TIME),
        ("the pending bucket of 2026-01-19, of points of the rolling bucket", Code.OUT_OF_TIME),
    ]


def test_what_a_silence_takes_keeps_its_day_and_gets_no_other_one() -> None:
    lines = (*SILENCED[:-1], Line(TODAY + 1, 3, TODAY + 9))
    left = replace(GONE, pending={(TODAY + 9, TODAY + 1): 3})

    (finding,) = findings(rolling_pots(Entry(EntryKind.EXPIRY, MIDNIGHT, lines, 0), left=left))

    assert finding == Finding(
        "A",
        2,
        Code.OUT_OF_TIME,
        "EXPIRY gives points of the rolling bucket to the pending bucket of 2026-01-19, of points of 2026-01-11.",
    )


def test_points_that_rolled_are_not_spent_after_their_last_day() -> None:
    left = replace(rolling_pots(Entry(EntryKind.UPDATE, NOW, (), 0))[0].state, buckets={})
    spent = Entry(EntryKind.REDEMPTION, MIDNIGHT - INSTANT, (Line(ROLLING, -5),), 0)

    assert findings(rolling_pots(spent, left=left)) == []
    assert (2, Code.OUT_OF_TIME) in found(rolling_pots(replace(spent, at=MIDNIGHT), left=left))


def test_points_that_a_silence_had_taken_and_that_are_still_there() -> None:
    untouched = Entry(EntryKind.UPDATE, MIDNIGHT, (), 0)

    assert findings(rolling_pots(replace(untouched, at=MIDNIGHT - INSTANT))) == []
    assert findings(rolling_pots(untouched)) == [
        Finding(
            "A",
            2,
            Code.EXPIRED_POINTS_LEFT,
            "10 points of the rolling bucket are still there at 2026-01-11T05:00:00.000Z, its last day was 2026-01-10.",
        )
    ]


def test_a_rolling_day_that_moves_back() -> None:
    def moved(until: int) -> list[Record]:
        rolls = Rolling(until, 0, 1)
        first = Entry(EntryKind.PURCHASE, NOW, (Line(ROLLING, 5),), 5, rolls=Rolling(UNTIL, 0, 30))
        second = Entry(EntryKind.PURCHASE, NOW, (Line(ROLLING, 5),), 10, rolls=rolls)
        return [
            Record("A", 1, (first,), State(NOW, {ROLLING: 5}, rolling=first.rolls)),
            Record("A", 2, (second,), State(NOW, {ROLLING: 10}, rolling=rolls)),
        ]

    assert findings(moved(UNTIL)) == []
    assert findings(moved(UNTIL - 1)) == [
        Finding("A", 2, Code.OUT_OF_TIME, "PURCHASE moves the rolling day back from 2026-02-09 to 2026-02-08.")
    ]


def test_a_tier_that_is_lost_before_its_last_day_is_over() -> None:
    def lost(moment: datetime, why: str) -> list[tuple[int, Code]]:
        held = Standing("gold", TODAY)
        first = Entry(EntryKind.TIER, NOW, (), 0, (Explanation("tier:gold:reached", 0),), standing=held)
        second = Entry(EntryKind.TIER, moment, (), 0, (Explanation(f"tier:base:{why}", 0),))
        return found([Record("A", 1, (first,), State(NOW, standing=held)), Record("A", 2, (second,), State(moment))])

    assert lost(MIDNIGHT, "fallen") == lost(MIDNIGHT - INSTANT, "set") == []
    assert lost(MIDNIGHT - INSTANT, "fallen") == [(2, Code.OUT_OF_TIME)]


def owing() -> list[Record]:
    first = Record("A", 1, (Entry(EntryKind.ENROLLMENT, NOW, (), 0),), State(NOW))
    return [first, Record("A", 2, (Entry(EntryKind.RETURN, NOW, (Line(DEBT, -5),), 0),), State(NOW, debt=5))]


def test_a_debt_beside_points_that_would_pay_it() -> None:
    entry = Entry(EntryKind.PURCHASE, NOW, (Line(NEVER, 3),), 3)

    (finding,) = findings([*owing(), Record("A", 3, (entry,), State(NOW, {NEVER: 3}, debt=5))])

    assert finding == Finding("A", 3, Code.DEBT_UNPAID, "5 points are owed, and 3 are there to pay them.")


@pytest.mark.parametrize("number", [-(10**9), 10**9, NEVER - 1, NEVER + 1, -1])
def test_days_that_no_calendar_has_are_findings_and_no_errors(number: int) -> None:
    entry = Entry(EntryKind.PURCHASE, NOW, (Line(number, 3), Line(LATER, 3, number), Line(number, 3, hold=4)), 3)
    spent = Entry(EntryKind.REDEMPTION, NOW, (Line(number, -3), Line(LATER, -3, number)), 0)

    assert findings([Record("A", 1, (entry,), State(NOW, {1: 1})), Record("A", 2, (spent,), State(NOW))])


# --- records that are missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [(1, 1, "Record 1 is missing."), (3, 3, "Record 3 is missing."), (2, 5, "Records 2 to 5 are missing.")],
)
def test_a_gap_is_found_and_what_comes_after_is_checked_by_itself(first: int, last: int, message: str) -> None:
    log = furnished()
    rest = [*log[: first - 1], *log[last:]]

    assert findings(rest) == [Finding("A", first, Code.SEQUENCE_GAP, message)]
    assert found(altered(rest, 7 - (last - first + 1), balance_after=1)) == [
        (first, Code.SEQUENCE_GAP),
        (7, Code.BALANCE_MISMATCH),
    ]


def test_a_record_that_cannot_be_read_is_no_gap() -> None:
    log, replay = furnished(), Replay("ADA", (ZONE,))

    assert [replay.follow(record) for record in log[:3]] == [[], [], []]
    assert replay.lose(4) == []
    assert [replay.follow(record) for record in log[4:]] == [[]] * len(log[4:])
    assert [each.code for each in replay.lose(len(log) + 2)] == [Code.SEQUENCE_GAP]


def test_two_mistakes_are_two_findings() -> None:
    log = altered(altered(furnished(), 5, balance_after=1), 7, state={"merged": ()})

    assert found(log) == [(5, Code.BALANCE_MISMATCH), (7, Code.STATE_MISMATCH)]


# --- two accounts -----------------------------------------------------------------------------------------------------


def halves(kind: EntryKind) -> tuple[Record, Entry, Record]:
    """A record with an entry of that kind, and the one that was written with it."""
    store = Store()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
        buy(store, name, 3_000, NOW, receipt=name)
    if kind in (EntryKind.TRANSFER_OUT, EntryKind.TRANSFER_IN):
        give(store, "ada", "bob", 10, NOW, key="k")
    else:
        merge(store, "ada", "bob", NOW, key="k")
        unmerge(store, "ada", NOW, key="l")
    record, entry = next(
        (record, entry)
        for log in store._logs.values()
        for record in log
        for entry in record.entries
        if entry.kind is kind
    )
    assert entry.peer is not None
    return record, entry, store._logs[entry.peer[0]][entry.peer[1] - 1]


PEERS = [
    EntryKind.TRANSFER_OUT,
    EntryKind.TRANSFER_IN,
    EntryKind.MERGED,
    EntryKind.MERGE,
    EntryKind.UNMERGE,
    EntryKind.REOPENING,
]


@pytest.mark.parametrize("kind", PEERS)
def test_two_halves_belong_together(kind: EntryKind) -> None:
    record, entry, other = halves(kind)
    (half,) = (each for each in other.entries if each.peer == (record.account, record.seq))

    def without(**changes: Any) -> Record:
        return replace(
            other, entries=tuple(replace(half, **changes) if each is half else each for each in other.entries)
        )

    def codes(entry: Entry, other: Record | None) -> list[tuple[str, int, Code]]:
        return [(each.account, each.seq, each.code) for each in verification.check_peer(record, entry, other)]

    here = (record.account, record.seq)
    assert codes(entry, other) == []
    assert codes(entry, None) == [(*here, Code.PEER_MISSING)]
    assert codes(replace(entry, peer=None), None) == [(*here, Code.PEER_MISSING)]
    assert codes(entry, without(peer=(record.account, record.seq + 1))) == [(*here, Code.PEER_MISSING)]
    assert codes(entry, without(kind=EntryKind.PURCHASE)) == [(*here, Code.PEER_MISSING)]
    (line,) = half.lines
    assert codes(entry, without(lines=(replace(line, points=line.points * 2),))) == [(*here, Code.PEER_MISMATCH)]


def test_the_halves_are_named() -> None:
    record, entry, other = halves(EntryKind.TRANSFER_OUT)

    (missing,) = verification.check_peer(record, entry, None)
    (differing,) = verification.check_peer(record, replace(entry, lines=(Line(BUCKET, -9),)), other)

    assert missing.message == "TRANSFER_OUT has its other half at BOB 3, which is not there."
    assert differing.message == (
        "TRANSFER_OUT and its other half at BOB 3 differ: TRANSFER_OUT -9 in the bucket of 2028-01-31,"
        " TRANSFER_IN +10 in the bucket of 2028-01-31."
    )


@pytest.mark.parametrize(
    ("got", "is_right"),
    [
        ((Line(LATER, 10),), True),
        # A full account: the new bucket, or an older one, became one with a later one at once.
        ((Line(LATER, 10), Line(LATER, -10), Line(LATER + 3, 10)), True),
        ((Line(LATER, 10), Line(TODAY, -4), Line(TODAY + 1, 4)), True),
        ((Line(LATER, 10), Line(LATER, -10), Line(LATER - 3, 10)), False),
        ((Line(LATER, 10), Line(DEBT, -1)), False),
        ((Line(LATER, 4), Line(LATER + 1, 6)), True),
        ((Line(LATER, 11),), False),
        ((), False),
    ],
)
def test_what_is_got_is_what_was_given_and_expires_no_earlier(got: tuple[Line, ...], is_right: bool) -> None:
    out = Entry(EntryKind.TRANSFER_OUT, NOW, (Line(LATER, -10),), 0, peer=("B", 2))
    into = Entry(EntryKind.TRANSFER_IN, NOW, got, 0, peer=("A", 2))
    given_by, given_to = Record("A", 2, (out,), State(NOW)), Record("B", 2, (into,), State(NOW))

    for record, entry, other in ((given_by, out, given_to), (given_to, into, given_by)):
        assert [each.code for each in verification.check_peer(record, entry, other)] == (
            [] if is_right else [Code.PEER_MISMATCH]
        )


def rolling_halves(kind: EntryKind) -> tuple[Record, Entry, Record, int | None]:
    """As `halves`, of points that roll until `UNTIL`, and the rolling day before the entry."""
    store = Store()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
        buy(store, name, 3_000, NOW, receipt=name, program=ROLLED)
    if kind in (EntryKind.TRANSFER_OUT, EntryKind.TRANSFER_IN):
        give(store, "ada", "bob", 30, NOW, key="k", program=ROLLED)
    else:
        merge(store, "ada", "bob", NOW, key="k", program=ROLLED)
        unmerge(store, "ada", NOW, key="l", program=ROLLED)
    for log in store._logs.values():
        replay = Replay(log[0].account, (ZONE,))
        for record in log:
            assert replay.follow(record) == []
            for entry, rolling in zip(record.entries, replay.rolled, strict=True):
                if entry.kind is kind:
                    assert entry.peer is not None
                    return record, entry, store._logs[entry.peer[0]][entry.peer[1] - 1], rolling
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", PEERS)
def test_what_rolls_has_two_halves_as_well(kind: EntryKind) -> None:
    record, entry, other, rolling = rolling_halves(kind)
    (half,) = (each for each in other.entries if each.peer == (record.account, record.seq))

    def codes(entry: Entry = entry, rolling: int | None = rolling, **changes: Any) -> list[Code]:
        there = replace(
            other, entries=tuple(replace(half, **changes) if each is half else each for each in other.entries)
        )
        return [each.code for each in verification.check_peer(record, entry, there, rolling=rolling)]

    mismatch = [Code.PEER_MISMATCH]
    assert codes() == codes(rolling=None) == []
    (line,) = half.lines
    assert codes(lines=(replace(line, points=line.points - 1),)) == mismatch
    match kind:
        case EntryKind.TRANSFER_OUT:
            assert (rolling, line.expires) == (UNTIL, UNTIL)
            # Fewer days than they had, or as many as the receiver is active.
            assert codes(lines=(replace(line, expires=UNTIL - 1),)) == mismatch
            assert codes(lines=(replace(line, expires=ROLLING),), rolls=Rolling(UNTIL, 0, 30)) == mismatch
        case EntryKind.TRANSFER_IN:
            assert codes(replace(entry, lines=(replace(entry.lines[0], expires=ROLLING),))) == mismatch
        case EntryKind.MERGED | EntryKind.UNMERGE:
            assert (rolling, line.expires) == (UNTIL, ROLLING)
            assert codes(lines=(replace(line, expires=UNTIL),)) == mismatch
            assert codes(rolls=Rolling(UNTIL - 1, 0, 30)) == codes(rolls=None) == mismatch
        case _:
            assert codes(replace(entry, lines=(replace(entry.lines[0], expires=UNTIL),))) == mismatch


# --- keys -------------------------------------------------------------------------------------------------------------

PURCHASE, OWN, RETURN = Key("till", "1"), Key("~m.ada", "1"), PurchaseReturn(Key("till", "1"), "r", b"", NOW).key
MONTH = timedelta(days=30)


def use(seq: int = 5, *, account: str = "A", at: datetime = NOW, is_refused: bool = False) -> Use:
    return Use(account, seq, at, is_refused)


@pytest.mark.parametrize(
    ("key", "after", "is_right"),
    [
        (PURCHASE, timedelta(days=4_000), False),
        (RETURN, timedelta(days=4_000), False),
        (OWN, MONTH - INSTANT, False),
        (OWN, MONTH, True),
    ],
    ids=["purchase", "return", "own key, too soon", "own key, forgotten"],
)
def test_a_key_is_booked_once_while_it_is_remembered(key: Key, after: timedelta, is_right: bool) -> None:
    found = verification.check_uses(key, [use(), use(3, account="B", at=NOW + after)])

    wrong = Finding("B", 3, Code.KEY_TWICE, f"The key {str(key)!r} is booked at A 5 already.")
    assert found == ([] if is_right else [wrong])
    assert verification.check_uses(key, [use()]) == []


def judged(key: Key, uses: Sequence[Use], memory: Memory | None, *, now: datetime = NOW + MONTH) -> Judged:
    def lives_on(account: str, other: str) -> bool:
        return (account, other) == ("OLD", "A")

    return verification.check_memory(key, uses, memory, now=now, grace=timedelta(hours=1), lives_on=lives_on)


def test_a_claim_and_its_entry_belong_together() -> None:
    claim = Memory("A", NOW, seq_seen=4, expires_at=NOW + MONTH)

    for key in (PURCHASE, OWN):
        assert judged(key, [use()], claim) == Judged()
        # The account it was claimed for lives on in this one.
        assert judged(key, [use(2)], replace(claim, account="OLD")) == Judged()
        # Refused by the claim itself, or in the log.
        assert judged(key, [], replace(claim, is_refused=True)) == Judged()
        assert judged(key, [use(is_refused=True)], claim) == Judged()
    # What was forgotten was used once more; nobody knows more than that of the first time.
    assert judged(OWN, [use(account="B", at=NOW - MONTH - INSTANT), use()], claim) == Judged()
    assert judged(OWN, [use()], None) == Judged()
    assert judged(RETURN, [use(5)], Memory("A", NOW, seq=5)) == Judged()
    # A return that had waited stands where its purchase stands, if that ever came.
    assert judged(RETURN, [use(5)], Memory("", NOW, has_waited=True)) == Judged()
    assert judged(RETURN, [], Memory("", NOW, has_waited=True)) == Judged()


@pytest.mark.parametrize(
    ("key", "uses", "memory", "code", "message"),
    [
        (
            PURCHASE,
            [use()],
            None,
            Code.CLAIM_MISSING,
            "Nothing remembers the key 'till:1': it could be booked once more.",
        ),
        (RETURN, [use()], None, Code.CLAIM_MISSING, "Nothing remembers the key '~r.till:1:r': it could be"),
        (PURCHASE, [use()], Memory("B", NOW), Code.CLAIM_MISMATCH, "The key 'till:1' was claimed for the account B."),
        (OWN, [use()], Memory("B", NOW), Code.CLAIM_MISMATCH, "The key '~m.ada:1' was claimed for the account B."),
        (
            PURCHASE,
            [use()],
            Memory("A", NOW, seq_seen=5),
            Code.CLAIM_MISMATCH,
            "The key 'till:1' was claimed only after record 5.",
        ),
        (
            RETURN,
            [use()],
            Memory("A", NOW, seq=6),
            Code.CLAIM_MISMATCH,
            "The key '~r.till:1:r' is remembered to stand at A 6.",
        ),
        (
            PURCHASE,
            [use()],
            Memory("A", NOW, seq_seen=4, is_refused=True),
            Code.REFUSED_BUT_BOOKED,
            "The key 'till:1' was refused for good, and is booked all the same.",
        ),
        (
            PURCHASE,
            [],
            Memory("A", NOW, seq_seen=4),
            Code.CLAIM_UNBOOKED,
            "The key 'till:1' was claimed at 2026-01-10T17:00:00.000Z and is not booked: its caller never came back, or",
        ),
        (
            RETURN,
            [],
            Memory("A", NOW, seq=5),
            Code.CLAIM_UNBOOKED,
            "The return '~r.till:1:r' is remembered to stand here, and does not.",
        ),
    ],
)
def test_a_claim_that_does_not_fit_its_entry(
    key: Key, uses: list[Use], memory: Memory | None, code: Code, message: str
) -> None:
    answer = judged(key, uses, memory)

    (finding,) = answer.found
    assert (finding.account, finding.seq, finding.code) == ("A", 5, code)
    assert finding.message.startswith(message)
    assert not answer.is_unfinished


def test_a_claim_that_may_still_be_on_its_way_is_unfinished() -> None:
    claim = Memory("A", NOW, seq_seen=4, expires_at=NOW + MONTH)

    assert judged(PURCHASE, [], claim, now=NOW + timedelta(hours=1) - INSTANT) == Judged(is_unfinished=True)
    assert judged(PURCHASE, [], claim, now=NOW + timedelta(hours=1)).found
    # What is forgotten is nobody's business, though TTL takes its time.
    assert judged(OWN, [], claim, now=NOW + MONTH) == Judged()


def test_an_entry_from_before_the_key_was_forgotten_is_not_the_one_that_was_claimed() -> None:
    claim = Memory("A", NOW, seq_seen=8)
    old = use(at=NOW - MONTH - INSTANT)

    (finding,) = judged(OWN, [old], claim).found

    assert (finding.seq, finding.code) == (9, Code.CLAIM_UNBOOKED)
