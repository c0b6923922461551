"""Explanations in words: one sentence a rule that support can read aloud."""

from domain import days
from domain.ledger import Entry, EntryKind, Explanation, Money
from domain.programs import Program


def describe(explanation: Explanation, entry: Entry, program: Program) -> str:
    """What the rule did to this entry, in a sentence. `program` is the one in force; names come from it."""
    points = abs(explanation.points)
    match entry.kind:
        case EntryKind.PURCHASE if entry.total is not None:
            return f"{points} points for {money(entry.total, program)} by rule {explanation.rule!r}, parts of a unit dropped."
        case EntryKind.REDEMPTION:
            handle = entry.reward[0] if entry.reward else ""
            reward = program.reward(handle)
            return f"{points} points spent on {reward.name if reward else handle}, soonest-expiring points first."
        case EntryKind.ADJUSTMENT:
            way = "added" if explanation.points > 0 else "taken"
            return f"{points} points {way} by staff: {entry.reason}."
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
