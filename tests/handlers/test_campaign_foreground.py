"""What tills and members ask of the table while a campaign of everybody runs: what they ask of it without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pynamodb.connection import Connection

from domain.campaigns.chunks import ChunkWork
from storage import keys
from tests.handlers.api import Api, account_of, member
from tests.handlers.launching import Stage

HOME = """query Home { viewer { id account { balance pending expiring { on points } }
  entries(first: 10) { edges { node { __typename id points } } } } rewards { edges { node { id cost } } } }"""
NAMES = [f"m{number}" for number in range(8)]


class Foreground:
    """A till and the members' app, whose calls to the table are counted."""

    def __init__(self, api: Api, patch: pytest.MonkeyPatch) -> None:
        self._api = api
        self._calls: list[str] = []
        dispatch = Connection.dispatch

        def counted(connection: Connection, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            # The program is read by whoever has not for 30 s.
            if request.get("ExpressionAttributeValues", {}).get(":p") != {"S": keys.CONFIG}:
                self._calls.append(operation)
            return dict(dispatch(connection, operation, request))

        patch.setattr(Connection, "dispatch", counted)

    def buys(self, who: str, number: str) -> list[str]:
        """The calls of a purchase."""
        with self._counted() as calls:
            self._api.buy(who, 1_200, number)
        return calls

    def looks(self, who: str, member_id: str) -> list[str]:
        """The calls of the home screen, and of a balance that a till asks for."""
        with self._counted() as calls:
            shown = self._api.post(member("ada", account=account_of(member_id)), HOME).data["viewer"]
            assert shown["id"] == member_id
            self._api.balance(who)
        return calls

    @contextmanager
    def _counted(self) -> Iterator[list[str]]:
        before = len(self._calls)
        calls: list[str] = []
        yield calls
        calls += self._calls[before:]


def test_a_purchase_and_a_home_screen_make_the_same_calls_before_within_and_after_a_campaign(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = stage.join()
    ids = {f"{place}-{name}": stage.api.enroll(f"{place}-{name}", homeLocation=place) for name in NAMES}
    foreground = Foreground(stage.api, monkeypatch)
    for who in ids:
        # The day on which it expires is noted.
        stage.api.buy(who, 1_500, f"{who}-first")
    shopper = next(iter(ids))
    buying, looking = foreground.buys(shopper, f"{shopper}-alone"), foreground.looks(shopper, ids[shopper])
    assert buying == ["GetItem", "Query", "PutItem", "PutItem"]
    seen: list[tuple[str, bool]] = []

    def check(who: str, moment: str) -> None:
        assert foreground.buys(who, f"{who}-{moment}") == buying
        assert foreground.looks(who, ids[who]) == looking

    applied = ChunkWork._applied

    def within(chunk: ChunkWork, *arguments: Any) -> Any:
        """Right behind the bonus of each member everybody shops, whether they had theirs or not."""
        outcome = applied(chunk, *arguments)
        for who in ids:
            has_had = bonuses(stage.api, who) == 1
            check(who, f"within-{len(seen)}")
            seen.append((who, has_had))
        return outcome

    campaign = stage.launched(audience={"locations": [place]}, award={"points": 5})
    check(shopper, "launched")
    monkeypatch.setattr(ChunkWork, "_applied", within)
    stage.work()
    check(shopper, "after")

    done = stage.look(campaign)
    assert (done["status"], done["progress"]["applied"]) == ("COMPLETED", len(ids))
    assert len(seen) == len(ids) ** 2
    assert {has_had for _, has_had in seen} == {True, False}
    assert {bonuses(stage.api, who) for who in ids} == {1}


def bonuses(api: Api, who: str) -> int:
    """How many bonuses a member has had; all of their history is read."""
    edges = api.member(who, first=50)["entries"]["edges"]
    return [edge["node"]["__typename"] for edge in edges].count("CampaignBonusEntry")
