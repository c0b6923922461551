"""What campaigns need of a store: campaigns, their runs, and how far each of these is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from domain.campaigns.definition import Action, Budget, Campaign
from domain.refusals import Refusal


class RunKind(Enum):
    """What a run does."""

    PREVIEW = "p"
    BONUS = "b"
    REVERSAL = "r"


@dataclass(frozen=True, slots=True)
class Run:
    """One way through the members of a campaign. Previews are numbered from 1; of the others there is one each."""

    campaign: str
    kind: RunKind
    number: int = 1

    def __str__(self) -> str:
        return f"{self.kind.value}{self.number}"


class MemberOutcome(Enum):
    """What became of a member in a run; the letter stands in the chunk."""

    # They got the bonus, would get it, or it was taken back.
    APPLIED = "A"
    # Not in the audience, or in no segment of it.
    OUTSIDE = "O"
    HELD_OUT = "H"
    # The budget had no points, or no members, left.
    BUDGET = "U"
    BLOCKED = "K"
    CLOSED = "C"
    # The account lives on in another, which has its own turn.
    MERGED = "M"
    # No profile any more, or no account.
    GONE = "G"
    # Of a reversal: there was no bonus.
    NO_BONUS = "N"
    # Something went wrong with this account again and again; the log says what.
    FAILED = "F"
    # The campaign was cancelled before their turn.
    STOPPED = "S"
    # The last day of the points was over by their turn.
    LATE = "L"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Members whose turn comes together, up to `limits.CHUNK_MEMBERS_MAX`, in the order of their accounts. `before` is how many
    members the shard's chunks before it have.

    Behind the last chunk of a shard stands one of nobody: it takes the number that another planner, who saw one more member
    join, would cut a chunk under, when all of them are counted already.
    """

    number: int
    accounts: tuple[str, ...]
    before: int = 0

    @property
    def is_end(self) -> bool:
        """Whether it is the end of its shard, and no work."""
        return not self.accounts


@dataclass(frozen=True, slots=True)
class Decision:
    """What each member of a chunk is to get, or to have taken back, written down before the first of them has: the place of a
    segment, or why nothing. `seen` is the newest record of each that was read for it, 0 for who gets nothing: what comes of a
    choice stands behind it in the account's log."""

    number: int
    choices: tuple[int | MemberOutcome, ...]
    seen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of each member of a chunk, in its order, and the points that moved (those taken back are less than 0)."""

    number: int
    outcomes: tuple[MemberOutcome, ...]
    points: int


@dataclass(frozen=True, slots=True)
class Shard:
    """How far a shard of a run is: its chunks and members once all are known (`is_planned`), chunks that are done, and their
    outcomes. `points` moved."""

    number: int
    is_planned: bool = False
    chunks: int = 0
    members: int = 0
    done: int = 0
    counts: Mapping[MemberOutcome, int] = field(default_factory=dict)
    points: int = 0
    version: int = 0

    @property
    def is_done(self) -> bool:
        """Whether every member had their turn."""
        return self.is_planned and self.done == self.chunks


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What a key was used for: an action with a campaign, what was `asked` for, and the no, if it was one."""

    key: bytes
    campaign: str
    action: Action
    asked: bytes = b""
    refusal: Refusal | None = None


class KeyTaken(Exception):
    """The key was used before. Nothing was written."""

    def __init__(self, use: KeyUse) -> None:
        super().__init__(use.campaign)
        self.use = use


class TooManyAtWork(Exception):
    """`limits.CAMPAIGNS_AT_WORK_MAX` campaigns are at work already. Nothing was written. A cancelled one is settled all the
    same."""


class Campaigns(Protocol):
    """What campaigns need of a store. Every read but `newest` is strong; every write is all or nothing.

    Any method may refuse `OutcomeUnknown`: the store gave no answer, and a write may have happened.
    """

    @property
    def shards(self) -> int:
        """Over how many partitions the members are spread."""

    def shard_of(self, account: str) -> int:
        """The shard of an account."""

    def create(self, campaign: Campaign, use: KeyUse) -> None:
        """Writes a new campaign, and what the key was used for. Raises `KeyTaken`."""

    def used(self, key: bytes) -> KeyUse | None:
        """What a key was used for."""

    def refuse(self, use: KeyUse) -> None:
        """Writes what a key was used for, and refused. Raises `Contended` when it was used before."""

    def find(self, campaign_id: str) -> Campaign | None:
        """A campaign."""

    def newest(self, *, before: str | None = None, limit: int) -> Sequence[Campaign]:
        """Up to `limit` campaigns older than `before`, the newest first."""

    def save(self, campaign: Campaign, *, use: KeyUse | None = None) -> Campaign:
        """Writes a campaign over its version before, and gives the one with the next version; what is at work is listed with it,
        and what a key was used for is written down.

        Raises `Contended`, also when the key was used before, and `TooManyAtWork`.
        """

    def at_work(self) -> Sequence[str]:
        """The campaigns somebody has to look after (`Campaign.is_at_work`)."""

    def members(self, shard: int, *, list_id: str | None = None, after: str = "") -> Iterator[str]:
        """The accounts of a shard that follow `after`, in their order: all members, or those of an uploaded list."""

    def last_chunk(self, run: Run, shard: int) -> Chunk | None:
        """The chunk with the highest number, or the end behind it."""

    def keep_chunk(self, run: Run, shard: int, chunk: Chunk) -> Chunk:
        """Writes a chunk, unless its number is taken; the one that stands."""

    def chunk(self, run: Run, shard: int, number: int) -> Chunk | None:
        """A chunk."""

    def decision(self, run: Run, shard: int, number: int) -> Decision | None:
        """What was decided for a chunk."""

    def keep_decision(
        self, run: Run, shard: int, decision: Decision, *, budget: tuple[Budget, Budget] | None
    ) -> Decision:
        """Writes a decision, unless there is one; the one that stands. With it goes what it takes from the budget: what was left
        before, and is left then. Raises `Contended` when that is not what is left."""

    def budget(self, run: Run) -> Budget | None:
        """What is left of a run's budget; None before anything was taken."""

    def done(self, run: Run, shard: int, number: int) -> Done | None:
        """What became of a chunk."""

    def finish(
        self, run: Run, done: Done, seen: Shard, shard: Shard, *, budget: tuple[Budget, Budget] | None = None
    ) -> None:
        """Writes what became of a chunk, the shard's progress with it, and what goes back to the budget. Raises `Contended` when
        the chunk is done, or the shard or the budget is not what was seen."""

    def shard(self, run: Run, number: int) -> Shard:
        """How far a shard is; nowhere, if nobody has begun it."""

    def save_shard(self, run: Run, seen: Shard, shard: Shard) -> None:
        """Writes how far a shard is. Raises `Contended` when it is not what was seen."""

    def progress(self, run: Run) -> Sequence[Shard]:
        """All shards that somebody has begun."""

    def done_numbers(self, run: Run, shard: int) -> frozenset[int]:
        """The numbers of the chunks that are done."""
