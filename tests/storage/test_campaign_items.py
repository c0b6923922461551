"""Items of campaigns: what is written is what is read, what stands in them is for ever, and how large they get."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits
from domain.campaigns import (
    Action,
    Audience,
    Award,
    Budget,
    Campaign,
    CampaignKind,
    Draft,
    Message,
    Segment,
    Status,
    Step,
    Validity,
    lifecycle,
)
from domain.campaigns.definition import Watched
from domain.campaigns.store import Chunk, Decision, Done, KeyUse, MemberOutcome, Run, RunKind, Shard
from domain.notices import Notice, NoticeKind
from storage import items, keys
from storage.audit import kind_of
from tests.domain.world import at, day, search
from tests.storage.tables import item_bytes

instants = st.datetimes(
    datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2200-01-01"), timezones=st.just(UTC)
).map(lambda instant: instant.replace(microsecond=instant.microsecond // 1_000 * 1_000))
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ids = st.from_regex(r"\A[0-9A-Z]{1,26}\Z")
counts = st.integers(0, 10**15)
some = st.none() | st.integers(0, 10**15)
days = st.none() | st.integers(0, 400_000)
labels = st.frozensets(texts, max_size=4)
audiences = st.builds(
    Audience,
    tiers=labels,
    balance_min=some,
    balance_max=some,
    locations=labels,
    active_from=days,
    active_until=days,
    joined_from=days,
    joined_until=days,
    tags=labels,
    tags_without=labels,
    birth_months=st.frozensets(st.integers(1, 12)),
    list_id=st.none() | ids,
)
budgets = st.builds(Budget, some, some)
drafts = st.builds(
    Draft,
    name=texts,
    code=texts,
    audience=audiences,
    award=st.lists(st.builds(Segment, audiences, st.integers(1, 10**9)), min_size=1, max_size=4).map(
        lambda found: Award(tuple(found))
    ),
    validity=st.builds(Validity, days, days),
    budget=budgets,
    hold_out_percent=st.integers(0, 90),
    message=st.none() | st.builds(Message, texts, texts),
    kind=st.sampled_from(CampaignKind),
)
steps = st.builds(Step, st.sampled_from(Action), texts, instants)
campaigns = st.builds(
    Campaign,
    id=ids,
    draft=drafts,
    created_by=texts,
    created_at=instants,
    status=st.sampled_from(Status),
    approved_by=st.none() | texts,
    previews=st.integers(0, 99),
    previewed=st.integers(0, 99),
    preview_points=some,
    preview_members=some,
    launches_at=st.none() | instants,
    launched_at=st.none() | instants,
    ended_at=st.none() | instants,
    stopped_at=st.none() | instants,
    settled_at=st.none() | instants,
    reverts_at=st.none() | instants,
    reverted_at=st.none() | instants,
    budget_in_force=budgets,
    given_up=st.integers(0, 99),
    steps=st.lists(steps, max_size=3).map(tuple),
    watched=st.lists(st.builds(Watched, texts, st.integers(0, 10**9), instants), max_size=3).map(tuple),
    version=st.integers(1, 10**9),
)
runs = st.builds(Run, ids, st.just(RunKind.PREVIEW), st.integers(1, 999)) | st.builds(
    Run, ids, st.sampled_from([RunKind.BONUS, RunKind.REVERSAL])
)
numbers = st.integers(1, 99_999_999)
shards = st.integers(0, limits.SHARDS_MAX - 1)
outcomes = st.sampled_from(MemberOutcome)


@search(200)
@given(campaigns)
def test_a_campaign_comes_back_as_it_was(campaign: Campaign) -> None:
    item = items.campaign_item(campaign)

    assert items.campaign_from(item) == campaign
    assert kind_of(item) == "campaign"


@search(100)
@given(
    st.builds(
        KeyUse,
        st.binary(min_size=16, max_size=16),
        ids,
        st.sampled_from(Action),
        st.binary(max_size=16),
        st.none() | st.builds(lifecycle.CampaignState, texts, field=st.lists(texts, max_size=3).map(tuple)),
    )
)
def test_what_a_key_was_used_for_comes_back_as_it_was(use: KeyUse) -> None:
    item = items.key_use_item(use)

    assert items.key_use_from(item) == use
    assert kind_of(item) == "campaign's key"


@search(100)
@given(
    runs,
    st.builds(
        Shard,
        number=shards,
        is_planned=st.booleans(),
        chunks=counts,
        members=counts,
        done=counts,
        counts=st.dictionaries(outcomes, st.integers(1, 10**12)),
        points=st.integers(-(10**15), 10**15),
        version=st.integers(1, 10**9),
    ),
)
def test_how_far_a_shard_is_comes_back_as_it_was(run: Run, shard: Shard) -> None:
    item = items.shard_item(run, shard)

    assert items.shard_from(item) == shard
    assert kind_of(item) == "run"


@search(100)
@given(runs, st.builds(Budget, some, some))
def test_what_is_left_of_a_budget_comes_back_as_it_was(run: Run, budget: Budget) -> None:
    item = items.budget_item(run, budget)

    assert items.budget_from(item) == budget
    assert kind_of(item) == "run"


@search(100)
@given(runs, shards, st.builds(Chunk, numbers, st.lists(ids, max_size=30).map(tuple), counts))
def test_a_chunk_comes_back_as_it_was_and_so_does_the_end(run: Run, shard: int, chunk: Chunk) -> None:
    item = items.chunk_item(run, shard, chunk, ttl=None)

    assert items.chunk_from(item) == chunk
    assert items.chunk_from(item).is_end == (not chunk.accounts)
    assert kind_of(item) == "chunk"


@search(200)
@given(
    runs,
    shards,
    numbers,
    st.lists(
        st.tuples(st.integers(0, limits.CAMPAIGN_SEGMENTS_MAX - 1), st.integers(1, 10**10 - 1))
        | st.tuples(outcomes, st.just(0)),
        max_size=30,
    ),
)
def test_a_decision_comes_back_as_it_was(run: Run, shard: int, number: int, made: list[tuple[Any, int]]) -> None:
    decision = Decision(number, tuple(choice for choice, _ in made), tuple(seen for _, seen in made))

    item = items.decision_item(run, shard, decision)

    assert items.decision_from(item) == decision
    assert kind_of(item) == "chunk"


@search(100)
@given(
    runs,
    shards,
    st.builds(Done, numbers, st.lists(outcomes, max_size=30).map(tuple), st.integers(-(10**15), 10**15)),
)
def test_what_became_of_a_chunk_comes_back_as_it_was(run: Run, shard: int, done: Done) -> None:
    item = items.done_item(run, shard, done, ttl=None)

    assert items.done_from(item) == done
    assert kind_of(item) == "chunk"


@search(100)
@given(st.lists(ids, min_size=1, max_size=40, unique=True), st.randoms(use_true_random=False))
def test_a_row_of_many_accounts_is_the_same_for_the_same_accounts(accounts: list[str], chance: random.Random) -> None:
    item = items.due_many_item("D#20000#3", accounts, ttl=7)

    assert items.due_many_from(item) == sorted(accounts)
    chance.shuffle(accounts)
    assert items.due_many_item("D#20000#3", accounts, ttl=7) == item
    other = items.due_many_item("D#20000#3", [*accounts, "0"], ttl=7)
    assert other["SK"] != item["SK"] or "0" in accounts
    assert item["SK"]["S"] > max(accounts), "it sorts behind every account"
    assert kind_of(item) is not None


# --- for ever ---------------------------------------------------------------------------------------------------------

NOW = at("2090-01-10")
STORED = Campaign(
    id="01J",
    draft=Draft(
        name="Été",
        code="SUMMER",
        audience=Audience(tiers=frozenset({"gold"}), balance_min=5, tags_without=frozenset({"b", "a"})),
        award=Award((Segment(Audience(birth_months=frozenset({12, 2})), 50), Segment(Audience(), 5))),
        validity=Validity(days=30),
        budget=Budget(points=1_000),
        hold_out_percent=10,
        message=Message("Hi", "$points"),
    ),
    created_by="staff:x",
    created_at=NOW,
    status=Status.PAUSED,
    approved_by="staff:y",
    previews=2,
    previewed=2,
    preview_points=40,
    preview_members=4,
    launched_at=NOW,
    budget_in_force=Budget(1_000, None),
    steps=(Step(Action.CREATE, "staff:x", NOW),),
    watched=(Watched("b1", 12, NOW),),
    version=7,
)


def test_a_campaign_is_stored_as_it_always_was() -> None:
    item = items.campaign_item(STORED)

    assert (item["PK"], item["SK"], item["v"]) == ({"S": "CMP"}, {"S": "C#01J"}, {"N": "7"})
    millis = int(NOW.timestamp() * 1_000)
    assert json.loads(item["doc"]["S"]) == {
        "draft": {
            "kind": "BULK_BONUS",
            "name": "Été",
            "code": "SUMMER",
            "audience": {"tiers": ["gold"], "tags_without": ["a", "b"], "balance_min": 5},
            "award": [[{"birth_months": [2, 12]}, 50], [{}, 5]],
            "validity": [30, None],
            "budget": [1_000, None],
            "hold_out": 10,
            "message": ["Hi", "$points"],
        },
        "status": "PAUSED",
        "given": [1_000, None],
        "watched": [["b1", 12, millis]],
        "steps": [["CREATE", "staff:x", millis]],
        "created_by": "staff:x",
        "approved_by": "staff:y",
        "previews": 2,
        "previewed": 2,
        "preview_points": 40,
        "preview_members": 4,
        "given_up": 0,
        "created_at": millis,
        "launched_at": millis,
    }


def test_a_campaign_of_before_somebody_counted_who_was_given_up_is_read() -> None:
    item = items.campaign_item(STORED)
    document = json.loads(item["doc"]["S"])
    del document["given_up"]

    assert items.campaign_from(item | {"doc": {"S": json.dumps(document)}}) == STORED


def test_a_cancelled_campaign_says_when_it_was_settled() -> None:
    settled = replace(STORED, status=Status.CANCELLED, stopped_at=NOW, settled_at=NOW)

    document = json.loads(items.campaign_item(settled)["doc"]["S"])

    millis = int(NOW.timestamp() * 1_000)
    assert (document["stopped_at"], document["settled_at"]) == (millis, millis)


def test_what_a_key_was_used_for_is_stored_as_it_always_was() -> None:
    use = KeyUse(b"k" * 16, "01J", Action.LAUNCH, b"a")
    item = {
        "PK": {"S": "CMPK#" + "6b" * 16},
        "SK": {"S": "K"},
        "i": {"S": "01J"},
        "a": {"S": "LAUNCH"},
        "f": {"B": b"a"},
    }

    assert items.key_use_item(use) == item
    refusal = lifecycle.AudienceEmpty("Nobody.", field=("input", "id"))
    assert items.key_use_item(replace(use, refusal=refusal)) == item | {
        "r": {"L": [{"S": "AUDIENCE_EMPTY"}, {"S": "Nobody."}, {"S": "input"}, {"S": "id"}]}
    }


def test_what_workers_write_is_stored_as_it_always_was() -> None:
    run = Run("01J", RunKind.BONUS)
    decision = Decision(3, (0, MemberOutcome.HELD_OUT, 19, MemberOutcome.OUTSIDE), (7, 0, 12, 0))

    assert items.decision_item(run, 2, decision) == {
        "PK": {"S": "CMP#01J#b1#2"},
        "SK": {"S": "D#00000003"},
        "c": {"S": "aHtO"},
        "s": {"S": "7 12"},
    }
    assert items.decision_item(run, 2, Decision(3, (MemberOutcome.GONE,), (0,)))["c"] == {"S": "G"}
    assert items.done_item(run, 2, Done(3, (MemberOutcome.APPLIED, MemberOutcome.FAILED), 50), ttl=None) == {
        "PK": {"S": "CMP#01J#b1#2"},
        "SK": {"S": "Z#00000003"},
        "o": {"S": "AF"},
        "p": {"N": "50"},
    }
    shard = Shard(
        2, is_planned=True, chunks=4, members=9, done=1, counts={MemberOutcome.APPLIED: 3}, points=-5, version=6
    )
    assert items.shard_item(run, shard) == {
        "PK": {"S": "CMP#01J#b1"},
        "SK": {"S": "S#0002"},
        "pl": {"N": "1"},
        "n": {"N": "4"},
        "m": {"N": "9"},
        "d": {"N": "1"},
        "c": {"S": "A=3"},
        "p": {"N": "-5"},
        "v": {"N": "6"},
    }
    assert items.shard_from(items.shard_item(run, shard) | {"ttl": {"N": "9"}}) == shard, "of a preview of before"
    assert items.budget_item(run, Budget(None, 7)) == {
        "PK": {"S": "CMP#01J#b1"},
        "SK": {"S": "B"},
        "m": {"N": "7"},
    }
    chunk = items.chunk_item(run, 2, Chunk(3, ("A", "B"), 500), ttl=None)
    assert (chunk["PK"]["S"], chunk["SK"]["S"], chunk["b"]) == ("CMP#01J#b1#2", "A#00000003", {"N": "500"})
    assert keys.campaign_key(b"k" * 16) == "CMPK#" + "6b" * 16


def test_what_the_letters_stand_for_is_for_ever() -> None:
    assert {outcome.value: outcome.name for outcome in MemberOutcome} == {
        "A": "APPLIED",
        "O": "OUTSIDE",
        "H": "HELD_OUT",
        "U": "BUDGET",
        "K": "BLOCKED",
        "C": "CLOSED",
        "M": "MERGED",
        "G": "GONE",
        "N": "NO_BONUS",
        "F": "FAILED",
        "S": "STOPPED",
        "L": "LATE",
    }
    assert {kind.value: kind.name for kind in RunKind} == {"p": "PREVIEW", "b": "BONUS", "r": "REVERSAL"}
    # A segment is a small letter, and no outcome is one.
    assert limits.CAMPAIGN_SEGMENTS_MAX <= 26
    assert all(outcome.value.isupper() and len(outcome.value) == 1 for outcome in MemberOutcome)


# --- sizes ------------------------------------------------------------------------------------------------------------

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def half_a_thousand() -> tuple[str, ...]:
    """So many ULIDs, as those of a shard are: a year of joining apart, and random behind that."""
    chance = random.Random(7)
    heads = sorted(chance.sample(range(32**6), limits.CHUNK_MEMBERS_MAX))

    def digits(number: int) -> str:
        return "".join(LETTERS[number // 32**place % 32] for place in reversed(range(6)))

    return tuple(f"01J{digits(head)}{''.join(chance.choices(LETTERS, k=17))}" for head in heads)


@pytest.mark.parametrize(
    ("item", "bytes_max"),
    [
        (lambda: items.chunk_item(Run("C", RunKind.BONUS), 1, Chunk(1, half_a_thousand()), ttl=None), 10 * 1_024),
        (lambda: items.due_many_item("D#20000#1", half_a_thousand(), ttl=1), 10 * 1_024),
        (
            lambda: items.decision_item(Run("C", RunKind.BONUS), 1, Decision(1, (19,) * 500, (1_000,) * 500)),
            3 * 1_024,
        ),
        (
            lambda: items.done_item(Run("C", RunKind.BONUS), 1, Done(1, (MemberOutcome.APPLIED,) * 500, 10**9), ttl=1),
            1_024,
        ),
        (
            lambda: items.shard_item(
                Run("C" * 26, RunKind.PREVIEW, 999),
                Shard(255, True, 10**6, 10**9, 10**6, dict.fromkeys(MemberOutcome, 10**9), 10**15, 10**6),
            ),
            1_024,
        ),
    ],
)
def test_what_workers_write_is_small(item: Any, bytes_max: int) -> None:
    assert item_bytes(item()) <= bytes_max


def test_a_notice_with_the_longest_words_of_a_campaign_is_one_write_unit() -> None:
    args = {"points": 10**6, "balance": 10**9, "date": 99_999, "tier": "t" * 32}
    words = {"title": "t" * limits.NAME_LENGTH_MAX, "text": "x" * limits.CAMPAIGN_TEXT_LENGTH_MAX}
    notice = Notice(NoticeKind.CAMPAIGN, day("2090-01-10"), f"c.{'C' * 26}", NOW, 10**4, args={**args, **words})

    assert item_bytes(items.notice_item("A" * 26, notice)) <= 1_024


def test_the_largest_campaign_is_below_an_item_of_dynamodb() -> None:
    """AWS: 400 KB. Every condition as long as it may be, in four-byte letters, and every step that is kept."""
    wide = "\U0001f600"
    audience = Audience(
        locations=frozenset(f"{number:02}{wide * (limits.LABEL_LENGTH_MAX - 2)}" for number in range(50)),
        tags=frozenset(f"{number:02}{'t' * (limits.TAG_LENGTH_MAX - 2)}" for number in range(limits.TAGS_MAX)),
        tags_without=frozenset(f"{number:02}{'u' * (limits.TAG_LENGTH_MAX - 2)}" for number in range(limits.TAGS_MAX)),
        birth_months=frozenset(range(1, 13)),
        balance_min=10**15,
        balance_max=10**15,
    )
    step = Step(Action.PREVIEW, "s" * 255, NOW)
    campaign = replace(
        STORED,
        draft=replace(
            STORED.draft,
            name=wide * limits.NAME_LENGTH_MAX,
            audience=audience,
            award=Award((Segment(audience, 10**9),) * limits.CAMPAIGN_SEGMENTS_MAX),
            message=Message(wide * limits.NAME_LENGTH_MAX, wide * limits.CAMPAIGN_TEXT_LENGTH_MAX),
        ),
        steps=(step,) * (limits.CAMPAIGN_STEPS_MAX + 1),
        watched=(Watched("p10000", 10**9, NOW),) * 3,
    )

    assert item_bytes(items.campaign_item(campaign)) < 400 * 1_024


def test_days_of_an_audience_are_kept_as_they_are() -> None:
    audience = Audience(active_from=day("2026-01-01"), joined_until=0)
    campaign = replace(STORED, draft=replace(STORED.draft, audience=audience))

    assert items.campaign_from(items.campaign_item(campaign)).draft.audience == audience
