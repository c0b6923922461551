"""All logs followed together: what each entry must be, by what was asked."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.auditor.books import Books, all_of, arrived, ending_of, taken_from
from tests.faults.auditor.facts import (
    DEBT,
    HOLDS_MAX,
    NEVER,
    PARKED_MAX,
    ROLLING,
    Asked,
    Item,
    Moves,
    Place,
    Pot,
    Rules,
    Violation,
    date_of,
    number_of,
    require,
)
from tests.faults.auditor.stored import BROUGHT, HALVES, OTHER_HALVES, TIME, Contents, Entry, Record, moves_in, tidy


class No(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Bought:
    """A purchase, and what came back of it."""

    asked: Asked
    entry: Entry
    # Points by each rule, the earning rule's first, and the year that those count in.
    earned: tuple[int, ...]
    year: int
    returned: int = 0
    is_whole: bool = False
    count: int = 0
    lines: Counter[int] = field(default_factory=Counter)

    def owed(self, amount: int) -> int:
        """Points for so much of its money: of each rule rounded down."""
        return sum(self._share(points, amount) for points in self.earned)

    def counted(self, amount: int) -> int:
        """What no longer counts towards a tier when so much of its money came back."""
        return self._share(self.earned[0], amount)

    def _share(self, points: int, amount: int) -> int:
        total = self.asked.amount
        return points * min(amount, total) // total if total else 0


# What can be refused for the sake of something else than the account that the claim is on; whether it was ever so is asked in
# the end, because nothing tells when it was looked at.
_FOREIGN = {
    "pointsTransfer": {"MEMBER_CLOSED", "MEMBER_BLOCKED", "MEMBER_NOT_FOUND", "TRANSFER_TO_SELF"},
    "memberMerge": {"MEMBER_CLOSED", "MEMBER_BLOCKED", "MEMBER_NOT_FOUND", "HOLDS_OPEN", "MERGE_WITH_SELF"},
    "memberUnmerge": {"NOT_MERGED", "SURVIVOR_MERGED"},
    "redemptionCancel": {"REDEMPTION_ENDED"},
    "memberUpdate": {"ALREADY_ENROLLED"},
    "memberEnroll": {"ALREADY_ENROLLED"},
}


@dataclass(slots=True)
class Auditor:
    """All logs followed together."""

    found: Contents
    rules: Rules
    asked: dict[str, list[Asked]] = field(default_factory=dict)
    books: dict[str, Books] = field(default_factory=dict)
    # Who is called what, and who lives on in whom.
    accounts: dict[str, str] = field(default_factory=dict)
    lives_in: dict[str, str] = field(default_factory=dict)
    purchases: dict[str, Bought] = field(default_factory=dict)
    # Where the one entry of a key stands, and which of the requests with the key explains it.
    places: dict[str, Place] = field(default_factory=dict)
    owners: dict[str, Asked] = field(default_factory=dict)
    cancelled: set[Place] = field(default_factory=set)
    # What the last merge of an account brought to the one it lives on in.
    merges: dict[str, Entry] = field(default_factory=dict)
    # How many silences the survivor had had by then.
    silences: dict[str, int] = field(default_factory=dict)
    # Of each account that was merged: joining and the moment of the survivor before the merge, and whether no other account was
    # in it; and both after it.
    befores: dict[str, tuple[tuple[int, int, bool], tuple[int, int]]] = field(default_factory=dict)
    phones: dict[str, str | None] = field(default_factory=dict)
    # What was ever so.
    ever: set[tuple[str, ...]] = field(default_factory=set)
    later: list[Callable[[], None]] = field(default_factory=list)
    came: int = 0

    # --- following the logs -------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Every record of every log, each after those it may depend on."""
        for account, log in self.found.logs.items():
            self.books[account] = Books(account)
            self._check_chain(account, log)
        left = {account: 0 for account, log in self.found.logs.items() if log}
        refusals = self._recorded_refusals()
        while left:
            ready = next((account for account in left if self._is_ready(account, left)), None)
            if ready is None:
                stuck = ", ".join(f"{account} {self.found.logs[account][at].seq}" for account, at in left.items())
                raise Violation(f"no order explains these records: {stuck}", *left)
            for record in self._step(ready, left):
                left[record.account] += 1
                if left[record.account] == len(self.found.logs[record.account]):
                    del left[record.account]
                for key, item in refusals.pop(record.place, ()):
                    self._check_recorded(key, item, self.books[record.account])
        for key, item in refusals.pop(("", 0), ()):
            self._check_recorded(key, item, Books(""))
        require(not refusals, f"refusals of records that are not there: {refusals}")
        for check in self.later:
            check()

    def _next(self, account: str, left: Mapping[str, int]) -> Record | None:
        return self.found.logs[account][left[account]] if account in left else None

    def _half(self, record: Record) -> tuple[Entry, tuple[str, int]] | None:
        """The entry of a record that another account's record answers, and where that is."""
        halves = [entry for entry in record.entries if entry.kind in HALVES or entry.kind in OTHER_HALVES]
        require(len(halves) <= 1, f"{record.place} moves points between more than two accounts", record.account)
        if not halves:
            return None
        require(halves[0].peer, f"{record.place} names no other account", record.account)
        return halves[0], halves[0].peer or ("", 0)

    def _is_ready(self, account: str, left: Mapping[str, int]) -> bool:
        record = self._next(account, left)
        assert record is not None
        half = self._half(record)
        if half is None:
            return True
        other = self._next(half[1][0], left)
        return other is not None and other.seq == half[1][1]

    def _step(self, account: str, left: Mapping[str, int]) -> list[Record]:
        """One transaction: a record, or two that name each other."""
        record = self._next(account, left)
        assert record is not None
        half = self._half(record)
        if half is None:
            self._book(record, None)
            return [record]
        other = self._next(half[1][0], left)
        assert other is not None
        answer = self._half(other)
        words = (record.account, other.account)
        require(
            answer and answer[1] == record.place, f"{record.place} and {other.place} do not name each other", *words
        )
        assert answer is not None
        main, second = (record, other) if half[0].kind in HALVES else (other, record)
        kinds = (half[0].kind, answer[0].kind)
        require(HALVES.get(kinds[0], OTHER_HALVES.get(kinds[0])) == kinds[1], f"{kinds} is no pair", *words)
        self._book(main, second)
        return [main, second]

    def _book(self, record: Record, second: Record | None) -> None:
        """A record against what its request must have come to; `second` is the other account's half of it."""
        books = self.books[record.account]
        operations = self._pass_before(record, books)
        others: list[tuple[int, Entry]] = []
        if second is not None:
            others = self._pass_before(second, self.books[second.account])
            require(len(others) == 1, f"{second.place} holds something else too", second.account)
        brought: list[tuple[str, Moves, tuple[str, ...], str]] = []
        asked_for = 0
        for index, entry in operations:
            place = (record.account, record.seq, index)
            words = (record.account, entry.key)
            if entry.kind in BROUGHT:
                require(brought, f"{place} is brought by nothing", *words)
                self._bring(entry, place, books, brought.pop(0))
                continue
            require(not brought, f"{place} comes before what is brought: {brought}", *words)
            asked_for += 1
            require(entry.key, f"{place} has no key", *words)
            require(
                entry.key not in self.places,
                f"{entry.key} is booked at {self.places.get(entry.key)} and {place}",
                *words,
            )
            self.places[entry.key] = place
            self._explain(entry, place, books, others[0] if others else None, second)
            self._check_balance(entry, books, place)
            brought = self._brought(entry, books)
        require(not brought, f"{record.place} does not bring {brought}", record.account)
        require(asked_for < 2 or operations[0][1].kind == "PURCHASE", f"{record.place} is of two requests")
        self._pass_after(record, books, operations)
        if second is not None:
            self._pass_after(second, self.books[second.account], others)

    def _pass_before(self, record: Record, books: Books) -> list[tuple[int, Entry]]:
        """Books what time has done first; the entries of the operation that follow it."""
        require(record.seq == books.seq + 1, f"{record.account} has no record {books.seq + 1}", record.account)
        books.seq = record.seq
        operations: list[tuple[int, Entry]] = []
        for index, entry in enumerate(record.entries):
            if entry.kind in TIME:
                if not operations:
                    self._passage(entry, record, books)
            else:
                if not operations:
                    left = books.next(entry.at, self.rules)
                    require(left is None, f"{record.place} was decided before time was booked: {left}", record.account)
                operations.append((index, entry))
        return operations

    def _pass_after(self, record: Record, books: Books, operations: Sequence[tuple[int, Entry]]) -> None:
        last = operations[-1][0] if operations else len(record.entries)
        for entry in record.entries[last + 1 :]:
            self._passage(entry, record, books)
        left = books.next(books.at, self.rules)
        require(left is None, f"{record.place} leaves to time what is due: {left}", record.account)
        self._check_state(record, books)
        if books.status:
            self.ever.add((books.status, books.account))
        if books.lapses:
            self.ever.add(("held", books.account))

    def _passage(self, entry: Entry, record: Record, books: Books) -> None:
        due = books.next(entry.at, self.rules)
        require(
            due == (entry.at, entry.kind, entry.moves),
            f"{record.place}: {entry} is not what is due: {due}",
            record.account,
        )
        books.passed(entry.at, entry.moves)
        self.came += entry.points
        require(not entry.key, f"{record.place}: time needs no key", record.account)
        self._check_balance(entry, books, record.place)

    def _check_balance(self, entry: Entry, books: Books, place: tuple[object, ...]) -> None:
        message = f"{place}: the balance after {entry.kind} is {books.balance}, not {entry.balance}"
        require(entry.balance == books.balance, message, books.account, entry.key)

    def _check_state(self, record: Record, books: Books) -> None:
        """What a record says of the account after it is what the auditor has worked out."""
        item = record.item
        said: Moves = {}
        for text in (*item.get("b", {"S": ""})["S"].split(), *item.get("p", {"S": ""})["S"].split()):
            said |= moves_in(text)
        lapses = {}
        for text in item.get("o", {"S": ""})["S"].split():
            name, _, pots = text.partition(":")
            number, _, at = name.partition("@")
            lapses[int(number)] = int(at)
            said |= {
                ("held", int(number), day): points for (_, _, day), points in moves_in(pots.replace(",", " ")).items()
            }
        if "d" in item:
            said[DEBT] = -int(item["d"]["N"])
        day, _, sent = item.get("g", {"S": "0:0"})["S"].partition(":")
        status = {"": "", "B": "BLOCKED", "C": "CLOSED", "M": "MERGED"}[item.get("s", {"S": ""})["S"]]
        rest = (lapses, status, (int(day), int(sent)), tuple(item.get("m", {"S": ""})["S"].split()))
        expected = (books.lapses, books.status, books.sent, books.merged)
        require(said == books.pots, f"{record.place} holds {said}, and should {books.pots}", record.account)
        require(rest == expected, f"{record.place} is {rest}, and should be {expected}", record.account)
        self._check_kept(record, books)
        dated = {day for kind, _, day in books.pots if kind != "debt" and ROLLING < day < NEVER}
        dated |= {books.gold} if books.gold else set()
        # The day of a silence is noted when it is begun; who looks then notes where it has moved to.
        dated |= {books.rolling} if books.rolling and books.began else set()
        books.began = False
        dated |= {matures for kind, matures, _ in books.pots if kind == "pending"}
        missing = {(day, books.account) for day in dated} - self.found.due
        require(not missing, f"{record.place}: nobody will look at {sorted(missing)}", record.account)

    def _check_kept(self, record: Record, books: Books) -> None:
        """What a record says of the account beside its points."""
        rules = self.rules
        marks = {
            "active": books.active,
            "joined": books.joined,
            "m.nth": books.had,
            "purchases": books.purchases,
        }
        expected = {
            "r": f"{books.rolling}:{rules.expiry_months}:{rules.expiry_days}:0" if books.rolling else "",
            "t": f"gold:{books.gold}:E" if books.gold else "",
            "q": " ".join(f"{month}+{points}" for month, points in sorted(books.qualifying.items())),
            "c": " ".join(f"{name}={value}" for name, value in marks.items() if value),
        }
        said = {name: record.item.get(name, {"S": ""})["S"] for name in expected}
        require(said == expected, f"{record.place} says {said}, and should say {expected}", record.account)

    def _check_chain(self, account: str, log: Sequence[Record]) -> None:
        """Sequences without a gap, and each record's hash over it and the hash before it."""
        prior = b""
        for seq, record in enumerate(log, start=1):
            require(record.seq == seq, f"{account} has no record {seq}", account)
            content = {name: value for name, value in record.item.items() if name != "h"}
            canonical = json.dumps(
                content,
                sort_keys=True,
                separators=(",", ":"),
                ensure_ascii=False,
                default=lambda raw: bytes(raw).hex(),
            )
            expected = hashlib.sha256(prior + canonical.encode("utf-8", "surrogatepass")).digest()[:16]
            prior = bytes(record.item["h"]["B"])
            require(prior == expected, f"the chain of {account} breaks at {seq}", account)

    # --- one entry ----------------------------------------------------------------------------------------------------

    def _explain(
        self, entry: Entry, place: Place, books: Books, other: tuple[int, Entry] | None, second: Record | None
    ) -> None:
        """Finds the request that an entry is of, and books what it must have come to."""
        candidates = self.asked.get(entry.key, [])
        require(candidates, f"{place}: nobody has asked for {entry.key}", books.account, entry.key)
        before = books.copy()
        others = self.books[second.account] if second else None
        wrong = ""
        # Whoever was told the outcome comes first; of two requests with one key, only one may have been.
        for asked in sorted(candidates, key=lambda each: not any(heard.is_decided for heard in each.heard)):
            try:
                self._check_home(asked, before)
                if entry.kind == "REFUSED":
                    self._check_no(asked, entry.code, before, entry.at)
                    require(not entry.moves, f"{place}: a refusal moves points", before.account)
                else:
                    expected = self._decide(asked, before, entry.at, entry, others)
                    self._compare(asked, entry, place, expected, before)
            except No as no:
                wrong = f"should have been refused: {no.code}"
                continue
            except Violation as violation:
                wrong = str(violation)
                continue
            self.owners[entry.key] = asked
            break
        else:
            raise Violation(f"{place}: {entry} does not follow from {candidates[0]}: {wrong}", entry.key, books.account)
        books.at = entry.at
        if entry.kind != "REFUSED":
            self._settle(self.owners[entry.key], entry, place, books, before, other, second)

    def _compare(self, asked: Asked, entry: Entry, place: Place, expected: tuple[str, Moves], books: Books) -> None:
        kind, moves = expected
        require(entry.kind == kind, f"{place} is a {entry.kind}, not a {kind}", entry.key)
        require(entry.moves == tidy(moves), f"{place} moves {entry.moves}, not {tidy(moves)}", entry.key)
        happened = [*asked.sent, *(at for each in self._with(asked) for at in each.sent)]
        is_then = entry.at in happened or (entry.at == books.at and min(happened, default=books.at) <= books.at)
        require(is_then, f"{place} is of {entry.at}, when nobody asked for it", entry.key)
        require(entry.at >= books.at, f"{place}: time runs backwards", entry.key)

    def _with(self, asked: Asked) -> list[Asked]:
        """Requests whose record this one may stand in: a return is booked with the purchase it has waited for."""
        return self.asked.get(asked.of, []) if asked.what == "purchaseReturn" else []

    def _settle(
        self,
        asked: Asked,
        entry: Entry,
        place: Place,
        books: Books,
        before: Books,
        other: tuple[int, Entry] | None,
        second: Record | None,
    ) -> None:
        """What an entry that is right has changed on an account that was as it was `before`."""
        rules, today = self.rules, self.rules.day(entry.at)
        if entry.kind == "HOLD":
            assert entry.lapses is not None
            books.lapses[place[1]] = entry.lapses
        there = self.books[second.account] if second else None
        books.move(entry.moves, entry.key, rolling=self._rolled(asked, entry, before, there))
        self.came += self._wanted(asked, entry)
        if entry.kind in rules.activities:
            books.active = max(books.active, self._acted(entry))
        match entry.kind:
            case "ENROLLMENT":
                books.joined = today
                self.accounts[asked.member] = books.account
                self.phones[books.account] = asked.phone
                self.ever.add(("phone", asked.phone or ""))
            case "PURCHASE":
                earned = self._points(asked, before)
                assert entry.occurred is not None
                year = 12 * date_of(rules.day(entry.occurred)).year
                self.purchases[entry.key] = Bought(asked, entry, earned, year)
                books.purchases += not books.status
                self._count(books, year, earned[0])
            case "RETURN":
                bought = self.purchases[asked.of]
                lost = bought.counted(bought.returned)
                bought.returned += self._returned(bought, asked)
                self._count(books, bought.year, lost - bought.counted(bought.returned))
                bought.is_whole = bought.is_whole or asked.part is None
                bought.count += 1
                if asked.part and asked.part[0] == "lines":
                    bought.lines.update(asked.part[1])
            case "CANCELLATION":
                self.cancelled.add(self.places[asked.of])
            case "UPDATE":
                if asked.phone is not None:
                    self.phones[books.account] = asked.phone
                    self.ever.add(("phone", asked.phone))
            case "BLOCK":
                books.status = "BLOCKED"
            case "UNBLOCK":
                books.status = ""
            case "CLOSURE":
                books.status, books.gold = "CLOSED", 0
            case "TRANSFER_OUT":
                books.sent = (today, (books.sent[1] if books.sent[0] == today else 0) - entry.points)
        if other is None or second is None:
            return
        self._settle_other(entry, place, books, before, other, second)

    def _acted(self, entry: Entry) -> int:
        """The day on which a member did what an entry is of."""
        today = self.rules.day(entry.at)
        return today if entry.occurred is None else min(self.rules.day(entry.occurred), today)

    def _rolled(self, asked: Asked, entry: Entry, before: Books, there: Books | None) -> int:
        """The rolling day after an entry; 0 where it does not move."""
        today = self.rules.day(entry.at)
        comes = any(pot[2] == ROLLING and points > 0 for pot, points in entry.moves.items() if pot != DEBT)
        match entry.kind:
            case "PURCHASE":
                assert entry.occurred is not None
                day = self.rules.day(entry.occurred)
                return before.placed("PURCHASE", day, today, self.rules)[1] if comes or before.rolling else 0
            case "CANCELLATION" if comes:
                return self._revived(asked, before, today)
            case "MERGE":
                assert there is not None
                return max(before.rolling, there.rolling)
        return before.activity(entry.kind, today, self.rules)

    def _revived(self, asked: Asked, books: Books, today: int) -> int:
        """The rolling day of what was redeemed and comes back; 0 when a silence would have taken it."""
        if books.rolling:
            return books.rolling
        account, seq, index = self.places[asked.of]
        until = max(
            self.found.logs[account][seq - 1].entries[index].rolls, self.rules.expiry(books.active or books.joined)
        )
        return until if until >= today else 0

    def _points(self, asked: Asked, books: Books) -> tuple[int, ...]:
        """What a purchase earns by each rule."""
        if books.status == "BLOCKED":
            return (0,)
        base = asked.amount // self.rules.minor_units * self.rules.points_per_unit
        more = base * (self.rules.gold_percent - 100) // 100 if books.gold else 0
        return (base, more) if more else (base,)

    def _count(self, books: Books, year: int, points: int) -> None:
        if not self.rules.gold:
            return
        left = books.qualifying.pop(year, 0) + points
        if left > 0:
            books.qualifying[year] = left

    def _brought(self, entry: Entry, books: Books) -> list[tuple[str, Moves, tuple[str, ...], str]]:
        """What an entry brings by the rules, in this order: kinds, moves, explanation and tier."""
        rules, today = self.rules, self.rules.day(entry.at)
        found: list[tuple[str, Moves, tuple[str, ...], str]] = []
        if entry.kind != "PURCHASE" or books.status:
            return found
        years = [year for year, points in books.qualifying.items() if points >= rules.gold] if rules.gold else []
        # The year it counts in, or the one that runs.
        until = max((number_of(date_of(today).replace(year // 12 + 1, 12, 31)) for year in years), default=0)
        if until > books.gold and until >= today:
            found.append(("TIER", {}, (f"tier:gold:{'kept' if books.gold else 'reached'}",), f"gold:{until}:E"))
        if rules.nth and books.purchases == rules.nth and not books.had:
            bucket, _ = books.placed("PURCHASE", self._acted(entry), today, rules)
            found.append(("BONUS", {("live", 0, bucket): rules.nth_points}, ("moment:nth",), ""))
        return found

    def _bring(
        self, entry: Entry, place: Place, books: Books, expected: tuple[str, Moves, tuple[str, ...], str]
    ) -> None:
        """What a purchase has brought."""
        said = (entry.kind, entry.moves, entry.rules, entry.standing)
        require(said == expected, f"{place} is {said}, and should be {expected}", books.account)
        require((entry.at, entry.key) == (books.at, ""), f"{place} is of another moment, or somebody's", books.account)
        require(entry.told == entry.points, f"{place} explains {entry.told} points, not {entry.points}", books.account)
        if entry.kind == "TIER":
            books.gold = int(entry.standing.split(":")[1])
        else:
            books.had = 1
            self.came += self.rules.nth_points
        is_rolling = any(pot[2] == ROLLING for pot in entry.moves)
        until = max(books.rolling, self.rules.expiry(books.active)) if is_rolling else 0
        books.move(entry.moves, rolling=until)
        self._check_balance(entry, books, place)

    def _wanted(self, asked: Asked, entry: Entry) -> int:
        """By how many points all accounts together change when a request is done; as it was asked for, where it says so."""
        match asked.what:
            case "purchaseRecord" | "purchaseReturn" | "memberClose" | "pointsCapture":
                return entry.points
            case "pointsAdjust":
                return asked.points or 0
            case "rewardRedeem":
                return -self.rules.rewards[asked.reward]
            case "redemptionCancel":
                return self.rules.rewards[self.owners[asked.of].reward]
        return 0

    def _settle_other(
        self,
        entry: Entry,
        place: Place,
        books: Books,
        before: Books,
        other: tuple[int, Entry],
        second: Record,
    ) -> None:
        """The other account's half: it takes what the first one gives, or gives what that takes."""
        index, half = other
        there = self.books[second.account]
        today = self.rules.day(half.at)
        moves = all_of(there) if entry.kind == "MERGE" else arrived(entry.moves, today, -1)
        if entry.kind == "TRANSFER_OUT" and ("live", 0, ROLLING) in moves:
            # A gift has the day that its points had: no activity of whoever gets it is for them.
            dated: Pot = ("live", 0, before.rolling)
            moves[dated] = moves.get(dated, 0) + moves.pop(("live", 0, ROLLING))
        words = (second.account, books.account, entry.key)
        require(half.moves == moves, f"{second.place} moves {half.moves}, the other half {entry.moves}", *words)
        require(not half.key, f"{second.place}: the key is of the other half", *words)
        is_then = half.at >= there.at and half.at in (there.at, *self.owners[entry.key].sent)
        require(is_then, f"{second.place} is of another moment", *words)
        there.at = half.at
        comes = entry.kind == "UNMERGE" and any(pot[2] == ROLLING for pot in half.moves if pot != DEBT)
        there.move(half.moves, rolling=before.rolling if comes else 0)
        self._check_balance(half, there, (second.account, second.seq, index))
        match entry.kind:
            case "TRANSFER_OUT":
                require(half.cause == place[1:], f"{second.place} does not name the gift", *words)
            case "MERGE":
                there.status = "MERGED"
                require(not there.pots, f"{second.place} is merged and has points", *words)
                require(second.entries[-1] is half, f"{second.place} goes on after its end", *words)
                self.lives_in[there.account] = books.account
                books.merged = (*books.merged, there.account)
                self.merges[there.account] = entry
                self.silences[there.account] = books.silences
                # What both were and had, they are and have.
                was = (books.joined, books.had, not books.merged[:-1])
                books.joined = min(books.joined, there.joined)
                books.active = max(books.active, there.active)
                books.purchases += there.purchases
                books.had = max(books.had, there.had)
                self.befores[there.account] = (was, (books.joined, books.had))
                self.ever.add(("together", *sorted((there.account, books.account))))
            case "UNMERGE":
                there.status = ""
                del self.lives_in[there.account]
                books.purchases -= there.purchases
                # What the merge had brought goes with it, unless it became something else since, or others were in it as well.
                (joined, had, was_alone), brought = self.befores[there.account]
                if was_alone and books.merged == (there.account,):
                    books.joined = joined if books.joined == brought[0] else books.joined
                    books.had = had if books.had == brought[1] else books.had
                books.merged = tuple(each for each in books.merged if each != there.account)

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _home(self, name: str) -> str:
        """The account that a member has now."""
        account = self.accounts.get(name, "")
        while account in self.lives_in:
            account = self.lives_in[account]
        return account

    def _check_home(self, asked: Asked, books: Books) -> None:
        """It is booked on the account that the member has now, whichever they had when it was asked for."""
        name = asked.other if asked.what == "memberMerge" else asked.member
        if asked.what not in ("memberEnroll", "memberUnmerge") and name:
            home = self._home(name)
            require(home == books.account, f"{asked.key} is booked on {books.account}, {name} is {home}", asked.key)

    def _decide(
        self, asked: Asked, books: Books, at: int, entry: Entry | None = None, other: Books | None = None
    ) -> tuple[str, Moves]:
        """What a request must come to on an account as it is: kind and moves of its entry. Raises `No`.

        `other` is the second account, where a record of it was written with the entry: only then it is known as it was.
        """
        rules, today = self.rules, self.rules.day(max(at, books.at))
        match asked.what:
            case "memberEnroll":
                return "ENROLLMENT", {}
            case "purchaseRecord":
                self._require_open(books)
                return "PURCHASE", self._earned(asked, books, at, entry)
            case "purchaseReturn":
                return "RETURN", self._taken_back(asked, books, at, entry)
            case "rewardRedeem":
                self._require_active(books)
                return "REDEMPTION", self._spent(books, rules.rewards[asked.reward])
            case "redemptionCancel":
                self._require_open(books)
                return "CANCELLATION", self._cancelled(asked, books, today)
            case "pointsAdjust":
                self._require_open(books)
                assert asked.points
                if asked.points < 0:
                    return "ADJUSTMENT", self._spent(books, -asked.points)
                return "ADJUSTMENT", {("live", 0, rules.expiry(today)): asked.points}
            case "pointsHold":
                return "HOLD", self._held(asked, books, at, entry)
            case "pointsCapture" | "pointsRelease":
                return self._ended(asked, books)
            case "pointsTransfer":
                return "TRANSFER_OUT", self._given(asked, books, today, other)
            case "memberMerge":
                return "MERGE", self._merged(asked, books, today, other)
            case "memberUnmerge":
                return "UNMERGE", self._unmerged(asked, books, at, other)
            case "memberBlock":
                self._require_open(books)
                if books.status == "BLOCKED":
                    raise No("ALREADY_BLOCKED")
                return "BLOCK", {}
            case "memberUnblock":
                self._require_open(books)
                if books.status != "BLOCKED":
                    raise No("NOT_BLOCKED")
                return "UNBLOCK", {}
            case "memberClose":
                self._require_open(books)
                if books.lapses:
                    raise No("HOLDS_OPEN")
                return "CLOSURE", all_of(books)
            case "memberUpdate":
                self._require_open(books)
                return "UPDATE", {}
        raise AssertionError(asked.what)

    @staticmethod
    def _require_open(books: Books) -> None:
        if books.status == "CLOSED":
            raise No("MEMBER_CLOSED")

    def _require_active(self, books: Books) -> None:
        self._require_open(books)
        if books.status == "BLOCKED":
            raise No("MEMBER_BLOCKED")

    @staticmethod
    def _spent(books: Books, points: int) -> Moves:
        if points > books.balance:
            raise No("INSUFFICIENT_POINTS")
        return taken_from(books.live(), points)

    def _earned(self, asked: Asked, books: Books, at: int, entry: Entry | None) -> Moves:
        rules = self.rules
        points = sum(self._points(asked, books))
        if entry is None:
            return {}
        require(entry.total == asked.amount, f"{asked.key} is of {entry.total}, not {asked.amount}", asked.key)
        require(entry.told == points, f"{asked.key} explains {entry.told} points, not {points}", asked.key)
        occurred = entry.occurred
        assert occurred is not None
        is_then = occurred in asked.sent if asked.occurred is None else occurred == asked.occurred
        require(is_then, f"{asked.key} did not happen at {occurred}", asked.key)
        day, today = rules.day(occurred), rules.day(max(at, books.at))
        expires, _ = books.placed("PURCHASE", day, today, rules)
        matures = day + rules.pending_days
        is_pending = bool(rules.pending_days) and matures > today
        return {("pending", matures, expires) if is_pending else ("live", 0, expires): points}

    def _returned(self, bought: Bought, asked: Asked) -> int:
        """The money of what is returned. Raises `No`."""
        total, basket = bought.asked.amount, bought.asked.basket
        if asked.part is not None and asked.part[0] == "lines" and max(asked.part[1]) >= len(basket):
            raise No("LINE_NOT_FOUND")
        left = total - bought.returned
        if asked.part is None:
            if bought.is_whole or (bought.count and not left):
                raise No("RETURN_EXCEEDS_PURCHASE")
            return left
        if asked.part[0] == "amount":
            amount = int(asked.part[1])
        else:
            amount = 0
            for index, quantity in asked.part[1].items():
                bought_of, worth = basket[index]
                before = bought.lines[index]
                if bought.is_whole or before + quantity > bought_of:
                    raise No("RETURN_EXCEEDS_PURCHASE")
                amount += worth * (before + quantity) // bought_of - worth * before // bought_of
        if amount > left:
            raise No("RETURN_EXCEEDS_PURCHASE")
        return amount

    def _taken_back(self, asked: Asked, books: Books, at: int, entry: Entry | None) -> Moves:
        bought = self.purchases[asked.of]
        if asked.other and self._home(asked.other) != books.account:
            raise No("PURCHASE_NOT_FOUND")
        amount = self._returned(bought, asked)
        self._require_open(books)
        owed = bought.owed(bought.returned + amount) - bought.owed(bought.returned)
        require(
            entry is None or entry.total == amount,
            f"{asked.key} is of {entry and entry.total}, not {amount}",
            asked.key,
        )
        moves: Moves = {}
        wanted = owed
        pots: list[Pot] = [pot for pot in bought.entry.moves if pot[0] == "pending"]
        # What a silence has taken of what waits still waits, with the day of the silence.
        silenced = {matures for _, matures, day in pots if day == ROLLING}
        pots += sorted(
            pot for pot in books.pots if pot[0] == "pending" and pot[1] in silenced and ROLLING < pot[2] < pot[1]
        )
        if self.rules.returns != "pending_only":
            first = {pot[2] for pot in bought.entry.moves}
            live = [("live", 0, day) for day, _ in books.live() if self.rules.start(books.last(day) + 1) > at]
            pots += sorted(live, key=lambda pot: (pot[2] not in first, books.last(pot[2]), pot[2]))
        for pot in pots:
            taken = min(wanted, books.pots.get(pot, 0))
            wanted -= taken
            moves[pot] = -taken
        if self.rules.returns == "debt":
            moves[DEBT] = -wanted
        return moves

    def _cancelled(self, asked: Asked, books: Books, today: int) -> Moves:
        account, seq, index = place = self.places[asked.of]
        if place in self.cancelled:
            raise No("REDEMPTION_ENDED")
        redeemed = self.found.logs[account][seq - 1].entries[index]
        moves: Counter[Pot] = Counter()
        for (_, _, day), points in redeemed.moves.items():
            is_over = not self._revived(asked, books, today) if day == ROLLING else day < today
            moves["live", 0, today + self.rules.reinstatement_days if is_over else day] -= points
        return dict(moves)

    def _held(self, asked: Asked, books: Books, at: int, entry: Entry | None) -> Moves:
        self._require_active(books)
        if len(books.lapses) >= HOLDS_MAX:
            raise No("TOO_MANY_HOLDS")
        assert asked.points
        taken = self._spent(books, asked.points)
        if entry is not None:
            require(entry.lapses == at + asked.ttl_ms, f"{asked.key} lapses at {entry.lapses}", asked.key)
        return {**taken, **{("held", books.seq, day): -points for (_, _, day), points in taken.items()}}

    def _ended(self, asked: Asked, books: Books) -> tuple[str, Moves]:
        account, number, _ = self.places[asked.of]
        kept = sum(points for _, points in books.held(number)) if books.account == account else 0
        if not kept:
            raise No("HOLD_ENDED")
        if asked.what == "pointsRelease":
            return "RELEASE", ending_of(books, number, 0)
        captured = kept if asked.points is None else asked.points
        if captured > kept:
            raise No("CAPTURE_EXCEEDS_HOLD")
        return "CAPTURE", ending_of(books, number, captured)

    def _given(self, asked: Asked, books: Books, today: int, other: Books | None) -> Moves:
        rules, points = self.rules, asked.points
        assert points
        if other is not None:
            home = self._home(asked.other)
            require(other.account == home, f"{asked.key} gives to {other.account}, {asked.other} is {home}", asked.key)
        both = (books, other) if other else (books,)
        for each in both:
            self._require_open(each)
        for each in both:
            self._require_active(each)
        sent = books.sent[1] if books.sent[0] == today else 0
        if not 1 <= points <= rules.gift_max or sent + points > rules.gifts_per_day_max:
            raise No("TRANSFER_LIMIT")
        return self._spent(books, points)

    def _merged(self, asked: Asked, books: Books, today: int, other: Books | None) -> Moves:
        if other is not None:
            homes = (self._home(asked.other), self._home(asked.member))
            require(homes == (books.account, other.account), f"{asked.key} merges others than {homes}", asked.key)
        both = (books, other) if other else (books,)
        for each in both:
            self._require_open(each)
        for each in both:
            self._require_active(each)
        if any(each.lapses for each in both):
            raise No("HOLDS_OPEN")
        return arrived(other.pots, today) if other else {}

    def _unmerged(self, asked: Asked, books: Books, at: int, other: Books | None) -> Moves:
        account = self.accounts.get(asked.member, "")
        if self.lives_in.get(account) != books.account:
            raise No("SURVIVOR_MERGED" if account in self.lives_in else "NOT_MERGED")
        merged = self.merges[account]
        ends = merged.at + self.rules.undo_days * 86_400_000
        # What counts is the clock of the request, which may be behind the account's.
        if at >= ends and (other is None or min(asked.sent) >= ends):
            raise No("UNDO_WINDOW_PASSED")
        if other is None:
            return {}
        require(other.account == account, f"{asked.key} reopens {other.account}, not {account}", asked.key)
        # Points that were pending when they came are what they are now; of everything, as much as there is.
        moves: Moves = {}
        # What a silence has taken since, nobody gets back from what was earned later.
        is_silenced = self.silences[account] != books.silences
        came = {pot: points for pot, points in merged.moves.items() if pot == DEBT or pot[2] or not is_silenced}
        for pot, points in arrived(came, self.rules.day(max(at, books.at))).items():
            has = books.pots.get(pot, 0)
            moves[pot] = -max(points, has) if pot == DEBT else -min(points, has)
        return moves

    # --- refusals -----------------------------------------------------------------------------------------------------

    def _recorded_refusals(self) -> dict[tuple[str, int], list[tuple[str, Item]]]:
        """Refusals that stand in claims, by the record that was the account's newest when they were decided."""
        found: dict[tuple[str, int], list[tuple[str, Item]]] = defaultdict(list)
        for key, item in self.found.claims.items():
            if "r" in item:
                place = (item["a"]["S"], int(item["s"]["N"])) if "a" in item else ("", 0)
                found[place].append((key, item))
        return found

    def _check_recorded(self, key: str, item: Item, books: Books) -> None:
        """A refusal in a claim was right on the account as it was."""
        code, at = item["r"]["L"][0]["S"], int(item["at"]["N"])
        candidates = self.asked.get(key, [])
        wrong = f"nobody has asked for {key}"
        for asked in sorted(candidates, key=lambda each: not any(heard.is_decided for heard in each.heard)):
            before = books.copy()
            before.pass_to(at, self.rules)
            try:
                require(at in asked.sent, f"{key} was refused at {at}, when nobody asked", key)
                self._check_no(asked, code, before, at)
            except Violation as violation:
                wrong = str(violation)
                continue
            self.owners.setdefault(key, asked)
            return
        raise Violation(f"{key} should not have been refused ({code}) after {books.account} {books.seq}: {wrong}", key)

    def _check_no(self, asked: Asked, code: str, books: Books, at: int) -> None:
        """The refusal is what the request must come to on the account as it is, or is for the sake of something else that was
        so at some moment."""
        foreign = code in _FOREIGN.get(asked.what, ())
        why = "would have been done"
        if asked.what != "memberEnroll":
            try:
                self._decide(asked, books, at)
            except No as no:
                if no.code == code:
                    return
                why = no.code
        require(foreign, f"{asked.key} was refused with {code} on {books.account} {books.seq}: {why}", asked.key)
        self.later.append(lambda: require(self.was_ever(asked, code), f"{asked.key}: {code} was never so", asked.key))

    def was_ever(self, asked: Asked, code: str) -> bool:
        names = [asked.member, asked.other]
        if asked.what == "purchaseReturn" and asked.of in self.purchases:
            names.append(self.purchases[asked.of].asked.member)
        # Where somebody lived on in somebody else, it may have been about them.
        accounts = set().union(*(self._ever_one(self.accounts[name]) for name in names if name in self.accounts))
        match code:
            case "MEMBER_CLOSED":
                return any(("CLOSED", account) in self.ever for account in accounts)
            case "MEMBER_NOT_FOUND":
                # Whoever is closed is found by nothing any more, and members are told of nobody who is blocked.
                return any((how, account) in self.ever for account in accounts for how in ("CLOSED", "BLOCKED"))
            case "MEMBER_BLOCKED":
                return any(("BLOCKED", account) in self.ever for account in accounts)
            case "HOLDS_OPEN":
                return any(("held", account) in self.ever for account in accounts)
            case "TRANSFER_TO_SELF" | "MERGE_WITH_SELF":
                return self.accounts[asked.other] in self._ever_one(self.accounts[asked.member])
            case "SURVIVOR_MERGED":
                return len(accounts) > 2
            case "NOT_MERGED":
                # Everybody was their own once.
                return True
            case "REDEMPTION_ENDED":
                return self.places[asked.of] in self.cancelled
            case "ALREADY_ENROLLED":
                return ("phone", asked.phone or "") in self.ever
            case "RETURN_EXCEEDS_PURCHASE":
                return self._exceeds(asked)
            case "TOO_MANY_RETURNS":
                # Of one purchase, so many may wait for it.
                source, _, receipt = asked.of.partition(":")
                waiting = [
                    item
                    for key, item in self.found.returns.items()
                    if key.startswith(f"~r.{source}:{receipt}:") and not item.keys() & {"s", "r"}
                ]
                return len(waiting) >= PARKED_MAX
        return False

    def _ever_one(self, account: str) -> set[str]:
        """The accounts that ever were one with this one, or with one that was."""
        pairs = [set(each[1:]) for each in self.ever if each[0] == "together"]
        known = {account}
        while more := [pair for pair in pairs if pair & known and not pair <= known]:
            known = known.union(*more)
        return known

    def _exceeds(self, asked: Asked) -> bool:
        try:
            self._returned(self.purchases[asked.of], asked)
        except No:
            return True
        return False
