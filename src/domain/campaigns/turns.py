"""Turns: the messages by which a run is handed out."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from domain import limits
from domain.campaigns.store import Run, RunKind
from domain.messages import NotATurn, turn_values


@dataclass(frozen=True, slots=True)
class Turn:
    """A shard of a run that is to be cut into chunks, or, with a number, a chunk that is to be worked on. The chunk itself is
    written down: a message cannot say who is in it."""

    run: Run
    shard: int
    chunk: int | None = None

    def text(self) -> str:
        """The turn as a message, which `turn_from` reads."""
        values = {"campaign": self.run.campaign, "run": str(self.run), "shard": self.shard}
        return json.dumps(values if self.chunk is None else {**values, "chunk": self.chunk}, separators=(",", ":"))


def turn_from(text: str) -> Turn:
    """The turn that a message holds. Raises `NotATurn` for any other text."""
    values = turn_values(text, "campaign", "run", "shard", also="chunk")
    campaign, run, shard, chunk = (values.get(name) for name in ("campaign", "run", "shard", "chunk"))
    kinds = {kind.value: kind for kind in RunKind}
    if not isinstance(campaign, str) or not campaign.isascii() or not 0 < len(campaign) <= limits.ACCOUNT_LENGTH_MAX:
        raise NotATurn("campaign is no id")
    if not isinstance(run, str) or not _RUN.fullmatch(run):
        raise NotATurn("there is no such run")
    # bool is an int to Python, not to a planner.
    if type(shard) is not int or not 0 <= shard < limits.SHARDS_MAX:
        raise NotATurn("shard is no shard")
    if "chunk" in values and (type(chunk) is not int or not 0 < chunk <= limits.CHUNKS_MAX):
        raise NotATurn("chunk is no number of one")
    return Turn(Run(campaign, kinds[run[0]], int(run[1:])), shard, chunk)


# Only previews have numbers of their own: there is one bonus and one reversal, or members would have two of them.
_RUN = re.compile(rf"{RunKind.PREVIEW.value}[1-9][0-9]{{0,8}}|[{RunKind.BONUS.value}{RunKind.REVERSAL.value}]1")


def opening(run: Run, shards: int) -> Iterator[Turn]:
    """The turns with which a run begins, or goes on."""
    return (Turn(run, shard) for shard in range(shards))
