"""Announcing a batch of the table's stream: which events it makes, and from where on it has to come again."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from domain import announcements, limits
from domain.announcements import Event, Log
from domain.entries import Record
from domain.refusals import OutcomeUnknown
from handlers.bus import Bus
from schema.nodes import to_id
from storage import streams

# Trying again stops so long before the function is ended: what was announced must be told to whoever called.
_ANSWER_MARGIN_S = 10


class CannotBeAnnounced(Exception):
    """A batch begins with a record that fails however often it comes. An error lets the stream's mapping halve the batch, until
    that record is alone, goes to the queue of failures, and holds up nobody."""


@dataclass(frozen=True, slots=True)
class Announcer:
    """Announces records of the stream on a bus; `log` is asked for what came before them.

    `tell` gives members the notices of a record, once: whoever wrote it did, unless they died in between.
    """

    log: Log
    bus: Bus
    logger: Logger
    tell: Callable[[Record], object] = lambda _record: None

    def announce(self, changes: Sequence[Mapping[str, Any]], *, seconds_left: float) -> dict[str, Any]:
        """Puts the events of a batch on the bus, each account's in order; `ReportBatchItemFailures` names the first record that
        is not announced whole. Some behind it may be, and will be again, under the same ids.

        Raises `CannotBeAnnounced` when that is the first of the batch and no attempt will help.
        """
        until = time.monotonic() + seconds_left - _ANSWER_MARGIN_S
        told, broken = self._told(changes)
        before = self._before([each for _, each in told if isinstance(each, Record)])
        lanes: dict[str, list[Event]] = {}
        unread: set[str] = set()
        newest: dict[str, str | None] = {}
        # The stream's number of each record, its account, and how many events of the account there are with it.
        steps: list[tuple[str, str, int]] = []
        for number, each in told:
            account, lane = each.account, lanes.setdefault(each.account, [])
            previous = before.get((account, each.seq), newest.get(account)) if isinstance(each, Record) else None
            if isinstance(previous, Exception) or account in unread or not self._is_told(each):
                # One event too many: it is never reached, and whatever follows in the account waits with it.
                unread.add(account)
                steps.append((number, account, len(lane) + 1))
                continue
            if isinstance(each, Record):
                events = announcements.of_record(each, previous=previous, to_id=to_id)
                newest[account] = events[-1].id if events else previous
                lane += events
            else:
                lane.append(each)
            steps.append((number, account, len(lane)))
        sent = self.bus.send(list(lanes.values()), until=until)
        counts = dict(zip(lanes, sent.counts, strict=True))
        stuck = {account for place, account in enumerate(lanes) if place in sent.stuck}
        failed = next(((number, account) for number, account, count in steps if counts[account] < count), None)
        if failed is None and broken is None:
            return {"batchItemFailures": []}
        number, account = failed or (broken or "", "")
        self.logger.warning(
            "not everything was announced",
            extra={"from": number, "account": account, "errors": sorted(set(sent.errors.values()))},
        )
        is_hopeless = account in stuck if failed else True
        if is_hopeless and number == _number(changes[0]):
            raise CannotBeAnnounced(f"The stream record {number} cannot be announced.")
        return {"batchItemFailures": [{"itemIdentifier": number}]}

    def _is_told(self, each: Record | Event) -> bool:
        """Whether the notices of a record are given; if not, it comes again."""
        if not isinstance(each, Record):
            return True
        try:
            self.tell(each)
        except (BotoCoreError, ClientError, PynamoDBException, OutcomeUnknown):
            self.logger.warning("notices could not be given", extra={"account": each.account}, exc_info=True)
            return False
        return True

    def _told(self, changes: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, Record | Event]], str | None]:
        """What is to be announced of a batch, records and the events of notices, up to the first stream record that cannot be
        read; and the stream's number of that one."""
        told: list[tuple[str, Record | Event]] = []
        for change in changes:
            number = _number(change)
            try:
                if streams.is_record(change):
                    record = streams.record_of(change)
                    # Also what the announcement is made of has to be there.
                    announcements.of_record(record, previous=None, to_id=to_id)
                    told.append((number, record))
                elif streams.is_notice(change):
                    account, notice = streams.notice_of(change)
                    told.append((number, announcements.of_notice(account, notice, to_id=to_id)))
            except Exception:  # whatever an older or a newer version of the program may have written
                self.logger.exception("a record cannot be read", extra={"at": streams.place_of(change)})
                return told, number
        return told, None

    def _before(self, records: Sequence[Record]) -> dict[tuple[str, int], str | Exception | None]:
        """The id of the event before each record that does not follow another one of its account here, or why nobody knows."""
        needed = []
        newest: dict[str, int] = {}
        for record in records:
            if newest.get(record.account) != record.seq - 1:
                needed.append((record.account, record.seq))
            newest[record.account] = record.seq

        def read(place: tuple[str, int]) -> str | Exception | None:
            try:
                return announcements.previous_id(self.log, *place)
            except (BotoCoreError, ClientError, PynamoDBException, OutcomeUnknown) as error:
                self.logger.warning("a log cannot be read", extra={"account": place[0]}, exc_info=True)
                return error

        with ThreadPoolExecutor(limits.EVENT_CALLS_AT_ONCE_MAX) as threads:
            return dict(zip(needed, threads.map(read, needed), strict=True))


def _number(change: Mapping[str, Any]) -> str:
    number: str = change["dynamodb"]["SequenceNumber"]
    return number
