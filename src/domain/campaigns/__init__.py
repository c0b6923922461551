"""Campaigns: points for many members at once.

A campaign is written down as a draft that never changes, looked at (`preview`), approved by a second person where it may cost
much, launched at once or at a time, watched, paused, resumed, cancelled, and reverted. What kind of campaign it is, is data: this
is the bulk bonus, which is given once to every member of an audience.

A *run* goes through all members: a preview of what would happen, the bonus itself, or its reversal. Its members are cut into
*chunks*, which are written down before anybody works on them, shard by shard of the directory. For each chunk is decided who gets
what, and that is written down before the first point moves, so whoever works on the chunk again, after a crash or beside another,
does just the same. Each point moves by a system key of the campaign and the account, once (`giving`). In the end the chunk says
what became of everybody, and the shard's progress with it, in one transaction: progress is never an estimate.
"""

from domain.campaigns.audience import Audience, InvalidAudience, InvalidAward
from domain.campaigns.definition import (
    Action,
    Award,
    Budget,
    Campaign,
    CampaignKind,
    Draft,
    InvalidBudget,
    InvalidHoldOut,
    InvalidValidity,
    Message,
    Segment,
    Status,
    Step,
    Validity,
)

__all__ = [
    "Action",
    "Audience",
    "Award",
    "Budget",
    "Campaign",
    "CampaignKind",
    "Draft",
    "InvalidAudience",
    "InvalidAward",
    "InvalidBudget",
    "InvalidHoldOut",
    "InvalidValidity",
    "Message",
    "Segment",
    "Status",
    "Step",
    "Validity",
]
