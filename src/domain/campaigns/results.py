"""What became of a run, in all and of each member."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from domain.campaigns.store import Campaigns, Chunk, MemberOutcome, Run, Shard


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `members` are those whose turn comes, all of them once `is_planned`; `outcomes` tells what became of
    those who had their turn, and `points` moved."""

    is_planned: bool
    members: int
    chunks: int
    chunks_done: int
    outcomes: Counter[MemberOutcome]
    points: int

    @property
    def done(self) -> int:
        """Members who had their turn."""
        return sum(self.outcomes.values())


def progress(campaigns: Campaigns, run: Run) -> Progress:
    """How far a run is: what its finished chunks say, and never an estimate."""
    return summed(campaigns.progress(run), shards=campaigns.shards)


def summed(found: Sequence[Shard], *, shards: int) -> Progress:
    """The progress that shards come to, of all `shards` there are."""
    outcomes: Counter[MemberOutcome] = Counter()
    for each in found:
        outcomes.update(each.counts)
    return Progress(
        is_planned=len(found) == shards and all(each.is_planned for each in found),
        # How many a shard has is written down when all of them are cut; some may have had their turn by then.
        members=sum(max(each.members, sum(each.counts.values())) for each in found),
        chunks=sum(max(each.chunks, each.done) for each in found),
        chunks_done=sum(each.done for each in found),
        outcomes=outcomes,
        points=sum(each.points for each in found),
    )


def of_member(campaigns: Campaigns, run: Run, source: Run, account: str) -> MemberOutcome | None:
    """What became of a member in a run that goes through the chunks of `source`; None while their turn has not come, and for
    whoever joined later. Some ten reads, however many members there are: the chunks of a shard are in the order of their
    accounts."""
    shard = campaigns.shard_of(account)
    chunk = campaigns.last_chunk(source, shard)
    low, high = 1, chunk.number if chunk else 0
    while chunk is not None and low <= high:
        place = _place(chunk, account)
        if place is not None:
            done = campaigns.done(run, shard, chunk.number)
            return done.outcomes[place] if done else None
        if chunk.is_end or account < chunk.accounts[0]:
            high = chunk.number - 1
        else:
            low = chunk.number + 1
        chunk = campaigns.chunk(source, shard, (low + high) // 2)
    return None


def _place(chunk: Chunk, account: str) -> int | None:
    return chunk.accounts.index(account) if account in chunk.accounts else None
