"""What is refused of campaigns: every code of every mutation is provoked once, and nothing changes; what is repeated is answered
again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import repeat
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from graphql import GraphQLEnumType

from domain import limits
from domain.campaigns import lifecycle
from handlers import aws
from schema import root
from tests.handlers.api import CAMPAIGN_STEPS, Answer, Claims, global_id, manager, person
from tests.handlers.conftest import Clock
from tests.handlers.launching import Stage, boss

STEPS = ("Preview", "Approve", "Launch", "Pause", "Resume", "Cancel", "Revert")
KEYS = "input.idempotencyKey"


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    """It is 2030-01-10, noon in New York, until a test says something else."""


# What is kept with the key of whoever was told it.
FINAL = {
    refusal.code
    for refusals in (
        lifecycle.CREATE_REFUSALS,
        lifecycle.PREVIEW_REFUSALS,
        lifecycle.APPROVE_REFUSALS,
        lifecycle.LAUNCH_REFUSALS,
        lifecycle.PAUSE_REFUSALS,
        lifecycle.RESUME_REFUSALS,
        lifecycle.CANCEL_REFUSALS,
        lifecycle.REVERT_REFUSALS,
    )
    for refusal in refusals
    if refusal.final
}


@contextmanager
def nothing_done(stage: Stage, *, told_no: int = 0) -> Iterator[None]:
    """Fails when anything was written, or handed out, but so many keys with the no that their callers were told."""
    before = stage.api.items()
    yield
    after = stage.api.items()
    assert {place: after.get(place) for place in before} == before
    keys = [item for place, item in after.items() if place not in before]
    assert [(item["PK"]["S"].partition("#")[0], "r" in item) for item in keys] == [("CMPK", True)] * told_no
    assert stage.waiting() == []


def with_one_key(stage: Stage) -> Stage:
    """The same stage, on which every call that names no key of its own has the same one."""
    return replace(stage, keys=repeat(next(stage.keys)))


# --- every code, once ---------------------------------------------------------------------------------------------------


def drafted(stage: Stage) -> str:
    return stage.drafted(audience={"locations": [stage.join("ada")]})


def previewed(stage: Stage, **draft: Any) -> str:
    return stage.previewed(audience={"locations": [stage.join("ada")]}, **draft)


def completed(stage: Stage) -> str:
    return stage.completed(audience={"locations": [stage.join("ada")]})


def standing(stage: Stage, status: str) -> str:
    """A campaign that stands so, with nothing on its way."""
    if status == "DRAFT":
        return previewed(stage)
    if status in ("COMPLETED", "REVERTING", "REVERTED"):
        campaign = completed(stage)
        if status != "COMPLETED":
            stage.did("Revert", campaign)
    else:
        campaign = previewed(stage)
        at = {"at": "2030-02-01T12:00:00Z"} if status == "SCHEDULED" else {}
        stage.did("Launch", campaign, **at)
        step = {"PAUSED": "Pause", "CANCELLED": "Cancel"}.get(status)
        if step:
            stage.did(step, campaign)
    if status == "REVERTED":
        stage.work()
    stage.empty()
    assert stage.look(campaign)["status"] == status
    return campaign


# A step that cannot be done with a campaign that stands so.
IN_THE_WRONG_STATE = {
    "Preview": "RUNNING",
    "Approve": "SCHEDULED",
    "Launch": "RUNNING",
    "Pause": "DRAFT",
    "Resume": "RUNNING",
    "Cancel": "COMPLETED",
    "Revert": "RUNNING",
}


@dataclass(frozen=True)
class Provoked:
    """What provokes a code: what has to be there before, the call that names it, and the field that is named."""

    arrange: Callable[[Stage], str]
    call: Callable[[Stage, str], Answer]
    field: str


def nothing(_stage: Stage) -> str:
    return global_id("Campaign", "nobody's")


def creating(field: str, **draft: Any) -> Provoked:
    return Provoked(nothing, lambda stage, _: stage.create(**draft), field)


def doing(arrange: Callable[[Stage], str], step: str, field: str = "input.id", **more: Any) -> Provoked:
    return Provoked(arrange, lambda stage, campaign: stage.do(step, campaign, **more), field)


def empty_list(stage: Stage) -> str:
    """A list of which nothing was uploaded yet."""
    create = "mutation Create($input: MemberListCreateInput!) { memberListCreate(input: $input) { memberList { id } } }"
    wanted = {"idempotencyKey": f"list {next(stage.keys)}", "name": "Nobody", "by": "EMAIL"}
    payload = stage.api.post(manager(), create, input=wanted).data["memberListCreate"]
    made: str = payload["memberList"]["id"]
    return made


PROVOKED: dict[tuple[str, str], Provoked] = {
    ("Create", "INVALID_TEXT"): creating("input.code", code="Summer!"),
    ("Create", "INVALID_AUDIENCE"): creating("input.audience.balanceMin", audience={"balanceMin": 2, "balanceMax": 1}),
    ("Create", "INVALID_AWARD"): creating("input.award.points", award={"points": 0}),
    ("Create", "INVALID_VALIDITY"): creating("input.validity.until", validity={"until": "2030-01-10"}),
    ("Create", "INVALID_BUDGET"): creating("input.budget.pointsMax", budget={"pointsMax": 0}),
    ("Create", "INVALID_HOLD_OUT"): creating("input.holdOutPercent", holdOutPercent=91),
    ("Create", "LIST_NOT_FOUND"): creating(
        "input.audience.listId", audience={"listId": global_id("MemberList", "nobody's")}
    ),
    ("Create", "LIST_NOT_READY"): Provoked(
        empty_list, lambda stage, list_id: stage.create(audience={"listId": list_id}), "input.audience.listId"
    ),
    ("Create", "IDEMPOTENCY_KEY_REUSED"): Provoked(
        lambda stage: stage.drafted(key="of another"),
        lambda stage, _: stage.create(key="of another", name="Winter thanks"),
        KEYS,
    ),
    ("Approve", "APPROVER_INVOLVED"): doing(previewed, "Approve"),
    ("Approve", "PREVIEW_MISSING"): doing(drafted, "Approve", caller=boss()),
    ("Approve", "PREVIEW_CHANGED"): doing(previewed, "Approve", "input.points", caller=boss(), points=1_000_000),
    ("Launch", "INVALID_TIME"): doing(previewed, "Launch", "input.at", at="2030-01-10T17:00:00Z"),
    ("Launch", "PREVIEW_MISSING"): doing(drafted, "Launch"),
    ("Launch", "AUDIENCE_EMPTY"): doing(lambda stage: stage.previewed(audience={"tags": ["nobody"]}), "Launch"),
    ("Launch", "APPROVAL_MISSING"): doing(lambda stage: previewed(stage, award={"points": 100_001}), "Launch"),
}


def of_every_step(step: str) -> dict[tuple[str, str], Provoked]:
    """What is refused of all of them alike."""

    def used(stage: Stage) -> str:
        """A campaign with which another step was done, under the key that comes again."""
        campaign = drafted(stage)
        stage.did("Cancel" if step == "Preview" else "Preview", campaign, key=f"of another {step}")
        stage.empty()
        return campaign

    return {
        (step, "INVALID_TEXT"): doing(nothing, step, KEYS, key=" "),
        (step, "CAMPAIGN_NOT_FOUND"): doing(nothing, step),
        (step, "CAMPAIGN_STATE"): doing(lambda stage: standing(stage, IN_THE_WRONG_STATE[step]), step, caller=boss()),
        (step, "IDEMPOTENCY_KEY_REUSED"): doing(used, step, KEYS, key=f"of another {step}"),
    }


for each in STEPS:
    PROVOKED |= of_every_step(each)
# It takes fifty campaigns to see this one, and days to see the other: they have tests of their own.
BUSY = {(step, "CAMPAIGNS_BUSY") for step in ("Preview", "Launch", "Resume", "Revert")}
LATE = {("Resume", "INVALID_TIME")}


def test_every_code_of_every_mutation_is_provoked_here() -> None:
    types = root.build(introspection=True)._schema.type_map
    codes = set()
    for step in ("Create", *STEPS):
        enum = types[f"Campaign{step}ErrorCode"]
        assert isinstance(enum, GraphQLEnumType)
        codes |= {(step, code) for code in enum.values}

    assert codes == PROVOKED.keys() | BUSY | LATE


@pytest.mark.parametrize(("step", "code"), PROVOKED, ids=lambda each: each)
def test_a_refusal_names_its_field_and_changes_nothing(stage: Stage, step: str, code: str) -> None:
    provoked = PROVOKED[step, code]
    arranged = provoked.arrange(stage)

    same = with_one_key(stage)

    with nothing_done(stage, told_no=code in FINAL):
        answer = provoked.call(same, arranged)

    assert answer.refusals == [(code, provoked.field)], answer.body
    payload = answer.data[f"campaign{step}"]
    assert (payload["campaign"], payload["replayed"]) == (None, False)
    with nothing_done(stage):
        again = provoked.call(same, arranged)
    assert again.data[f"campaign{step}"] == {**payload, "replayed": code in FINAL}


def test_fifty_campaigns_are_at_work_at_most(empty_stage: Stage) -> None:
    stage = empty_stage
    stage.join("ada")
    over, draft, launchable = stage.completed(), stage.previewed(), stage.previewed()
    paused = stage.launched()
    stage.did("Pause", paused)
    stage.empty()
    at_work = [stage.drafted() for _ in range(limits.CAMPAIGNS_AT_WORK_MAX)]
    for campaign in at_work:
        stage.did("Preview", campaign)
    stage.empty()

    with nothing_done(stage):
        for step, campaign in (("Preview", draft), ("Launch", launchable), ("Resume", paused), ("Revert", over)):
            assert stage.do(step, campaign, key=f"busy {step}").refusals == [("CAMPAIGNS_BUSY", "input.id")]
    # Another preview of one that is at work is no other campaign.
    stage.did("Preview", at_work[0])
    stage.did("Cancel", at_work[1])
    # That there was no room is not held against a key.
    assert stage.did("Launch", launchable, key="busy Launch")["status"] == "RUNNING"
    assert stage.do("Resume", paused, key="busy Resume").refusals == [("CAMPAIGNS_BUSY", "input.id")]
    # Whatever is at work, what is to end ends.
    assert stage.did("Cancel", paused)["status"] == "CANCELLED"


# --- states -------------------------------------------------------------------------------------------------------------

STATUSES = ("DRAFT", "SCHEDULED", "RUNNING", "PAUSED", "COMPLETED", "CANCELLED", "REVERTING", "REVERTED")
ALLOWED = {
    "Preview": {"DRAFT", "SCHEDULED"},
    "Approve": {"DRAFT"},
    "Launch": {"DRAFT"},
    "Pause": {"RUNNING"},
    "Resume": {"PAUSED"},
    "Cancel": {"DRAFT", "SCHEDULED", "RUNNING", "PAUSED"},
    "Revert": {"COMPLETED", "CANCELLED"},
}


@pytest.mark.parametrize("status", STATUSES)
def test_what_cannot_be_done_where_a_campaign_stands_is_refused(stage: Stage, status: str) -> None:
    campaign = standing(stage, status)
    steps = [step for step in STEPS if status not in ALLOWED[step]]

    with nothing_done(stage, told_no=len(steps)):
        for step in steps:
            answer = stage.do(step, campaign, caller=boss())
            assert answer.refusals == [("CAMPAIGN_STATE", "input.id")], step


def test_what_was_never_launched_has_nothing_to_revert(stage: Stage) -> None:
    campaign = previewed(stage)
    stage.did("Cancel", campaign)

    with nothing_done(stage, told_no=1):
        assert stage.do("Revert", campaign).refusals == [("CAMPAIGN_STATE", "input.id")]


def test_a_launched_campaign_is_not_launched_again_and_nobody_has_it_twice(stage: Stage) -> None:
    place = stage.join("ada")
    campaign = stage.previewed(audience={"locations": [place]})
    stage.did("Launch", campaign, key="first")

    assert stage.do("Launch", campaign, key="second", caller=boss()).refusals == [("CAMPAIGN_STATE", "input.id")]
    stage.work()
    assert stage.do("Launch", campaign, key="third").refusals == [("CAMPAIGN_STATE", "input.id")]
    assert stage.do("Cancel", campaign).refusals == [("CAMPAIGN_STATE", "input.id")]
    assert stage.entries(f"{place}-ada") == [("EnrollmentEntry", 0), ("CampaignBonusEntry", 100)]


def test_a_preview_that_is_not_finished_is_none(stage: Stage) -> None:
    campaign = previewed(stage)
    stage.did("Preview", campaign)
    stage.empty()

    with nothing_done(stage, told_no=2):
        assert stage.do("Launch", campaign).refusals == [("PREVIEW_MISSING", "input.id")]
        assert stage.do("Approve", campaign, caller=boss()).refusals == [("PREVIEW_MISSING", "input.id")]
    preview = stage.look(campaign)["preview"]
    assert (preview["isFinished"], preview["memberCount"], preview["points"]) == (False, None, None)


def test_a_budget_of_more_than_one_person_gives_needs_an_approval_whatever_was_found(stage: Stage) -> None:
    campaign = previewed(stage, budget={"pointsMax": 100_001})

    assert stage.look(campaign)["isApprovalNeeded"] is True
    with nothing_done(stage, told_no=1):
        assert stage.do("Launch", campaign).refusals == [("APPROVAL_MISSING", "input.id")]
    assert stage.look(previewed(stage, budget={"pointsMax": 100_000}))["isApprovalNeeded"] is False


# --- times --------------------------------------------------------------------------------------------------------------


def test_a_campaign_is_scheduled_from_the_next_moment_to_four_hundred_days_ahead(stage: Stage, clock: Clock) -> None:
    campaign = previewed(stage, validity={"until": "2031-03-31"})

    with nothing_done(stage):
        for early_or_late in (
            clock.now,
            clock.now - timedelta(days=1),
            clock.now + limits.CAMPAIGN_AHEAD_MAX + timedelta(milliseconds=1),
            # Its points would be over by then.
            clock.now + timedelta(days=1_000),
        ):
            answer = stage.do("Launch", campaign, at=early_or_late.isoformat())
            assert answer.refusals == [("INVALID_TIME", "input.at")]
    last = clock.now + limits.CAMPAIGN_AHEAD_MAX
    assert stage.did("Launch", campaign, at=last.isoformat())["launchAt"] == "2031-02-14T17:00:00.000Z"
    soon = previewed(stage)
    assert stage.did("Launch", soon, at=(clock.now + timedelta(milliseconds=1)).isoformat())["status"] == "SCHEDULED"
    stage.empty()


def test_points_that_would_be_over_are_not_given(stage: Stage, clock: Clock) -> None:
    campaign = previewed(stage, validity={"until": "2030-01-31"})

    with nothing_done(stage):
        # In New York it is February by then.
        answer = stage.do("Launch", campaign, at="2030-02-01T05:00:00Z")
        assert answer.refusals == [("INVALID_TIME", "input.at")]
    clock.advance(days=30)
    with nothing_done(stage):
        assert stage.do("Launch", campaign).refusals == [("INVALID_TIME", "input.id")]
    clock.advance(days=-30)
    # The last moment of the last day.
    assert stage.did("Launch", campaign, at="2030-02-01T04:59:59.999Z")["status"] == "SCHEDULED"


def test_points_that_would_be_over_are_not_given_after_a_pause_either(stage: Stage, clock: Clock) -> None:
    campaign = previewed(stage, validity={"until": "2030-01-31"})
    stage.did("Launch", campaign)
    stage.did("Pause", campaign)
    stage.empty()

    # In New York it is February.
    clock.advance(days=21, hours=12)
    with nothing_done(stage):
        assert stage.do("Resume", campaign, key="too late").refusals == [("INVALID_TIME", "input.id")]
    # What was wrong with the time is not held against the key.
    clock.advance(hours=-1)
    assert stage.did("Resume", campaign, key="too late")["status"] == "RUNNING"
    stage.work()
    assert stage.api.balance(external_id_of(stage, campaign)) == 100


def test_whoever_is_decided_on_when_the_points_are_over_gets_none(stage: Stage, clock: Clock) -> None:
    campaign = previewed(stage, validity={"until": "2030-01-31"})
    stage.did("Launch", campaign)

    clock.advance(days=21, hours=12)
    stage.work()

    told, who = stage.look(campaign), external_id_of(stage, campaign)
    assert (told["status"], told["progress"]["applied"]) == ("COMPLETED", 0)
    assert (stage.result(campaign, who), stage.api.balance(who)) == (("LATE", None), 0)


# --- a no stays a no ----------------------------------------------------------------------------------------------------


def nobody_at(place: str) -> Callable[[Stage], str]:
    """A campaign for a place at which nobody is at home yet."""
    return lambda stage: stage.previewed(audience={"locations": [place]})


def looked_at(stage: Stage, campaign: str) -> None:
    stage.did("Preview", campaign)
    stage.work()


def joined(place: str) -> Callable[[Stage, str], None]:
    def join(stage: Stage, campaign: str) -> None:
        stage.api.enroll(f"{place}-ada", homeLocation=place)
        looked_at(stage, campaign)

    return join


def launched(stage: Stage, campaign: str) -> None:
    stage.did("Launch", campaign)
    stage.empty()


def third() -> Claims:
    """A manager who has done nothing yet."""
    return person("7d2e9f30-staff-third", **{"cognito:groups": "[manager]"})


def approved(stage: Stage, campaign: str) -> None:
    stage.did("Approve", campaign, caller=third())


# What is done with a campaign too early, the no, and what makes it possible.
TOO_EARLY: dict[str, tuple[Callable[[Stage], str], str, str, Callable[[Stage, str], None]]] = {
    "nobody has looked at it": (drafted, "Launch", "PREVIEW_MISSING", looked_at),
    "nobody can approve it": (drafted, "Approve", "PREVIEW_MISSING", looked_at),
    "nobody is meant": (nobody_at("a new shop"), "Launch", "AUDIENCE_EMPTY", joined("a new shop")),
    "nobody has approved it": (
        lambda stage: previewed(stage, award={"points": 100_001}),
        "Launch",
        "APPROVAL_MISSING",
        approved,
    ),
    "it does not run": (previewed, "Pause", "CAMPAIGN_STATE", launched),
}


@pytest.mark.parametrize("case", TOO_EARLY)
def test_told_no_a_key_never_does_it_whatever_has_changed_since(stage: Stage, case: str) -> None:
    arrange, step, code, change = TOO_EARLY[case]
    campaign = arrange(stage)
    call: dict[str, Any] = {"caller": boss(), "key": f"too early, {case}"}
    with nothing_done(stage, told_no=1):
        first = stage.do(step, campaign, **call)
    assert first.refusals == [(code, "input.id")]
    change(stage, campaign)

    with nothing_done(stage):
        again = stage.do(step, campaign, **call)

    assert again.data[f"campaign{step}"] == {**first.data[f"campaign{step}"], "replayed": True}
    # Another key is another call.
    stage.did(step, campaign, caller=boss())
    stage.empty()
    with nothing_done(stage):
        assert stage.do(step, campaign, **call).data == again.data


def test_told_no_its_maker_does_not_approve_it_by_the_same_key_ever(stage: Stage) -> None:
    campaign = previewed(stage)
    assert stage.do("Approve", campaign, key="mine").refusals == [("APPROVER_INVOLVED", "input.id")]
    stage.did("Cancel", campaign)

    with nothing_done(stage):
        again = stage.do("Approve", campaign, key="mine")

    assert (again.refusals, again.data["campaignApprove"]["replayed"]) == ([("APPROVER_INVOLVED", "input.id")], True)


def test_a_key_that_was_told_no_does_nothing_else_either(stage: Stage, clock: Clock) -> None:
    campaign, other = drafted(stage), previewed(stage)
    at = (clock.now + timedelta(days=1)).isoformat()
    assert stage.do("Launch", campaign, key="no", at=at).refusals == [("PREVIEW_MISSING", "input.id")]

    with nothing_done(stage):
        for answer in (
            stage.do("Launch", campaign, key="no"),
            stage.do("Launch", campaign, key="no", at=(clock.now + timedelta(days=2)).isoformat()),
            stage.do("Launch", other, key="no", at=at),
            stage.do("Preview", campaign, key="no"),
            stage.do("Cancel", other, key="no"),
            stage.create(key="no"),
        ):
            assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", KEYS)]
    # It is its caller's own.
    assert stage.did("Launch", other, caller=boss(), key="no")["status"] == "RUNNING"
    stage.empty()


def test_a_key_of_one_campaign_does_nothing_with_another(stage: Stage) -> None:
    campaign, other = previewed(stage), previewed(stage)
    stage.did("Launch", campaign, key="go")
    stage.empty()

    with nothing_done(stage):
        for step in STEPS:
            assert stage.do(step, other, key="go").refusals == [("IDEMPOTENCY_KEY_REUSED", KEYS)]
        assert stage.create(key="go").refusals == [("IDEMPOTENCY_KEY_REUSED", KEYS)]


def test_that_a_time_was_wrong_is_not_held_against_a_key(stage: Stage, clock: Clock) -> None:
    campaign = previewed(stage)
    at = (clock.now + limits.CAMPAIGN_AHEAD_MAX + timedelta(hours=1)).isoformat()
    with nothing_done(stage):
        assert stage.do("Launch", campaign, key="far", at=at).refusals == [("INVALID_TIME", "input.at")]

    clock.advance(hours=1)
    assert stage.did("Launch", campaign, key="far", at=at)["status"] == "SCHEDULED"


# --- retries ------------------------------------------------------------------------------------------------------------


def test_a_retry_is_answered_again_and_makes_no_second_campaign(stage: Stage, clock: Clock) -> None:
    wanted: dict[str, Any] = {"key": "once", "audience": {"tags": ["a", "b"]}, "validity": {"until": "2030-01-11"}}
    first = stage.create(**wanted).data["campaignCreate"]

    with nothing_done(stage):
        again = stage.create(**{**wanted, "audience": {"tags": ["b", "a"]}}).data["campaignCreate"]
        other = stage.create(**{**wanted, "audience": {"tags": ["a"]}})
        # By then its points would be over, and it could not be made any more.
        clock.advance(days=2)
        late = stage.create(**wanted).data["campaignCreate"]
        too_late = stage.create(**{**wanted, "key": "another"})
    assert again == late == {**first, "replayed": True}
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", KEYS)]
    assert too_late.refusals == [("INVALID_VALIDITY", "input.validity.until")]


def test_a_key_is_its_callers_own(stage: Stage) -> None:
    mine = stage.drafted(key="ours")
    theirs = stage.drafted(key="ours", caller=boss())

    assert mine != theirs


# What is done with a campaign that stands so, and what follows from doing it again is handed out again.
REPEATED = {
    "Preview": ("DRAFT", True),
    "Approve": ("DRAFT", False),
    "Launch": ("DRAFT", True),
    "Pause": ("RUNNING", False),
    "Resume": ("PAUSED", True),
    "Cancel": ("RUNNING", False),
    "Revert": ("COMPLETED", True),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_repeated_is_done_once(stage: Stage, step: str) -> None:
    status, is_handed_out = REPEATED[step]
    campaign = standing(stage, status)
    caller = boss()
    first = stage.do(step, campaign, caller=caller, key=f"once {step}").data[f"campaign{step}"]
    handed = stage.waiting()
    assert (first["userErrors"], len(handed)) == ([], 4 if is_handed_out else 0)

    with stage.api.unchanged():
        again = stage.do(step, campaign, caller=caller, key=f"once {step}").data[f"campaign{step}"]

    assert again == {**first, "replayed": True}
    # Whoever asked first may have died before it was on its way. One too many does no harm.
    assert stage.waiting() == sorted(2 * handed)
    stage.work()
    assert stage.api.balance(external_id_of(stage, campaign)) in (0, 100)
    if step == "Launch":
        late = stage.do(step, campaign, caller=caller, key=f"once {step}").data[f"campaign{step}"]
        assert (late["replayed"], late["campaign"]["status"], stage.waiting()) == (True, "COMPLETED", [])


def external_id_of(stage: Stage, campaign: str) -> str:
    asked = "query Asked($id: ID!) { campaign(id: $id) { audience { locations } } }"
    (place,) = stage.api.post(manager(), asked, id=campaign).data["campaign"]["audience"]["locations"]
    return f"{place}-ada"


def test_a_launch_at_another_time_under_the_same_key_is_refused(stage: Stage) -> None:
    campaign = previewed(stage)
    stage.did("Launch", campaign, key="at noon", at="2030-02-01T12:00:00Z")

    with nothing_done(stage):
        for at in ("2030-02-01T12:00:01Z", None):
            refused = stage.do("Launch", campaign, key="at noon", at=at)
            assert refused.refusals == [("IDEMPOTENCY_KEY_REUSED", KEYS)]
        again = stage.do("Launch", campaign, key="at noon", at="2030-02-01T13:00:00+01:00").data["campaignLaunch"]
    assert (again["replayed"], again["campaign"]["status"]) == (True, "SCHEDULED")


def test_what_was_not_handed_out_is_handed_out_by_the_retry(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = previewed(stage)

    class Away:
        def send_message_batch(self, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://sqs.example")

    with monkeypatch.context() as patch:
        patch.setattr(aws, "connect", lambda _service: Away())
        answer = stage.do("Launch", campaign, key="unlucky")
    assert answer.faults == [("OUTCOME_UNKNOWN", None)]
    assert (stage.look(campaign)["status"], stage.waiting()) == ("RUNNING", [])

    again = stage.do("Launch", campaign, key="unlucky").data["campaignLaunch"]
    assert (again["replayed"], len(stage.waiting())) == (True, 4)
    stage.work()
    assert stage.look(campaign)["status"] == "COMPLETED"


# --- odd input ----------------------------------------------------------------------------------------------------------

WHOM = "input.audience"


@pytest.mark.parametrize(
    ("draft", "complaint"),
    [
        ({"award": {"points": -1}}, ("INVALID_AWARD", "input.award.points")),
        ({"award": {"points": 10**9 + 1}}, ("INVALID_AWARD", "input.award.points")),
        ({"award": {"tiers": []}}, ("INVALID_AWARD", "input.award.tiers")),
        ({"award": {"segments": []}}, ("INVALID_AWARD", "input.award.segments")),
        ({"award": {"tiers": [{"tier": "gold", "points": 1}]}}, ("INVALID_AUDIENCE", "input.award.tiers.0.tier")),
        ({"award": {"tiers": [{"tier": "sky", "points": 0}]}}, ("INVALID_AWARD", "input.award.tiers.0")),
        (
            {"award": {"tiers": [{"tier": "sky", "points": 1}, {"tier": "", "points": 1}]}},
            ("INVALID_AUDIENCE", "input.award.tiers.1.tier"),
        ),
        (
            {"award": {"tiers": [{"tier": "sky", "points": 1}, {"tier": "sky", "points": 2}]}},
            ("INVALID_AWARD", "input.award.tiers.1"),
        ),
        (
            {"award": {"segments": [{"audience": {}, "points": 5}] * 21}},
            ("INVALID_AWARD", "input.award.segments"),
        ),
        (
            {"award": {"segments": [{"audience": {"birthMonths": [13]}, "points": 5}]}},
            ("INVALID_AUDIENCE", "input.award.segments.0.audience.birthMonths"),
        ),
        (
            {"award": {"segments": [{"audience": {}, "points": 5}, {"audience": {"tags": []}, "points": 5}]}},
            ("INVALID_AUDIENCE", "input.award.segments.1.audience.tags"),
        ),
        (
            {"award": {"segments": [{"audience": {}, "points": 5}, {"audience": {"locations": [" "]}, "points": 5}]}},
            ("INVALID_TEXT", "input.award.segments.1.audience.locations"),
        ),
        (
            {"award": {"segments": [{"audience": {"listId": global_id("MemberList", "x")}, "points": 5}]}},
            ("INVALID_AWARD", "input.award.segments.0"),
        ),
        (
            {"award": {"segments": [{"audience": {"listId": "x"}, "points": 5}]}},
            ("BAD_USER_INPUT", "input.award.segments.0.audience.listId"),
        ),
        ({"award": {}}, ("BAD_USER_INPUT", "input.award")),
        ({"award": {"points": 5, "tiers": []}}, ("BAD_USER_INPUT", "input.award")),
        ({"award": {"points": None}}, ("BAD_USER_INPUT", "input.award.points")),
        ({"award": None}, ("BAD_USER_INPUT", "input.award")),
        ({"validity": {"days": 0}}, ("INVALID_VALIDITY", "input.validity.days")),
        ({"validity": {"days": -1}}, ("INVALID_VALIDITY", "input.validity.days")),
        ({"validity": {"days": 3_661}}, ("INVALID_VALIDITY", "input.validity.days")),
        ({"validity": {"until": "2030-01-10"}}, ("INVALID_VALIDITY", "input.validity.until")),
        ({"validity": {"until": "0001-01-01"}}, ("INVALID_VALIDITY", "input.validity.until")),
        ({"validity": {"until": "9999-12-31"}}, ("INVALID_VALIDITY", "input.validity.until")),
        ({"validity": {"until": "2030-02-30"}}, ("BAD_USER_INPUT", "input.validity.until")),
        ({"validity": {"days": 5, "until": "2030-02-01"}}, ("BAD_USER_INPUT", "input.validity")),
        ({"validity": {}}, ("BAD_USER_INPUT", "input.validity")),
        ({"budget": {"membersMax": 0}}, ("INVALID_BUDGET", "input.budget.membersMax")),
        ({"budget": {"pointsMax": -5}}, ("INVALID_BUDGET", "input.budget.pointsMax")),
        ({"budget": {"points": 5}}, ("BAD_USER_INPUT", "input.budget")),
        ({"holdOutPercent": -1}, ("INVALID_HOLD_OUT", "input.holdOutPercent")),
        ({"holdOutPercent": 100}, ("INVALID_HOLD_OUT", "input.holdOutPercent")),
        ({"holdOutPercent": 12.5}, ("BAD_USER_INPUT", "input.holdOutPercent")),
        ({"audience": {"birthMonths": [0]}}, ("INVALID_AUDIENCE", f"{WHOM}.birthMonths")),
        ({"audience": {"birthMonths": [1, 13]}}, ("INVALID_AUDIENCE", f"{WHOM}.birthMonths")),
        ({"audience": {"tiers": ["gold"]}}, ("INVALID_AUDIENCE", f"{WHOM}.tiers")),
        ({"audience": {"balanceMin": -1}}, ("INVALID_AUDIENCE", f"{WHOM}.balanceMin")),
        ({"audience": {"balanceMax": -1}}, ("INVALID_AUDIENCE", f"{WHOM}.balanceMax")),
        (
            {"audience": {"activeFrom": "2030-01-02", "activeUntil": "2030-01-01"}},
            ("INVALID_AUDIENCE", f"{WHOM}.activeFrom"),
        ),
        (
            {"audience": {"joinedFrom": "2030-01-02", "joinedUntil": "2030-01-01"}},
            ("INVALID_AUDIENCE", f"{WHOM}.joinedFrom"),
        ),
        ({"audience": {"tags": ["vip"], "withoutTags": ["vip"]}}, ("INVALID_AUDIENCE", f"{WHOM}.withoutTags")),
        ({"audience": {"tags": [f"t{number}" for number in range(21)]}}, ("INVALID_AUDIENCE", f"{WHOM}.tags")),
        (
            {"audience": {"locations": [f"l{number}" for number in range(51)]}},
            ("INVALID_AUDIENCE", f"{WHOM}.locations"),
        ),
        ({"audience": {"locations": ["x"] * 501}}, ("LIST_TOO_LONG", f"{WHOM}.locations")),
        ({"audience": {"locations": ["a\x00b"]}}, ("INVALID_TEXT", f"{WHOM}.locations")),
        ({"audience": {"locations": ["x" * 65]}}, ("INVALID_TEXT", f"{WHOM}.locations")),
        *(
            ({"audience": {name: []}}, ("INVALID_AUDIENCE", f"{WHOM}.{name}"))
            for name in ("tiers", "locations", "tags", "withoutTags", "birthMonths")
        ),
        ({"audience": {"tags": [None]}}, ("BAD_USER_INPUT", f"{WHOM}.tags.0")),
        ({"audience": {"listId": ""}}, ("BAD_USER_INPUT", f"{WHOM}.listId")),
        ({"audience": {"listId": global_id("Campaign", "x")}}, ("BAD_USER_INPUT", f"{WHOM}.listId")),
        ({"audience": {"age": 30}}, ("BAD_USER_INPUT", WHOM)),
        ({"message": {"title": "$nickname", "text": "x"}}, ("INVALID_TEXT", "input.message.title")),
        ({"message": {"title": "x", "text": "5 $"}}, ("INVALID_TEXT", "input.message.text")),
        ({"message": {"title": "x", "text": "${points"}}, ("INVALID_TEXT", "input.message.text")),
        ({"message": {"title": "x", "text": "a\x00b"}}, ("INVALID_TEXT", "input.message.text")),
        ({"message": {"title": "a\u202eb", "text": "x"}}, ("INVALID_TEXT", "input.message.title")),
        ({"message": {"title": "x", "text": "x" * 401}}, ("INVALID_TEXT", "input.message.text")),
        ({"message": {"title": "x"}}, ("BAD_USER_INPUT", "input.message")),
    ],
    ids=str,
)
def test_each_mistake_of_a_draft_is_named_and_nothing_is_written(
    stage: Stage, draft: dict[str, Any], complaint: tuple[str, str]
) -> None:
    with nothing_done(stage):
        answer = stage.create(**draft)

    assert complaint in answer.complaints, answer.body
    assert "IDEMPOTENCY_KEY_REUSED" not in answer.body


def test_what_lies_just_within_the_bounds_is_taken(stage: Stage) -> None:
    drafts: list[dict[str, Any]] = [
        {"award": {"points": 1}},
        {"award": {"points": 10**9}},
        {"award": {"segments": [{"audience": {"balanceMin": number}, "points": 1} for number in range(20)]}},
        {"validity": {"days": 1}},
        {"validity": {"days": 3_660}},
        {"validity": {"until": "2030-01-11"}},
        {"budget": {"pointsMax": 1, "membersMax": 1}},
        {"budget": {}},
        {"holdOutPercent": 90},
        {"audience": {"balanceMin": 0, "balanceMax": 0, "activeFrom": "0001-01-01", "joinedUntil": "9999-12-31"}},
        {"audience": {"activeFrom": "2030-01-01", "activeUntil": "2030-01-01"}},
        {"audience": {"locations": [f"l{number}" for number in range(50)], "birthMonths": list(range(1, 13))}},
        {"audience": {"tags": [f"t{number}" for number in range(20)]}},
        {"audience": {}},
        {"audience": None, "validity": None, "budget": None, "message": None},
        {"name": "💥" * 200, "code": "S" * 64},
        {"message": {"title": "x" * 200, "text": "x" * 400}},
    ]
    for draft in drafts:
        assert stage.create(**draft).complaints == []


def test_a_campaign_is_no_draft_of_a_launch(stage: Stage) -> None:
    """What only one of the inputs knows is refused by the others."""
    campaign = stage.drafted()
    for step in STEPS:
        answer = stage.do(step, campaign, note="x")
        assert answer.faults == [("BAD_USER_INPUT", "input")]
    assert set(CAMPAIGN_STEPS) == {f"campaign{step}" for step in ("Create", *STEPS)}
