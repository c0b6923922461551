"""The composition root: settings are read once, clients are made once for each execution environment."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pynamodb.connection import Connection
from ulid_transform import ulid_now

from domain import limits, notices
from domain.access import Role
from domain.entries import Record
from handlers import actors, uploads
from schema.context import CampaignDesk, Context, Inbox, ListDesk, Sandbox
from storage.campaigns import CampaignTable
from storage.clock import ClockTable
from storage.cursors import Cursors
from storage.lists import ListTable
from storage.programs import Programs
from storage.submissions import SubmissionTable
from storage.table import Table

if TYPE_CHECKING:
    from domain.campaigns.store import Run
    from handlers.announcing import Announcer
    from handlers.campaigns import Campaigner
    from handlers.ingest import Ingester
    from handlers.jobs import Clockwork, Planner, Visitor

# Crockford's alphabet: no letter that can be read as a digit. Ten of them are 50 bits.
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH = 10
_SECRET_LENGTH_MIN = 32
# Contending stops this long before the caller's deadline, so that there is still an answer: "unknown, retry".
_ANSWER_MARGIN_S = 3
_DEADLINE_DEFAULT_S = 15


class SettingMissing(Exception):
    """A setting is missing or unusable; it stops the cold start."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of a Lambda, typed. `template.yaml` sets every one of them."""

    table: str
    secret: str
    shards: int
    account_claim: str
    groups_claim: str
    manager_group: str
    support_group: str
    introspection: bool
    body_bytes_max: int
    campaign_queue: str
    ingest_queue: str
    lists_bucket: str
    # The queue of the clock's jobs; set in a sandbox, and nowhere else.
    clock_queue: str | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every handler is built of."""

    settings: Settings
    store: Table
    programs: Programs
    cursors: Cursors
    campaigns: CampaignTable
    lists: ListTable
    uploads: uploads.Bucket
    submissions: SubmissionTable
    clock: ClockTable | None = None

    def context(self, scope: Mapping[str, Any]) -> Context:
        """What resolvers may use in the request of an ASGI scope. Raises an `UNAUTHENTICATED` fault without a caller."""
        settings, wall = self.settings, now()
        actor = actors.from_event(
            scope.get("aws.event", {}),
            account_claim=settings.account_claim,
            groups_claim=settings.groups_claim,
            group_roles={settings.manager_group: Role.MANAGER, settings.support_group: Role.SUPPORT},
        )
        return Context(
            actor=actor,
            now=program_time(self.clock, wall),
            store=self.store.until(time.monotonic() + _seconds_left(scope)),
            cursors=self.cursors,
            program_in_force=self.programs.current,
            program_of_version=self.programs.version,
            new_account=new_account,
            new_code=new_code,
            new_salt=new_salt,
            campaigns=CampaignDesk(self.campaigns, self._hand_out),
            lists=ListDesk(self.lists, self.uploads, self._import),
            inbox=Inbox(self.submissions, self._submit, wall),
            sandbox=self._sandbox(wall),
        )

    def _sandbox(self, wall: datetime) -> Sandbox | None:
        if self.clock is None or not self.clock.is_sandbox():
            return None
        return Sandbox(self.clock, wall, self._start_job)

    # The API's cold start does without what only these need.

    def _hand_out(self, run: "Run") -> None:
        from domain.campaigns import turns  # noqa: PLC0415

        opening = turns.opening(run, self.settings.shards)
        self._send(self.settings.campaign_queue, [turn.text() for turn in opening])

    def _import(self, list_id: str) -> None:
        from domain.lists import Turn  # noqa: PLC0415

        self._send(self.settings.campaign_queue, [Turn(list_id).text()])

    def _submit(self, messages: Sequence[str]) -> None:
        self._send(self.settings.ingest_queue, messages)

    def _start_job(self, job_id: str) -> None:
        from handlers import jobs  # noqa: PLC0415

        assert self.settings.clock_queue
        self._send(self.settings.clock_queue, [jobs.job_text(job_id)])

    @staticmethod
    def _send(queue_url: str, messages: Sequence[str]) -> None:
        from handlers import outbox, queue  # noqa: PLC0415

        outbox.send(queue.Queue(queue_url), messages)


def settings() -> Settings:
    """The settings of this environment. Raises `SettingMissing` with the name of the first that is not there."""
    secret = _secret()
    return Settings(
        table=_setting("REGULARS_TABLE"),
        secret=secret,
        shards=_number("REGULARS_SHARDS"),
        account_claim=_setting("REGULARS_ACCOUNT_CLAIM", ""),
        groups_claim=_setting("REGULARS_GROUPS_CLAIM", "cognito:groups"),
        manager_group=_setting("REGULARS_MANAGER_GROUP", "manager"),
        support_group=_setting("REGULARS_SUPPORT_GROUP", "support"),
        introspection=_setting("REGULARS_INTROSPECTION", "off") == "on",
        body_bytes_max=_number("REGULARS_BODY_BYTES_MAX", "1048576"),
        campaign_queue=_setting("REGULARS_CAMPAIGN_QUEUE"),
        ingest_queue=_setting("REGULARS_INGEST_QUEUE"),
        lists_bucket=_setting("REGULARS_LISTS_BUCKET"),
        clock_queue=_setting("REGULARS_CLOCK_QUEUE") if _is_sandbox() else None,
    )


def start() -> Runtime:
    """Reads the settings and makes the clients."""
    chosen = settings()
    connection = connect()
    secret = chosen.secret.encode()
    return Runtime(
        settings=chosen,
        store=Table(connection, chosen.table, pepper=secret, shards=chosen.shards),
        programs=Programs(connection, chosen.table),
        cursors=Cursors(secret),
        campaigns=CampaignTable(connection, chosen.table, shards=chosen.shards),
        lists=ListTable(connection, chosen.table, shards=chosen.shards),
        uploads=uploads.Bucket(chosen.lists_bucket),
        submissions=SubmissionTable(connection, chosen.table),
        clock=_clock(connection, chosen.table),
    )


def start_planner() -> "Planner":
    """What the planner is built of. It has no secret: it finds nobody, it reads due rows."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    from handlers.jobs import Planner  # noqa: PLC0415
    from handlers.queue import Queue  # noqa: PLC0415
    from storage.agenda import DueRows  # noqa: PLC0415

    table, connection = _setting("REGULARS_TABLE"), connect()
    clock = _clock(connection, table)
    return Planner(
        agenda=DueRows(connection, table, shards=_number("REGULARS_SHARDS")),
        queue=Queue(_setting("REGULARS_VISIT_QUEUE")),
        program=Programs(connection, table).current,
        now=lambda: program_time(clock, now()),
        logger=Logger(),
    )


def start_visitor() -> "Visitor":
    """What the visitors are built of. They have no secret: accounts are named to them."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    from handlers.jobs import Visitor  # noqa: PLC0415
    from handlers.queue import Queue  # noqa: PLC0415

    table, connection = _setting("REGULARS_TABLE"), connect()
    clock = _clock(connection, table)
    return Visitor(
        store=Table(connection, table, pepper=None, shards=_number("REGULARS_SHARDS")),
        queue=Queue(_setting("REGULARS_VISIT_QUEUE")),
        program=Programs(connection, table).current,
        now=lambda: program_time(clock, now()),
        logger=Logger(),
        failures=Queue(_setting("REGULARS_FAILURES_QUEUE")),
    )


def start_clockwork() -> "Clockwork":
    """What the clockwork is built of. Raises `SettingMissing` anywhere but in a sandbox."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    from handlers.jobs import Clockwork  # noqa: PLC0415
    from handlers.queue import Queue  # noqa: PLC0415
    from storage.agenda import DueRows  # noqa: PLC0415

    table, connection, shards = _setting("REGULARS_TABLE"), connect(), _number("REGULARS_SHARDS")
    clock = _clock(connection, table)
    if clock is None:
        raise SettingMissing("REGULARS_SANDBOX is not on: this stack's clock cannot be turned.")
    return Clockwork(
        clocks=clock,
        agenda=DueRows(connection, table, shards=shards),
        store=Table(connection, table, pepper=None, shards=shards),
        queue=Queue(_setting("REGULARS_CLOCK_QUEUE")),
        program=Programs(connection, table).current,
        wall=now,
        logger=Logger(),
        failures=Queue(_setting("REGULARS_FAILURES_QUEUE")),
    )


def start_ingester() -> "Ingester":
    """What the ingester is built of. It has the secret: purchases name members by what they are found by."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    from handlers.ingest import Ingester  # noqa: PLC0415
    from handlers.queue import Queue  # noqa: PLC0415

    table, connection = _setting("REGULARS_TABLE"), connect()
    clock = _clock(connection, table)
    return Ingester(
        store=Table(connection, table, pepper=_secret().encode(), shards=_number("REGULARS_SHARDS")),
        submissions=SubmissionTable(connection, table),
        program=Programs(connection, table).current,
        wall=now,
        now=lambda wall: program_time(clock, wall),
        logger=Logger(),
        failures=Queue(_setting("REGULARS_FAILURES_QUEUE")),
    )


def start_campaigner() -> "Campaigner":
    """What the campaigner is built of. It has the secret: lists name members by what they are found by."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    from handlers import aws  # noqa: PLC0415
    from handlers.campaigns import Campaigner, is_idle  # noqa: PLC0415
    from handlers.lists import Importer  # noqa: PLC0415
    from handlers.queue import Queue  # noqa: PLC0415

    table, connection, shards = _setting("REGULARS_TABLE"), connect(), _number("REGULARS_SHARDS")
    clock, url = _clock(connection, table), _setting("REGULARS_CAMPAIGN_QUEUE")
    store, queue = Table(connection, table, pepper=_secret().encode(), shards=shards), Queue(url)
    bucket = uploads.Bucket(_setting("REGULARS_LISTS_BUCKET"))
    return Campaigner(
        campaigns=CampaignTable(connection, table, shards=shards),
        store=store,
        queue=queue,
        importer=Importer(ListTable(connection, table, shards=shards), bucket, store, queue),
        program=Programs(connection, table).current,
        now=lambda: program_time(clock, now()),
        is_idle=lambda: is_idle(aws.connect("sqs"), url),
        logger=Logger(),
        failures=Queue(_setting("REGULARS_FAILURES_QUEUE")),
    )


def start_announcer() -> "Announcer":
    """What the relay is built of. It has no secret: it finds nobody, it reads logs."""
    # The API's cold start does without what only this needs.
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    from handlers import aws, bus  # noqa: PLC0415
    from handlers.announcing import Announcer  # noqa: PLC0415
    from storage.streams import Logs  # noqa: PLC0415

    table, name = _setting("REGULARS_TABLE"), _setting("REGULARS_EVENT_BUS")
    connection = connect()
    programs = Programs(connection, table)
    # It notes no days and opens no account: nothing of what it does is spread over shards.
    store = Table(connection, table, pepper=None, shards=1)

    def tell(record: Record) -> None:
        program = programs.current()
        if program is not None:
            notices.tell(store, record, program)

    return Announcer(Logs(connection, table), bus.Bus(aws.connect("events"), name), Logger(), tell)


def connect() -> Connection:
    """A connection to DynamoDB where the environment says (region, credentials, endpoint).

    A call that has no answer in 2 s is tried again: DynamoDB answers within 100 ms or not at all, and every write here is
    safe to repeat.
    """
    return Connection(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        connect_timeout_seconds=1,
        read_timeout_seconds=2,
        retry_configuration={"total_max_attempts": 4, "mode": "standard"},
    )


def now() -> datetime:
    """The clock on the wall, to the millisecond that the ledger keeps. It is the program's, but in a sandbox (`program_time`)."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)


def program_time(clock: ClockTable | None, wall: datetime) -> datetime:
    """The program's time when the wall shows `wall`. A stack that is not a sandbox reads nothing for it."""
    return wall if clock is None else wall + clock.offset()


def _is_sandbox() -> bool:
    return _setting("REGULARS_SANDBOX", "off") == "on"


def _clock(connection: Connection, table: str) -> ClockTable | None:
    """The clock of a stack that was deployed as a sandbox; whether it was created as one, its first program says."""
    return ClockTable(connection, table) if _is_sandbox() else None


def _seconds_left(scope: Mapping[str, Any]) -> float:
    lambda_context = scope.get("aws.context")
    remaining_ms = lambda_context.get_remaining_time_in_millis() if lambda_context else _DEADLINE_DEFAULT_S * 1_000
    return remaining_ms / 1_000 - _ANSWER_MARGIN_S


def new_account() -> str:
    """A random account id; nothing about a member can be read from it."""
    return ulid_now()


def new_code() -> str:
    """A redemption code that a person can read to a till."""
    return "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH))


def new_salt() -> bytes:
    """What hides a note of staff in its hash: nobody can guess a text from that without the salt."""
    return secrets.token_bytes(limits.NOTE_SALT_BYTES)


def _secret() -> str:
    secret = _setting("REGULARS_SECRET")
    if len(secret) < _SECRET_LENGTH_MIN:
        raise SettingMissing(f"REGULARS_SECRET must have at least {_SECRET_LENGTH_MIN} characters.")
    return secret


def _number(name: str, default: str | None = None) -> int:
    text = _setting(name, default)
    if not text.isdecimal() or int(text) < 1:
        raise SettingMissing(f"The environment variable {name} must be a whole number from 1, not {text!r}.")
    return int(text)


def _setting(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if value is None or (default is None and not value):
        raise SettingMissing(f"The environment variable {name} is not set.")
    return value
