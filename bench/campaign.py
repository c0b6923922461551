"""What a campaign costs a member, what each chunk costs beside that, and what purchases cost that are booked together.

    python -m bench.campaign [--quick]

On MiniStack, at the client, every request of a campaign is told to be a member's (of their own partition) or a chunk's, with its
units. In memory the same is counted for a thousand members and for a hundred thousand: what one of them costs may not grow. Calls
are exact; CPU is a ratio.
"""

import gc
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bench import report, stage, units
from bench.counting import Calls
from bench.report import Figure, Section
from bench.stage import Stage
from domain import access, days, limits, submissions
from domain.access import Actor, Role
from domain.accounts import State
from domain.campaigns import Audience, Draft, Message, definition, lifecycle, work
from domain.campaigns.store import MemberOutcome, Run, RunKind
from domain.campaigns.tools import Tools
from domain.campaigns.turns import Turn, opening
from domain.entries import Entry, EntryKind, Record
from domain.members import Lookup, Profile
from domain.programs import Program
from domain.purchases import Receipt, Recorded
from domain.queued import Queued
from handlers.replay import completejourney
from storage import items, keys
from storage.campaigns import CampaignTable
from storage.memory import Memory
from storage.memory_campaigns import MemoryCampaigns
from storage.submissions import SubmissionTable
from storage.table import Table

TABLE, BATCH_TABLE = "bench-campaign", "bench-batches"
# Shards with a full chunk each.
SHARDS, SHARDS_QUICK = 2, 1
POINTS = 25
# The newest of these are read with a member: as many as there are of somebody who shops.
PURCHASES = 5
# Beside its members a chunk costs no more than this: its row, what is decided and budgeted, the day of the new points, its end.
CHUNK_WRITES_MAX = 30
MEMBERS = (1_000, 10_000, 100_000)
MEMBERS_QUICK = (1_000, 10_000)
MEMORY_SHARDS = 4
# A campaign of a tenth of a second is over before the machine has been fair to it: the least of so many times counts.
TIMES, TIMES_OF_MEMBERS_MAX = 3, 10_000
# A member may cost so much more among a hundred thousand than among a thousand: in calls, and in CPU.
CALLS_RATIO_MAX, CPU_RATIO_MAX = 1.1, 1.3
# So many purchases fit into a record in any case, and the largest batch of the queue may be of one member.
BATCHES, FITS_MIN = (1, 2, 3, 4, 5, 6), 5
BATCH_MAX = limits.GROUP_OPERATIONS_MAX
# In a row of full records each has so many at least: the later ones hold more of what the member has by then.
RECORD_MIN = 3
# Who looks at what the manager has made.
BOSS: Actor = access.actor(Role.MANAGER, issuer=stage.ISSUER, subject="0d3f9a6e-boss")


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """A campaign on a table, campaigns of different sizes in memory, and batches of purchases."""
    return [_on_a_table(on, SHARDS_QUICK if quick else SHARDS), _by_size(on.program, quick=quick), _batches(on)]


# --- on a table -------------------------------------------------------------------------------------------------------


class Told(Calls):
    """Calls, each with the partition it is about, and with the write units that the engine has metered."""

    def _answered(self, model: Any, parsed: dict[str, Any], **more: Any) -> None:
        before = len(self.seen)
        super()._answered(model, parsed, **more)
        for call in self.seen[before:]:
            call["partition"] = _partition(model.name, self._request)
            call["metered"] = _metered(parsed) if call["writes"] else 0


def _partition(operation: str, request: dict[str, Any]) -> str:
    """What the partition of a request is called; of a transaction, of its first item."""
    place: dict[str, Any]
    match operation:
        case "PutItem":
            place = request["Item"]["PK"]
        case "GetItem":
            place = request["Key"]["PK"]
        case "TransactWriteItems":
            place = request["TransactItems"][0]["Put"]["Item"]["PK"]
        case _:
            place = request["ExpressionAttributeValues"][":p"]
    return str(place["S"])


def _metered(parsed: dict[str, Any]) -> float:
    """The units by the engine's own account, which pynamodb asks for."""
    consumed = parsed["ConsumedCapacity"]
    of_tables = consumed if isinstance(consumed, list) else [consumed]
    return float(sum(each["CapacityUnits"] for each in of_tables))


@dataclass(slots=True)
class Spent:
    """What calls have come to."""

    calls: int = 0
    reads: float = 0
    writes: float = 0
    operations: Counter[str] = field(default_factory=Counter)

    def add(self, call: dict[str, Any]) -> None:
        """One more."""
        self.calls += 1
        self.reads += call["reads"]
        self.writes += call["writes"]
        self.operations[call["operation"]] += 1


@dataclass(slots=True)
class Desk:
    """A store, its campaigns, and one worker who takes their turns in order."""

    tools: Tools
    queue: deque[Turn]
    now: datetime
    keys: Iterator[int] = field(default_factory=lambda: iter(range(1_000)))

    @staticmethod
    def on(store: Any, campaigns: Any, program: Program, now: datetime) -> "Desk":
        """A desk on stores."""
        queue: deque[Turn] = deque()
        return Desk(Tools(campaigns, store, program, lambda: now, queue.extend), queue, now)

    def previewed(self, draft: Draft) -> str:
        """A new campaign that somebody looks at: its id. Its turns wait."""
        campaigns, campaign_id = self.tools.campaigns, f"01JBENCHCAMPAIGN{next(self.keys):010}"
        lifecycle.create(
            campaigns,
            self.tools.program,
            actor=stage.manager(),
            idempotency_key=campaign_id,
            draft=draft,
            campaign_id=campaign_id,
            find_list=lambda _: None,
            now=self.now,
        )
        self._do(lifecycle.preview, campaign_id)
        return campaign_id

    def approved(self, campaign_id: str) -> None:
        """Somebody else has looked at it."""
        self._do(lifecycle.approve, campaign_id, BOSS)

    def launched(self, campaign_id: str) -> None:
        """It is launched. Its turns wait."""
        changed = lifecycle.launch(
            self.tools.campaigns,
            self.tools.program,
            actor=stage.manager(),
            idempotency_key=f"launch {campaign_id}",
            campaign_id=campaign_id,
            now=self.now,
        )
        self._open(changed.run)

    def reverted(self, campaign_id: str) -> None:
        """It is taken back. Its turns wait."""
        self._do(lifecycle.revert, campaign_id)

    def work(self) -> list[Turn]:
        """Takes every turn there is, and gives those of chunks."""
        taken = []
        while self.queue:
            turn = self.queue.popleft()
            work.take(self.tools, turn)
            if turn.chunk is not None:
                taken.append(turn)
        return taken

    def _do(self, step: Callable[..., lifecycle.Changed], campaign_id: str, who: Actor | None = None) -> None:
        changed = step(
            self.tools.campaigns,
            actor=who or stage.manager(),
            idempotency_key=f"{step.__name__} {campaign_id}",
            campaign_id=campaign_id,
            now=self.now,
        )
        self._open(changed.run)

    def _open(self, run: Run | None) -> None:
        if run is not None:
            self.queue += opening(run, self.tools.campaigns.shards)


def _on_a_table(on: Stage, shards: int) -> Section:
    """A preview, bonuses and a reversal, each of all members, with every request on the wire."""
    now = datetime.now(UTC).replace(microsecond=0)
    on.table(TABLE)
    accounts = _accounts(shards, limits.CHUNK_MEMBERS_MAX)
    on.put(
        TABLE, (row for number, account in enumerate(accounts) for row in _member_items(number, account, shards, now))
    )
    counted = stage.on_engine(on.engine)
    calls = Told(counted.connection.client)
    store = Table(counted.connection, TABLE, pepper=stage.SECRET.encode(), shards=shards)
    desk = Desk.on(store, CampaignTable(counted.connection, TABLE, shards=shards), on.program, now)
    section = Section(
        f"A campaign on a table, {len(accounts):,} members, {limits.CHUNK_MEMBERS_MAX} a chunk",
        (
            "",
            "calls",
            "read units",
            "write units a member",
            "calls",
            "read units",
            "write units a chunk",
            "write units a run",
            "all, a member",
        ),
    )

    def ran(name: str, *, writes: int, chunk_writes: int, member_calls: int) -> list[Turn]:
        calls.take()
        turns = desk.work()
        _add_run(section, name, calls.take(), shards, len(accounts), writes, chunk_writes, member_calls)
        return turns

    plain = desk.previewed(Draft("Bench", "BENCH", Audience(), definition.fixed(POINTS)))
    ran("preview", writes=0, chunk_writes=CHUNK_WRITES_MAX, member_calls=1)
    desk.launched(plain)
    turns = ran("bonus", writes=1, chunk_writes=CHUNK_WRITES_MAX, member_calls=2)
    desk.queue += turns
    ran("bonus, every message once more", writes=0, chunk_writes=0, member_calls=0)
    desk.reverted(plain)
    ran("reversal", writes=1, chunk_writes=CHUNK_WRITES_MAX, member_calls=2)
    told = Draft(
        "Bench",
        "BENCH",
        Audience(),
        definition.fixed(POINTS),
        message=Message("Thank you", "$points points are yours, until $date."),
    )
    noticed = desk.previewed(told)
    desk.work()
    desk.launched(noticed)
    ran("bonus with a notice", writes=2, chunk_writes=CHUNK_WRITES_MAX, member_calls=3)
    for campaign_id, kind in ((plain, RunKind.BONUS), (plain, RunKind.REVERSAL), (noticed, RunKind.BONUS)):
        progress = desk.tools.campaigns.progress(Run(campaign_id, kind))
        applied = sum(each.counts.get(MemberOutcome.APPLIED, 0) for each in progress)
        assert applied == len(accounts), f"{applied} of {len(accounts)} had their turn"
    section.notes += [
        "a member's call is one to their own partition; a run's write says that a shard is planned, or that all is over",
        "all else is a chunk's: its row, what is decided, the day of the points, looks at whether it goes on, its end",
    ]
    return section


def _add_run(
    section: Section,
    name: str,
    seen: Sequence[dict[str, Any]],
    chunks: int,
    members: int,
    writes: int,
    chunk_writes: int,
    member_calls: int,
) -> None:
    """A row: what is a member's, and what is a chunk's."""
    mine, rest, run = Spent(), Spent(), Spent()
    for call in seen:
        whose = run if call["writes"] and _is_of_run(call["partition"]) else rest
        (mine if call["partition"].startswith("M#") else whose).add(call)
        # The engines count a few bytes more for numbers that end in zeros, which matters only next to a border.
        assert abs(call["metered"] - call["writes"]) <= 1, f"the engine has metered {call}"
    metered, counted = sum(call["metered"] for call in seen), mine.writes + rest.writes + run.writes
    assert abs(metered - counted) <= members * 0.001 + chunks, f"counted {counted}, the engine has metered {metered}"
    assert (mine.calls, mine.writes) == (member_calls * members, writes * members), f"{name}: {mine}"
    reads = 1 if member_calls else 0
    assert (mine.operations["Query"], mine.reads) == (reads * members, reads * members), f"{name}: {mine}"
    section.add(
        name,
        f"{mine.calls / members:g}",
        f"{mine.reads / members:g}",
        f"{mine.writes / members:g}",
        f"{rest.calls / chunks:g}",
        f"{rest.reads / chunks:g}",
        f"{rest.writes / chunks:g}",
        f"{run.writes:g}",
        f"{counted / members:.3f}",
        figures=[
            Figure(f"{name}: calls a member", mine.calls / members, "calls"),
            Figure(f"{name}: write units a member", mine.writes / members, "WRU", writes),
            Figure(f"{name}: write units a chunk", rest.writes / chunks, "WRU", chunk_writes),
            Figure(f"{name}: read units a member", mine.reads / members, "RRU"),
            Figure(f"{name}: read units a chunk", rest.reads / chunks, "RRU"),
            Figure(f"{name}: calls a chunk", rest.calls / chunks, "calls"),
        ],
    )


def _is_of_run(partition: str) -> bool:
    """Whether what is written there is written once a run or shard: `CMP`, `CMP#<id>#<run>`."""
    return partition.startswith(keys.CAMPAIGNS) and partition.count("#") < 3


def _accounts(shards: int, each: int) -> list[str]:
    """So many accounts of each shard, of members who have joined in the course of two years: what a chunk says of them compresses
    as it does on AWS."""
    chance = Random(1)  # noqa: S311 (variety, not secrecy)
    wanted, found = Counter(dict.fromkeys(range(shards), each)), []
    while +wanted:
        joined_ms = 1_830_000_000_000 + chance.randrange(2 * 365 * 86_400_000)
        account = _ulid(joined_ms, 10) + _ulid(chance.getrandbits(80), 16)
        shard = keys.shard(account, shards)
        if wanted[shard]:
            wanted[shard] -= 1
            found.append(account)
    return found


def _ulid(number: int, digits: int) -> str:
    """A number as it stands in an account's id."""
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(digits)))


_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _member_items(number: int, account: str, shards: int, now: datetime) -> Iterator[items.Item]:
    yield from stage.member_of_purchases(f"bench-{number}", account, PURCHASES, now)
    yield items.Row(keys.directory(keys.shard(account, shards)), account).serialize()


# --- by size ----------------------------------------------------------------------------------------------------------


class Counting:
    """A store, as somebody sees it whose calls are counted by name."""

    # Arithmetic, and no request.
    FREE = frozenset({"digest", "fits", "pause", "shard_of"})

    def __init__(self, inner: Any) -> None:
        self.calls: Counter[str] = Counter()
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in self.FREE:
            return value

        def counted(*named: Any, **more: Any) -> Any:
            self.calls[name] += 1
            return value(*named, **more)

        return counted


class Crowd(Memory):
    """A store in memory that takes members as they are."""

    def add(self, record: Record, profile: Profile) -> None:
        """A member."""
        self._logs[record.account] = [record]
        self._profiles[record.account] = profile

    def newest(self) -> Iterator[Record]:
        """The newest record of everybody."""
        return (log[-1] for log in self._logs.values())


@dataclass(frozen=True, slots=True)
class Size:
    """What a campaign of a size came to. `cpu_s` is that of planning and giving; `writes` are units of all records."""

    members: int
    chunks: int
    member_calls: int
    chunk_calls: int
    writes: int
    cpu_s: float

    @property
    def micros(self) -> float:
        """CPU of a member."""
        return self.cpu_s / self.members * 1e6

    @property
    def calls(self) -> float:
        """All calls of a member."""
        return (self.member_calls + self.chunk_calls) / self.members


def _by_size(program: Program, *, quick: bool) -> Section:
    """The same campaign at each size, in this process."""
    section = Section(
        "A campaign by its size, in memory",
        (
            "members",
            "chunks",
            "calls a member",
            "calls a chunk",
            "of all, a member",
            "times the smallest",
            "write units a member",
            "µs of CPU a member",
            "times the smallest",
            "members/s",
        ),
    )
    base: Size | None = None
    for members in MEMBERS_QUICK if quick else MEMBERS:
        times = TIMES if members <= TIMES_OF_MEMBERS_MAX else 1
        size = min((_of_size(program, members) for _ in range(times)), key=lambda each: each.cpu_s)
        base = base or size
        calls = Figure(f"calls of a member, {members:,}", size.calls / base.calls, "times", at_most=CALLS_RATIO_MAX)
        cpu = Figure(
            f"CPU of a member, {members:,}", size.micros / base.micros, "times", at_most=CPU_RATIO_MAX, noisy=True
        )
        section.add(
            f"{members:,}",
            f"{size.chunks:,}",
            f"{size.member_calls / members:g}",
            f"{size.chunk_calls / size.chunks:.1f}",
            f"{size.calls:.3f}",
            f"{calls.value:.2f}",
            f"{size.writes / members:g}",
            f"{size.micros:.0f}",
            f"{cpu.value:.2f}",
            f"{members / size.cpu_s:,.0f}",
            figures=(
                calls,
                cpu,
                Figure(f"calls to a member's log, {members:,}", size.member_calls / members, "calls", at_most=2),
                Figure(f"write units of a member, {members:,}", size.writes / members, "WRU", at_most=1),
                Figure(f"members a second of CPU, {members:,}", members / size.cpu_s, "members/s"),
            ),
        )
    section.notes.append(
        "one worker, one after the other; CPU is of planning, deciding, giving and counting, without a table behind it"
    )
    return section


def _of_size(program: Program, members: int) -> Size:
    now = datetime(2030, 6, 1, 16, tzinfo=UTC)
    store = Crowd()
    _fill(store, members, days.day_of(now, program.zone), now)
    campaigns = MemoryCampaigns(store, shards=MEMORY_SHARDS)
    counting, counted = Counting(store), Counting(campaigns)
    desk = Desk.on(counting, counted, program, now)
    campaign_id = desk.previewed(Draft("Bench", "BENCH", Audience(), definition.fixed(POINTS)))
    desk.work()
    # It gives more than one person may.
    desk.approved(campaign_id)
    desk.launched(campaign_id)
    counting.calls.clear()
    counted.calls.clear()
    gc.collect()
    gc.disable()
    began = time.process_time()
    chunks = len(desk.work())
    seconds = time.process_time() - began
    gc.enable()
    progress = campaigns.progress(Run(campaign_id, RunKind.BONUS))
    applied = sum(each.counts[MemberOutcome.APPLIED] for each in progress)
    assert applied == sum(each.members for each in progress) == members, f"{applied} of {members} got it"
    newest = list(store.newest())
    assert all(record.entries[0].kind is EntryKind.CAMPAIGN_BONUS for record in newest), "everybody has a bonus"
    own = {name: counting.calls.pop(name) for name in ("home", "append")}
    assert own == {"home": members, "append": members}, f"a member is read once and written once: {own}"
    return Size(
        members=members,
        chunks=chunks,
        member_calls=sum(own.values()),
        chunk_calls=counting.calls.total() + counted.calls.total(),
        writes=sum(units.write_units(items.record_item(record)) for record in newest),
        cpu_s=seconds,
    )


def _fill(store: Crowd, members: int, today: int, now: datetime) -> None:
    """Members who have shopped for a year; what they have in common is one object."""
    joined = now - timedelta(days=400)
    profile = Profile(enrolled_at=joined)
    entry = Entry(EntryKind.PURCHASE, joined, (), 0)
    state = stage.long_a_member(State(joined, buckets={today + 200 + month * 30: 80 for month in range(4)}))
    record = Record("", 1, (entry,), state)
    for account in _accounts(1, members):
        store.add(replace(record, account=account), profile)


# --- batches ----------------------------------------------------------------------------------------------------------


def _batches(on: Stage) -> Section:
    """Submitted purchases of one member, as the worker of their queue books them."""
    now = datetime.now(UTC).replace(microsecond=0)
    on.table(BATCH_TABLE)
    counted = stage.on_engine(on.engine)
    calls = Told(counted.connection.client)
    store = Table(counted.connection, BATCH_TABLE, pepper=stage.SECRET.encode(), shards=SHARDS)
    kept = SubmissionTable(counted.connection, BATCH_TABLE)
    section = Section(
        "Purchases of one member in a batch of the queue, 8 lines each",
        ("purchases", "calls", "read units", "write units", "claims", "records", "each alone"),
    )
    baskets = [stage.domain_basket(basket) for basket in stage.real_baskets(8)]
    for number, count in enumerate((*BATCHES, BATCH_MAX)):
        name = f"bench-batch-{number}"
        on.put(BATCH_TABLE, stage.member_of_purchases(name, f"01JBENCHBATCH{number:013}", PURCHASES, now))

        def book(places: Iterable[int], name: str = name, number: int = number) -> None:
            waiting = [
                Queued(
                    f"{number:032x}",
                    place,
                    now,
                    Receipt(
                        stage.till(),
                        completejourney.SOURCE,
                        f"{31_620_000_000 + number * 100 + place}",
                        Lookup("external", name),
                        replace(baskets[place % len(baskets)], occurred_at=now),
                        now,
                    ),
                )
                for place in places
            ]
            answers = submissions.book(kept, store, on.program, waiting, now=now, wall=now)
            assert all(isinstance(answer, Recorded) and not answer.outcome.replayed for answer in answers), answers

        # So that the day on which what they buy expires is noted already.
        book([count])
        calls.take()
        book(range(count))
        _add_batch(section, count, calls.take())
    section.notes.append(
        f"n claims, and one record as long as that is one write unit; {BATCH_MAX} are a whole batch of the queue"
    )
    return section


def _add_batch(section: Section, count: int, seen: Sequence[dict[str, Any]]) -> None:
    writes = sum(call["writes"] for call in seen)
    records = sum(call["partition"].startswith("M#") and call["writes"] > 0 for call in seen)
    claims = sum(call["partition"].startswith("K#") for call in seen)
    # A record is closed right below its border; the engines count a few bytes more than the documentation for some numbers.
    metered = sum(call["metered"] for call in seen)
    assert 0 <= metered - writes <= records, f"counted {writes}, the engine has metered {metered}"
    records_max = 1 if count <= FITS_MIN else -(-count // RECORD_MIN)
    section.add(
        str(count),
        str(len(seen)),
        f"{sum(call['reads'] for call in seen):g}",
        f"{writes:g}",
        str(claims),
        str(records),
        f"{2 * count}",
        figures=[Figure(f"{count} purchases: write units", writes, "WRU", count + records_max)],
    )


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick="--quick" in arguments):
            report.show(console, section)


if __name__ == "__main__":
    main()
