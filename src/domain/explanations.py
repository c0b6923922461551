"""Explanations in words: one sentence a rule that support can read aloud."""

from domain import days, purchases, reversals, rewards, standing
from domain.entries import Entry, EntryKind, Explanation, Money
from domain.programs import Program

# What an entry calls a changed field → what a person does.
_FIELDS = {
    "changed:name": "name",
    "changed:email": "email",
    "changed:phone": "phone number",
    "changed:cardNumber": "card number",
    "changed:externalId": "external id",
}


def describe(explanation: Explanation, entry: Entry, program: Program) -> str:
    """What the rule did to this entry, in a sentence. `program` is the one in force; names come from it."""
    points = abs(explanation.points)
    match entry.kind:
        case EntryKind.PURCHASE if explanation.rule == purchases.BLOCKED:
            return "0 points: the account was blocked."
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
        case EntryKind.EXPIRY:
            return f"{points} points expired at the end of {days.date_of(entry.lines[0].expires)}."
        case EntryKind.MATURITY:
            return f"{points} points became available."
        case _:
            return f"{explanation.points} points by {explanation.rule!r}."


def money(total: Money, program: Program) -> str:
    """An amount in whole units with its currency, such as `12.90 USD`; minor units for a currency no longer accepted."""
    units = program.currencies.get(total.currency)
    if units is None:
        return f"{total.amount_minor} minor units of {total.currency}"
    whole, minor = divmod(total.amount_minor, units)
    digits = len(str(units)) - 1
    return f"{whole}.{minor:0{digits}d} {total.currency}" if digits else f"{whole} {total.currency}"
