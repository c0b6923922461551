"""CMP: campaigns, how far their runs are, and the chunks of their members."""

import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute

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
)
from domain.campaigns.definition import Watched
from domain.campaigns.store import Chunk, Decision, Done, KeyUse, MemberOutcome, Run, Shard
from storage import keys
from storage.items.attributes import MarksAttribute
from storage.items.claims import RefusalAttribute
from storage.items.row import Item, Row
from storage.items.strings import instant_of, millis


class CampaignRow(Row):
    """CMP: a campaign, as a JSON document."""

    document = UnicodeAttribute(attr_name="doc")
    version = NumberAttribute(attr_name="v")


class KeyRow(Row):
    """CMPK: what a key was used for: an action with a campaign, what was asked for, and the refusal if it was one."""

    campaign = UnicodeAttribute(attr_name="i")
    action = UnicodeAttribute(attr_name="a")
    asked = BinaryAttribute(attr_name="f", legacy_encoding=False)
    refusal = RefusalAttribute(attr_name="r", null=True)


class WorkRow(Row):
    """CMP: the campaigns that somebody has to look after."""

    campaigns = UnicodeAttribute(attr_name="w", null=True)
    version = NumberAttribute(attr_name="v")


class ShardRow(Row):
    """CMP: how far a shard of a run is."""

    is_planned = NumberAttribute(attr_name="pl", null=True)
    chunks = NumberAttribute(attr_name="n")
    members = NumberAttribute(attr_name="m")
    done = NumberAttribute(attr_name="d")
    counts = MarksAttribute(attr_name="c", null=True)
    points = NumberAttribute(attr_name="p")
    version = NumberAttribute(attr_name="v")


class BudgetRow(Row):
    """CMP: what is left of a run's budget."""

    points = NumberAttribute(attr_name="p", null=True)
    members = NumberAttribute(attr_name="m", null=True)


class ChunkRow(Row):
    """CMP: the accounts of a chunk, compressed: 500 of them are some 9 KB instead of 13."""

    accounts = BinaryAttribute(attr_name="a", legacy_encoding=False)
    before = NumberAttribute(attr_name="b")
    ttl = NumberAttribute(attr_name="ttl", null=True)


class DecisionRow(Row):
    """CMP: what each member of a chunk is to get, or have taken back, a letter each: a small one is a segment, a capital one says
    why nothing. Of the small ones, the newest record that was read: `7 12 3`."""

    choices = UnicodeAttribute(attr_name="c")
    seen = UnicodeAttribute(attr_name="s", null=True)


class DoneRow(Row):
    """CMP: what became of each member of a chunk, a letter each, and the points that moved."""

    outcomes = UnicodeAttribute(attr_name="o")
    points = NumberAttribute(attr_name="p")
    ttl = NumberAttribute(attr_name="ttl", null=True)


# --- campaigns --------------------------------------------------------------------------------------------------------


def key_use_item(use: KeyUse) -> Item:
    """What a key was used for, as its item."""
    row = KeyRow(keys.campaign_key(use.key), keys.CLAIM, campaign=use.campaign, action=use.action.value)
    row.asked, row.refusal = use.asked, use.refusal
    return row.serialize()


def key_use_from(item: Item) -> KeyUse:
    """What a key was used for, of its item."""
    row = KeyRow.from_raw_data(item)
    return KeyUse(keys.campaign_digest(row.pk), row.campaign, Action(row.action), row.asked, row.refusal)


def campaign_item(campaign: Campaign) -> Item:
    """A campaign as its item."""
    times = {name: _millis(getattr(campaign, name)) for name in _TIMES}
    facts = {name: getattr(campaign, name) for name in _FACTS}
    document = {
        "draft": _draft_document(campaign.draft),
        "status": campaign.status.value,
        "given": _pair(campaign.budget_in_force),
        "watched": [[each.run, each.reached, millis(each.at)] for each in campaign.watched],
        "steps": [[step.action.value, step.by, millis(step.at)] for step in campaign.steps],
        **{name: value for name, value in {**facts, **times}.items() if value is not None},
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return CampaignRow(keys.CAMPAIGNS, keys.campaign(campaign.id), document=text, version=campaign.version).serialize()


def campaign_from(item: Item) -> Campaign:
    """The campaign of an item."""
    row = CampaignRow.from_raw_data(item)
    values = json.loads(row.document)
    facts: dict[str, Any] = {name: values[name] for name in _FACTS if name in values}
    facts |= {name: instant_of(values[name]) for name in _TIMES if name in values}
    return Campaign(
        id=keys.campaign_id(row.sk),
        draft=_draft_of(values["draft"]),
        status=Status(values["status"]),
        budget_in_force=Budget(*values["given"]),
        steps=tuple(Step(Action(action), by, instant_of(at)) for action, by, at in values["steps"]),
        watched=tuple(Watched(run, reached, instant_of(at)) for run, reached, at in values["watched"]),
        version=int(row.version),
        **facts,
    )


_FACTS = ("created_by", "approved_by", "previews", "previewed", "preview_points", "preview_members", "given_up")
_TIMES = (
    "created_at",
    "launches_at",
    "launched_at",
    "ended_at",
    "stopped_at",
    "settled_at",
    "reverts_at",
    "reverted_at",
)


def _millis(instant: datetime | None) -> int | None:
    return None if instant is None else millis(instant)


def _pair(budget: Budget) -> list[int | None]:
    return [budget.points, budget.members]


def _draft_document(draft: Draft) -> dict[str, Any]:
    return {
        "kind": draft.kind.value,
        "name": draft.name,
        "code": draft.code,
        "audience": _audience_document(draft.audience),
        "award": [[_audience_document(each.audience), each.points] for each in draft.award.segments],
        "validity": [draft.validity.days, draft.validity.until],
        "budget": _pair(draft.budget),
        "hold_out": draft.hold_out_percent,
        **({"message": [draft.message.title, draft.message.text]} if draft.message else {}),
    }


def _draft_of(values: Mapping[str, Any]) -> Draft:
    return Draft(
        kind=CampaignKind(values["kind"]),
        name=values["name"],
        code=values["code"],
        audience=_audience_of(values["audience"]),
        award=Award(tuple(Segment(_audience_of(audience), points) for audience, points in values["award"])),
        validity=Validity(*values["validity"]),
        budget=Budget(*values["budget"]),
        hold_out_percent=values["hold_out"],
        message=Message(*values["message"]) if "message" in values else None,
    )


_SETS = ("tiers", "locations", "tags", "tags_without", "birth_months")
_BOUNDS = ("balance_min", "balance_max", "active_from", "active_until", "joined_from", "joined_until", "list_id")


def _audience_document(audience: Audience) -> dict[str, Any]:
    sets = {name: sorted(getattr(audience, name)) for name in _SETS}
    bounds = {name: getattr(audience, name) for name in _BOUNDS}
    return {name: value for name, value in {**sets, **bounds}.items() if value not in (None, [])}


def _audience_of(values: Mapping[str, Any]) -> Audience:
    given: dict[str, Any] = {name: frozenset(value) if name in _SETS else value for name, value in values.items()}
    return Audience(**given)


# --- runs -------------------------------------------------------------------------------------------------------------


def shard_item(run: Run, shard: Shard) -> Item:
    """How far a shard of a run is, as its item."""
    row = ShardRow(keys.run(run.campaign, str(run)), keys.run_shard(shard.number))
    row.is_planned = 1 if shard.is_planned else None
    row.chunks, row.members, row.done, row.points = shard.chunks, shard.members, shard.done, shard.points
    row.counts = {outcome.value: count for outcome, count in shard.counts.items() if count} or None
    row.version = shard.version
    return row.serialize()


def shard_from(item: Item) -> Shard:
    """How far a shard of a run is, of its item."""
    row = ShardRow.from_raw_data(item)
    return Shard(
        number=keys.run_shard_number(row.sk),
        is_planned=bool(row.is_planned),
        chunks=int(row.chunks),
        members=int(row.members),
        done=int(row.done),
        counts={MemberOutcome(letter): count for letter, count in (row.counts or {}).items()},
        points=int(row.points),
        version=int(row.version),
    )


def budget_item(run: Run, budget: Budget) -> Item:
    """What is left of a run's budget, as its item."""
    row = BudgetRow(keys.run(run.campaign, str(run)), keys.RUN_BUDGET)
    row.points, row.members = budget.points, budget.members
    return row.serialize()


def budget_from(item: Item) -> Budget:
    """What is left of a run's budget, of its item."""
    row = BudgetRow.from_raw_data(item)
    return Budget(*(None if value is None else int(value) for value in (row.points, row.members)))


def chunk_item(run: Run, shard: int, chunk: Chunk, *, ttl: int | None) -> Item:
    """A chunk as its item."""
    accounts = zlib.compress(" ".join(chunk.accounts).encode(), level=9)
    place = keys.chunks(run.campaign, str(run), shard), keys.chunk(chunk.number)
    return ChunkRow(*place, accounts=accounts, before=chunk.before, ttl=ttl).serialize()


def chunk_from(item: Item) -> Chunk:
    """The chunk of an item."""
    row = ChunkRow.from_raw_data(item)
    accounts = zlib.decompress(row.accounts).decode().split()
    return Chunk(keys.chunk_number(row.sk), tuple(accounts), int(row.before))


def decision_item(run: Run, shard: int, decision: Decision) -> Item:
    """A decision as its item."""
    letters = "".join(
        each.value if isinstance(each, MemberOutcome) else chr(_FIRST_SEGMENT + each) for each in decision.choices
    )
    place = keys.chunks(run.campaign, str(run), shard), keys.decision(decision.number)
    seen = " ".join(str(seq) for each, seq in zip(decision.choices, decision.seen, strict=True) if type(each) is int)
    return DecisionRow(*place, choices=letters, seen=seen or None).serialize()


def decision_from(item: Item) -> Decision:
    """The decision of an item."""
    row = DecisionRow.from_raw_data(item)
    choices = [ord(letter) - _FIRST_SEGMENT if letter.islower() else MemberOutcome(letter) for letter in row.choices]
    seqs = iter((row.seen or "").split())
    seen = tuple(0 if isinstance(each, MemberOutcome) else int(next(seqs)) for each in choices)
    return Decision(keys.chunk_number(row.sk), tuple(choices), seen)


_FIRST_SEGMENT = ord("a")


def done_item(run: Run, shard: int, done: Done, *, ttl: int | None) -> Item:
    """What became of a chunk, as its item."""
    letters = "".join(each.value for each in done.outcomes)
    place = keys.chunks(run.campaign, str(run), shard), keys.done(done.number)
    return DoneRow(*place, outcomes=letters, points=done.points, ttl=ttl).serialize()


def done_from(item: Item) -> Done:
    """What became of a chunk, of its item."""
    row = DoneRow.from_raw_data(item)
    return Done(keys.chunk_number(row.sk), tuple(map(MemberOutcome, row.outcomes)), int(row.points))
