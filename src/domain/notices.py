"""Notices: what a member is told by the program, once.

A notice is an annex of the account: it names the moment or the expiry it is about, and holds no personal data. Its key is what
it is about, so it is given once, whatever is repeated. What it says is put into words when it is read, by the program version
that gave it and with the name that stands in the profile then.

Members agree to kinds of notices, or do not; who did not answer has the program's default. Without consent nothing is told, and
all the rest happens as it does for everybody.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from domain import accounts, days, limits, moments, texts, tiers
from domain.accounts import ROLLING, State
from domain.days import NEVER
from domain.documents import Reader
from domain.entries import Entry, EntryKind, Record
from domain.moments import Moment, On
from domain.refusals import MemberNotFound, Refusal

if TYPE_CHECKING:
    from domain.ledger import Outcome
    from domain.members import Profile
    from domain.programs import Program
    from domain.store import Store


class Consent(Enum):
    """What a member may want to be told, or not."""

    # What they are about to lose: points, a tier.
    REMINDERS = "reminders"
    # Moments of their membership, and what they got for them.
    OFFERS = "offers"
    # What happened in a month.
    SUMMARY = "summary"


class NoticeKind(Enum):
    """What a notice is about."""

    REMINDER = "REMINDER"
    TIER_FALLING = "TIER_FALLING"
    MOMENT = "MOMENT"
    SUMMARY = "SUMMARY"
    CAMPAIGN = "CAMPAIGN"


# The consent that a notice needs.
CONSENTS = {
    NoticeKind.REMINDER: Consent.REMINDERS,
    NoticeKind.TIER_FALLING: Consent.REMINDERS,
    NoticeKind.MOMENT: Consent.OFFERS,
    NoticeKind.SUMMARY: Consent.SUMMARY,
    NoticeKind.CAMPAIGN: Consent.OFFERS,
}
# What explains the entry of a member's other answers (domain/profiles.py).
ANSWERED = "changed:consents"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell a member. (`day`, `about`) is what it is about, and its key within the account: notices are listed by
    `day`, the day on which it became due (of an entry the day by UTC, so that no other time zone can move it).

    `version` is the program version that has its text; `moment` the rule there, empty for an expiry. `args` fill in the text:
    `points`, `balance`, `date` (a day number), `tier` (an id), `stage` (the days before an expiry) and the figures of a summary.
    """

    kind: NoticeKind
    day: int
    about: str
    at: datetime
    version: int
    moment: str = ""
    args: Mapping[str, int | str] = field(default_factory=dict)
    read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoticeRules:
    """How many days before points expire their owner is reminded (`stages`, the earliest first), with `title` and `text`, and
    between which hours of the program's day nobody is told anything (`quiet`: from, until; equal ones are never quiet).

    `defaults` are what members are told who did not say; `nameless` is the `$name` of somebody who gave none.
    """

    stages: tuple[int, ...] = (30, 15, 7)
    quiet: tuple[int, int] = (21, 9)
    title: str = "Your points expire soon"
    text: str = "$points of your points can be spent until $date; after that day they are gone."
    nameless: str = "friend"
    defaults: frozenset[Consent] = frozenset(Consent)


_RULES = NoticeRules()


def parse(reader: Reader) -> NoticeRules:
    """The rules of a document: `stages`, `quiet_from`, `quiet_until`, `title`, `text`, `nameless` and `defaults`, a yes or no for
    each consent. Refuses `InvalidProgram`."""
    stages = reader.wholes("stages", 1, 365, count_max=limits.REMINDER_STAGES_MAX, default=_RULES.stages)
    given = reader.reader("defaults", default={})
    defaults = frozenset(each for each in Consent if given.flag(each.value, default=each in _RULES.defaults))
    given.finish()
    title = texts.parse(reader, "title", limits.NAME_LENGTH_MAX, default=_RULES.title)
    if not title:
        reader.refuse("title", "must not be empty; without stages nobody is reminded.")
    return NoticeRules(
        stages=tuple(sorted(stages, reverse=True)),
        quiet=(
            reader.whole("quiet_from", 0, 23, default=_RULES.quiet[0]),
            reader.whole("quiet_until", 0, 23, default=_RULES.quiet[1]),
        ),
        title=title,
        text=texts.parse(reader, "text", limits.NOTICE_TEXT_LENGTH_MAX, default=_RULES.text),
        nameless=reader.text("nameless", limits.NAME_LENGTH_MAX, default=_RULES.nameless),
        defaults=defaults,
    )


def document(rules: NoticeRules) -> dict[str, Any]:
    """The part of a document that `parse` makes these rules of."""
    return {
        "stages": list(rules.stages),
        "quiet_from": rules.quiet[0],
        "quiet_until": rules.quiet[1],
        "title": rules.title,
        "text": rules.text,
        "nameless": rules.nameless,
        "defaults": {each.value: each in rules.defaults for each in Consent},
    }


# --- consent ----------------------------------------------------------------------------------------------------------


def agrees(profile: "Profile", consent: Consent, program: "Program") -> bool:
    """Whether a member is told things of a kind: by their own answer, or by the program's default."""
    return profile.consents.get(consent, consent in program.notices.defaults)


def give(
    store: "Store", account: str, profile: "Profile | None", notices: Iterable[Notice], program: "Program"
) -> list[Notice]:
    """Gives a member the notices they agree to; those that are new. Nobody is told anything without a profile."""
    if profile is None:
        return []
    return [
        each for each in notices if agrees(profile, CONSENTS[each.kind], program) and store.give_notice(account, each)
    ]


# --- of an entry ------------------------------------------------------------------------------------------------------


def tell(store: "Store", record: Record, program: "Program", *, profile: "Profile | None" = None) -> list[Notice]:
    """Gives the notices of a record that stands in the ledger, as far as its member agrees; those that are new.

    Whoever comes by the record may: who wrote it, and who reads it off the table's stream. `profile` is that of the member where
    it is known; it is read only for a record that has something to tell.
    """
    told = of_record(record, program)
    if not told:
        return []
    if profile is None:
        # Strong: somebody who joined a moment ago is told as well.
        home = store.home(record.account, entries=0, strong=True)
        profile = home.profile if home else None
    return give(store, record.account, profile, told, program)


def of_record(record: Record, program: "Program") -> list[Notice]:
    """The notices of the moments that a record brought, whether or not its member agrees to any (`tell` asks)."""
    return [
        _of_entry(record, index, moment, program)
        for index, entry in enumerate(record.entries)
        if entry.kind is EntryKind.BONUS
        and (moment := program.moment(moments.named_by(entry))) is not None
        and moment.title
    ]


def of_campaign(campaign: str, title: str, text: str, booked: "Outcome", program: "Program") -> Notice:
    """The notice of what a campaign gave, with the campaign's own words: once for each campaign."""
    entry = booked.entry
    return Notice(
        kind=NoticeKind.CAMPAIGN,
        day=days.day_of(entry.at, _UTC),
        about=f"c.{campaign}",
        at=entry.at,
        version=program.version,
        args={**_args(booked.record, booked.index, program), _TITLE: title, _TEXT: text},
    )


# A campaign's words stand in its notices: no version of the program has them.
_TITLE, _TEXT = "title", "text"


def _of_entry(record: Record, index: int, moment: Moment, program: "Program") -> Notice:
    entry = record.entries[index]
    args = _args(record, index, program)
    # One of a kind, as the entry is; and in the order of the entries of a day.
    return Notice(
        kind=NoticeKind.MOMENT,
        day=days.day_of(entry.at, _UTC),
        about=f"e.{record.seq:010d}.{index:03d}",
        at=entry.at,
        version=program.version,
        moment=moment.id,
        args=args,
    )


def _args(record: Record, index: int, program: "Program") -> dict[str, int | str]:
    """What an entry that gave points fills into a text."""
    entry = record.entries[index]
    args: dict[str, int | str] = {"points": entry.points, "balance": entry.balance_after}
    last = _last_day(record.state, entry)
    if last is not None:
        args["date"] = last
    changed = next((each for each in reversed(record.entries[:index]) if each.kind is EntryKind.TIER), None)
    standing = changed.standing if changed is not None else record.state.standing
    if program.ladder is not None:
        args["tier"] = program.ladder.of(standing).id
    return args


_UTC = ZoneInfo("UTC")


def _last_day(state: State, entry: Entry) -> int | None:
    """The last day of the points that an entry gave; None for none, and for what never expires."""
    bucket = accounts.landed(entry.lines)
    if bucket == ROLLING:
        rolling = entry.rolls or state.rolling
        return None if rolling is None else rolling.until
    return bucket if bucket is not None and bucket < NEVER else None


# --- of a day ---------------------------------------------------------------------------------------------------------


def expiring(state: State) -> dict[int, int]:
    """What stands to expire, by last day: points in the balance, those a hold keeps, and those that become available by then,
    less what is owed, which is paid from the earliest."""
    sums: Counter[int] = Counter()
    for pot in (state.buckets, *(hold.buckets for hold in state.holds.values())):
        for bucket, points in pot.items():
            sums[state.last_day(bucket)] += points
    for (matures, bucket), points in state.pending.items():
        last = state.last_day(bucket)
        if matures <= last:
            sums[last] += points
    debt, left = state.debt, {}
    for last, points in sorted(sums.items()):
        paid = min(debt, points)
        debt -= paid
        if points > paid and last < NEVER:
            left[last] = points - paid
    return left


def reminders(state: State, program: "Program", *, today: int, at: datetime) -> list[Notice]:
    """The reminders of what will expire after today: of each day, the most urgent stage that has come. The state is of today."""
    found = []
    for last, points in expiring(state).items():
        stage = most_urgent(program.notices.stages, last - today)
        if stage is not None:
            args: dict[str, int | str] = {
                "points": points,
                "balance": state.balance,
                "date": last,
                "stage": stage,
                **_tier(program, state),
            }
            found.append(
                Notice(NoticeKind.REMINDER, last - stage, f"x.{last}", at, program.version, args=args),
            )
    return found


def most_urgent(stages: Sequence[int], days_left: int) -> int | None:
    """The most urgent of the stages (days before) that have come when so many days are left; None before the first, and on the
    last day, when it is too late to warn of it."""
    return min((stage for stage in stages if stage >= days_left), default=None) if days_left > 0 else None


def falling(state: State, program: "Program", *, today: int, at: datetime) -> list[Notice]:
    """The notice of a tier that will be lost, as things stand: of the most urgent rule whose day has come."""
    ladder, standing = program.ladder, state.standing
    rules = {each.number: each for each in reversed(program.moments) if each.on is On.TIER_FALLING and each.title}
    if ladder is None or standing is None or not standing.until:
        return []
    stage = most_urgent(tuple(rules), standing.until - today)
    follows = ladder.of(tiers.fallen(ladder, state)[0])
    if stage is None or (ladder.rank(follows.id) or 0) >= (ladder.rank(standing.tier) or 0):
        return []
    args: dict[str, int | str] = {
        "points": 0,
        "balance": state.balance,
        "date": standing.until,
        "stage": stage,
        **_tier(program, state),
    }
    about = f"t.{standing.until}.{standing.tier}"
    return [
        Notice(NoticeKind.TIER_FALLING, standing.until - stage, about, at, program.version, rules[stage].id, args),
    ]


def summaries(state: State, program: "Program", entries: Sequence[Entry], *, month: int, at: datetime) -> list[Notice]:
    """The summaries of a numbered month (`tiers.month_of`) with its `entries`, given in the next one; none of a month in which
    nothing happened to an account that is empty. The state is of now. What expires is an entry of the month of its last day."""
    came = sum(entry.points for entry in entries if entry.kind in _EARNING)
    spent = -sum(entry.points for entry in entries if entry.kind in _SPENDING)
    expired = -sum(entry.points for entry in entries if entry.kind is EntryKind.EXPIRY)
    if not (came or spent or expired or state.balance):
        return []
    first, end = (days.day_number(tiers.first_of(each)) for each in (month + 1, month + 2))
    args: dict[str, int | str] = {
        "points": state.balance,
        "balance": state.balance,
        "date": days.day_number(tiers.first_of(month)),
        "earned": max(came, 0),
        "spent": max(spent, 0),
        "expired": expired,
        "expiring": sum(points for last, points in expiring(state).items() if last < end),
        **_nearest(program, state.balance, today=days.day_of(at, program.zone)),
        **_tier(program, state),
    }
    return [
        Notice(NoticeKind.SUMMARY, first, f"s.{rule.id}", at, program.version, rule.id, args)
        for rule in program.moments
        if rule.on is On.MONTH and rule.title
    ]


# What came in, less what was returned of it; and what was spent, less what was given back. What only moved is neither.
_EARNING = frozenset(
    {
        EntryKind.PURCHASE,
        EntryKind.RETURN,
        EntryKind.BONUS,
        EntryKind.CAMPAIGN_BONUS,
        EntryKind.CAMPAIGN_REVERSAL,
        EntryKind.ADJUSTMENT,
        EntryKind.TRANSFER_IN,
    }
)
_SPENDING = frozenset({EntryKind.REDEMPTION, EntryKind.CAPTURE, EntryKind.TRANSFER_OUT, EntryKind.CANCELLATION})


def _nearest(program: "Program", balance: int, *, today: int) -> dict[str, int | str]:
    """The cheapest reward that is not within reach, and the points that are missing; where all are within reach, the dearest.
    Of those that are to be had on day `today`: early access is not counted on."""
    there = sorted((reward.cost, reward.id) for reward in program.rewards if reward.available_from <= today)
    if not there:
        return {}
    cost, reward = next((each for each in there if each[0] > balance), there[-1])
    return {"reward": reward, "missing": max(cost - balance, 0)}


def _tier(program: "Program", state: State) -> dict[str, int | str]:
    return {} if program.ladder is None else {"tier": program.ladder.of(state.standing).id}


# --- in words ---------------------------------------------------------------------------------------------------------


def worded(notice: Notice, program: "Program", *, name: str | None) -> tuple[str, str]:
    """Title and text of a notice. `program` is that of the version which gave it, `name` the member's."""
    rule = program.moment(notice.moment)
    # A rule that is gone could not have given it: versions never change.
    title, text = (rule.title, rule.text) if rule is not None else (program.notices.title, program.notices.text)
    if notice.kind is NoticeKind.CAMPAIGN:
        title, text = str(notice.args[_TITLE]), str(notice.args[_TEXT])
    values: dict[str, object] = dict.fromkeys((*texts.USUAL, *moments.FIGURES), "")
    values |= {key: value for key, value in notice.args.items() if key in values}
    values[texts.NAME] = name or program.notices.nameless
    on = notice.args.get("date", None if notice.kind is NoticeKind.CAMPAIGN else notice.day)
    if on is not None:
        # A campaign's points may have no last day.
        assert isinstance(on, int)
        date = days.date_of(on)
        values[texts.DATE] = date.strftime("%Y-%m") if notice.kind is NoticeKind.SUMMARY else date.isoformat()
    if program.ladder is not None:
        tier = next((each for each in program.ladder.tiers if each.id == notice.args.get("tier")), None)
        values[texts.TIER] = tier.name if tier else ""
    reward = program.reward(str(notice.args.get("reward", "")))
    values["reward"] = reward.name if reward else ""
    return texts.filled(title, values), texts.filled(text, values)


# --- read marks -------------------------------------------------------------------------------------------------------


class TooManyNotices(Refusal):
    """A call marks some notices as read, and not all that there are."""


class NoticeNotFound(Refusal):
    """The member has no such notice, or it was forgotten: after a year."""


READ_REFUSALS: tuple[type[Refusal], ...] = (TooManyNotices, MemberNotFound, NoticeNotFound)


@dataclass(frozen=True, slots=True)
class Read:
    """Notices as they are once they were marked, and how many of them were not before."""

    notices: tuple[Notice, ...]
    changed: int


def mark_read(store: "Store", account: str | None, places: Sequence[tuple[int, str] | None], *, now: datetime) -> Read:
    """Marks the notices of an account at these places (day and subject; None is no place of it) as read; the first time counts.

    Refuses, in this order and before anything is marked: `TooManyNotices`, `MemberNotFound` for nobody's account,
    `NoticeNotFound`. What is forgotten at this very moment stays so.
    """
    if len(places) > limits.NOTICES_READ_MAX:
        raise TooManyNotices(
            f"Mark {limits.NOTICES_READ_MAX} notices in a call at most, not {len(places)}.", field=("input", "ids")
        )
    if account is None:
        raise MemberNotFound("You are not enrolled yet.")
    found: dict[tuple[int, str], Notice] = {}
    for number, place in enumerate(places):
        notice = store.notice(account, *place) if place else None
        if notice is None:
            raise NoticeNotFound("You have no such notice.", field=("input", "ids", str(number)))
        found[notice.day, notice.about] = notice
    changed = 0
    for where, notice in found.items():
        if notice.read_at is None:
            found[where] = replace(notice, read_at=now)
            changed += store.mark_read(account, found[where])
    return Read(tuple(found.values()), changed)
