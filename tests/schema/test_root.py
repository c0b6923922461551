"""The contract as a whole: the committed schema, its names, its descriptions, its error codes, and who may use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_list_type,
    is_specified_scalar_type,
)

from domain import (
    adjustments,
    clock,
    holds,
    lists,
    members,
    merges,
    notices,
    profiles,
    promotions,
    purchases,
    returns,
    rewards,
    standing,
    submissions,
    transfers,
)
from domain.access import Permission
from domain.campaigns import lifecycle
from domain.refusals import Refusal
from schema import access, entries, root
from schema.access import Permitted, Undeclared
from tests.engines import ROOT

SCHEMA = root.build(introspection=True)._schema
TYPES = {name: type_ for name, type_ in SCHEMA.type_map.items() if not name.startswith("__")}
OUTPUTS = [type_ for type_ in TYPES.values() if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)]
INPUTS = [type_ for type_ in TYPES.values() if isinstance(type_, GraphQLInputObjectType)]
ENUMS = [type_ for type_ in TYPES.values() if isinstance(type_, GraphQLEnumType)]


def mutations() -> Iterator[tuple[str, GraphQLObjectType]]:
    """Each mutation with the type it answers with."""
    assert SCHEMA.mutation_type
    for name, field in SCHEMA.mutation_type.fields.items():
        payload = get_named_type(field.type)
        assert isinstance(payload, GraphQLObjectType)
        yield name, payload


def fields() -> Iterator[tuple[str, str, Any, str | None]]:
    """Type, field, type of the field, and description, of everything there is."""
    for type_ in (*OUTPUTS, *INPUTS):
        for name, field in type_.fields.items():
            yield type_.name, name, field.type, field.description


# --- the committed schema -----------------------------------------------------------------------------------------------


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    """`make schema` writes it; it is reviewed like code."""
    served = root.build(introspection=True).as_str()

    assert (ROOT / "schema.graphql").read_text(encoding="utf-8").rstrip("\n") == served.rstrip("\n")


def test_the_committed_schema_is_a_schema_to_other_tools() -> None:
    committed = build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))

    assert committed.type_map.keys() >= TYPES.keys()


def test_the_schema_is_the_same_whether_it_may_be_read_or_not() -> None:
    assert root.build(introspection=False).as_str() == root.build(introspection=True).as_str()


# --- permissions --------------------------------------------------------------------------------------------------------


def test_a_root_field_without_a_permission_keeps_the_schema_from_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    @strawberry.type
    class Forgotten:
        remembered: int = strawberry.field(resolver=lambda: 1, extensions=[Permitted(Permission.PROGRAM_READ)])

        @strawberry.field
        def members_of_everybody(self) -> int:
            return 2

    monkeypatch.setattr(root, "QUERIES", (*root.QUERIES, Forgotten))

    with pytest.raises(Undeclared, match=r"^Forgotten\.members_of_everybody$"):
        root.build(introspection=True)


def test_every_root_field_that_is_served_was_checked() -> None:
    """What `require_declared` looks at is what the roots are made of."""
    assert SCHEMA.query_type
    assert SCHEMA.mutation_type
    for served, checked in ((SCHEMA.query_type, root.QUERIES), (SCHEMA.mutation_type, root.MUTATIONS)):
        access.require_declared(checked)
        declared = {
            field.graphql_name or re.sub(r"_(\w)", lambda letter: letter[1].upper(), field.python_name)
            for noun in checked
            for field in strawberry.types.get_object_definition(noun, strict=True).fields
        }
        assert served.fields.keys() == declared


# --- names --------------------------------------------------------------------------------------------------------------

VERBS = {
    "Enroll",
    "Record",
    "Return",
    "Redeem",
    "Adjust",
    "Set",
    "Hold",
    "Capture",
    "Release",
    "Cancel",
    "Update",
    "Block",
    "Unblock",
    "Close",
    "Transfer",
    "Merge",
    "Unmerge",
    "Read",
    "Advance",
    "Submit",
    "Create",
    "Import",
    "Preview",
    "Approve",
    "Launch",
    "Pause",
    "Resume",
    "Revert",
}


@pytest.mark.parametrize(("name", "payload"), list(mutations()))
def test_a_mutation_is_a_noun_and_a_verb_and_its_types_are_called_after_it(
    name: str, payload: GraphQLObjectType
) -> None:
    assert SCHEMA.mutation_type
    words = re.findall(r"[A-Z]?[a-z]+", name)
    title = name[0].upper() + name[1:]
    arguments = SCHEMA.mutation_type.fields[name].args
    errors = get_named_type(payload.fields["userErrors"].type)
    assert isinstance(errors, GraphQLObjectType)

    assert words[-1] in VERBS
    assert not {word.title() for word in words[:-1]} & VERBS
    assert {argument: str(it.type) for argument, it in arguments.items()} == {"input": f"{title}Input!"}
    assert payload.name == f"{title}Payload"
    assert str(payload.fields["userErrors"].type) == f"[{title}UserError!]!"
    assert str(payload.fields["replayed"].type) == "Boolean!"
    assert {field: str(it.type) for field, it in errors.fields.items()} == {
        "code": f"{title}ErrorCode!",
        "field": "[String!]",
        "message": "String!",
    }
    # Null where it did nothing.
    changed = [it.type for field, it in payload.fields.items() if field not in ("replayed", "userErrors")]
    assert changed
    assert not any(isinstance(type_, GraphQLNonNull) for type_ in changed)


def test_inputs_payloads_connections_and_edges_say_what_they_are() -> None:
    assert all(type_.name.endswith("Input") for type_ in INPUTS)
    assert all(not type_.name.endswith("Input") for type_ in OUTPUTS)
    for type_ in OUTPUTS:
        assert type_.name.endswith("Connection") is {"edges", "pageInfo"}.issubset(type_.fields)
        assert type_.name.endswith("Edge") is {"cursor", "node"}.issubset(type_.fields)
        assert type_.name.endswith("Payload") is (type_ in [payload for _, payload in mutations()])


TIMES = {("Clock", "now"), ("ClockTargetInput", "to")}


@pytest.mark.parametrize(("owner", "name", "type_"), [field[:3] for field in fields()])
def test_a_name_tells_the_kind_of_its_value(owner: str, name: str, type_: Any) -> None:
    """Instants end in At, dates in On, first and last days in From and Until, booleans begin with is or has, lists and
    connections are plural."""
    kind = get_named_type(type_)
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)
    # A clock shows what it is now, and is turned to what it is to show.
    assert (kind.name == "DateTime") is (bool(re.search(r"(^at|At)$", name)) or (owner, name) in TIMES)
    assert (kind.name == "Date") is bool(re.search(r"(^on|On|^until|Until|From)$", name))
    # `replayed` is older than the rule: scripts outside rely on it.
    assert (kind.name == "Boolean") is (bool(re.match(r"(is|has)[A-Z]", name)) or name == "replayed")
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    # The path in a user error is the path of one field; an explanation has lines; on what date points are expiring; a status.
    if name not in ("field", "explanation", "expiring", "status"):
        assert (is_list_type(inner) or kind.name.endswith("Connection")) is name.endswith(("s", "Points")) or name in (
            "points",
            "ttlSeconds",
            "address",
            # A number of months, days or points, and a thing whose name is plural in English.
            "extraMonths",
            "earlyAccessDays",
            "graceDays",
            "birthdayPoints",
            "benefits",
            "tierProgress",
            "progress",
            "validDays",
            "days",
        )


def test_whatever_can_be_fetched_again_is_a_node_and_nothing_else_has_an_id() -> None:
    nodes = {type_.name for type_ in SCHEMA.get_possible_types(SCHEMA.type_map["Node"])}  # type: ignore[arg-type]

    shown = {entry.__name__ for entry in entries.TYPES}
    assert (
        nodes
        == {
            "Member",
            "Purchase",
            "Redemption",
            "Reward",
            "Hold",
            "Transfer",
            "Tier",
            "Job",
            "Submission",
            "Notice",
            "Campaign",
            "MemberList",
        }
        | shown
    )
    assert {type_.name for type_ in OUTPUTS if "id" in type_.fields} == nodes | {"Node", "Entry", "NotedEntry"}


def test_every_amount_is_exact() -> None:
    """No float anywhere; and whole numbers that may outgrow 31 bits are Long."""
    kinds = {get_named_type(type_).name for _, _, type_, _ in fields()}

    assert "Float" not in kinds
    assert "Int" not in kinds


# --- descriptions -------------------------------------------------------------------------------------------------------

# What needs no description, and why.
EVIDENT = {
    "MemberEnrollInput.email": "an address has the form of every address",
    "MemberEnrollInput.name": "what a person is called",
    "PointsAdjustInput.member": "its type says how a member is named",
    "PurchasePreviewInput.channel": "as in PurchaseRecordInput",
    "PurchasePreviewInput.lines": "as in PurchaseRecordInput",
    "PurchasePreviewInput.location": "as in PurchaseRecordInput",
    "PurchasePreviewInput.member": "its type says how a member is named",
    "PurchasePreviewInput.total": "its type says what an amount is",
    "PurchaseRecordInput.member": "its type says how a member is named",
    "PurchaseRecordInput.total": "its type says what an amount is",
}


def test_every_root_field_is_described() -> None:
    for type_ in (SCHEMA.query_type, SCHEMA.mutation_type):
        assert type_ is not None
        assert {name for name, field in type_.fields.items() if len(field.description or "") < 40} == set()


def test_every_field_of_an_input_is_described() -> None:
    """The limit and the form of what is sent; nobody should have to try."""
    silent = {
        f"{type_.name}.{name}" for type_ in INPUTS for name, field in type_.fields.items() if not field.description
    }

    assert silent <= EVIDENT.keys()


def test_every_type_is_described_but_payloads_that_their_mutation_describes() -> None:
    silent = {
        name
        for name, type_ in TYPES.items()
        if not type_.description and not is_specified_scalar_type(type_) and not name.endswith("Payload")
    }

    assert silent == {"Query", "Mutation"}


def test_a_description_is_a_sentence() -> None:
    told = [description for *_, description in fields() if description]
    told += [type_.description for type_ in TYPES.values() if type_.description and not is_specified_scalar_type(type_)]

    assert [text for text in told if not re.match(r"[A-Z(0-9\"`]", text)] == []


# --- error codes --------------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[type[Refusal], ...]] = {
    "MemberEnrollErrorCode": members.ENROLL_REFUSALS,
    "MemberUpdateErrorCode": profiles.UPDATE_REFUSALS,
    "NoticesMarkReadErrorCode": notices.READ_REFUSALS,
    "MemberBlockErrorCode": standing.BLOCK_REFUSALS,
    "MemberUnblockErrorCode": standing.UNBLOCK_REFUSALS,
    "MemberCloseErrorCode": standing.CLOSE_REFUSALS,
    "PurchaseRecordErrorCode": purchases.RECORD_REFUSALS,
    "PurchasePreviewErrorCode": purchases.PREVIEW_REFUSALS,
    "PurchaseReturnErrorCode": returns.RECORD_REFUSALS,
    "RewardRedeemErrorCode": rewards.REDEEM_REFUSALS,
    "RedemptionCancelErrorCode": rewards.CANCEL_REFUSALS,
    "PointsHoldErrorCode": holds.HOLD_REFUSALS,
    "PointsCaptureErrorCode": holds.CAPTURE_REFUSALS,
    "PointsReleaseErrorCode": holds.RELEASE_REFUSALS,
    "PointsTransferErrorCode": transfers.TRANSFER_REFUSALS,
    "MemberMergeErrorCode": merges.MERGE_REFUSALS,
    "MemberUnmergeErrorCode": merges.UNMERGE_REFUSALS,
    "PointsAdjustErrorCode": adjustments.ADJUST_REFUSALS,
    "MemberTierSetErrorCode": promotions.SET_REFUSALS,
    "ClockAdvanceErrorCode": clock.ADVANCE_REFUSALS,
    "PurchasesSubmitErrorCode": submissions.SUBMIT_REFUSALS,
    "MemberListCreateErrorCode": lists.CREATE_REFUSALS,
    "MemberListImportErrorCode": lists.IMPORT_REFUSALS,
    "CampaignCreateErrorCode": lifecycle.CREATE_REFUSALS,
    "CampaignPreviewErrorCode": lifecycle.PREVIEW_REFUSALS,
    "CampaignApproveErrorCode": lifecycle.APPROVE_REFUSALS,
    "CampaignLaunchErrorCode": lifecycle.LAUNCH_REFUSALS,
    "CampaignPauseErrorCode": lifecycle.PAUSE_REFUSALS,
    "CampaignResumeErrorCode": lifecycle.RESUME_REFUSALS,
    "CampaignCancelErrorCode": lifecycle.CANCEL_REFUSALS,
    "CampaignRevertErrorCode": lifecycle.REVERT_REFUSALS,
}


def test_every_enum_of_error_codes_is_known_here() -> None:
    assert {type_.name for type_ in ENUMS if type_.name.endswith("ErrorCode")} == REFUSALS.keys()


def test_a_purchase_of_a_submission_is_refused_for_what_its_domain_says() -> None:
    enum = TYPES["SubmissionRefusalCode"]
    assert isinstance(enum, GraphQLEnumType)

    assert list(enum.values) == [refusal.code for refusal in submissions.ITEM_REFUSALS]


@pytest.mark.parametrize("name", REFUSALS)
def test_the_codes_of_an_operation_are_the_refusals_of_its_use_case_in_their_order(name: str) -> None:
    enum = TYPES[name]
    assert isinstance(enum, GraphQLEnumType)

    assert list(enum.values) == [refusal.code for refusal in REFUSALS[name]]
    # Whoever names a member may name them badly: those refusals belong to every operation that takes a member.
    sent = TYPES[name.replace("ErrorCode", "Input")]
    assert isinstance(sent, GraphQLInputObjectType)
    if any(get_named_type(field.type).name == "MemberByInput" for field in sent.fields.values()):
        assert {"INVALID_TEXT", "INVALID_EMAIL", "INVALID_PHONE", "MEMBER_NOT_FOUND"} <= enum.values.keys()
