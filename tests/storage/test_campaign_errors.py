"""What the campaigns' table makes of each error of the database: somebody is in the way, nobody knows, or a bug that rises."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain.campaigns import Action, Budget, Campaign, Status, Step
from domain.campaigns.lifecycle import CampaignState
from domain.campaigns.store import Chunk, Decision, Done, KeyTaken, KeyUse, MemberOutcome, Run, RunKind, Shard
from domain.refusals import OutcomeUnknown
from domain.store import Contended
from storage.campaigns import CampaignTable
from tests.domain.campaigning import draft
from tests.storage.tables import NOW, SHARDS, Tables
from tests.storage.wire import ATTEMPTS, Wire

RUN = Run("C1", RunKind.BONUS)
FULL, LESS = Budget(100, 5), Budget(90, 4)


def campaign(id: str) -> Campaign:
    return Campaign(id, draft(), created_by="staff", created_at=NOW, steps=(Step(Action.CREATE, "staff", NOW),))


def made(campaign: Campaign) -> KeyUse:
    return KeyUse(campaign.id.encode() * 8, campaign.id, Action.CREATE)


FIRST, SECOND = campaign("C1"), campaign("C2")
CHUNK = Chunk(1, ("A", "B"))
DECISION = Decision(1, (0, MemberOutcome.HELD_OUT), (3, 0))
USE = KeyUse(b"u" * 16, "C1", Action.APPROVE, b"a")
DONE = Done(1, (MemberOutcome.APPLIED, MemberOutcome.HELD_OUT), 10)


@dataclass(frozen=True)
class Write:
    """A method that writes. `found` is what it raises when it has been carried out before; None where it answers the same."""

    call: Callable[[CampaignTable], object]
    found: type[Exception] | None
    is_transaction: bool = False
    # What it raises where a transaction is in the way.
    met: type[Exception] = Contended


WRITES = {
    "create": Write(
        lambda campaigns: campaigns.create(SECOND, made(SECOND)),
        KeyTaken,
        is_transaction=True,
        met=OutcomeUnknown,
    ),
    "save": Write(lambda campaigns: campaigns.save(replace(FIRST, approved_by="x")), Contended),
    "save and list": Write(
        lambda campaigns: campaigns.save(replace(FIRST, status=Status.RUNNING)), Contended, is_transaction=True
    ),
    "save and use a key": Write(
        lambda campaigns: campaigns.save(replace(FIRST, approved_by="x"), use=USE), Contended, is_transaction=True
    ),
    "refuse": Write(lambda campaigns: campaigns.refuse(replace(USE, refusal=CampaignState("No."))), Contended),
    "keep_chunk": Write(lambda campaigns: campaigns.keep_chunk(RUN, 1, CHUNK), None, met=OutcomeUnknown),
    "keep_decision": Write(
        lambda campaigns: campaigns.keep_decision(RUN, 1, DECISION, budget=None), None, met=OutcomeUnknown
    ),
    "keep_decision with a budget": Write(
        lambda campaigns: campaigns.keep_decision(RUN, 1, DECISION, budget=(FULL, LESS)), None, is_transaction=True
    ),
    "finish": Write(
        lambda campaigns: campaigns.finish(RUN, DONE, Shard(1), Shard(1, done=1)), Contended, is_transaction=True
    ),
    "save_shard": Write(lambda campaigns: campaigns.save_shard(RUN, Shard(1), Shard(1, members=2)), Contended),
}
READS: dict[str, Callable[[CampaignTable], object]] = {
    "find": lambda campaigns: campaigns.find("C1"),
    "used": lambda campaigns: campaigns.used(b"C1" * 8),
    "newest": lambda campaigns: campaigns.newest(limit=3),
    "at_work": lambda campaigns: campaigns.at_work(),
    "last_chunk": lambda campaigns: campaigns.last_chunk(RUN, 1),
    "chunk": lambda campaigns: campaigns.chunk(RUN, 1, 1),
    "decision": lambda campaigns: campaigns.decision(RUN, 1, 1),
    "budget": lambda campaigns: campaigns.budget(RUN),
    "done": lambda campaigns: campaigns.done(RUN, 1, 1),
    "shard": lambda campaigns: campaigns.shard(RUN, 1),
    "progress": lambda campaigns: campaigns.progress(RUN),
    "done_numbers": lambda campaigns: campaigns.done_numbers(RUN, 1),
}
BUSY = ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"]


@pytest.fixture
def campaigns(table: Tables, tampered: Connection) -> CampaignTable:
    """The store behind the wire; there is one campaign, the members of which nobody has cut."""
    CampaignTable(table.connection, table.name, shards=SHARDS).create(FIRST, made(FIRST))
    return CampaignTable(tampered, table.name, shards=SHARDS)


def aim(wire: Wire, name: str) -> None:
    wire.of = "TransactWriteItems" if WRITES[name].is_transaction else "PutItem"


@pytest.mark.parametrize("name", WRITES)
def test_a_transaction_in_the_way_writes_nothing(
    table: Tables, wire: Wire, campaigns: CampaignTable, name: str
) -> None:
    aim(wire, name)
    before = table.contents()
    write = WRITES[name]
    wire.trouble = [
        wire.cancelled("TransactionConflict") if write.is_transaction else wire.refused("TransactionConflictException")
    ]

    with pytest.raises(write.met):
        write.call(campaigns)

    assert table.contents() == before
    write.call(campaigns)


@pytest.mark.parametrize("name", WRITES)
def test_where_the_database_does_not_answer_nobody_knows(
    table: Tables, wire: Wire, campaigns: CampaignTable, name: str
) -> None:
    aim(wire, name)
    before = table.contents()
    for trouble in (wire.unreachable, wire.not_connected, *map(wire.refused, BUSY)):
        wire.trouble = [trouble] * ATTEMPTS
        with pytest.raises(OutcomeUnknown):
            WRITES[name].call(campaigns)
        assert table.contents() == before

    WRITES[name].call(campaigns)
    assert table.contents() != before


@pytest.mark.parametrize("fault", ["lose_answer", "time_out", "break_down"])
@pytest.mark.parametrize("name", WRITES)
def test_what_was_carried_out_unheard_is_found_by_the_same_call(
    table: Tables, wire: Wire, campaigns: CampaignTable, name: str, fault: str
) -> None:
    """The client's own second attempt finds it already, or the caller's does."""
    aim(wire, name)
    write = WRITES[name]
    # Nobody hears of the first attempt, and of the second either.
    wire.trouble = [getattr(wire, fault)] * ATTEMPTS
    with pytest.raises((OutcomeUnknown, *([write.found] if write.found else []))):
        write.call(campaigns)
    written = table.contents()

    if write.found is None:
        write.call(campaigns)
    else:
        with pytest.raises(write.found):
            write.call(campaigns)

    assert table.contents() == written


@pytest.mark.parametrize("name", WRITES)
def test_a_second_attempt_of_the_client_finds_the_first(
    table: Tables, wire: Wire, campaigns: CampaignTable, name: str
) -> None:
    """Of a transaction it hears what the first one came to: both have one token."""
    aim(wire, name)
    write = WRITES[name]
    wire.trouble = [wire.lose_answer]

    if write.found is None or write.is_transaction:
        write.call(campaigns)
    else:
        with pytest.raises(write.found):
            write.call(campaigns)

    assert campaigns.budget(RUN) in (None, LESS)


@pytest.mark.parametrize("name", WRITES)
def test_a_bug_of_ours_rises(table: Tables, wire: Wire, campaigns: CampaignTable, name: str) -> None:
    aim(wire, name)
    before = table.contents()
    bugs = [wire.refused(code) for code in ("ValidationException", "AccessDeniedException")]
    if WRITES[name].is_transaction:
        bugs += [wire.cancelled("ValidationError"), wire.cancelled("TransactionConflict", "ValidationError")]
    for bug in bugs:
        wire.trouble = [bug]
        with pytest.raises(VerboseClientError):
            WRITES[name].call(campaigns)
    assert table.contents() == before


@pytest.mark.parametrize("name", READS)
def test_a_read_that_is_not_answered_says_nothing(wire: Wire, campaigns: CampaignTable, name: str) -> None:
    for trouble in (wire.unreachable, wire.refused("ThrottlingException"), wire.time_out):
        wire.trouble = [trouble] * ATTEMPTS
        with pytest.raises(OutcomeUnknown):
            READS[name](campaigns)

    wire.trouble = [wire.lose_answer]
    READS[name](campaigns)
