"""A campaign from outside: what its chunks, its progress, its budget and the logs of its members must say of each other.

Like the rest of the auditor it reads raw items and imports nothing of the program. Who was meant, and for how much, follows from
what was asked; who was barred, and when, from the logs.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.auditor.facts import NEVER, Asked, Item, require
from tests.faults.auditor.stored import Contents, Entry, contents_of

DAY_MS = 24 * 60 * 60 * 1_000

BONUS, REVERSAL = "b1", "r1"
# The status of an account as its records spell it, and as a chunk does.
_BARS = {"B": "K", "C": "C", "M": "M"}


@dataclass(frozen=True, slots=True)
class Meant:
    """A campaign as it was asked for: `points` of each account that is named, `others` of everybody else, 0 for nothing.

    `budget` are the points and the members it may come to, None for no bound. `began` is the table before it was launched.
    """

    id: str
    code: str
    points: Mapping[str, int]
    others: int
    hold_out_percent: int
    budget: tuple[int | None, int | None]
    has_message: bool
    shards: int
    began: Sequence[Item]

    def worth(self, account: str) -> int:
        return self.points.get(account, self.others)

    def is_held_out(self, account: str) -> bool:
        digest = hashlib.sha256(f"{self.id}:{account}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % 100 < self.hold_out_percent


# --- raw items --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RunFound:
    """What is stored of a run, by shard and number of the chunk."""

    accounts: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    befores: dict[tuple[int, int], int] = field(default_factory=dict)
    choices: dict[tuple[int, int], str] = field(default_factory=dict)
    seen: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    outcomes: dict[tuple[int, int], str] = field(default_factory=dict)
    points: dict[tuple[int, int], int] = field(default_factory=dict)
    progress: dict[int, Item] = field(default_factory=dict)
    budget: Item | None = None


def run_found(items: Iterable[Item], campaign: str, run: str) -> RunFound:
    found = RunFound()
    for item in items:
        partition, sk = str(item["PK"]["S"]), str(item["SK"]["S"])
        if partition == f"CMP#{campaign}#{run}":
            if sk == "B":
                found.budget = item
            else:
                found.progress[int(sk.removeprefix("S#"))] = item
        elif partition.startswith(f"CMP#{campaign}#{run}#"):
            kind, _, number = sk.partition("#")
            place = int(partition.rpartition("#")[2]), int(number)
            if kind == "A":
                found.accounts[place] = zlib.decompress(item["a"]["B"]).decode().split()
                found.befores[place] = _number(item, "b")
            elif kind == "D":
                found.choices[place] = item["c"]["S"]
                found.seen[place] = [int(seq) for seq in item["s"]["S"].split()] if "s" in item else []
            else:
                require(kind == "Z", f"nobody writes {sk} into a run")
                found.outcomes[place], found.points[place] = item["o"]["S"], _number(item, "p")
    return found


def ledger_of(items: Iterable[Item]) -> Contents:
    """All that is not of campaigns themselves."""
    return contents_of(item for item in items if not item["PK"]["S"].startswith("CMP"))


def status_of(items: Iterable[Item], campaign: str) -> str:
    (item,) = [item for item in items if (item["PK"]["S"], item["SK"]["S"]) == ("CMP", f"C#{campaign}")]
    return str(json.loads(item["doc"]["S"])["status"])


def _number(item: Item, name: str) -> int:
    return int(item[name]["N"])


# --- the bonus --------------------------------------------------------------------------------------------------------


def audit_bonus(
    items: Sequence[Item], meant: Meant, budgets: Sequence[Item], *, untold: frozenset[str] = frozenset()
) -> Counter[str]:
    """A campaign that has given all it had to give; how many met which fate. `budgets` are all that was ever left, in order;
    `untold` are accounts of which a worker has said that something was wrong.

    Raises `Violation`.
    """
    ledger, begun, run = ledger_of(items), ledger_of(meant.began), run_found(items, meant.id, BONUS)
    require(status_of(items, meant.id) in ("COMPLETED", "REVERTING", "REVERTED"), f"{meant.id} has not ended")
    _check_chunks(run, meant.shards, begun.directory, ledger.directory)
    fates = _check_progress(run, run, meant.shards)
    bonuses = _entries(ledger, meant.id, "CAMPAIGN_BONUS")
    for place, accounts in run.accounts.items():
        if not accounts:
            continue
        require(place in run.choices, f"chunk {place} was worked on without a decision")
        seqs = iter(run.seen[place])
        given = 0
        for account, choice, outcome in zip(accounts, run.choices[place], run.outcomes[place], strict=True):
            _check_choice(ledger, begun, meant, account, choice)
            entries = bonuses.pop(account, [])
            require(len(entries) == (outcome == "A"), f"{account} is told as {outcome} and has {entries}", account)
            if not choice.islower():
                require(outcome == choice, f"{account} was decided on as {choice} and is told as {outcome}", account)
                continue
            seen = next(seqs)
            require(_bar(ledger, account, seen) == "", f"{account} was barred when it was decided on", account)
            if outcome == "A":
                ((seq, entry),) = entries
                given += entry.points
                _check_given(ledger, meant, account, seq, entry, seen=seen)
            else:
                require(outcome in _BARS.values(), f"{account} was to get a bonus and is told as {outcome}", account)
                require(outcome in _bars(ledger, account, seen + 1), f"{account} was never {outcome}", account)
        require(next(seqs, None) is None, f"the decision of chunk {place} has seen somebody too many")
        require(run.points[place] == given, f"chunk {place} tells of {run.points[place]} points, there are {given}")
    require(not bonuses, f"{sorted(bonuses)} were in no chunk, and have a bonus", *bonuses)
    _check_budget(run, meant, budgets)
    _check_notices(items, ledger, meant, run, untold)
    return fates


def _check_chunks(run: RunFound, shards: int, begun: set[str], members: set[str]) -> None:
    """Each member is in one chunk, and each shard ends."""
    for shard in range(shards):
        numbers = sorted(number for each, number in run.accounts if each == shard)
        require(numbers == list(range(1, len(numbers) + 1)), f"chunks of shard {shard} are missing: {numbers}")
        before = 0
        for number in numbers:
            chunk = run.accounts[shard, number]
            require(run.befores[shard, number] == before, f"chunk {shard}/{number} does not follow the one before")
            require(bool(chunk) == (number < numbers[-1]), f"chunk {shard}/{number} is no end, or one in the middle")
            before += len(chunk)
    times = Counter(account for accounts in run.accounts.values() for account in accounts)
    require(set(times.values()) <= {1}, f"somebody is in two chunks: {times.most_common(1)}")
    require(begun <= times.keys(), f"{begun - times.keys()} were members, and in no chunk")
    require(times.keys() <= members, f"{times.keys() - members} are in a chunk, and no members")


def _check_progress(run: RunFound, source: RunFound, shards: int) -> Counter[str]:
    """Progress is the sum of the chunks, and these are all done."""
    chunks = {place: accounts for place, accounts in source.accounts.items() if accounts}
    require(run.outcomes.keys() == chunks.keys(), f"chunks that are not done: {chunks.keys() ^ run.outcomes.keys()}")
    require(run.progress.keys() == set(range(shards)), f"of shards {run.progress.keys()} progress is told")
    fates: Counter[str] = Counter()
    for shard, told in run.progress.items():
        places = [place for place in chunks if place[0] == shard]
        counts = Counter(letter for place in places for letter in run.outcomes[place])
        said = dict(each.split("=") for each in told.get("c", {"S": ""})["S"].split())
        is_right = (
            "pl" in told
            and (_number(told, "n"), _number(told, "d")) == (len(places), len(places))
            and _number(told, "m") == sum(len(chunks[place]) for place in places) == counts.total()
            and {letter: int(count) for letter, count in said.items()} == counts
            and _number(told, "p") == sum(run.points[place] for place in places)
        )
        require(is_right, f"shard {shard} tells {told}, its chunks come to {counts} in {len(places)}")
        fates += counts
    return fates


def _check_choice(ledger: Contents, begun: Contents, meant: Meant, account: str, choice: str) -> None:
    """What was decided of a member is so, or was so at a time since the launch."""
    first = begun.logs[account][-1].seq if account in begun.logs else 1
    bars, worth = _bars(ledger, account, first), meant.worth(account)
    if choice in _BARS.values():
        require(choice in bars, f"{account} was never {choice}", account)
        return
    require("" in bars, f"{account} was barred all the time and is decided on as {choice}", account)
    if not worth:
        right = "O"
    elif meant.is_held_out(account):
        right = "H"
    else:
        right = choice if choice.islower() else "U"
    require(choice == right, f"{account} is decided on as {choice}, and it is {right}", account)
    require(choice != "U" or any(each is not None for each in meant.budget), f"{account} lacks a budget", account)


def _check_given(ledger: Contents, meant: Meant, account: str, seq: int, entry: Entry, *, seen: int) -> None:
    worth = meant.worth(account)
    require(seq > seen, f"{account} has its bonus at {seq}, before it was decided on at {seen}", account)
    require(_bar(ledger, account, seq - 1) == "", f"{account} was barred and has a bonus", account)
    require((entry.points, entry.told) == (worth, worth), f"{account} has {entry.points} for {worth}", account)
    require(entry.rules == (f"campaign:{meant.code}",), f"{account} has a bonus for {entry.rules}", account)
    for pot, _, day in entry.moves:
        require(pot in ("live", "debt"), f"the bonus of {account} is {pot}", account)
        require(pot == "debt" or day > 0, f"the bonus of {account} goes with a silence", account)


def _check_budget(run: RunFound, meant: Meant, budgets: Sequence[Item]) -> None:
    """What is left and what was given are the budget, and never was less left than nothing."""
    letters = [letter for outcomes in run.outcomes.values() for letter in outcomes]
    given = (sum(run.points.values()), letters.count("A"))
    if meant.budget == (None, None):
        require(run.budget is None and not budgets, "there is no budget, and something is left of it")
        return
    all_left = [meant.budget, *(_left(item) for item in budgets)]
    require(run.budget is None or all_left[-1] == _left(run.budget), "what is left is not what was written last")
    for name, whole, spent, left in zip(("points", "members"), meant.budget, given, all_left[-1], strict=True):
        if whole is None:
            require(left is None, f"{name} without a bound are counted")
            continue
        require(left is not None and left + spent == whole, f"{left} {name} are left and {spent} given of {whole}")
    for points, members in all_left:
        require(points is None or points >= 0, f"at a time {points} points were left")
        require(members is None or members >= 0, f"at a time {members} members were left")
    for place, letters_of in run.choices.items():
        for account, letter in zip(run.accounts[place], letters_of, strict=True):
            lacked = any(m == 0 or (p is not None and p < meant.worth(account)) for p, m in all_left)
            require(letter != "U" or lacked, f"{account} got nothing, and the budget always had enough", account)


def _left(item: Item) -> tuple[int | None, int | None]:
    points, members = (_number(item, name) if name in item else None for name in ("p", "m"))
    return points, members


def _check_notices(
    items: Sequence[Item], ledger: Contents, meant: Meant, run: RunFound, untold: frozenset[str]
) -> None:
    """Whoever has the bonus was told so, once; nobody else was."""
    told = Counter(
        item["PK"]["S"][2:]
        for item in items
        if item["SK"]["S"].startswith("A#M#") and item["SK"]["S"].endswith(f"#c.{meant.id}")
    )
    applied = {account for account, letter in _fates(run, run) if letter == "A"}
    require(set(told.values()) <= {1}, f"somebody was told twice: {told.most_common(1)}")
    if not meant.has_message:
        require(not told, f"there was nothing to tell, and {sorted(told)} were told")
        return
    require(told.keys() <= applied, f"{told.keys() - applied} were told of what they have not")
    missing = {account for account in applied - told.keys() - untold if account in ledger.profiles}
    require(not missing, f"{sorted(missing)} were not told", *missing)


# --- the reversal -----------------------------------------------------------------------------------------------------


def audit_reversal(items: Sequence[Item], meant: Meant) -> Counter[str]:
    """A campaign that was taken back; how many met which fate. Raises `Violation`."""
    ledger = ledger_of(items)
    run, source = run_found(items, meant.id, REVERSAL), run_found(items, meant.id, BONUS)
    require(status_of(items, meant.id) == "REVERTED", f"{meant.id} is not reverted")
    require(not run.accounts, "a reversal has chunks of its own")
    ends = _check_ends(run, source)
    fates = _check_progress(run, source, meant.shards)
    bonuses, reversals = (_entries(ledger, meant.id, kind) for kind in ("CAMPAIGN_BONUS", "CAMPAIGN_REVERSAL"))
    taken = sum(entry.points for entries in reversals.values() for _, entry in entries)
    require(sum(run.points.values()) == taken, f"{taken} points were taken back, {sum(run.points.values())} are told")
    for account, outcome in _fates(run, source):
        given, entries = bonuses.get(account, []), reversals.pop(account, [])
        require(len(entries) == (outcome == "A"), f"{account} is told as {outcome} and has {entries}", account)
        if not given:
            require(outcome == "N", f"{account} had no bonus and is told as {outcome}", account)
            continue
        ((had, bonus),) = given
        if outcome != "A":
            require(outcome in ("C", "M"), f"{account} had a bonus and is told as {outcome}", account)
            first = next((bar for bar in _ends(ledger, account, ends[account]) if bar), "")
            require(outcome == first, f"{account} is told as {outcome}, and was {first or 'neither'} first", account)
            continue
        ((seq, entry),) = entries
        require(seq > max(had, ends[account]), f"{account} has it taken back at {seq}, and got it at {had}", account)
        require(not any(_ends(ledger, account, ends[account], before=seq)), f"{account} had ended", account)
        require(-bonus.points <= entry.points <= 0, f"{account} lost {entry.points} of {bonus.points}", account)
        require(entry.told == entry.points, f"what {account} lost is told otherwise", account)
        # Only what is not there any more is written off, and nobody owes anything for it. What had expired by then is not taken
        # from anything else; the days are those of Greenwich, which may be one behind.
        last = max((day for pot, _, day in bonus.moves if pot == "live"), default=NEVER)
        is_over = entry.points == 0 and last <= entry.at // DAY_MS
        require(entry.points == -bonus.points or entry.balance <= 0 or is_over, f"{account} keeps what it has", account)
        require(all(pot == "live" for pot, _, _ in entry.moves), f"{account} owes a bonus", account)
    require(not reversals, f"{sorted(reversals)} were in no chunk, and lost something", *reversals)
    return fates


def _check_ends(run: RunFound, source: RunFound) -> dict[str, int]:
    """Where each log ended that a reversal looked at: those of all who were to get the bonus, chunk by chunk, as long as there
    is somebody in it; nothing is decided but that."""
    found: dict[str, int] = {}
    meant = {place: choices for place, choices in source.choices.items() if any(map(str.islower, choices))}
    require(run.choices.keys() == meant.keys(), f"chunks without a look, or one too many: {run.choices.keys()}")
    for place, choices in run.choices.items():
        right = "".join(letter if letter.islower() else "N" for letter in meant[place])
        require(choices == right, f"chunk {place} is decided on as {choices}, and it is {right}")
        looked_at = [account for account, letter in zip(source.accounts[place], choices, strict=True) if letter != "N"]
        found |= zip(looked_at, run.seen[place], strict=True)
    return found


def _ends(ledger: Contents, account: str, first: int, *, before: int | None = None) -> Iterator[str]:
    """What has ended an account, as it stood at each record from `first` on: closed, merged, or nothing."""
    for record in ledger.logs[account]:
        if first <= record.seq and (before is None or record.seq < before):
            bar = _bar(ledger, account, record.seq)
            yield bar if bar in ("C", "M") else ""


# --- logs -------------------------------------------------------------------------------------------------------------


def audit_keys(items: Sequence[Item], asked: Sequence[Asked]) -> None:
    """No key moves points twice, and whoever was told yes finds an entry there: what went on beside the campaign is whole."""
    ledger = ledger_of(items)
    entries = [
        (entry, record.account, record.seq, index)
        for log in ledger.logs.values()
        for record in log
        for index, entry in enumerate(record.entries)
    ]
    times = Counter(entry.key for entry, *_ in entries if entry.key)
    require(set(times.values()) <= {1}, f"a key was booked twice: {times.most_common(1)}")
    for account, log in ledger.logs.items():
        require([record.seq for record in log] == list(range(1, len(log) + 1)), f"{account} has a gap", account)
    keys = {tuple(place): entry.key for entry, *place in entries}
    for each in asked:
        for heard in each.heard:
            found = heard.place is None or keys.get(heard.place) == each.key
            require(found, f"{each.name} was told to be at {heard.place}, and is not", each.key)


def audit_days(items: Sequence[Item], campaign: str) -> None:
    """Each day on which points of the campaign expire has a row for their account, its own or one of many."""
    due: set[tuple[int, str]] = set()
    for item in items:
        kind, _, name = item["PK"]["S"].partition("#")
        if kind == "D":
            many = item["SK"]["S"].startswith("~")
            accounts = zlib.decompress(item["a"]["B"]).decode().split() if many else [item["SK"]["S"]]
            due |= {(int(name.partition("#")[0]), account) for account in accounts}
    for account, entries in _entries(ledger_of(items), campaign, "CAMPAIGN_BONUS").items():
        days = {day for _, entry in entries for pot, _, day in entry.moves if pot == "live" and day < NEVER}
        require(all((day, account) in due for day in days), f"nobody looks at {account} on {days}", account)


def _entries(ledger: Contents, campaign: str, kind: str) -> dict[str, list[tuple[int, Entry]]]:
    """The entries of a kind of campaigns, by account; their keys have to be those of this campaign and account."""
    ending = {"CAMPAIGN_BONUS": "", "CAMPAIGN_REVERSAL": ":revert"}[kind]
    found: dict[str, list[tuple[int, Entry]]] = {}
    for account, log in ledger.logs.items():
        for record in log:
            for entry in record.entries:
                is_key = entry.key == f"~c.{campaign}:{account}{ending}"
                require(is_key == (entry.kind == kind), f"{entry.kind} of {account} has the key {entry.key}", account)
                if is_key:
                    found.setdefault(account, []).append((record.seq, entry))
    return found


def _fates(run: RunFound, source: RunFound) -> Iterator[tuple[str, str]]:
    for place, letters in run.outcomes.items():
        yield from zip(source.accounts[place], letters, strict=True)


def _bars(ledger: Contents, account: str, first: int) -> set[str]:
    """How an account was barred after each record from the `first` on; empty for a while in which it was not."""
    return {_bar(ledger, account, record.seq) for record in ledger.logs[account][first - 1 :]}


def _bar(ledger: Contents, account: str, seq: int) -> str:
    return _BARS.get(ledger.logs[account][seq - 1].item.get("s", {"S": ""})["S"], "")
