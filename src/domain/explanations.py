"""Explanations in words: one sentence a rule that support can read aloud."""

from domain import days, moments, purchases, reversals, rewards, standing, tiers
from domain.accounts import ROLLING
from domain.campaigns import giving
from domain.days import Rounding
from domain.entries import Entry, EntryKind, Explanation, Money
from domain.expiry import Expiry, Policy
from domain.moments import Moment, On
from domain.programs import Program
from domain.tiers import Change

# What an entry calls a changed field → what a person does.
_FIELDS = {
    "changed:name": "name",
    "changed:email": "email",
    "changed:phone": "phone number",
    "changed:cardNumber": "card number",
    "changed:externalId": "external id",
    "changed:birthday": "birthday",
    "changed:consents": "choice of notices",
    "changed:homeLocation": "home location",
    "changed:tags": "set of tags",
}


def describe(explanation: Explanation, entry: Entry, program: Program) -> str:
    """What the rule did to this entry, in a sentence. `program` is the one in force; names come from it."""
    points = abs(explanation.points)
    if explanation.rule.startswith("tier:") and entry.kind in (EntryKind.TIER, EntryKind.MERGE):
        return _tier_changed(explanation, entry, program)
    match entry.kind:
        case EntryKind.PURCHASE if explanation.rule == purchases.BLOCKED:
            return "0 points: the account was blocked."
        case EntryKind.PURCHASE if explanation.rule == purchases.COMEBACK:
            if points:
                return f"{points} points more for coming back after a long time without an activity."
            return "After a long time without an activity each rule gives a part of its points."
        case EntryKind.PURCHASE if explanation.rule.startswith("tier:"):
            return f"{points} points more in the tier {_tier(explanation.rule.removeprefix('tier:'), program)}."
        case EntryKind.PURCHASE if entry.total is not None:
            return f"{points} points for {money(entry.total, program)} by rule {explanation.rule!r}, parts of a unit dropped."
        case EntryKind.RETURN if explanation.rule == reversals.WRITTEN_OFF:
            return f"{points} points written off: they could not be taken any more, and by the terms they are not owed."
        case EntryKind.RETURN if explanation.rule == purchases.BLOCKED:
            return "0 points: the purchase earned none, as the account was blocked."
        case EntryKind.RETURN if entry.total is not None:
            return (
                f"{points} points owed for {money(entry.total, program)} returned: rule {explanation.rule!r} gave them."
            )
        case EntryKind.REDEMPTION:
            handle = entry.reward[0] if entry.reward else ""
            reward = program.reward(handle)
            return f"{points} points spent on {reward.name if reward else handle}, soonest-expiring points first."
        case EntryKind.ADJUSTMENT:
            way = "added" if explanation.points > 0 else "taken"
            return f"{points} points {way} by staff: {entry.reason}."
        case EntryKind.HOLD if entry.lapses_at is not None:
            return f"{points} points set aside until {days.text_of(entry.lapses_at)}, soonest-expiring points first."
        case EntryKind.CAPTURE:
            back = sum(line.points for line in entry.lines if not line.hold)
            return f"{points} held points spent, {back} went back."
        case EntryKind.RELEASE:
            return f"{points} held points went back: the till let them go."
        case EntryKind.LAPSE:
            return f"{points} held points went back: nobody captured them in time."
        case EntryKind.CANCELLATION if explanation.rule == rewards.REINSTATED:
            return f"{points} points of a cancelled redemption had expired and can be spent again for a while."
        case EntryKind.CANCELLATION:
            return f"{points} points of a cancelled redemption are back."
        case EntryKind.TRANSFER_OUT:
            return f"{points} points given to another member, soonest-expiring points first."
        case EntryKind.TRANSFER_IN:
            return f"{points} points came from another member; they keep their expiry dates."
        case EntryKind.MERGE:
            return f"{points} points came with another account of the same person: {entry.reason}."
        case EntryKind.MERGED:
            return f"{points} points went to the account this one is a part of now: {entry.reason}."
        case EntryKind.UNMERGE:
            return f"{points} points went back to an account that is its own again: {entry.reason}."
        case EntryKind.REOPENING:
            return f"{points} points came back when a merge was undone: {entry.reason}."
        case EntryKind.UPDATE:
            return f"The {_FIELDS[explanation.rule]} was changed."
        case EntryKind.BLOCK:
            return f"The account was blocked by staff: {entry.reason}."
        case EntryKind.UNBLOCK:
            return f"The account was unblocked by staff: {entry.reason}."
        case EntryKind.CLOSURE if explanation.rule == standing.WRITTEN_OFF:
            return f"{points} points that were owed are written off."
        case EntryKind.CLOSURE:
            return f"The membership ended, and {points} points with it: {entry.reason}."
        case EntryKind.EXPIRY if entry.lines[0].expires == ROLLING:
            return f"{points} points expired: there was no activity for too long."
        case EntryKind.EXPIRY:
            return f"{points} points expired at the end of {days.date_of(entry.lines[0].expires)}."
        case EntryKind.MATURITY:
            return f"{points} points became available."
        case EntryKind.BONUS:
            return f"{points} points for {_occasion(program.moment(moments.named_by(entry)))}."
        case EntryKind.CAMPAIGN_BONUS:
            return f"{points} points by the campaign {entry.reason}."
        case EntryKind.CAMPAIGN_REVERSAL if explanation.rule == giving.WRITTEN_OFF:
            return f"{points} points of the campaign could not be taken back any more: spent, held or expired."
        case EntryKind.CAMPAIGN_REVERSAL:
            return f"{points} points of the campaign {entry.reason} were taken back."
        case _:
            return f"{explanation.points} points by {explanation.rule!r}."


def _tier_changed(explanation: Explanation, entry: Entry, program: Program) -> str:
    tier, change = tiers.told_by(explanation)
    name, standing = _tier(tier, program), entry.standing
    metric = program.ladder.metric if program.ladder else tiers.Metric.POINTS
    amount = f"{explanation.basis or 0} {_METRICS[metric]}"
    # The lowest tier is everybody's, and has no end to tell.
    lasts = "" if standing is None else ", for ever" if not standing.until else f", to {days.date_of(standing.until)}"
    match change:
        case Change.REACHED:
            return f"{name} was reached with {amount}{lasts}."
        case Change.KEPT:
            return f"{name} was reached again with {amount}{lasts}."
        case Change.LIFETIME:
            return f"{name} is for ever, with {amount} in all the time."
        case Change.FALLEN:
            return f"The tier before it ended; with {amount} it is {name}{lasts}."
        case Change.SET:
            return f"{name} was set by staff{lasts}: {entry.reason}."
        case Change.RESUMED:
            return f"What staff had set ended; with {amount} it is {name} again{lasts}."
        case Change.MERGED:
            return f"{name} came with another account of the same person{lasts}."
        case Change.UNMERGED:
            return f"With the merge undone it is {name} again{lasts}."


# What amounts are of.
_METRICS = {
    tiers.Metric.POINTS: "points",
    tiers.Metric.SPEND: "whole currency units",
    tiers.Metric.VISITS: "purchases",
}


def _tier(tier: str, program: Program) -> str:
    """What a tier is called; the id of one that the program in force does not have."""
    rank = program.ladder.rank(tier) if program.ladder else None
    return tier if program.ladder is None or rank is None else program.ladder.tiers[rank].name


def expiry_in_words(policy: Expiry) -> str:
    """How long points that are earned now can be spent, in a sentence."""
    time = " and ".join(
        f"{number} {unit}{'s' if number > 1 else ''}"
        for number, unit in ((policy.months, "month"), (policy.days, "day"))
        if number
    )
    end = _ENDS[policy.rounding]
    match policy.policy:
        case Policy.FIXED if time:
            return f"Points can be spent for {time}{end}."
        case Policy.CALENDAR:
            dates = ", ".join(f"{month:02d}-{day:02d}" for month, day in policy.dates)
            least = f", but no earlier than {time} after they were earned" if time else ""
            return f"Points expire at the end of these dates of a year: {dates}{least}."
        case Policy.ANNIVERSARY:
            least = f", but no earlier than {time} after they were earned" if time else ""
            return f"Points expire on the anniversary of joining{least}."
        case Policy.INACTIVITY:
            return f"Points expire after {time} without an activity{end}."
        case _:
            return "Points never expire."


_ENDS = {
    Rounding.DAY: "",
    Rounding.MONTH: ", to the end of the month",
    Rounding.QUARTER: ", to the end of the quarter",
    Rounding.HALF_YEAR: ", to the end of the half-year",
    Rounding.YEAR: ", to the end of the year",
}


def _occasion(moment: Moment | None) -> str:
    """What a moment is, in words; of one that the program in force does not have, that it was one."""
    match moment and moment.on:
        case On.ENROLLMENT:
            return "joining"
        case On.PURCHASE if moment:
            return f"purchase number {moment.number}" if moment.number > 1 else "the first purchase"
        case On.BALANCE if moment:
            return f"a balance of {moment.number} points"
        case On.TIER_UP:
            return "a better tier"
        case On.BIRTHDAY:
            return "the birthday"
        case On.ANNIVERSARY:
            return "the anniversary of joining"
        case On.SILENCE if moment:
            return f"{moment.number} days without an activity"
        case _:
            return "a moment of the membership"


def money(total: Money, program: Program) -> str:
    """An amount in whole units with its currency, such as `12.90 USD`; minor units for a currency no longer accepted."""
    units = program.currencies.get(total.currency)
    if units is None:
        return f"{total.amount_minor} minor units of {total.currency}"
    whole, minor = divmod(total.amount_minor, units)
    digits = len(str(units)) - 1
    return f"{whole}.{minor:0{digits}d} {total.currency}" if digits else f"{whole} {total.currency}"
