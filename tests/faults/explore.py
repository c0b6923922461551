"""Every schedule of a small scenario, with every place for a few faults: what holds here holds, not only where a search has been.

A client is a function of the answers it gets: its code is run once for each different past, and what it asks next is remembered.
So a state is the table, what each client has heard, and what is still on its way; two schedules that meet in one state go on as
one. The real code says what happens, and nothing of it is modelled.

    clients = [Client("a", lambda wire: Patient(wire, …)), …]
    found = explore(clients, table, faults=WRITE_FAULTS, faults_max=2, check=check)
    assert found.schedules > 10**6

What differs between two runs of a client with the same answers (a clock, a random number, what another client left in memory) is
found and refused. What a check says may depend on the state only, not on which of two clients was first: whoever needs that
lets one client do one thing after the other.
"""

import marshal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.engine import WRITES, Answer, Dynamo, Request, Snapshot
from tests.faults.faults import Came, Crashed, Fault, Line, befall, possible
from tests.faults.story import Story, replay_command

# The faults that mean different things to a single write. A crash before a write is one after whatever came before it, and to be
# throttled is to fail and know it; those two are searched at random.
WRITE_FAULTS = frozenset(
    {
        Fault.NEVER_ARRIVES,
        Fault.ANSWER_LOST,
        Fault.ARRIVES_LATE,
        Fault.RETRIED,
        Fault.CRASH_BEFORE,
        Fault.CRASH_AFTER,
    }
)
# A client that asks more often than this goes round in circles.
REQUESTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody's code, on a connection it is given. After a crash it begins again, with a new connection, `lives` - 1 times."""

    name: str
    call: Callable[[Line], object]
    lives: int = 1


@dataclass(frozen=True, slots=True)
class End:
    """Where one schedule ends: the table, and what each client returned or raised (`Crashed` when its last life ended so)."""

    table: Dynamo
    results: dict[str, Any]
    steps: tuple[str, ...]


@dataclass(slots=True)
class Explored:
    """How much was looked at: the `schedules` that were asked for, by so many `states` and `ends`.

    `tables` are the different contents (and orders of writes) of the table, `pasts` the runs of a client's code.
    """

    schedules: int = 0
    states: int = 0
    ends: int = 0
    tables: int = 0
    pasts: int = 0


def explore(
    clients: Sequence[Client],
    table: Dynamo,
    *,
    check: Callable[[End], None],
    always: Callable[[Dynamo], None] = lambda _: None,
    faults: Collection[Fault] = (),
    faults_max: int = 0,
    stale_max: int = 2,
    may_fail: Callable[[str, Request], bool] = lambda operation, _: operation in WRITES,
) -> Explored:
    """Runs the clients in every order of their requests, from the table as it is, with up to `faults_max` faults.

    `check` is asked at every end, `always` in every state. `may_fail` are the requests that meet `faults`; with `Fault.STALE`
    among them, any read that is not strong may miss up to `stale_max` writes. What fails is told as a story, with the fewest
    faults that do it.
    """
    search = Exploration(clients, table, check, always, faults, stale_max, may_fail)
    for most in range(faults_max):
        # With fewer faults first. It takes no longer: what is found there is not looked for again.
        search.run(most)
    return search.run(faults_max)


# --- one client's past ------------------------------------------------------------------------------------------------


class _Asks(BaseException):
    """The client has come to a request to which no answer is known yet."""

    def __init__(self, operation: str, request: bytes) -> None:
        super().__init__(operation)
        self.operation = operation
        self.request = request


class _Replay:
    """A connection that gives the answers of a past, in order, and stops its client at the next request."""

    def __init__(self, past: "Sequence[_Past]") -> None:
        self._past = past
        self._next = 0

    def dispatch(self, operation_name: str, operation_kwargs: Request) -> dict[str, Any]:
        request = marshal.dumps(operation_kwargs, 2)
        self._next += 1
        if self._next == len(self._past):
            raise _Asks(operation_name, request)
        asked, answered = self._past[self._next - 1], self._past[self._next].answer
        assert (asked.operation, asked.request) == (operation_name, request), (
            f"with the same answers the client asked for {operation_name} {operation_kwargs}, and before for "
            f"{asked.operation} {marshal.loads(asked.request)}"
        )
        return Answer(*marshal.loads(answered)).give(operation_name, operation_kwargs)

    def pause(self) -> None:
        """Others may go first anyway, before every request."""


class _Past:
    """What a client has heard so far, and what came of it: its next request, or its end."""

    __slots__ = ("answer", "before", "faults", "following", "number", "operation", "request", "result", "stale")

    def __init__(self, number: int, before: "_Past | None", answer: bytes) -> None:
        self.number = number
        self.before = before
        self.answer = answer
        self.operation = ""
        self.request = b""
        self.result: Any = None
        # What its next request can meet.
        self.faults: tuple[Fault, ...] = ()
        self.stale = False
        self.following: dict[bytes, _Past] = {}

    @property
    def ended(self) -> bool:
        return not self.operation

    def line(self) -> list["_Past"]:
        line, each = [self], self.before
        while each is not None:
            line.append(each)
            each = each.before
        return line[::-1]


_CRASHED = _Past(-1, None, b"")
_CRASHED.result = Crashed()


# --- all clients ------------------------------------------------------------------------------------------------------

# Where a client is, how many lives it has left after this one, and the request that botocore sends once more.
_Place = tuple[_Past, int, bytes]
# Whose request is on its way still, and what it is.
_Late = tuple[str, str, bytes]


# The number of the table's contents, where everybody is, what is late, and how many faults there may still be.
_State = tuple[int, tuple[_Place, ...], tuple[_Late, ...], int]


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens next: a client's request, with or without a fault, or (`client` is negative) the arrival of a late one.

    `which` of the late ones it is, or how far behind a stale read is.
    """

    client: int
    fault: Fault | None = None
    which: int = 0


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a request does to a table: the table after it, and what came of it."""

    table: int
    came: Came
    answer: bytes
    again: bytes
    late: bytes


class Exploration:
    """The search itself, depth first. `follow` walks one schedule of it again."""

    def __init__(
        self,
        clients: Sequence[Client],
        table: Dynamo,
        check: Callable[[End], None],
        always: Callable[[Dynamo], None] = lambda _: None,
        faults: Collection[Fault] = (),
        stale_max: int = 2,
        may_fail: Callable[[str, Request], bool] = lambda operation, _: operation in WRITES,
    ) -> None:
        self._clients = clients
        self._table = table
        self._check = check
        self._always = always
        # In the order of their definition, so that a search is the same every time.
        self._faults = [fault for fault in Fault if fault in faults and fault is not Fault.STALE]
        self._stale_max = stale_max if Fault.STALE in faults else 0
        self._may_fail = may_fail
        self._found = Explored()
        # Every table there has been, by number, and its number.
        self._tables: list[Snapshot] = []
        self._numbers: dict[Any, int] = {}
        # Many states have one table: what a request does to it is worked out once.
        self._effects: dict[Any, _Effect] = {}
        self._stale_steps: dict[tuple[int, bytes], list[int]] = {}
        self._schedules: dict[Any, int] = {}
        self._steps: list[str] = []
        self._start = self._number()
        self._roots = [self._past(client, None, b"") for client in clients]

    def run(self, faults_max: int) -> Explored:
        """Every schedule with up to that many faults."""
        self._steps.clear()
        try:
            self._found.schedules = self._from(self._begin(faults_max))
        except BaseException as failure:
            steps = list(self._steps)
            failure.add_note(f"{self.told(steps)}\n\nsteps: {' '.join(steps)}\nagain: {replay_command()}")
            raise
        finally:
            self._table.restore(self._tables[self._start])
        self._found.states, self._found.tables = len(self._schedules), len(self._tables)
        return self._found

    def follow(self, steps: Sequence[str]) -> End:
        """The end of one schedule, given as `End.steps` names it."""
        state = self._begin(len(steps))
        for name in steps:
            state = self._after(state, self._step_named(state, name))
        assert not self._possible(state), "the schedule goes on"
        return self._end(state, tuple(steps))

    def told(self, steps: Sequence[str]) -> str:
        """The story of one schedule."""
        story = Story()
        state = self._begin(len(steps))
        for name in steps:
            step = self._step_named(state, name)
            self._tell(story, state, step)
            try:
                state = self._after(state, step)
            except AssertionError as failure:
                # A client failed on its next answer.
                story.note(name.partition("!")[0], f"failed: {failure}")
        for client, (past, _, _) in zip(self._clients, state[1], strict=True):
            if past.ended:
                story.note(client.name, f"ended: {past.result!r}")
        return str(story)

    # --- searching ----------------------------------------------------------------------------------------------------

    def _begin(self, faults_left: int) -> _State:
        places = tuple((root, client.lives - 1, b"") for root, client in zip(self._roots, self._clients, strict=True))
        return self._start, places, (), faults_left

    def _from(self, state: _State) -> int:
        """How many schedules there are from here."""
        known = self._schedules.get(state)
        if known is not None:
            return known
        steps = self._possible(state)
        if not steps:
            self._found.ends += 1
            self._check(self._end(state, tuple(self._steps)))
            schedules = 1
        else:
            schedules = 0
            for step in steps:
                self._steps.append(self._name(step))
                schedules += self._from(self._after(state, step))
                self._steps.pop()
        self._schedules[state] = schedules
        return schedules

    def _possible(self, state: _State) -> list[_Step]:
        table, places, late, faults_left = state
        steps = []
        for index, (past, _, again) in enumerate(places):
            if past.ended:
                continue
            steps.append(_Step(index))
            if not faults_left:
                continue
            steps += [_Step(index, fault) for fault in past.faults]
            if past.stale:
                request = again or past.request
                steps += [_Step(index, Fault.STALE, behind) for behind in self._stale(table, past.operation, request)]
        return steps + [_Step(-1, which=index) for index in range(len(late))]

    def _stale(self, table: int, operation: str, request: bytes) -> list[int]:
        """How far behind a read can be to see something else than the fresh one, and something else each time."""
        steps = self._stale_steps.get((table, request))
        if steps is None:
            steps, seen = [], [self._effect(table, operation, request, None).answer]
            for behind in range(1, self._stale_max + 1):
                answer = self._effect(table, operation, request, Fault.STALE, behind).answer
                if answer not in seen:
                    seen.append(answer)
                    steps.append(behind)
            self._stale_steps[table, request] = steps
        return steps

    def _after(self, state: _State, step: _Step) -> _State:
        """The state that a step leads to."""
        table, places, late, faults_left = state
        if step.client < 0:
            _, operation, request = late[step.which]
            effect = self._effect(table, operation, request, None)
            return effect.table, places, (*late[: step.which], *late[step.which + 1 :]), faults_left
        past, lives, again = places[step.client]
        client = self._clients[step.client]
        token = f"{client.name}-{past.number}"
        effect = self._effect(table, past.operation, again or past.request, step.fault, step.which, token)
        place: _Place
        if effect.came.crashed:
            place = (self._roots[step.client], lives - 1, b"") if lives else (_CRASHED, 0, b"")
        elif effect.again:
            place = (past, lives, effect.again)
        else:
            place = (past.following.get(effect.answer) or self._past(client, past, effect.answer), lives, b"")
        if effect.late:
            late = tuple(sorted((*late, (client.name, past.operation, effect.late))))
        places = (*places[: step.client], place, *places[step.client + 1 :])
        return effect.table, places, late, faults_left - (step.fault is not None)

    def _effect(
        self, table: int, operation: str, request: bytes, fault: Fault | None, behind: int = 0, token: str = ""
    ) -> _Effect:
        key = (table, operation, request, fault, behind, token if operation == "TransactWriteItems" else "")
        known = self._effects.get(key)
        if known is not None:
            return known
        self._table.restore(self._tables[table])
        pick = (lambda _: behind - 1) if fault is Fault.STALE else (lambda _: 0)
        came = befall(fault, self._table, operation, marshal.loads(request), token=token, pick=pick)
        effect = _Effect(
            self._number(),
            came,
            marshal.dumps((came.answer.kind, came.answer.content), 2) if came.answer else b"",
            marshal.dumps(came.again, 2) if came.again else b"",
            marshal.dumps(came.late, 2) if came.late else b"",
        )
        self._effects[key] = effect
        return effect

    def _number(self) -> int:
        """The number of the table as it is now."""
        identity = self._table.identity()
        number = self._numbers.get(identity)
        if number is None:
            self._always(self._table)
            number = self._numbers[identity] = len(self._tables)
            self._tables.append(self._table.snapshot())
        return number

    def _past(self, client: Client, before: _Past | None, answer: bytes) -> _Past:
        """Runs the client's code once more, with one answer more than ever before, to see what it does then."""
        past = _Past(self._found.pasts, before, answer)
        self._found.pasts += 1
        line = past.line()
        assert len(line) < REQUESTS_MAX, f"{client.name} asks and asks"
        try:
            past.result = client.call(_Replay(line))
        except _Asks as asks:
            past.operation, past.request = asks.operation, asks.request
            request = marshal.loads(asks.request)
            able = possible(asks.operation, request)
            if self._may_fail(asks.operation, request):
                past.faults = tuple(fault for fault in self._faults if fault in able)
            past.stale = bool(self._stale_max) and Fault.STALE in able
        except AssertionError:
            raise
        except Exception as raised:
            past.result = raised
        if before is not None:
            before.following[answer] = past
        return past

    def _end(self, state: _State, steps: tuple[str, ...]) -> End:
        self._table.restore(self._tables[state[0]])
        results = {client.name: past.result for client, (past, _, _) in zip(self._clients, state[1], strict=True)}
        return End(self._table, results, steps)

    def _tell(self, story: Story, state: _State, step: _Step) -> None:
        table, places, late, _ = state
        self._table.restore(self._tables[table])
        if step.client < 0:
            sender, operation, request = late[step.which]
            story.request(
                sender,
                operation,
                marshal.loads(request),
                "arrives now",
                self._effect(table, operation, request, None).came.answer,
            )
            return
        past, _, again = places[step.client]
        client = self._clients[step.client].name
        effect = self._effect(
            table, past.operation, again or past.request, step.fault, step.which, f"{client}-{past.number}"
        )
        fault = step.fault.value if step.fault else ""
        story.request(client, past.operation, marshal.loads(past.request), fault, effect.came.answer)

    def _name(self, step: _Step) -> str:
        """`a` is the next request of client a, `a!LOST` the same with a fault, `late:0` the arrival of the first late one."""
        if step.client < 0:
            return f"late:{step.which}"
        name = self._clients[step.client].name
        if step.fault is None:
            return name
        return f"{name}!{step.fault.name}" + (f":{step.which}" if step.fault is Fault.STALE else "")

    def _step_named(self, state: _State, name: str) -> _Step:
        for step in self._possible(state):
            if self._name(step) == name:
                return step
        raise AssertionError(f"{name} cannot happen here")
