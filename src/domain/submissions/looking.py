"""Looking at a submission: what became of each purchase, as the ledger says it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from domain import limits
from domain.entries import Claim, Key
from domain.ledger import Outcome, Trail
from domain.refusals import OutcomeUnknown, Refusal
from domain.store import Store
from domain.submissions.kept import Item, Note, Submission, Submissions, placed


class Status(Enum):
    """What became of a purchase that was submitted."""

    ACCEPTED = "ACCEPTED"
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


# Of what was neither booked nor refused, and of which no worker could say that it gave up.
_GONE = f"It was submitted more than {limits.QUEUED_AGE_MAX.days} days ago: its message is gone. Submit it under another key."


@dataclass(frozen=True, slots=True)
class Standing:
    """A purchase of a submission as it stands now: `claim` and `outcome` of one that is applied, or why it is not."""

    index: int
    item: Item
    status: Status
    claim: Claim | None = None
    outcome: Outcome | None = None
    refusal: Refusal | None = None
    failure: str | None = None


def standing(
    submissions: Submissions, store: Store, submission: Submission, indexes: Iterable[int], *, wall: datetime
) -> list[Standing]:
    """What became of some purchases of a submission: what the ledger says goes before what was noted, and what it has booked
    goes before what was refused at once. What nobody has said anything of has failed when, at `wall`, its message is so old that
    no worker would take it.

    Reads the notes once, the claims, and the records right behind what those had seen; and on in the log of an account for what
    does not stand there, for up to `limits.RESUME_PAGES_MAX` pages and as long as there is time. What is claimed and was not
    found by then is `ACCEPTED`: it may stand further on, and whoever asks again may learn of it.
    """
    chosen = list(indexes)
    noted = {(note.index, note.refusal is None): note for note in submissions.notes(submission)}
    asked = {index: item.key for index in chosen if (item := submission.items[index]).fingerprint}
    known = store.claims(asked.values())
    # One that is parked has no fingerprint; one of another input under the same key has another.
    claims = {
        index: known[key]
        for index, key in asked.items()
        if key in known and known[key].fingerprint.startswith(submission.items[index].fingerprint)
    }
    outcomes, unread = _outcomes(store, claims.values())
    is_over = wall - submission.sent_at > limits.QUEUED_AGE_MAX
    return [
        _standing(index, submission.items[index], claims.get(index), outcomes, unread, noted, is_over=is_over)
        for index in chosen
    ]


def tally(submissions: Submissions, store: Store, submission: Submission, *, wall: datetime) -> Counter[Status]:
    """How many purchases of a submission stand how. Reads as `standing` does, of all of them."""
    places = range(len(submission.items))
    return Counter(each.status for each in standing(submissions, store, submission, places, wall=wall))


def _outcomes(store: Store, claims: Iterable[Claim]) -> tuple[dict[Key, Outcome], set[Key]]:
    """Where the entries of claimed keys stand, and of which keys that could not be found out. Those that were claimed together
    are looked for together."""
    together: dict[tuple[str, int, object], dict[Key, Claim]] = {}
    for claim in claims:
        if claim.refusal is None:
            together.setdefault((claim.account, claim.seq_seen, claim.followed), {})[claim.key] = claim
    # Where nobody else has written to the account meanwhile, they stand right behind what their claims had seen.
    records = store.records({(account, seq + 1) for account, seq, _ in together})
    found: dict[Key, Outcome] = {}
    unread: set[Key] = set()
    for (account, seq, _), keys in together.items():
        record = records.get((account, seq + 1))
        if record is None:
            # Nothing stands behind them: their worker is at it, or died.
            continue
        for index, entry in enumerate(record.entries):
            if entry.key is not None and entry.key in keys:
                found[entry.key] = Outcome(record, index, replayed=True)
        missing = {key: claim for key, claim in keys.items() if key not in found}
        if missing:
            trail = Trail(store, next(iter(missing.values())), pages_max=limits.RESUME_PAGES_MAX)
            try:
                store.require_time()
                found |= trail.find_each(missing, to_head=False)
            except OutcomeUnknown:
                unread |= missing.keys()
    return found, unread


def _standing(
    index: int,
    item: Item,
    claim: Claim | None,
    outcomes: Mapping[Key, Outcome],
    unread: Collection[Key],
    noted: Mapping[tuple[int, bool], Note],
    *,
    is_over: bool,
) -> Standing:
    if claim is not None and claim.key in unread:
        return Standing(index, item, Status.ACCEPTED)
    outcome = outcomes.get(item.key) if claim is not None else None
    if item.refusal is not None and (outcome is None or outcome.entry.refusal is not None):
        return Standing(index, item, Status.REFUSED, refusal=item.refusal)
    refusal = (claim.refusal if claim is not None else None) or (outcome.entry.refusal if outcome is not None else None)
    if refusal is not None:
        return Standing(index, item, Status.REFUSED, refusal=placed(refusal, index))
    if outcome is not None:
        return Standing(index, item, Status.APPLIED, claim, outcome)
    refused, failed = noted.get((index, False)), noted.get((index, True))
    if refused is not None:
        return Standing(index, item, Status.REFUSED, refusal=refused.refusal)
    if failed is not None:
        return Standing(index, item, Status.FAILED, failure=failed.failure)
    if is_over:
        return Standing(index, item, Status.FAILED, failure=_GONE)
    return Standing(index, item, Status.ACCEPTED)
