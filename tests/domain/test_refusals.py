"""What a no is made of."""

import pytest

from domain import (
    adjustments,
    clock,
    holds,
    lists,
    members,
    merges,
    notices,
    profiles,
    programs,
    promotions,
    purchases,
    refusals,
    returns,
    reversals,
    rewards,
    standing,
    submissions,
    transfers,
)
from domain.campaigns import lifecycle
from domain.refusals import InsufficientPoints, InvalidText, Refusal, require_text


def test_the_name_of_a_refusal_is_its_public_code() -> None:
    assert InsufficientPoints.code == "INSUFFICIENT_POINTS"
    assert members.AlreadyEnrolled.code == "ALREADY_ENROLLED"
    assert programs.InvalidProgram.code == "INVALID_PROGRAM"


def test_only_what_depends_on_the_account_or_the_campaign_is_final() -> None:
    named: set[type[Refusal]] = {
        *purchases.RECORD_REFUSALS,
        *purchases.PREVIEW_REFUSALS,
        *rewards.REDEEM_REFUSALS,
        *rewards.CANCEL_REFUSALS,
        *returns.RECORD_REFUSALS,
        *holds.HOLD_REFUSALS,
        *holds.CAPTURE_REFUSALS,
        *holds.RELEASE_REFUSALS,
        *adjustments.ADJUST_REFUSALS,
        *members.ENROLL_REFUSALS,
        *profiles.UPDATE_REFUSALS,
        *notices.READ_REFUSALS,
        *standing.BLOCK_REFUSALS,
        *standing.UNBLOCK_REFUSALS,
        *standing.CLOSE_REFUSALS,
        *transfers.TRANSFER_REFUSALS,
        *merges.MERGE_REFUSALS,
        *merges.UNMERGE_REFUSALS,
        *clock.ADVANCE_REFUSALS,
        *lists.CREATE_REFUSALS,
        *lists.IMPORT_REFUSALS,
        *submissions.SUBMIT_REFUSALS,
        *submissions.ITEM_REFUSALS,
        *promotions.SET_REFUSALS,
        *lifecycle.CREATE_REFUSALS,
        *lifecycle.PREVIEW_REFUSALS,
        *lifecycle.APPROVE_REFUSALS,
        *lifecycle.LAUNCH_REFUSALS,
        *lifecycle.PAUSE_REFUSALS,
        *lifecycle.RESUME_REFUSALS,
        *lifecycle.CANCEL_REFUSALS,
        *lifecycle.REVERT_REFUSALS,
        refusals.OutcomeUnknown,
    }

    # In the order of their modules; whoever adds one says here that it depends on the account, or on the campaign.
    assert {refusal for refusal in named if refusal.final} == {
        InsufficientPoints,
        refusals.MemberBlocked,
        refusals.MemberClosed,
        members.TooManyTags,
        members.AlreadyEnrolled,
        rewards.RedemptionEnded,
        returns.TooManyReturns,
        reversals.ReturnExceedsPurchase,
        holds.TooManyHolds,
        holds.HoldEnded,
        holds.CaptureExceedsHold,
        refusals.HoldsOpen,
        profiles.LastContact,
        standing.AlreadyBlocked,
        standing.NotBlocked,
        transfers.TransferLimit,
        merges.TooManyMerges,
        merges.NotMerged,
        merges.SurvivorMerged,
        lifecycle.CampaignState,
        lifecycle.PreviewMissing,
        lifecycle.PreviewChanged,
        lifecycle.AudienceEmpty,
        lifecycle.ApprovalMissing,
        lifecycle.ApproverInvolved,
    }


def test_a_recorded_refusal_comes_back_as_it_was() -> None:
    first = InsufficientPoints("No.", field=("input", "points"))

    for again in (first.again(), Refusal.restore(first.code, first.message, first.field)):
        assert (type(again), again.message, again.field) == (InsufficientPoints, "No.", ("input", "points"))
        assert again.replayed
    assert not first.replayed


@pytest.mark.parametrize("text", ["a", "ab", "é☕", "a b"])
def test_a_text_is_kept_without_white_space_around_it(text: str) -> None:
    assert require_text(f"\t {text}\n", field=("x",), length_max=3) == text


@pytest.mark.parametrize("text", ["", "   ", "abcd", "a\nb", "a\x7fb", "a\u2028b", "\ud800", "\u0000"])
def test_a_text_has_a_length_and_can_be_printed(text: str) -> None:
    with pytest.raises(InvalidText) as refused:
        require_text(text, field=("input", "name"), length_max=3)
    assert refused.value.field == ("input", "name")
    assert refused.value.message.startswith("name must ")
