"""The work of a run: its members are cut into chunks, each chunk has its turn, and when all have had theirs the run is over.

Any of it may be done twice, at once, late, or half: chunks and decisions are written down once and stand, points move once by
their keys, and a chunk counts once, with what became of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from domain import limits
from domain.campaigns import results, stages
from domain.campaigns.chunks import ChunkWork, source_of
from domain.campaigns.definition import Campaign
from domain.campaigns.store import Chunk, Run, RunKind
from domain.campaigns.tools import Stopped, Tools
from domain.campaigns.turns import Turn, opening
from domain.messages import NotATurn
from domain.refusals import OutcomeUnknown
from domain.store import Contended


def take(tools: Tools, turn: Turn) -> None:
    """Does a turn, whole or, where the time ends, the campaign is stopped or something is wrong, in part.

    Raises `OutOfTime` and `NotDone` when it has to come again, and `NotATurn` when it never can be done. Refuses
    `OutcomeUnknown`.
    """
    campaign = tools.campaigns.find(turn.run.campaign)
    if campaign is None:
        raise NotATurn("there is no such campaign")
    if turn.shard >= tools.campaigns.shards:
        raise NotATurn("there is no such shard")
    if not stages.is_live(campaign, turn.run, now=tools.now()):
        # Paused, cancelled or over: whoever resumes hands it out again.
        return
    try:
        if turn.chunk is None:
            _plan(tools, campaign, turn)
        else:
            ChunkWork(tools, campaign, turn.run, turn.shard, turn.chunk).do()
    except Stopped:
        return
    if tools.campaigns.shard(turn.run, turn.shard).is_done:
        complete(tools, turn.run)


def look_after(tools: Tools, *, is_idle: Callable[[], bool]) -> list[Turn]:
    """What the clock brings, and what nobody goes on with: campaigns whose time has come are launched, and runs that nobody has
    handed out, or that have not moved for a while, are handed out: at once where no turn is on its way (`is_idle`), else after
    `limits.CAMPAIGN_SILENCE_MAX`, because turns may wait behind those of others. Gives the turns that were handed out.

    Whatever is wrong with one campaign, the others have their turn; then it is raised, together with what was wrong with others.
    """
    handed: list[Turn] = []
    wrong: list[Exception] = []
    for campaign_id in tools.campaigns.at_work():
        try:
            handed += _looked_after(tools, campaign_id, is_idle)
        except Exception as error:  # raised below
            wrong.append(error)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else ExceptionGroup("several campaigns could not be looked after", wrong)
    return handed


def _looked_after(tools: Tools, campaign_id: str, is_idle: Callable[[], bool]) -> list[Turn]:
    found = tools.campaigns.find(campaign_id)
    assert found is not None, "campaigns are never taken away"
    try:
        campaign = stages.begin_due(tools.campaigns, tools.program, found, now=tools.now())
    except Contended:
        # Somebody else is at it, or was here first.
        return []
    handed: list[Turn] = []
    for run in stages.runs(campaign):
        if stages.is_live(campaign, run, now=tools.now()) and not complete(tools, run):
            turns = _silent(tools, run, is_idle)
            tools.send(turns)
            handed += turns
    return handed


def _silent(tools: Tools, run: Run, is_idle: Callable[[], bool]) -> list[Turn]:
    """The turns with which a run goes on, if nobody is at it; how far it is, is noted."""
    campaign, now = tools.campaigns.find(run.campaign), tools.now()
    assert campaign is not None, "campaigns are never taken away"
    seen = campaign.watch(str(run))
    reached = sum(each.version for each in tools.campaigns.progress(run))
    if seen is not None:
        if reached == seen.reached and now - seen.at < limits.CAMPAIGN_SILENCE_MIN:
            return []
        if reached == seen.reached and now - seen.at < limits.CAMPAIGN_SILENCE_MAX and not is_idle():
            return []
    try:
        tools.campaigns.save(campaign.watching(str(run), reached, now))
    except Contended:
        # Somebody does something with it: the next look sees it.
        return []
    moves = seen is not None and reached != seen.reached
    return [] if moves else list(opening(run, tools.campaigns.shards))


def complete(tools: Tools, run: Run) -> bool:
    """Ends a run when every member had their turn: whether they had."""
    found = tools.campaigns.progress(run)
    # Shard by shard: where more is done than there is, something is wrong, and nothing is over.
    if len(found) < tools.campaigns.shards or not all(each.is_done for each in found):
        return False
    reached = results.summed(found, shards=tools.campaigns.shards)
    for _ in range(limits.CAMPAIGN_ATTEMPTS_MAX):
        campaign = tools.campaigns.find(run.campaign)
        assert campaign is not None, "campaigns are never taken away"
        after = stages.completed(campaign, run, reached, now=tools.now())
        if after is None:
            return True
        try:
            tools.campaigns.save(after)
        except Contended:
            continue
        return True
    raise OutcomeUnknown("Others are at this campaign.")


# --- planning ---------------------------------------------------------------------------------------------------------


def _plan(tools: Tools, campaign: Campaign, turn: Turn) -> None:
    """Cuts a shard into chunks and hands them out: those of an earlier attempt that are not done, then the rest."""
    run, number = turn.run, turn.shard
    last = tools.campaigns.last_chunk(source_of(run), number)
    if last is not None:
        done = tools.campaigns.done_numbers(run, number)
        tools.send(Turn(run, number, each) for each in range(1, _chunks(last) + 1) if each not in done)
    if tools.campaigns.shard(run, number).is_planned:
        return
    # What was cancelled is cut no further.
    is_cut = run.kind is RunKind.REVERSAL or campaign.is_unsettled or (last is not None and last.is_end)
    if not is_cut:
        cut = _Cut(tools, campaign, turn, last)
        tools.send(cut.turns())
        if not cut.is_whole:
            tools.send([turn])
            return
        last = cut.last
    _planned(tools, run, number, last)


def _planned(tools: Tools, run: Run, number: int, last: Chunk | None) -> None:
    chunks, members = (_chunks(last), last.before + len(last.accounts)) if last else (0, 0)
    for attempt in range(limits.CAMPAIGN_ATTEMPTS_MAX):
        seen = tools.campaigns.shard(run, number)
        if seen.is_planned:
            return
        try:
            tools.campaigns.save_shard(run, seen, replace(seen, is_planned=True, chunks=chunks, members=members))
        except Contended:
            tools.store.pause(attempt)
            continue
        return
    raise OutcomeUnknown("Others are at this shard of the campaign.")


def _chunks(last: Chunk) -> int:
    """How many chunks there are, up to the last, or to the end behind it."""
    return last.number - last.is_end


@dataclass(slots=True)
class _Cut:
    """Cutting what follows the chunk `last` of a shard. A chunk is written down before its turn is handed out."""

    tools: Tools
    campaign: Campaign
    turn: Turn
    last: Chunk | None
    is_whole: bool = False

    def turns(self) -> Iterator[Turn]:
        campaigns, run, shard = self.tools.campaigns, self.turn.run, self.turn.shard
        while not self.is_whole:
            after = self.last.accounts[-1] if self.last else ""
            members = campaigns.members(shard, list_id=self.campaign.draft.audience.list_id, after=after)
            for accounts in _batched(members, limits.CHUNK_MEMBERS_MAX):  # the last batch is nobody: the end
                if not self.tools.has_time():
                    return
                number, before = 1, 0
                if self.last is not None:
                    number, before = self.last.number + 1, self.last.before + len(self.last.accounts)
                chunk = Chunk(number, accounts, before)
                self.last = campaigns.keep_chunk(run, shard, chunk)
                if self.last.is_end:
                    self.is_whole = True
                    return
                yield Turn(run, shard, number)
                if self.last != chunk:
                    # Somebody else has cut it: what follows is read anew from its end.
                    break


def _batched(members: Iterator[str], size: int) -> Iterator[tuple[str, ...]]:
    while batch := tuple(islice(members, size)):
        yield batch
    yield ()
