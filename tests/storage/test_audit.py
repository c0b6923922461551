"""The audit of a table: one altered byte is found and named, what is right is left alone, and nothing is read carelessly.

Every kind of damage is tried on the raw items of random lives (`tests.domain.lives`), and each finding on a small table where
nothing else is wrong. What no audit can find is stated here as well.
"""

import copy
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import assume, given
from hypothesis import strategies as st
from pynamodb.connection import Connection

from domain import clock, verification
from domain.agenda import Round
from domain.entries import Claim, Key, caller_key
from domain.members import Lookup
from domain.refusals import Refusal
from domain.verification import Code, Finding, Use
from storage import audit, items, keys
from storage.agenda import DueRows
from storage.audit import Audit, NoSuchAccount, Source, Tally, Unavailable, Watcher
from storage.clock import ClockTable
from storage.memory import Memory
from storage.programs import Programs
from tests.domain.lives import lives
from tests.domain.world import (
    MANAGER,
    PROGRAM,
    ZONE,
    at,
    buy,
    cancel,
    day,
    enroll,
    give,
    give_back,
    merge,
    program,
    redeem,
    search,
    unmerge,
)
from tests.engines import ROOT
from tests.storage.raw import LATER, PEPPER, Raw
from tests.storage.tables import SHARDS, Tables
from tools import tamper

NOW = at("2026-01-10")
# What is said of the very item that was touched.
OF_THE_ITEM = {Code.UNREADABLE, Code.HIDDEN_CONTENT, Code.CHAIN_BROKEN, Code.STRAY_ITEM}

chances = st.randoms(use_true_random=False)


# --- what is right ----------------------------------------------------------------------------------------------------


@search(100)
@given(lives)
def test_nothing_is_found_in_any_life(number: int) -> None:
    raw, tallies = Raw.of_life(number), list[Tally]()

    assert raw.audit(tallies=tallies) == []
    assert raw.audit(*raw.accounts(), claims=True, tallies=tallies) == []
    whole, single = tallies
    assert (whole.accounts, whole.records, whole.entries) == (single.accounts, single.records, single.entries)
    assert whole.records == sum(len(raw.log(account)) for account in raw.accounts())


# --- one byte ---------------------------------------------------------------------------------------------------------


def some_record(raw: Raw, chance: random.Random) -> tuple[str, int]:
    """Account and sequence of any record."""
    account = chance.choice(raw.accounts())
    return account, chance.randint(1, len(raw.log(account)))


def blamed(found: list[Finding]) -> set[tuple[str, int]]:
    """Records whose own items are said to be wrong."""
    return {(each.account, each.seq) for each in found if each.code in OF_THE_ITEM}


@search(400)
@given(lives, chances)
def test_one_altered_character_is_found_where_it_is_and_nowhere_else(number: int, chance: random.Random) -> None:
    raw = Raw.of_life(number)
    account, seq = some_record(raw, chance)
    item = raw.log(account)[seq - 1]
    told, changed = tamper.altered(item, chance)
    assert changed != item
    raw.put(changed)

    found = raw.audit(account) if chance.randrange(4) else raw.audit()

    assert (account, seq, Code.CHAIN_BROKEN) in [(each.account, each.seq, each.code) for each in found], told
    assert blamed(found) == {(account, seq)}, told


@search(150)
@given(lives, chances)
def test_an_attribute_that_is_dropped_or_added_or_renamed_is_found(number: int, chance: random.Random) -> None:
    raw = Raw.of_life(number)
    account, seq = some_record(raw, chance)
    item = raw.log(account)[seq - 1]
    places = [item, *(entry["M"] for entry in item["e"]["L"])]
    place = chance.choice(places)
    names = [name for name in place if name not in ("PK", "SK")]
    match chance.choice(["drop", "add", "rename", "retype"]):
        case "drop":
            del place[chance.choice(names)]
        case "add":
            place["zz"] = {"S": "something"}
        case "rename":
            name = chance.choice(names)
            place[f"{name}{name}"] = place.pop(name)
        case "retype":
            name = chance.choice(names)
            place[name] = {"BOOL": True}

    assert blamed(raw.audit(account)) == {(account, seq)}


@search(150)
@given(lives, chances)
def test_two_records_that_changed_places_are_both_found(number: int, chance: random.Random) -> None:
    raw = Raw.of_life(number)
    account, one = some_record(raw, chance)
    other = chance.randint(1, len(raw.log(account)))
    assume(one != other)
    first, second = raw.log(account)[one - 1], raw.log(account)[other - 1]
    raw.put({**first, "SK": second["SK"]})
    raw.put({**second, "SK": first["SK"]})

    found = blamed(raw.audit(account))
    both = {(account, one), (account, other)}
    # What comes behind them follows from neither of the hashes that stand before it now.
    assert both <= found <= both | {(account, one + 1), (account, other + 1)}


@search(100)
@given(lives, chances)
def test_a_record_that_stands_twice_is_found_as_one_too_many(number: int, chance: random.Random) -> None:
    raw = Raw.of_life(number)
    account, seq = some_record(raw, chance)
    log = raw.log(account)
    chosen = chance.choice(raw.accounts())
    raw.put({**log[seq - 1], "PK": {"S": keys.account(chosen)}, "SK": {"S": keys.entry(len(raw.log(chosen)) + 1)}})

    assert blamed(raw.audit()) == {(chosen, len(raw.log(chosen)))}


@search(100)
@given(lives, chances)
def test_a_record_that_was_removed_is_found_as_the_one_that_is_missing(number: int, chance: random.Random) -> None:
    raw = Raw.of_life(number)
    account, seq = some_record(raw, chance)
    last = len(raw.log(account))
    assume(seq < last)
    del raw.items[keys.account(account), keys.entry(seq)]

    found = raw.audit(account)

    gaps = [(each.seq, each.message) for each in found if each.code is Code.SEQUENCE_GAP]
    assert gaps == [(seq, f"Record {seq} is missing.")]
    assert blamed(found) == set()


@search(200)
@given(lives, chances)
def test_a_record_that_was_altered_and_hashed_anew_breaks_the_chain_behind_it(
    number: int, chance: random.Random
) -> None:
    # Whoever knows the program can compute the hash of an altered record. The next one still carries the hash of the old.
    raw = Raw.of_life(number)
    account, seq = some_record(raw, chance)
    log = raw.log(account)
    assume(seq < len(log))
    _, changed = tamper.altered({name: value for name, value in log[seq - 1].items() if name != "h"}, chance)
    raw.put(changed)
    kept = [copy.deepcopy(item) for item in raw.log(account)[seq:]]
    raw.rechain(account, seq)
    for item in kept:
        raw.put(item)

    found = raw.audit(account)

    (behind,) = [each for each in found if each.code is Code.CHAIN_BROKEN]
    assert behind.seq == seq + 1
    assert f"this record and record {seq}:" in behind.message


@search(200)
@given(lives, chances)
def test_points_that_are_made_up_do_not_add_up_even_in_a_chain_that_was_made_anew(
    number: int, chance: random.Random
) -> None:
    # From an altered record on, everything is hashed again. What the points say of each other still tells.
    raw = Raw.of_life(number)
    account, seq = some_record(raw, chance)
    item = raw.log(account)[seq - 1]
    assume("b" in item)
    day, _, points = item["b"]["S"].split()[-1].partition("+")
    item["b"] = {"S": item["b"]["S"].removesuffix(f"{day}+{points}") + f"{day}+{int(points) + 1}"}
    raw.rechain(account, seq)

    found = [(each.seq, each.code) for each in raw.audit(account)]

    assert found == [(seq, Code.STATE_MISMATCH)]


# --- each finding, and nothing else -----------------------------------------------------------------------------------


@pytest.fixture
def raw() -> Raw:
    """Ada bought twice and redeemed, Bob joined; a month later nothing is wrong with that."""
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
    buy(store, "ada", 5_000, NOW, receipt="1")
    buy(store, "ada", 700, NOW, receipt="2")
    redeem(store, "ada", "cookie", NOW, key="r")
    made = Raw.of(store)
    assert made.audit(now=SOON) == []
    return made


# Before any claim is forgotten.
SOON = NOW + timedelta(days=30)


def entry_of(raw: Raw, seq: int, account: str = "ADA") -> Any:
    return raw.items[keys.account(account), keys.entry(seq)]["e"]["L"][-1]["M"]


def found(raw: Raw, *accounts: str, **more: Any) -> list[tuple[str, int, Code]]:
    return raw.found(*accounts, **{"now": SOON, **more})


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda entry: entry.update(k={"S": "?"}), "KeyError"),
        (lambda entry: entry.update(l={"S": "twelve"}), "ValueError"),
        (lambda entry: entry.pop("t"), "KeyError"),
        (lambda entry: entry.update(t={"N": "9" * 30}), "OverflowError"),
        (lambda entry: entry.update(b={"S": "50"}), "KeyError"),
    ],
    ids=["kind", "lines", "no time", "no such time", "type"],
)
def test_a_record_that_cannot_be_read(raw: Raw, damage: Callable[[Any], object], why: str) -> None:
    damage(entry_of(raw, 3))
    raw.rechain("ADA")
    # What it said is not known, and so nothing claims to stand there.
    del raw.items["K#till:2", "K"]

    (finding,) = raw.audit(now=SOON)

    assert (finding.account, finding.seq, finding.code) == ("ADA", 3, Code.UNREADABLE)
    assert finding.message.startswith(f"The record cannot be read ({why}: ")


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda item: item.update(zz={"S": "hello"}), "zz"),
        (lambda item: item["e"]["L"][0]["M"].update(zz={"S": "hello"}), "e[0].zz"),
        (lambda item: item["e"]["L"][0]["M"].update(t={"N": "0" + item["e"]["L"][0]["M"]["t"]["N"]}), "e[0].t"),
        (lambda item: item.update(d={"N": "0"}), "d"),
        (lambda item: item.update(b={"S": item["b"]["S"] + " "}), "b"),
        (lambda item: item.update(m={"S": " "}), "m"),
    ],
    ids=["attribute", "in an entry", "another spelling", "zero", "space", "empty list"],
)
def test_an_item_that_says_more_than_its_record(raw: Raw, damage: Callable[[Any], object], where: str) -> None:
    damage(raw.items["M#ADA", keys.entry(3)])
    raw.rechain("ADA")

    assert raw.audit(now=SOON) == [
        Finding("ADA", 3, Code.HIDDEN_CONTENT, f"The item says more, or something else, than its record: {where}.")
    ]


def test_a_record_that_does_not_match_its_hash(raw: Raw) -> None:
    # Nothing that adds up or is compared with anything: only the hash can tell.
    entry_of(raw, 1)["u"] = {"S": "p.somebody-else"}
    entry_of(raw, 3)["lo"] = {"S": "harbour"}

    assert raw.audit(now=SOON) == [
        Finding("ADA", 1, Code.CHAIN_BROKEN, "The hash does not match: the record was altered."),
        Finding(
            "ADA",
            3,
            Code.CHAIN_BROKEN,
            "The hash does not follow from this record and record 2: one of them was altered.",
        ),
    ]


def test_a_record_without_a_hash(raw: Raw) -> None:
    del raw.items["M#ADA", keys.entry(3)]["h"]

    assert raw.audit(now=SOON) == [Finding("ADA", 3, Code.CHAIN_BROKEN, "The record has no hash.")]


@pytest.mark.parametrize("sort_key", ["E#17", "E#00000000004", "E#\uff10000000003", "Q", "C#x", "A"])
def test_an_item_that_nothing_writes_beside_a_log(raw: Raw, sort_key: str) -> None:
    raw.put({"PK": {"S": "M#ADA"}, "SK": {"S": sort_key}})

    for accounts in ((), ("ADA",)):
        assert raw.audit(*accounts, now=SOON) == [
            Finding("ADA", 0, Code.STRAY_ITEM, f"Nothing of the program writes an item {sort_key!r} here.")
        ]


@pytest.mark.parametrize("partition", ["X#1", "m#ADA", "K#no-colon", "U#email#ada@example.org", "DIR#x", ""])
def test_an_item_that_nothing_writes(raw: Raw, partition: str) -> None:
    raw.put({"PK": {"S": partition}, "SK": {"S": "K"}})

    assert found(raw) == [(partition, 0, Code.STRAY_ITEM)]


@pytest.mark.parametrize(
    ("partition", "sort_key"),
    [
        (keys.CAMPAIGNS, keys.campaign("01J")),
        (keys.CAMPAIGNS, keys.CAMPAIGNS_AT_WORK),
        (keys.campaign_key(bytes(16)), keys.CLAIM),
        (keys.run("01J", "b1"), keys.run_shard(3)),
        (keys.run("01J", "p12"), keys.RUN_BUDGET),
        *((keys.chunks("01J", "r1", 3), key(7)) for key in (keys.chunk, keys.decision, keys.done)),
        (keys.due(20_000, 1), keys.due_many(b"accounts")),
        (keys.LISTS, keys.member_list("01J")),
        (keys.list_key(bytes(16)), keys.CLAIM),
        *((keys.list_import("01J"), key) for key in ("C", "X", keys.list_part(1), keys.list_part_kept(1))),
        (keys.list_members("01J", 3), keys.list_page("01K")),
    ],
)
def test_what_campaigns_and_lists_write_is_no_stray(partition: str, sort_key: str) -> None:
    assert audit.kind_of({"PK": {"S": partition}, "SK": {"S": sort_key}}) is not None


def test_a_claim_that_cannot_be_read(raw: Raw) -> None:
    raw.items["K#till:2", "K"]["at"] = {"S": "today"}
    # Nothing else is said of it: what it is of stands in the log, and is read again.
    entry_of(raw, 3)["i"] = {"S": "~p.till-1:2"}
    raw.rechain("ADA")

    (finding,) = raw.audit(now=SOON)

    assert (finding.account, finding.seq, finding.code) == ("K#till:2", 0, Code.UNREADABLE)


def test_an_account_without_its_log(raw: Raw) -> None:
    del raw.items["M#BOB", keys.entry(1)]
    del raw.items["K#~p.till-1:enroll-bob", "K"]

    assert raw.audit(now=SOON) == [Finding("BOB", 0, Code.LOG_MISSING, "The account has no record.")]
    assert found(raw, "BOB") == [("BOB", 0, Code.LOG_MISSING)]
    # Known to the directory alone.
    del raw.items["M#BOB", "P"]
    assert found(raw) == [("BOB", 0, Code.LOG_MISSING)]
    with pytest.raises(NoSuchAccount):
        raw.audit("BOB")


def test_an_account_that_the_directory_does_not_know(raw: Raw) -> None:
    (row,) = [key for key in raw.items if key[0].startswith("DIR#") and key[1] == "BOB"]
    del raw.items[row]

    assert raw.audit(now=SOON) == [
        Finding("BOB", 0, Code.DIRECTORY_MISSING, "The directory of members does not know the account.")
    ]
    # It joined while the table was being read, past its row.
    assert found(raw, now=NOW + timedelta(minutes=1)) == []
    # One account is looked at by itself.
    assert found(raw, "BOB") == []


def test_a_key_that_stands_twice(raw: Raw) -> None:
    entry_of(raw, 3)["i"] = {"S": "till:1"}
    raw.rechain("ADA")
    del raw.items["K#till:2", "K"]

    assert raw.audit(now=SOON) == [Finding("ADA", 3, Code.KEY_TWICE, "The key 'till:1' is booked at ADA 2 already.")]
    assert found(raw, "ADA") == [("ADA", 3, Code.KEY_TWICE)]


def test_a_key_that_stands_in_two_accounts(raw: Raw) -> None:
    entry_of(raw, 1, "BOB")["i"] = {"S": "till:1"}
    raw.rechain("BOB")
    del raw.items["K#~p.till-1:enroll-bob", "K"]

    # Both are of one instant, and the second one is the one that comes later by name.
    assert found(raw) == [("BOB", 1, Code.CLAIM_MISMATCH), ("BOB", 1, Code.KEY_TWICE)]
    assert found(raw, "ADA") == found(raw, "BOB") == []


def test_a_purchase_that_nothing_remembers(raw: Raw) -> None:
    del raw.items["K#till:2", "K"]

    assert raw.audit(now=SOON) == [
        Finding("ADA", 3, Code.CLAIM_MISSING, "Nothing remembers the key 'till:2': it could be booked once more.")
    ]
    assert found(raw, "ADA", claims=True) == [("ADA", 3, Code.CLAIM_MISSING)]
    assert found(raw, "ADA") == []


def test_a_claim_that_still_waits_for_its_purchase(raw: Raw) -> None:
    raw.put(items.claim_item(Claim(Key("till", "2"), "", 0, b"", NOW)))

    assert found(raw) == [("ADA", 3, Code.CLAIM_MISSING)]


def test_a_claim_for_another_account(raw: Raw) -> None:
    raw.items["K#till:2", "K"]["a"] = {"S": "BOB"}
    raw.items["K#till:2", "K"]["s"] = {"N": "1"}

    assert raw.audit(now=SOON) == [
        Finding("ADA", 3, Code.CLAIM_MISMATCH, "The key 'till:2' was claimed for the account BOB.")
    ]
    assert found(raw, "ADA", claims=True) == [("ADA", 3, Code.CLAIM_MISMATCH)]


def test_a_claim_that_is_later_than_its_entry(raw: Raw) -> None:
    raw.items["K#till:2", "K"]["s"] = {"N": "3"}

    assert found(raw) == [("ADA", 3, Code.CLAIM_MISMATCH)]


def test_a_refusal_that_was_booked_all_the_same(raw: Raw) -> None:
    raw.items["K#till:2", "K"]["r"] = {"L": [{"S": "MEMBER_CLOSED"}, {"S": "This membership has ended."}]}

    assert found(raw) == [("ADA", 3, Code.REFUSED_BUT_BOOKED)]


def test_the_newest_record_is_missed_by_its_claim(raw: Raw) -> None:
    del raw.items["M#ADA", keys.entry(4)]

    (finding,) = raw.audit(now=SOON)

    assert (finding.account, finding.seq, finding.code) == ("ADA", 4, Code.CLAIM_UNBOOKED)
    assert finding.message.startswith(
        "The key '~p.till-1:r' was claimed at 2026-01-10T17:00:00.000Z and is not booked:"
    )
    # The log alone looks right.
    assert found(raw, "ADA", claims=True) == []


def test_a_claim_whose_caller_is_still_at_it_is_counted_and_no_finding(raw: Raw) -> None:
    tallies: list[Tally] = []
    del raw.items["M#ADA", keys.entry(4)]

    assert raw.audit(now=NOW + timedelta(minutes=59), tallies=tallies) == []
    assert tallies[0].unfinished == 1
    assert raw.audit(now=NOW + timedelta(minutes=9), grace=timedelta(minutes=10), tallies=tallies) == []
    assert found(raw, now=NOW + timedelta(minutes=9), grace=timedelta(0)) == [("ADA", 4, Code.CLAIM_UNBOOKED)]
    # In the end it is forgotten, as it would have been.
    assert found(raw, now=NOW + timedelta(days=36)) == []


def test_records_that_a_later_claim_has_seen_are_missed(raw: Raw) -> None:
    for seq in (3, 4):
        del raw.items["M#ADA", keys.entry(seq)]

    assert [each for each in raw.audit(now=SOON) if each.code is not Code.CLAIM_UNBOOKED] == [
        Finding("ADA", 3, Code.LOG_TRUNCATED, "Somebody saw record 3 of this log, which ends at 2.")
    ]
    assert found(raw) == [
        ("ADA", 3, Code.CLAIM_UNBOOKED),
        ("ADA", 3, Code.LOG_TRUNCATED),
        ("ADA", 4, Code.CLAIM_UNBOOKED),
    ]


def test_an_end_misses_its_redemption() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", 5_000, NOW, receipt="1")
    cancel(store, redeem(store, "ada", "cookie", NOW, key="r"), NOW, key="c")
    raw = Raw.of(store)
    for seq in (3, 4):
        del raw.items["M#ADA", keys.entry(seq)]
    # Every claim is forgotten.
    for key in [key for key in raw.items if key[0].startswith("K#~")]:
        del raw.items[key]

    assert found(raw) == [("ADA", 3, Code.LOG_TRUNCATED)]


def test_a_return_misses_its_record_and_a_record_its_return() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", 5_000, NOW, receipt="1")
    give_back(store, "1", NOW, key="back")
    whole = Raw.of(store)

    no_entry, no_return = copy.deepcopy(whole), copy.deepcopy(whole)
    del no_entry.items["M#ADA", keys.entry(3)]
    del no_return.items["K#till:1", "R#back"]

    assert found(whole) == found(whole, "ADA", claims=True) == []
    assert found(no_entry) == [("ADA", 3, Code.CLAIM_UNBOOKED), ("ADA", 3, Code.LOG_TRUNCATED)]
    assert found(no_return) == found(no_return, "ADA", claims=True) == [("ADA", 3, Code.CLAIM_MISSING)]


def test_one_half_of_a_transfer_misses_the_other() -> None:
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
    buy(store, "ada", 5_000, NOW, receipt="1")
    give(store, "ada", "bob", 10, NOW, key="g")
    raw = Raw.of(store)
    del raw.items["M#BOB", keys.entry(2)]

    # Nothing on Bob's side tells: his log is as it was before.
    assert raw.audit(now=SOON) == [
        Finding("ADA", 3, Code.PEER_MISSING, "TRANSFER_OUT has its other half at BOB 2, which is not there.")
    ]


def test_a_gift_that_became_larger_on_the_way() -> None:
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
    buy(store, "ada", 5_000, NOW, receipt="1")
    give(store, "ada", "bob", 10, NOW, key="g")
    raw = Raw.of(store)
    item, entry = raw.items["M#BOB", keys.entry(2)], entry_of(raw, 2, "BOB")
    item["b"] = entry["l"] = {"S": entry["l"]["S"].replace("+10", "+99")}
    entry["b"], entry["x"] = {"N": "99"}, {"S": "transfer=99"}
    raw.rechain("BOB")

    assert found(raw) == [("ADA", 3, Code.PEER_MISMATCH), ("BOB", 2, Code.PEER_MISMATCH)]


def test_what_was_claimed_before_a_merge_is_booked_after_it() -> None:
    store = Memory()
    for name in ("ada", "ann"):
        enroll(store, name, NOW)
    # Claimed for Ann's account, whose caller then died; tried again when she had become a part of Ada, who became Ann again.
    merge(store, "ann", "ada", NOW, key="m")
    buy(store, "ann", 500, NOW, receipt="1")
    unmerge(store, "ann", NOW, key="u")
    claim = store._claims[Key("till", "1")]
    store._claims[claim.key] = replace(claim, account="ANN", seq_seen=1)
    raw = Raw.of(store)

    assert claim.account == "ADA"
    assert found(raw) == found(raw, "ADA", claims=True) == found(raw, "ANN", claims=True) == []


def test_what_nothing_witnesses_cannot_be_found(raw: Raw) -> None:
    # Whoever may write and delete everything, and knows the program, can take back the newest records with their claims, or
    # tell the newest one anew: this is no finding, and docs/proof.md says so.
    del raw.items["M#ADA", keys.entry(4)]
    del raw.items["K#~p.till-1:r", "K"]
    entry_of(raw, 3)["lo"] = {"S": "harbour"}
    raw.rechain("ADA", 3)

    assert found(raw) == []


def test_every_code_has_its_test() -> None:
    tested = set()
    for module in ("tests/domain/test_verification.py", "tests/storage/test_audit.py"):
        text = (ROOT / module).read_text()
        tested |= {code for code in Code if f"Code.{code.name}" in text}

    assert tested == set(Code)


# --- real tables ------------------------------------------------------------------------------------------------------


def run(tables: Tables, call: Callable[[Audit], Tally], *, now: Any = LATER) -> list[Finding]:
    found: list[Finding] = []
    source = Source(tables.connection, tables.name)
    call(Audit(source, Watcher(found.append), zones=(ZONE,), now=now, grace=timedelta(hours=1)))
    return found


def furnish(tables: Tables, count: int = 3) -> None:
    store = tables.store
    for index in range(count):
        enroll(store, f"m{index}", NOW)
        for receipt in range(5):
            buy(store, f"m{index}", 3_000, NOW, receipt=f"{index}-{receipt}")
        redeem(store, f"m{index}", "cookie", NOW, key=f"r{index}")
        with pytest.raises(Refusal):
            redeem(store, f"m{index}", "tea", NOW, key=f"t{index}")


def test_a_table_is_read_page_by_page(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(table)
    monkeypatch.setattr(audit, "_LOG_PAGE", 3)
    monkeypatch.setattr(audit, "_SCAN_PAGE", 4)
    monkeypatch.setattr(audit, "_BATCH", 2)
    asked: list[tuple[str, Mapping[str, Any]]] = []
    dispatch = Connection.dispatch

    def watched(connection: Connection, operation: str, request: dict[str, Any]) -> Any:
        asked.append((operation, request))
        return dispatch(connection, operation, request)

    monkeypatch.setattr(Connection, "dispatch", watched)

    assert run(table, Audit.everything) == []
    assert {operation for operation, _ in asked} == {"Scan", "Query"}
    assert len([1 for operation, _ in asked if operation == "Scan"]) > 10
    assert all(request["ConsistentRead"] and request["Limit"] <= 4 for _, request in asked)


def test_a_broken_byte_on_a_real_table(table: Tables) -> None:
    furnish(table)
    chance = random.Random(3)
    records = [item for (_, sk), item in sorted(table.contents().items()) if sk.startswith("E#")]
    item = chance.choice(records)
    _, changed = tamper.altered(item, chance)
    table.client.put_item(TableName=table.name, Item=changed)
    where = (item["PK"]["S"][2:], keys.sequence(item["SK"]["S"]))

    assert blamed(run(table, Audit.everything)) == {where}
    table.client.put_item(TableName=table.name, Item=item)
    assert run(table, Audit.everything) == []


def test_the_claims_of_one_account_are_looked_up(table: Tables) -> None:
    furnish(table)
    table.client.delete_item(TableName=table.name, Key={"PK": {"S": "K#till:1-3"}, "SK": {"S": "K"}})

    assert run(table, lambda each: each.accounts(["M1"], claims=False)) == []
    assert run(table, lambda each: each.accounts(["M0", "M2"], claims=True)) == []
    (finding,) = run(table, lambda each: each.accounts(["M1"], claims=True))
    assert (finding.seq, finding.code) == (5, Code.CLAIM_MISSING)


def test_a_table_that_is_written_to_meanwhile_is_right_all_the_same(table: Tables) -> None:
    furnish(table)
    stop = threading.Event()

    def write() -> None:
        store, number = table.store, 0
        while not stop.is_set():
            number += 1
            enroll(store, f"new{number}", LATER)
            buy(store, f"new{number}", 3_000, LATER, receipt=f"new-{number}")
            buy(store, "m1", 3_000, LATER, receipt=f"old-{number}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            assert run(table, Audit.everything) == []
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("bytes_", [0, 50_000, 10**12])
def test_a_sample_is_of_any_accounts(table: Tables, monkeypatch: pytest.MonkeyPatch, bytes_: int) -> None:
    # However large the table says it is: parts of it are read until there are enough.
    furnish(table, 6)
    monkeypatch.setattr(audit, "_SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(audit, "_SEGMENTS_MAX", 20)
    source = Source(table.connection, table.name)
    ask = source._call

    def told(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Table": {"TableSizeBytes": bytes_}} if operation == "DescribeTable" else ask(operation, request)

    monkeypatch.setattr(source, "_call", told)
    everybody = {f"M{index}" for index in range(6)}

    seen: set[str] = set()
    for seed in range(40):
        chosen = source.sample(2, random.Random(seed))
        assert len(set(chosen)) == len(chosen) == 2
        seen |= set(chosen)
    assert seen == everybody
    assert set(source.sample(100, random.Random(1))) == everybody


def test_a_clock_its_jobs_and_the_marks_of_the_rounds_are_no_strays(table: Tables) -> None:
    Programs(table.connection, table.name).publish(PROGRAM, sandbox=True)
    DueRows(table.connection, table.name, shards=SHARDS).move_mark(Round.BOOK, day("2090-01-10"))
    clocks = ClockTable(table.connection, table.name)
    clock.advance(clocks, PROGRAM, actor=MANAGER, idempotency_key="1", by=relativedelta(days=31), now=NOW, wall=NOW)

    assert {sk for _, sk in table.contents()} == {"V#0000000001", "JOB#book", "CLOCK", "JOB"}
    assert [audit.kind_of(item) for item in table.items() if audit.kind_of(item) is None] == []
    assert [zone.key for zone in Source(table.connection, table.name).zones()] == ["America/New_York"]


def test_the_zones_are_those_of_all_published_programs(table: Tables) -> None:
    source = Source(table.connection, table.name)
    assert source.zones() == ()

    published = Programs(table.connection, table.name)
    for zone in ("America/New_York", "Asia/Tokyo", "Asia/Tokyo"):
        published.publish(program(timezone=zone, name=f"Bluebird {zone}"))

    assert [zone.key for zone in source.zones()] == ["America/New_York", "Asia/Tokyo"]


def test_a_member_is_found_by_what_leads_to_them(table: Tables) -> None:
    furnish(table, 1)
    source = Source(table.connection, table.name)

    assert source.account_of(Lookup("external", "m0"), PEPPER) == "M0"
    assert source.account_of(Lookup("external", "m1"), PEPPER) is None
    assert source.account_of(Lookup("external", "m0"), b"another pepper") is None


def test_a_table_that_is_not_there_is_said_to_be_so(table: Tables) -> None:
    source = Source(table.connection, "no-such-table")

    with pytest.raises(Unavailable, match=r"The table no-such-table cannot be read\. ResourceNotFoundException"):
        source.zones()
    with pytest.raises(Unavailable):
        run(replace(table, name="no-such-table"), lambda each: each.accounts(["A"], claims=False))


# --- facts ------------------------------------------------------------------------------------------------------------


def test_facts_of_a_key_come_together_whatever_their_order() -> None:
    facts = audit.Facts()
    strange = Key("till", "a:b' \" ☕ \x00 ￿ 😀")
    for number in random.Random(1).sample(range(50), 50):
        facts.use([(Key("till", f"{number:02}"), Use("A", number, NOW, is_refused=False))])
    facts.use([(strange, Use("A", seq, NOW + timedelta(seconds=-seq), is_refused=True)) for seq in (1, 2)])
    memory = verification.Memory("A", NOW, 1, 2, is_refused=True, has_waited=True, expires_at=NOW + timedelta(days=35))
    facts.remember([(strange, memory), (caller_key("m.ada", "only remembered"), memory)])

    known = {key: (uses, remembered) for key, uses, remembered in facts.by_key()}

    assert len(known) == 52
    assert [use.seq for use in known[strange][0]] == [2, 1]
    assert known[strange][1] == memory
    assert known[caller_key("m.ada", "only remembered")] == ([], memory)
    assert known[Key("till", "07")] == ([Use("A", 7, NOW, is_refused=False)], None)
    facts.close()
