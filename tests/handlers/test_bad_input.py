"""Bad input: each case gets a typed error that names the field, nothing is written, and no answer is a fault of ours."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, cycle
from typing import Any

import pytest

from domain.campaigns import Action, Campaign, Draft, Status, Step, definition
from domain.campaigns.audience import EVERYBODY
from handlers import aws, runtime
from schema.nodes import from_id
from storage import items
from tests.engines import Engine
from tests.handlers.api import (
    ADJUST,
    BLOCK,
    BODY_BYTES_MAX,
    BOUGHT,
    CAMPAIGN,
    CAMPAIGN_STEPS,
    CAMPAIGNS,
    CANCEL,
    CAPTURE,
    CLOSE,
    ENROLL,
    ENTRY,
    HOLD,
    LIST_CREATE,
    MARK_READ,
    MEMBER,
    MERGE,
    NODE,
    PREVIEW,
    PURCHASE,
    REDEEM,
    RELEASE,
    RETURN,
    REWARDS,
    SUBMISSION,
    SUBMIT,
    TIER_SET,
    TILL_CLIENT,
    TRANSFER,
    UNBLOCK,
    UNMERGE,
    UPDATE,
    Answer,
    Api,
    Claims,
    deployed,
    event,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock, Sqs

MISSING = object()
# A value that is made when the test runs, out of the stack it runs on.
Made = Callable[[Api, Clock], object]


class Name(str):
    """A value of an enum: a text in a variable, a word in a query."""

    __slots__ = ()


@dataclass(frozen=True)
class Operation:
    """An operation and an input to it that is good."""

    query: str
    caller: Claims
    good: Callable[[], dict[str, Any]]


LINE = {"sku": "tea", "category": "drinks", "quantity": 1, "amountMinor": 1000}
NAMING = {"idempotencyKey": "bad input", "member": {"externalId": "ada"}}


def _preview() -> dict[str, Any]:
    good = receipt("-", "ada", 1200, location="harbor", channel="store", lines=[LINE, {**LINE, "amountMinor": 200}])
    del good["source"], good["externalId"]
    return {"input": good}


# What a submission is called follows from whose it is and their key (see `furnished`).
SUBMITTED = global_id("Submission", hashlib.sha256(f"submission:~p.{TILL_CLIENT}:submitted".encode()).hexdigest()[:32])


def campaign_for(step: str, number: int) -> str:
    return global_id("Campaign", f"01JCA{step}{number}")


def standing(step: str) -> Callable[[], dict[str, Any]]:
    ids = cycle([campaign_for(step, number) for number in range(2)])
    at = {"at": "2030-02-01T12:00:00Z"} if step == "campaignLaunch" else {}
    return lambda: {"input": {"idempotencyKey": "bad input", "id": next(ids), **at}}


# Hal has two redemptions and four open holds (see `furnished`): whatever ends one is tried twice where it may succeed.
HAL = "01JHA0000000000000000000HA"
HALS = {"idempotencyKey": "bad input", "member": {"externalId": "hal"}}
REDEEMED = cycle([global_id("Redemption", f"{HAL}:{seq}:0") for seq in (3, 4)])
CAPTURABLE = cycle([global_id("Hold", f"{HAL}:{number}") for number in (5, 6)])
RELEASABLE = cycle([global_id("Hold", f"{HAL}:{number}") for number in (7, 8)])

# Whoever is turned once cannot be turned so again: there are two of each.
TURNED = {what: [f"{what} {number}" for number in (1, 2)] for what in ("free", "blocked", "leaving")}
FREE, BLOCKED, LEAVING = (
    cycle([{"idempotencyKey": "bad input", "member": {"externalId": name}} for name in names])
    for names in TURNED.values()
)
# Whoever was merged once cannot be merged again, nor is there a merge to undo twice.
DOUBLES = {what: [f"{what} {number}" for number in (1, 2)] for what in ("double", "merged")}
DOUBLE, MERGED = (cycle([{"externalId": name} for name in names]) for names in DOUBLES.values())
# Of the campaigns that stand where a step can be done there are two each (see `furnished`).
STANDING = {
    "campaignPreview": Status.DRAFT,
    "campaignApprove": Status.DRAFT,
    "campaignLaunch": Status.DRAFT,
    "campaignPause": Status.RUNNING,
    "campaignResume": Status.PAUSED,
    "campaignCancel": Status.RUNNING,
    "campaignRevert": Status.COMPLETED,
}
DRAFT = {
    "name": "Summer thanks",
    "code": "SUMMER",
    "audience": {
        "tiers": ["sky"],
        "balanceMin": 0,
        "balanceMax": 5,
        "locations": ["harbor"],
        "activeFrom": "2029-01-01",
        "joinedUntil": "2029-12-31",
        "tags": ["vip"],
        "withoutTags": ["staff"],
        "birthMonths": [1, 12],
    },
    "award": {"segments": [{"audience": {"balanceMin": 3}, "points": 10}, {"audience": {}, "points": 5}]},
    "validity": {"days": 30},
    "budget": {"pointsMax": 500, "membersMax": 50},
    "holdOutPercent": 10,
    "message": {"title": "Thanks", "text": "$points for you"},
}
MONEY = {"amountMinor": 5, "currency": "USD"}
OPERATIONS = {
    "purchaseRecord": Operation(
        PURCHASE, till(), lambda: {"input": {"source": "pos-harbor", "externalId": "bad input", **_preview()["input"]}}
    ),
    "purchasesSubmit": Operation(
        SUBMIT,
        till(),
        lambda: {
            "input": {
                "idempotencyKey": "bad input",
                "purchases": [{"source": "pos-harbor", "externalId": "bad input", **_preview()["input"]}],
            }
        },
    ),
    "memberListCreate": Operation(
        LIST_CREATE,
        manager(),
        lambda: {"input": {"idempotencyKey": "bad input", "name": "Walkers", "by": Name("EMAIL")}},
    ),
    "submission": Operation(SUBMISSION, support(), lambda: {"id": SUBMITTED}),
    "campaignCreate": Operation(
        CAMPAIGN_STEPS["campaignCreate"], manager(), lambda: {"input": {"idempotencyKey": "bad input", **DRAFT}}
    ),
    **{step: Operation(CAMPAIGN_STEPS[step], manager(), standing(step)) for step in STANDING},
    "campaign": Operation(CAMPAIGN, support(), lambda: {"id": campaign_for("campaignPause", 0)}),
    "campaigns": Operation(CAMPAIGNS, support(), lambda: {"first": 10}),
    "purchasePreview": Operation(PREVIEW, till(), _preview),
    "memberEnroll": Operation(
        ENROLL, till(), lambda: {"input": {"idempotencyKey": "bad input", "email": "new@example.com"}}
    ),
    "purchaseReturn": Operation(
        RETURN,
        till(),
        lambda: {
            "input": {
                "source": "pos-harbor",
                "externalId": "goods",
                "returnId": "bad input",
                "member": {"externalId": "ada"},
                "part": {"amount": {"amountMinor": 5, "currency": "USD"}},
            }
        },
    ),
    "purchase": Operation(
        BOUGHT, support(), lambda: {"by": {"receipt": {"source": "pos-harbor", "externalId": "goods"}}}
    ),
    "rewardRedeem": Operation(REDEEM, till(), lambda: {"input": {**NAMING, "rewardId": "latte"}}),
    "redemptionCancel": Operation(
        CANCEL,
        till(),
        lambda: {"input": {"idempotencyKey": "bad input", "redemptionId": next(REDEEMED), "reason": "OUT_OF_STOCK"}},
    ),
    "pointsHold": Operation(HOLD, till(), lambda: {"input": {**HALS, "points": 5, "ttlSeconds": 60}}),
    "pointsCapture": Operation(
        CAPTURE, till(), lambda: {"input": {"idempotencyKey": "bad input", "holdId": next(CAPTURABLE), "points": 5}}
    ),
    "pointsRelease": Operation(
        RELEASE, till(), lambda: {"input": {"idempotencyKey": "bad input", "holdId": next(RELEASABLE)}}
    ),
    "pointsAdjust": Operation(ADJUST, manager(), lambda: {"input": {**NAMING, "points": 5, "reason": "GOODWILL"}}),
    "memberUpdate": Operation(
        UPDATE,
        support(),
        lambda: {
            "input": {
                "idempotencyKey": "bad input",
                "member": {"externalId": "ada"},
                "name": "Ada",
                "reason": "MOVED",
                "addTags": ["spoiled"],
            }
        },
    ),
    "noticesMarkRead": Operation(MARK_READ, member("reader"), lambda: {"input": {"ids": []}}),
    "memberBlock": Operation(
        BLOCK, support(), lambda: {"input": {**next(FREE), "reason": "SUSPICION", "note": "Seen."}}
    ),
    "memberUnblock": Operation(
        UNBLOCK, support(), lambda: {"input": {**next(BLOCKED), "reason": "CLEARED", "note": "Seen."}}
    ),
    "memberClose": Operation(CLOSE, manager(), lambda: {"input": {**next(LEAVING), "reason": "LEFT", "note": "Seen."}}),
    "memberTierSet": Operation(
        TIER_SET,
        manager(),
        lambda: {"input": {**NAMING, "tier": "sky", "until": "2050-01-31", "reason": "GOODWILL", "note": "Seen."}},
    ),
    "pointsTransfer": Operation(
        TRANSFER,
        manager(),
        lambda: {
            "input": {
                "idempotencyKey": "bad input",
                "from": {"externalId": "ada"},
                "to": {"externalId": "hal"},
                "points": 5,
            }
        },
    ),
    "memberMerge": Operation(
        MERGE,
        manager(),
        lambda: {
            "input": {
                "idempotencyKey": "bad input",
                "duplicate": next(DOUBLE),
                "survivor": {"externalId": "ada"},
                "reason": "SAME_PERSON",
                "note": "Seen.",
            }
        },
    ),
    "memberUnmerge": Operation(
        UNMERGE,
        manager(),
        lambda: {
            "input": {
                "idempotencyKey": "bad input",
                "duplicate": next(MERGED),
                "reason": "OTHER_PERSON",
                "note": "Seen.",
            }
        },
    ),
    "entry": Operation(ENTRY, support(), lambda: {"id": global_id("Entry", f"{HAL}:1:0")}),
    "member": Operation(MEMBER, support(), lambda: {"by": {"externalId": "ada"}, "first": 10}),
    "rewards": Operation(REWARDS, support(), lambda: {"first": 10}),
    "node": Operation(NODE, support(), lambda: {"id": global_id("Reward", "latte")}),
}

# (path of the field that is spoiled, what stands there instead, code, field the answer names if it is not that path)
Case = tuple[Any, ...]


def each(path: str, code: str, *values: Any) -> list[Case]:
    return [(path, value, code) for value in values]


def texts(path: str, length_max: int, code: str = "INVALID_TEXT") -> list[Case]:
    """Texts no field takes."""
    return [
        (path, "", code),
        (path, " \t\n", code),
        (path, "x" * (length_max + 1), code),
        (path, "💥" * (length_max + 1), code),
        (path, "a\x00b", code),
        (path, "a\nb", code),
        (path, 5, "BAD_USER_INPUT"),
        (path, ["x"], "BAD_USER_INPUT"),
    ]


def required(path: str) -> list[Case]:
    """Null is a wrong value of the field; where it is missing, something is wrong with what should hold it."""
    holder, dot, _ = path.rpartition(".")
    return [(path, None, "BAD_USER_INPUT"), (path, MISSING, "BAD_USER_INPUT", holder if dot else path)]


def numbers(path: str) -> list[Case]:
    """What is no whole number that every JSON client reads exactly."""
    return [*each(path, "BAD_USER_INPUT", 1.5, 1000.0, 2**53, True, "1000"), *required(path)]


def one_of_each(cases: list[Case]) -> list[Case]:
    """The first case of each field and code."""
    return list(
        {(path, code, *field): (path, value, code, *field) for path, value, code, *field in reversed(cases)}.values()
    )


def ways_of_naming(path: str, *, is_unknown_refused: bool = True) -> list[Case]:
    """Members that cannot be."""
    text_fields = [f"{path}.externalId", f"{path}.cardNumber"]
    unknown: list[Case] = [
        (path, {"externalId": "nobody"}, "MEMBER_NOT_FOUND"),
        (path, {"email": "nobody@example.com"}, "MEMBER_NOT_FOUND"),
        (path, {"phone": "+15559990000"}, "MEMBER_NOT_FOUND"),
        (path, {"cardNumber": "0000"}, "MEMBER_NOT_FOUND"),
        (path, {"id": global_id("Member", "nobody")}, "MEMBER_NOT_FOUND"),
        (path, {"id": global_id("Member", "")}, "MEMBER_NOT_FOUND"),
    ]
    refused = "INVALID_TEXT" if is_unknown_refused else "BAD_USER_INPUT"
    email = "INVALID_EMAIL" if is_unknown_refused else "BAD_USER_INPUT"
    phone = "INVALID_PHONE" if is_unknown_refused else "BAD_USER_INPUT"
    return [
        *(unknown if is_unknown_refused else []),
        (path, {}, "BAD_USER_INPUT"),
        (path, {"externalId": "ada", "email": "ada@example.com"}, "BAD_USER_INPUT"),
        (path, {"externalId": "ada", "email": None}, "BAD_USER_INPUT"),
        (path, {"externalId": None}, "BAD_USER_INPUT", f"{path}.externalId"),
        (path, {"nickname": "ada"}, "BAD_USER_INPUT"),
        (path, "ada", "BAD_USER_INPUT"),
        (path, [{"externalId": "ada"}, {"externalId": "bob"}], "BAD_USER_INPUT"),
        *chain.from_iterable(
            (
                (path, {field.rpartition(".")[2]: case[1]}, refused if case[2] == "INVALID_TEXT" else case[2], field)
                for case in texts(field, 128)
            )
            for field in text_fields
        ),
        (path, {"email": ""}, refused, f"{path}.email"),
        (path, {"email": "nonsense"}, email, f"{path}.email"),
        (path, {"phone": ""}, refused, f"{path}.phone"),
        (path, {"phone": "0555 1234"}, phone, f"{path}.phone"),
        (path, {"id": ""}, "BAD_USER_INPUT", f"{path}.id"),
        (path, {"id": "ada"}, "BAD_USER_INPUT", f"{path}.id"),
        (path, {"id": global_id("Reward", "latte")}, "BAD_USER_INPUT", f"{path}.id"),
        (path, {"id": True}, "BAD_USER_INPUT", f"{path}.id"),
        (path, {"id": 1.5}, "BAD_USER_INPUT", f"{path}.id"),
    ]


KEY: list[Case] = [*texts("input.idempotencyKey", 256), *required("input.idempotencyKey")]
NOTE: list[Case] = [
    *each(
        "input.note", "INVALID_TEXT", "", " \t\n", "x" * 1_001, "💥" * 1_001, "a\x00b", "a\tb", "a\u2028b", "a\u202eb"
    ),
    *each("input.note", "BAD_USER_INPUT", 5, ["x"], {}, True),
]
INPUT: list[Case] = [
    ("input", None, "BAD_USER_INPUT"),
    ("input", "x", "BAD_USER_INPUT"),
    ("input", [], "BAD_USER_INPUT"),
    ("input.discount", 5, "BAD_USER_INPUT", "input"),
]
BIRTHDAY_AND_CONSENTS: list[Case] = [
    *each(
        "input.birthday", "INVALID_BIRTHDAY", *({"month": m, "day": d} for m, d in ((2, 30), (0, 1), (13, 1), (1, -1)))
    ),
    ("input.birthday", {"month": 2, "day": 29, "year": 2029}, "INVALID_BIRTHDAY"),
    ("input.birthday", {"month": 1, "day": 1, "year": 10**15}, "INVALID_BIRTHDAY"),
    ("input.birthday", {"month": 1, "day": 1, "year": 1900}, "INVALID_BIRTHDAY", "input.birthday.year"),
    ("input.birthday", {"month": 1, "day": 1, "year": 2031}, "INVALID_BIRTHDAY", "input.birthday.year"),
    *each("input.birthday", "BAD_USER_INPUT", "2000-01-01", 5, {"month": 1}, {}),
    ("input.birthday", {"month": 1.5, "day": 1}, "BAD_USER_INPUT", "input.birthday.month"),
    ("input.consents", [{"kind": Name("OFFERS"), "isGiven": each} for each in (True, False)], "CONSENT_REPEATED"),
    ("input.consents", [{"kind": Name("OFFERS")}] * 2, "CONSENT_REPEATED"),
    ("input.consents", [{"kind": Name("SPAM"), "isGiven": True}], "BAD_USER_INPUT", "input.consents.0.kind"),
    ("input.consents", [{"kind": Name("OFFERS"), "isGiven": "yes"}], "BAD_USER_INPUT", "input.consents.0.isGiven"),
    ("input.consents", [{"isGiven": True}], "BAD_USER_INPUT", "input.consents.0"),
    ("input.consents", 5, "BAD_USER_INPUT"),
]
HOME: list[Case] = texts("input.homeLocation", 64)


def tags(path: str) -> list[Case]:
    """Tags that are none."""
    return [
        *(
            (path, ["vip", tag], "INVALID_TEXT", f"{path}.1")
            for tag in ("", " ", "VIP", "v i p", "café", "a\x00b", "💥", "x" * 33)
        ),
        (path, [f"t{number}" for number in range(21)], "TOO_MANY_TAGS"),
        (path, ["vip"] * 21, "TOO_MANY_TAGS"),
        (path, ["vip", None], "BAD_USER_INPUT", f"{path}.1"),
        (path, ["vip", 5], "BAD_USER_INPUT", f"{path}.1"),
        *each(path, "BAD_USER_INPUT", 5, {}, {"add": ["vip"]}),
    ]


BASKET: list[Case] = [
    ("input.total.amountMinor", -1, "INVALID_AMOUNT"),
    ("input.total.amountMinor", -(2**53) + 1, "INVALID_AMOUNT"),
    ("input.total.amountMinor", 10**12 + 1, "INVALID_AMOUNT"),
    ("input.total.amountMinor", 2**53 - 1, "INVALID_AMOUNT"),
    ("input.total.amountMinor", 1201, "LINES_TOTAL_MISMATCH", "input.lines"),
    *numbers("input.total.amountMinor"),
    *each("input.total.amountMinor", "BAD_USER_INPUT", 1e300, -0.5, -(2**53), 10**30, False, "", [], {}, [1000, 200]),
    *each("input.total.currency", "CURRENCY_NOT_ACCEPTED", "EUR", "usd", "", "US$", " USD", "USD\n", "💶"),
    ("input.total.currency", 840, "BAD_USER_INPUT"),
    *required("input.total.currency"),
    *required("input.total"),
    ("input.total", "12.00 USD", "BAD_USER_INPUT"),
    ("input.total.cents", 5, "BAD_USER_INPUT", "input.total"),
    ("input.lines", [LINE], "LINES_TOTAL_MISMATCH"),
    ("input.lines", [{**LINE, "amountMinor": 0}], "LINES_TOTAL_MISMATCH"),
    ("input.lines", [{**LINE, "amountMinor": 6}] * 200 + [{**LINE, "amountMinor": 0}], "TOO_MANY_LINES"),
    ("input.lines", [{**LINE, "amountMinor": 2}] * 500, "TOO_MANY_LINES"),
    ("input.lines", [{**LINE, "amountMinor": 2}] * 501, "LIST_TOO_LONG"),
    ("input.lines", None, "BAD_USER_INPUT"),
    ("input.lines", 5, "BAD_USER_INPUT"),
    ("input.lines", [LINE, None], "BAD_USER_INPUT", "input.lines.1"),
    ("input.lines", [LINE, "tea"], "BAD_USER_INPUT", "input.lines.1"),
    ("input.lines.1.price", 5, "BAD_USER_INPUT", "input.lines.1"),
    ("input.lines.1.quantity", -1, "INVALID_QUANTITY"),
    ("input.lines.1.quantity", 1_000_001, "INVALID_QUANTITY"),
    ("input.lines.0.quantity", 2**53 - 1, "INVALID_QUANTITY"),
    *numbers("input.lines.1.quantity"),
    ("input.lines.1.amountMinor", -200, "INVALID_AMOUNT"),
    ("input.lines.0.amountMinor", 10**12 + 1, "INVALID_AMOUNT"),
    *numbers("input.lines.0.amountMinor"),
    *texts("input.lines.1.sku", 64),
    *texts("input.lines.0.category", 64),
    *texts("input.location", 64),
    *texts("input.channel", 64),
    *(("input.location", f"a{control}b", "INVALID_TEXT") for control in ("\x07", "\x1b[2J", "\x7f", "\x85", "\u2028")),
    *ways_of_naming("input.member"),
    *required("input.member"),
    ("input.occurredAt", lambda _api, clock: (clock.now + timedelta(minutes=5, milliseconds=1)).isoformat(), "INVALID_TIME"),
    ("input.occurredAt", lambda _api, clock: (clock.now - timedelta(days=400, milliseconds=1)).isoformat(), "INVALID_TIME"),
    ("input.occurredAt", "2031-01-10T17:00:00Z", "INVALID_TIME"),
    ("input.occurredAt", "1970-01-01T00:00:00Z", "INVALID_TIME"),
    ("input.occurredAt", "0001-01-01T00:00:00Z", "INVALID_TIME"),
    ("input.occurredAt", "9999-12-31T23:59:59.999Z", "INVALID_TIME"),
    *each(
        "input.occurredAt", "BAD_USER_INPUT",
        "2030-01-10T12:00:00", "2030-01-10", "yesterday", "", "2030-02-30T00:00:00Z", "2030-01-10T25:00:00Z",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2030-01-10T12:00:00+99:00", "10/01/2030 12:00 +00:00",
        1_893_456_000, 1.5, True, [], {},
    ),
]  # fmt: skip

# Texts that are the id of nothing, or of something else than what is asked for.
WRONG_IDS: list[Any] = [
    "", " ", "latte", "x" * 10_000, "a\x00b", 7, global_id("Member", HAL), global_id("Entry", f"{HAL}:5:0"),
    global_id("Purchase", "pos-harbor:hal"), global_id("Hold", ""), global_id("Hold", ":5"), global_id("Redemption", "::"),
]  # fmt: skip
WRONG_HOLDS = [
    global_id("Hold", place)
    for place in (
        "nobody:5", HAL, f"{HAL}:", f"{HAL}:0", f"{HAL}:-5", f"{HAL}:1", f"{HAL}:3", f"{HAL}:9", f"{HAL}:9999999999",
        f"{HAL}:99999999999", f"{HAL}:5:0", f"{HAL}:5x", f"{HAL}: 5", f"{HAL}:\u0665", f"{'0' * 2_000}:5",
    )
]  # fmt: skip

ANY_PURCHASE = {"source": "s", "externalId": "x", "member": {"externalId": "ada"}, "total": MONEY}
WRONG_CAMPAIGNS = [global_id("Campaign", key) for key in ("", "x", "WORK", "#", "x" * 65, "x" * 1_050)]

CASES: dict[str, list[Case]] = {
    "purchaseRecord": [
        *INPUT,
        *BASKET,
        *texts("input.source", 64),
        *each("input.source", "INVALID_TEXT", "pos 1", "pos:1", "~pos", "кафе", "pos/1"),
        *required("input.source"),
        *texts("input.externalId", 256),
        *required("input.externalId"),
    ],
    "purchasesSubmit": [
        *INPUT,
        *KEY,
        ("input.purchases", [], "NO_PURCHASES"),
        ("input.purchases", [ANY_PURCHASE] * 501, "LIST_TOO_LONG"),
        *each("input.purchases", "BAD_USER_INPUT", "x", 5),
        *required("input.purchases"),
        ("input.purchases", [None], "BAD_USER_INPUT", "input.purchases.0"),
        *numbers("input.purchases.0.total.amountMinor"),
        *required("input.purchases.0.externalId"),
        ("input.purchases.0.occurredAt", "yesterday", "BAD_USER_INPUT"),
    ],
    "memberListCreate": [
        *INPUT,
        *KEY,
        *texts("input.name", 200),
        *required("input.name"),
        *each("input.by", "BAD_USER_INPUT", "email", "SHOE_SIZE", "", 5, True, {}, ["EMAIL"]),
        *required("input.by"),
    ],
    "submission": [*each("id", "BAD_USER_INPUT", True, 1.5, [], {}), *required("id")],
    # What a draft says that cannot be is in tests/handlers/test_campaign_refusals.py.
    "campaignCreate": [
        *INPUT,
        *KEY,
        *texts("input.name", 200),
        *required("input.name"),
        *texts("input.code", 64),
        *each("input.code", "INVALID_TEXT", "summer", "SUMMER THANKS", "1ST", "_X", "SUMMER!", "ÉTÉ"),
        *required("input.code"),
        *each("input.audience", "BAD_USER_INPUT", "everybody", 5, [1]),
        ("input.audience.age", 30, "BAD_USER_INPUT", "input.audience"),
        *each("input.audience.tiers", "BAD_USER_INPUT", 5, {}),
        *each("input.audience.balanceMin", "INVALID_AUDIENCE", -1, 6, 2**53 - 1),
        *each("input.audience.balanceMin", "BAD_USER_INPUT", 1.5, 1000.0, 2**53, True, "1000"),
        *each("input.audience.joinedUntil", "BAD_USER_INPUT", "yesterday", "2029-02-30", 20290101, True, {}),
        *each("input.audience.birthMonths", "INVALID_AUDIENCE", [0], [13], [-1], [2**53 - 1], []),
        *each("input.audience.birthMonths", "BAD_USER_INPUT", "January", {}),
        *each("input.audience.locations", "INVALID_TEXT", [""], ["harbor", "a\x00b"], ["x" * 65]),
        *each("input.audience.listId", "BAD_USER_INPUT", "", "x", global_id("Member", HAL), True, {}),
        ("input.audience.listId", global_id("MemberList", "nobody's"), "LIST_NOT_FOUND"),
        *required("input.award"),
        *each("input.award", "BAD_USER_INPUT", 5, {}, {"points": 5, "tiers": []}, {"points": 5, "segments": None}),
        *(("input.award", {way: None}, "BAD_USER_INPUT", f"input.award.{way}") for way in ("points", "tiers")),
        *(
            ("input.award.segments.1.points", points, "INVALID_AWARD", "input.award.segments.1")
            for points in (0, -1, 10**9 + 1, 2**53 - 1)
        ),
        *numbers("input.award.segments.1.points"),
        *required("input.award.segments.1.audience"),
        *each("input.validity", "BAD_USER_INPUT", {}, "30 days", {"days": 5, "until": "2030-02-01"}),
        *each("input.validity.days", "INVALID_VALIDITY", 0, -1, 3_661, 2**53 - 1),
        *each("input.validity.days", "BAD_USER_INPUT", 1.5, None, "P30D", True),
        *each("input.budget.pointsMax", "INVALID_BUDGET", 0, -1),
        *each("input.budget.membersMax", "INVALID_BUDGET", 0, -1),
        *each("input.budget.membersMax", "BAD_USER_INPUT", 1.5, 2**53, True, "5"),
        *each("input.holdOutPercent", "INVALID_HOLD_OUT", -1, 91, 2**53 - 1),
        *each("input.holdOutPercent", "BAD_USER_INPUT", None, 12.5, 2**53, True, "10"),
        *texts("input.message.title", 200),
        *required("input.message.title"),
        *texts("input.message.text", 400),
        *each("input.message.text", "INVALID_TEXT", "$nickname", "5 $", "${points", "$0"),
        *required("input.message.text"),
    ],
    **{
        step: [
            *INPUT,
            *KEY,
            *each("input.id", "CAMPAIGN_NOT_FOUND", *WRONG_IDS, *WRONG_CAMPAIGNS),
            *each("input.id", "BAD_USER_INPUT", True, 1.5, [], {}),
            *required("input.id"),
        ]
        for step in STANDING
    },
    "campaign": [*each("id", "BAD_USER_INPUT", True, 1.5, [], {}), *required("id")],
    "campaigns": [
        *each("first", "PAGE_OUT_OF_RANGE", 0, -1, 101),
        *each("first", "BAD_USER_INPUT", None, "10", True),
        *each("after", "CURSOR_INVALID", "", "x", "MQ"),
        ("after", lambda api, _clock: cursor_of_entries(api), "CURSOR_INVALID"),
    ],
    "purchasePreview": one_of_each([*INPUT, *BASKET]),
    "purchaseReturn": [
        *INPUT,
        *texts("input.source", 64),
        *each("input.source", "INVALID_TEXT", "pos 1", "pos:1", "~pos", "~r.pos-harbor"),
        *required("input.source"),
        *texts("input.externalId", 256),
        *required("input.externalId"),
        *texts("input.returnId", 128),
        *required("input.returnId"),
        *ways_of_naming("input.member"),
        ("input.member", {"externalId": "hal"}, "PURCHASE_NOT_FOUND"),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "broken", "IT WAS BROKEN", "_X"),
        *each("input.part", "BAD_USER_INPUT", {}, [], "all", 5),
        ("input.part", {"amount": MONEY, "lines": [{"line": 1, "quantity": 1}]}, "BAD_USER_INPUT"),
        *(("input.part", {way: None}, "BAD_USER_INPUT", f"input.part.{way}") for way in ("lines", "amount")),
        *each("input.part.amount.amountMinor", "INVALID_AMOUNT", 0, -1, 10**12 + 1, 2**53 - 1),
        *numbers("input.part.amount.amountMinor"),
        *each("input.part.amount.currency", "CURRENCY_MISMATCH", "EUR", "JPY", "usd", "US$"),
        *each("input.part.amount.currency", "INVALID_TEXT", "", "US", "USDX", "U\nD"),
        *required("input.part.amount.currency"),
        *(
            ("input.part", {"lines": lines}, code, f"input.part.lines{field}")
            for lines, code, field in (
                ([], "INVALID_QUANTITY", ""),
                ([{"line": 1, "quantity": 1}] * 201, "TOO_MANY_LINES", ""),
                ([{"line": 1, "quantity": 1}] * 501, "LIST_TOO_LONG", ""),
                ([{"line": 1, "quantity": 0}], "INVALID_QUANTITY", ".0.quantity"),
                ([{"line": 1, "quantity": -1}], "INVALID_QUANTITY", ".0.quantity"),
                ([{"line": 1, "quantity": 1}, {"line": 2, "quantity": 1_000_001}], "INVALID_QUANTITY", ".1.quantity"),
                ([{"line": 1, "quantity": 1_000_000}, {"line": 1, "quantity": 1}], "INVALID_QUANTITY", ".1.quantity"),
                ([{"line": 0, "quantity": 1}], "LINE_NOT_FOUND", ".0.line"),
                ([{"line": -1, "quantity": 1}], "LINE_NOT_FOUND", ".0.line"),
                ([{"line": 2**53 - 1, "quantity": 1}], "LINE_NOT_FOUND", ".0.line"),
                ([{"line": 3, "quantity": 1}], "LINE_NOT_FOUND", ""),
                ([{"line": 1.5, "quantity": 1}], "BAD_USER_INPUT", ".0.line"),
                ([{"line": 1}], "BAD_USER_INPUT", ".0"),
            )
        ),
        ("input.occurredAt", lambda _api, clock: (clock.now + timedelta(minutes=6)).isoformat(), "INVALID_TIME"),
        ("input.occurredAt", "2028-01-10T00:00:00Z", "INVALID_TIME"),
        ("input.occurredAt", "yesterday", "BAD_USER_INPUT"),
    ],
    "purchase": [
        *texts("by.receipt.source", 64, "BAD_USER_INPUT"),
        *each("by.receipt.source", "BAD_USER_INPUT", "pos:1", "~pos"),
        *required("by.receipt.source"),
        *texts("by.receipt.externalId", 256, "BAD_USER_INPUT"),
        *required("by.receipt.externalId"),
        *each("by", "BAD_USER_INPUT", {}, "goods", {"id": "x", "receipt": None}),
        ("by", {"receipt": None}, "BAD_USER_INPUT", "by.receipt"),
        *required("by"),
        *(
            ("by", {"id": wrong}, "BAD_USER_INPUT", "by.id")
            for wrong in ("", "goods", global_id("Member", "goods"), global_id("Entry", "pos-harbor:goods"))
        ),
    ],
    "memberEnroll": [
        *INPUT,
        *KEY,
        *texts("input.email", 254),
        *each(
            "input.email",
            "INVALID_EMAIL",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "ada @example.com",
            "a@b@c.de",
            "ada@example.com.",
        ),
        *texts("input.phone", 30),
        *each(
            "input.phone",
            "INVALID_PHONE",
            "5551234",
            "+0123456789",
            "+123456",
            "+1234567890123456",
            "tel",
            "++15551234567",
            "+1555x1234567",
        ),
        *texts("input.externalId", 128),
        *texts("input.cardNumber", 128),
        *texts("input.name", 200),
        ("input.email", MISSING, "CONTACT_MISSING", "input"),
        ("input.email", None, "CONTACT_MISSING", "input"),
        *BIRTHDAY_AND_CONSENTS,
        *HOME,
        *tags("input.tags"),
    ],
    "rewardRedeem": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.member"),
        ("input.member", None, "MEMBER_NOT_FOUND"),
        ("input.member", MISSING, "MEMBER_NOT_FOUND"),
        *each("input.rewardId", "REWARD_NOT_FOUND", "espresso", "", " latte", "x" * 10_000, "a\x00b", 7),
        ("input.rewardId", global_id("Member", "latte"), "REWARD_NOT_FOUND"),
        *each("input.rewardId", "BAD_USER_INPUT", True, 1.5, [], {}),
        *required("input.rewardId"),
    ],
    "redemptionCancel": [
        *INPUT,
        *KEY,
        *each("input.redemptionId", "REDEMPTION_NOT_FOUND", *WRONG_IDS, global_id("Hold", f"{HAL}:5")),
        *each(
            "input.redemptionId",
            "REDEMPTION_NOT_FOUND",
            *(
                global_id("Redemption", f"{HAL}:{place}")
                for place in ("2:0", "5:0", "3:1", "3", "3:0:0", "-3:0", "3:x")
            ),
        ),
        *each("input.redemptionId", "BAD_USER_INPUT", True, 1.5, [], {}),
        *required("input.redemptionId"),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "oops", "OUT OF STOCK", "1ST", "_X", "OOPS!", "ÄRGER"),
    ],
    "pointsHold": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.member"),
        *required("input.member"),
        *each("input.points", "INVALID_POINTS", 0, -1, 10**9 + 1, 2**53 - 1, -(2**53) + 1),
        *numbers("input.points"),
        *each("input.ttlSeconds", "INVALID_TTL", 0, -1, 604_801, 2**53 - 1, -(2**53) + 1),
        *each("input.ttlSeconds", "BAD_USER_INPUT", 1.5, 900.0, 2**53, True, "900", "PT15M"),
    ],
    "pointsCapture": [
        *INPUT,
        *KEY,
        *each("input.holdId", "HOLD_NOT_FOUND", *WRONG_IDS, *WRONG_HOLDS),
        *each("input.holdId", "BAD_USER_INPUT", True, 1.5, [], {}),
        *required("input.holdId"),
        *each("input.points", "INVALID_POINTS", 0, -1, 10**9 + 1, 2**53 - 1, -(2**53) + 1),
        *each("input.points", "BAD_USER_INPUT", 1.5, 1000.0, 2**53, True, "1000"),
    ],
    "pointsRelease": [
        *INPUT,
        *KEY,
        *each("input.holdId", "HOLD_NOT_FOUND", *WRONG_IDS, *WRONG_HOLDS),
        *each("input.holdId", "BAD_USER_INPUT", True, 1.5, [], {}),
        *required("input.holdId"),
        ("input.points", 5, "BAD_USER_INPUT", "input"),
    ],
    "pointsAdjust": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.member"),
        *required("input.member"),
        *each("input.points", "INVALID_POINTS", 0, 10**9 + 1, -(10**9) - 1, 2**53 - 1),
        *numbers("input.points"),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "goodwill", "GOOD WILL", "1ST", "_X", "GOODWILL!", "ÄRGER"),
        *required("input.reason"),
        *NOTE,
    ],
    "memberUpdate": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.member"),
        ("input.member", None, "MEMBER_NOT_FOUND"),
        ("input.member", MISSING, "MEMBER_NOT_FOUND"),
        *texts("input.name", 200),
        *texts("input.email", 254),
        *each("input.email", "INVALID_EMAIL", "ada", "ada@example", "a@b@c.de"),
        *texts("input.phone", 30),
        *each("input.phone", "INVALID_PHONE", "5551234", "+123456", "tel"),
        *texts("input.cardNumber", 128),
        *texts("input.externalId", 128),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "moved", "JUST SO", "_X"),
        ("input.enrolledAt", "2030-01-01T00:00:00Z", "BAD_USER_INPUT", "input"),
        *BIRTHDAY_AND_CONSENTS,
        *HOME,
        *tags("input.addTags"),
        *tags("input.removeTags"),
        ("input.removeTags", ["spoiled"], "TAG_ADDED_AND_REMOVED"),
        ("input.tags", ["vip"], "BAD_USER_INPUT", "input"),
    ],
    "noticesMarkRead": [
        *INPUT,
        *required("input.ids"),
        ("input.ids", "x", "NOTICE_NOT_FOUND", "input.ids.0"),
        ("input.ids", [""], "NOTICE_NOT_FOUND", "input.ids.0"),
        ("input.ids", [global_id("Notice", f"{HAL}:20000:x.20030")], "NOTICE_NOT_FOUND", "input.ids.0"),
        ("input.ids", [global_id("Notice", "")], "NOTICE_NOT_FOUND", "input.ids.0"),
        ("input.ids", [global_id("Notice", f"{HAL}:{'9' * 400}:{'x' * 400}")], "NOTICE_NOT_FOUND", "input.ids.0"),
        ("input.ids", [global_id("Member", HAL)], "NOTICE_NOT_FOUND", "input.ids.0"),
        ("input.ids", ["x"] * 51, "TOO_MANY_NOTICES"),
        ("input.ids", [None], "BAD_USER_INPUT", "input.ids.0"),
        ("input.ids", [{}], "BAD_USER_INPUT", "input.ids.0"),
    ],
    "memberTierSet": [
        *KEY,
        *INPUT,
        *NOTE,
        *ways_of_naming("input.member"),
        *required("input.member"),
        # An id may be sent as a number.
        *(case for case in texts("input.tier", 64) if case[1] != 5),
        *required("input.tier"),
        *each("input.tier", "UNKNOWN_TIER", "Sky", "gold", global_id("Reward", "latte"), global_id("Tier", "gold")),
        *each("input.until", "INVALID_DATE", "2000-02-29", "0001-01-01", "2030-01-09", "2150-01-01", "9999-12-31"),
        *each(
            "input.until", "BAD_USER_INPUT", "tomorrow", "2050-02-30", "2050-1-1", 20500101, True, {}, ["2050-01-01"]
        ),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "goodwill", "GOOD WILL", "1ST", "_X"),
        *required("input.reason"),
    ],
    "memberBlock": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.member"),
        *required("input.member"),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "fraud", "FRAUD?", "1ST", "_X"),
        *required("input.reason"),
        *NOTE,
    ],
    "memberUnblock": [
        *one_of_each([*INPUT, *KEY, *ways_of_naming("input.member"), *required("input.member")]),
        *texts("input.reason", 64),
        *required("input.reason"),
        *NOTE,
    ],
    "memberClose": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.member"),
        ("input.member", None, "MEMBER_NOT_FOUND"),
        *texts("input.reason", 64),
        *required("input.reason"),
        *NOTE,
    ],
    "pointsTransfer": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.from"),
        ("input.from", None, "MEMBER_NOT_FOUND"),
        ("input.from", MISSING, "MEMBER_NOT_FOUND"),
        *ways_of_naming("input.to"),
        *required("input.to"),
        ("input.to", {"externalId": "ada"}, "TRANSFER_TO_SELF"),
        ("input.to", {"email": "ada@example.com"}, "TRANSFER_TO_SELF"),
        *each("input.points", "INVALID_POINTS", 0, -1, 10**9 + 1, 2**53 - 1, -(2**53) + 1),
        *numbers("input.points"),
    ],
    "memberMerge": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.duplicate"),
        *required("input.duplicate"),
        *ways_of_naming("input.survivor"),
        *required("input.survivor"),
        ("input.duplicate", {"externalId": "ada"}, "MERGE_WITH_SELF"),
        ("input.duplicate", {"externalId": "merged 1"}, "MERGE_WITH_SELF"),
        *texts("input.reason", 64),
        *each("input.reason", "INVALID_TEXT", "same person", "SAME PERSON", "1ST", "_X"),
        *required("input.reason"),
        *NOTE,
    ],
    "memberUnmerge": [
        *INPUT,
        *KEY,
        *ways_of_naming("input.duplicate"),
        *required("input.duplicate"),
        *texts("input.reason", 64),
        *required("input.reason"),
        *NOTE,
    ],
    "entry": [*each("id", "BAD_USER_INPUT", True, 1.5, [], {}), *required("id")],
    "member": [
        *ways_of_naming("by", is_unknown_refused=False),
        *required("by"),
        *each("first", "PAGE_OUT_OF_RANGE", 0, -1, 101, 2**31 - 1),
        *each("first", "BAD_USER_INPUT", None, "10", True, [], {}),
        *each("after", "CURSOR_INVALID", "", "x", "💥", "A" * 5_000),
        ("after", lambda api, _clock: cursor_of_rewards(api), "CURSOR_INVALID"),
        ("after", 5, "BAD_USER_INPUT"),
    ],
    "rewards": [
        *each("first", "PAGE_OUT_OF_RANGE", 0, -1, 101),
        *each("first", "BAD_USER_INPUT", None, "10", True),
        *each("after", "CURSOR_INVALID", "", "x", "MQ"),
        ("after", lambda api, _clock: cursor_of_entries(api), "CURSOR_INVALID"),
    ],
    "node": [*each("id", "BAD_USER_INPUT", True, 1.5, [], {}), *required("id")],
}


def furnished(api: Api) -> Api:
    """A member with enough points for everything that is tried here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "now", Clock())
        api.enroll("ada", email="ada@example.com")
        api.buy("ada", 100_000)
        goods = receipt("goods", "ada", 1200, lines=[LINE, {**LINE, "amountMinor": 200}])
        api.post(till(), PURCHASE, input=goods)
        api.enroll("reader", member("reader"))
        for names in TURNED.values():
            for name in names:
                api.enroll(name)
        for name in TURNED["blocked"]:
            api.post(support(), BLOCK, input={"idempotencyKey": name, "member": {"externalId": name}, "reason": "X"})
        for name in (*DOUBLES["double"], *DOUBLES["merged"]):
            api.enroll(name)
        for name in DOUBLES["merged"]:
            wanted = {"idempotencyKey": name, "duplicate": {"externalId": name}, "survivor": {"externalId": "ada"}}
            api.post(manager(), MERGE, input={**wanted, "reason": "X"})
        for step, status in STANDING.items():
            for number in range(2):
                api.client.put_item(TableName=api.table, Item=items.campaign_item(campaign(step, number, status)))
        patch.setattr(aws, "connect", lambda _service: Sqs())
        api.post(till(), SUBMIT, input={"idempotencyKey": "submitted", "purchases": [ANY_PURCHASE]})
        patch.setattr(runtime, "new_account", lambda: HAL)
        api.enroll("hal")
        api.buy("hal", 100_000)
        for number in range(2):
            api.post(till(), REDEEM, input={**HALS, "idempotencyKey": f"redeem {number}", "rewardId": "cookie"})
        for number in range(4):
            api.post(till(), HOLD, input={**HALS, "idempotencyKey": f"hold {number}", "points": 10})
    return api


def campaign(step: str, number: int, status: Status) -> Campaign:
    """A campaign that somebody else has made and looked at; its workers have nothing to do here."""
    now = Clock().now
    return Campaign(
        from_id(campaign_for(step, number))[1],
        Draft("Summer thanks", "SUMMER", EVERYBODY, definition.fixed(5)),
        created_by="s.somebody",
        created_at=now,
        status=status,
        previews=1,
        previewed=1,
        preview_points=5,
        preview_members=1,
        launched_at=None if status is Status.DRAFT else now,
        steps=(Step(Action.CREATE, "s.somebody", now),),
    )


@pytest.fixture(scope="module")
def shop(ministack: Engine) -> Iterator[Api]:
    """A shop in which things happen."""
    with deployed(ministack, "regulars-bad-input-done") as api:
        yield furnished(api)


@dataclass
class Still:
    """A shop in which nothing ever happens, and its table as it was seen last."""

    api: Api
    items: dict[tuple[str, str], Any]

    def is_changed(self) -> bool:
        before, self.items = self.items, self.api.items()
        return before != self.items


@pytest.fixture(scope="module")
def still(quiet: Api) -> Still:
    return Still(furnished(quiet), quiet.items())


def spoiled(good: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The variables with one field replaced."""
    variables: dict[str, Any] = deepcopy(good)
    *steps, last = path.split(".")
    place: Any = variables
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return variables


def literal(value: object) -> str:
    """A value as it is written in a query."""
    if isinstance(value, Name):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


def written_out(query: str, variables: dict[str, Any]) -> str:
    """The query with the values in place of its variables; a variable without a value takes its argument along."""
    head, _, rest = query.partition("{\n" if "{\n" in query else "{ ")
    for name in ("input", "by", "first", "after", "id"):
        if name in variables:
            rest = rest.replace(f"${name}", literal(variables[name]))
        else:
            rest = rest.replace(f", {name}: ${name}", "").replace(f"({name}: ${name})", "")
            rest = rest.replace(f"{name}: ${name}, ", "")
    return f"{head.split()[0]} {{ {rest}"


def parameters(cases_of: Callable[[list[Case]], list[Case]]) -> list[Any]:
    return [
        pytest.param(operation, *(case if len(case) == 4 else (*case, case[0])), id=f"{operation}-{index}-{case[0]}")
        for operation, cases in CASES.items()
        for index, case in enumerate(cases_of(cases))
    ]


def nothing_done(answer: Answer, name: str) -> bool:
    payload = (answer.json.get("data") or {}).get(name) or {}
    things = (
        "purchase",
        "purchaseReturn",
        "entry",
        "member",
        "redemption",
        "hold",
        "transfer",
        "account",
        "id",
        "submission",
        "memberList",
        "campaign",
    )
    results = [payload.get(thing) for thing in things]
    return answer.status == 200 and not payload.get("replayed") and not any(results)


@pytest.mark.parametrize(("name", "path", "value", "code", "field"), parameters(list))
def test_each_mistake_is_named_and_nothing_is_written(
    still: Still, clock: Clock, name: str, path: str, value: object, code: str, field: str
) -> None:
    operation = OPERATIONS[name]
    variables = spoiled(operation.good(), path, value(still.api, clock) if callable(value) else value)

    answer = still.api.post(operation.caller, operation.query, **variables)

    assert not still.is_changed()
    assert (code, field) in answer.complaints, answer.body
    if code == "BAD_USER_INPUT":
        assert path.rpartition(".")[2] in answer.body
    assert nothing_done(answer, name)


@pytest.mark.parametrize(("name", "path", "value", "code", "field"), parameters(one_of_each))
def test_a_mistake_written_into_the_query_is_named_as_in_a_variable(
    still: Still, clock: Clock, name: str, path: str, value: object, code: str, field: str
) -> None:
    operation = OPERATIONS[name]
    variables = spoiled(operation.good(), path, value(still.api, clock) if callable(value) else value)
    query = written_out(operation.query, variables)

    answer = still.api.send(operation.caller, json.dumps({"query": query}))

    assert not still.is_changed()
    codes = {told for told, _ in answer.complaints}
    if value is MISSING and "." not in path:
        assert codes == {"GRAPHQL_VALIDATION_FAILED"}
    elif code in ("TOO_MANY_LINES", "LIST_TOO_LONG"):
        # 200 lines are more than one document may hold; whoever sends many sends them as a variable.
        assert codes <= {"QUERY_TOO_LONG", "QUERY_TOO_MANY_TOKENS"}
    else:
        assert (code, field) in answer.complaints, f"{query}\n{answer.body}"
    assert nothing_done(answer, name)


@pytest.mark.usefixtures("sqs")
def test_the_inputs_that_are_spoiled_are_good(shop: Api, clock: Clock) -> None:
    """Or the table above would prove nothing."""
    for name, operation in OPERATIONS.items():
        for query in (operation.query, written_out(operation.query, operation.good())):
            variables = operation.good()
            text = json.dumps(variables).replace("bad input", f"good {name} {query is operation.query}")
            text = text.replace("new@", "newer@" if query is operation.query else "newest@")
            query = query.replace("new@", "newest@").replace("bad input", f"good {name} False")  # noqa: PLW2901
            sent = {"query": query} | ({"variables": json.loads(text)} if query is operation.query else {})
            answer = shop.send(operation.caller, json.dumps(sent))
            assert answer.complaints == []
            assert answer.data[name]


# --- keys at the bound --------------------------------------------------------------------------------------------------


def test_keys_of_256_letters_of_four_bytes_work_and_one_more_does_not(shop: Api, clock: Clock) -> None:
    """1,024 bytes, with the caller's name before them: a key of DynamoDB holds 2,048."""
    caller = till(client="t" * 255)
    for letters, refused in ((256, False), (257, True)):
        key = "🔑" * letters
        purchase = shop.post(caller, PURCHASE, input={**receipt(key, "ada", 500), "source": "s" * 64})
        enrolled = shop.post(caller, ENROLL, input={"idempotencyKey": key, "externalId": "🙂" * 128})
        redeemed = shop.post(caller, REDEEM, input={**NAMING, "idempotencyKey": key, "rewardId": "cookie"})

        assert purchase.refusals == ([("INVALID_TEXT", "input.externalId")] if refused else [])
        assert enrolled.refusals == ([("INVALID_TEXT", "input.idempotencyKey")] if refused else [])
        # One caller, one key, two operations: the second is told apart, not mixed up.
        code = "INVALID_TEXT" if refused else "IDEMPOTENCY_KEY_REUSED"
        assert redeemed.refusals == [(code, "input.idempotencyKey")]
    purchase_id = global_id("Purchase", f"{'s' * 64}:{'🔑' * 256}")
    assert shop.post(support(), NODE, id=purchase_id).data["node"]["id"] == purchase_id


def test_white_space_around_a_text_is_no_part_of_it(shop: Api, clock: Clock) -> None:
    query = PURCHASE.replace("points balanceAfter", "location channel").replace("{ id }", "{ id location channel }")
    wanted = receipt(" spaces ", "ada", 500, location=" harbor\n", channel="\tstore ")
    wanted["member"] = {"externalId": " ada\n"}
    wanted["source"] = " pos-harbor "

    payload = shop.post(till(), query, input=wanted).data["purchaseRecord"]

    tidy = {"location": "harbor", "channel": "store"}
    assert payload["purchase"] == {"id": global_id("Purchase", "pos-harbor:spaces"), **tidy}
    assert (payload["entry"]["location"], payload["entry"]["channel"]) == ("harbor", "store")


def test_a_whole_number_of_five_thousand_digits_is_refused_wherever_it_stands(shop: Api, clock: Clock) -> None:
    good = OPERATIONS["purchaseRecord"].good()
    text = json.dumps({"query": PURCHASE, "variables": good}).replace(
        '"amountMinor": 1200', f'"amountMinor": {"9" * 5_000}'
    )
    document = (
        written_out(PURCHASE, good)
        .replace('"amountMinor": 1200', "")
        .replace("amountMinor: 1200", f"amountMinor: {'9' * 5_000}")
    )

    with shop.unchanged():
        assert shop.send(till(), text).faults == [("BAD_REQUEST", None)]
        assert shop.send(till(), json.dumps({"query": document})).faults == [
            ("BAD_USER_INPUT", "input.total.amountMinor")
        ]


# --- the request itself -------------------------------------------------------------------------------------------------

MUTATION = written_out(ENROLL, {"input": {"idempotencyKey": "request", "externalId": "request"}})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (None, 400, "BAD_REQUEST"),
        ("", 400, "BAD_REQUEST"),
        ("{", 400, "BAD_REQUEST"),
        (json.dumps({"query": MUTATION})[:-1], 400, "BAD_REQUEST"),
        (json.dumps({"query": MUTATION}) + "}", 400, "BAD_REQUEST"),
        (json.dumps([{"query": MUTATION}]), 400, "BAD_REQUEST"),
        (json.dumps(MUTATION), 400, "BAD_REQUEST"),
        ("null", 400, "BAD_REQUEST"),
        ("{}", 400, "BAD_REQUEST"),
        (json.dumps({"query": 5}), 400, "BAD_REQUEST"),
        (json.dumps({"query": MUTATION, "variables": "x"}), 400, "BAD_REQUEST"),
        (f'{{"query": {json.dumps(MUTATION)}, "variables": {{"x": NaN}}}}', 400, "BAD_REQUEST"),
        (json.dumps({"query": MUTATION.replace("request", "\ud800")}), 400, "BAD_REQUEST"),
        ("[" * 100_000, 400, "BAD_REQUEST"),
        (json.dumps({"query": MUTATION[:-1]}), 200, "GRAPHQL_PARSE_FAILED"),
        (json.dumps({"query": MUTATION.replace("replayed", "replied")}), 200, "GRAPHQL_VALIDATION_FAILED"),
        (json.dumps({"query": MUTATION.replace("memberEnroll", "memberErase")}), 200, "GRAPHQL_VALIDATION_FAILED"),
        (json.dumps({"query": MUTATION.replace("(input", "(when: 5, input")}), 200, "GRAPHQL_VALIDATION_FAILED"),
        (json.dumps({"query": MUTATION + MUTATION}), 200, "GRAPHQL_VALIDATION_FAILED"),
        (json.dumps({"query": MUTATION, "operationName": "Other"}), 200, "OPERATION_RESOLUTION_FAILURE"),
        (json.dumps({"query": "subscription { member { id } }"}), 200, "OPERATION_RESOLUTION_FAILURE"),
        (json.dumps({"query": "{ __schema { types { name } } }"}), 200, "INTROSPECTION_DISABLED"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_does_nothing(still: Still, body: str | None, status: int, code: str) -> None:
    answer = still.api.send(till(), body)

    assert not still.is_changed()
    assert (answer.status, answer.faults[0][0]) == (status, code)
    assert "data" not in answer.json


def test_bytes_that_are_no_text_are_refused(shop: Api) -> None:
    for raw in (b"\xff\xfe", b'{"query": "\xe9"}', json.dumps({"query": MUTATION}).encode("utf-16")):
        sent = event("POST", till(), body=base64.b64encode(raw).decode(), headers={"content-type": "application/json"})
        sent["isBase64Encoded"] = True
        with shop.unchanged():
            answer = shop.invoke(sent)
        assert (answer.status, answer.faults) == (400, [("BAD_REQUEST", None)])


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
@pytest.mark.parametrize("says", [True, False], ids=["says so", "says nothing"])
def test_a_body_over_the_limit_is_refused_before_it_is_parsed(shop: Api, encoded: bool, says: bool) -> None:
    """It is no JSON at all, and that is not what is complained about."""
    body = "{" * (BODY_BYTES_MAX + 1)
    sent = event("POST", till(), body=base64.b64encode(body.encode()).decode() if encoded else body,
                 headers={"content-type": "application/json"})  # fmt: skip
    sent["isBase64Encoded"] = encoded
    if says:
        sent["headers"]["content-length"] = str(len(body))

    answer = shop.invoke(sent)

    assert (answer.status, answer.faults) == (413, [("BODY_TOO_LARGE", None)])


def test_a_body_of_the_limit_is_read(shop: Api) -> None:
    """The largest real basket fits many times over: 200 lines with the longest labels, and padding up to the last byte."""
    lines = [{"sku": "🍰" * 16 + "x" * 48, "category": "🍰" * 16 + "x" * 48, "quantity": 1, "amountMinor": 5}] * 200
    body = json.dumps({"query": PURCHASE, "variables": {"input": receipt("limit", "ada", 1_000, lines=lines)}})
    body += " " * (BODY_BYTES_MAX - len(body.encode()))

    answer = shop.send(till(), body)

    assert (answer.status, answer.refusals) == (200, [])


def cursor_of_rewards(api: Api) -> str:
    cursor: str = api.post(till(), REWARDS, first=2).data["rewards"]["pageInfo"]["endCursor"]
    return cursor


def cursor_of_entries(api: Api) -> str:
    cursor: str = api.member("ada")["entries"]["pageInfo"]["endCursor"]
    return cursor
