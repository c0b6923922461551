"""Campaigns through the API: points for many members at once, looked at, approved, launched, watched and reverted."""

import strawberry

from domain import limits
from domain.access import Permission
from schema import pages
from schema.access import Permitted
from schema.campaigns.mutations import CampaignMutations
from schema.campaigns.types import Campaign, CampaignConnection, CampaignEdge, campaign_of, key_of_campaign
from schema.context import Context, Info
from schema.pages import PageInfo

__all__ = ["Campaign", "CampaignMutations", "CampaignQueries", "find"]

_SCOPE = "campaigns"


def find(context: Context, id: str) -> Campaign | None:
    """A campaign by its global id, for whoever may see campaigns; None for the id of anything else."""
    key = key_of_campaign(id)
    if key is None or not context.actor.may(Permission.CAMPAIGNS_READ):
        return None
    found = context.campaigns.store.find(key)
    return campaign_of(context, found) if found else None


def campaign(info: Info, id: strawberry.ID) -> Campaign | None:
    """A campaign by its id; null for the id of anything else."""
    return find(info.context, id)


def campaigns(info: Info, first: int = 10, after: str | None = None) -> CampaignConnection:
    """Campaigns, page by page."""
    context = info.context
    before = pages.position(context, _SCOPE, after)
    size = min(first, limits.CAMPAIGNS_PAGE_MAX)
    found = context.campaigns.store.newest(before=before, limit=size + 1)
    edges = [
        CampaignEdge(cursor=context.cursors.seal(_SCOPE, kept.id), node=campaign_of(context, kept))
        for kept in found[:size]
    ]
    return CampaignConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=PageInfo(
            has_next_page=len(found) > size,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


@strawberry.type
class CampaignQueries:
    """Fields of the query root."""

    campaign: Campaign | None = strawberry.field(
        resolver=campaign,
        description="A campaign by its id; null when there is none. For support and managers.",
        extensions=[Permitted(Permission.CAMPAIGNS_READ)],
    )
    campaigns: CampaignConnection = strawberry.field(
        resolver=campaigns,
        description=f"All campaigns, the newest first; {limits.CAMPAIGNS_PAGE_MAX} a page at most. For support and managers.",
        extensions=[Permitted(Permission.CAMPAIGNS_READ)],
    )
