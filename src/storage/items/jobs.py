"""CFG, D, JOB, CLOCK: the program, the days on which accounts have something happening, and the jobs that look."""

import zlib
from collections.abc import Sequence

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute

from domain.clock import Dial, Job, JobStatus
from storage import keys
from storage.items.attributes import InstantAttribute, MarksAttribute
from storage.items.row import Item, Row
from storage.items.strings import MILLISECOND


class DueRow(Row):
    """D: an account has something happening on a day."""

    ttl = NumberAttribute(attr_name="ttl")


class DueManyRow(Row):
    """D: many accounts have something happening on a day. Their names are compressed."""

    accounts = BinaryAttribute(attr_name="a", legacy_encoding=False)
    ttl = NumberAttribute(attr_name="ttl")


class ProgramRow(Row):
    """CFG: one published version of the program, as a JSON document."""

    document = UnicodeAttribute(attr_name="doc")
    # On the first version alone, and only of a stack whose clock may be turned.
    sandbox = NumberAttribute(attr_name="sb", null=True)


class MarkRow(Row):
    """JOB: up to which day a round of the scheduled jobs is planned."""

    day = NumberAttribute(attr_name="d")


class DialRow(Row):
    """CLOCK: how many milliseconds a sandbox's clock is ahead of the wall, and the job that turned it last."""

    offset = NumberAttribute(attr_name="at")
    job = UnicodeAttribute(attr_name="j")


class JobRow(Row):
    """JOB: a turn of the clock, and how far it is."""

    fingerprint = BinaryAttribute(attr_name="f", legacy_encoding=False)
    actor = UnicodeAttribute(attr_name="u")
    starts_at = InstantAttribute(attr_name="a")
    ends_at = InstantAttribute(attr_name="z")
    reached_at = InstantAttribute(attr_name="r")
    beat_at = InstantAttribute(attr_name="b")
    status = UnicodeAttribute(attr_name="s")
    days_total = NumberAttribute(attr_name="n")
    days_done = NumberAttribute(attr_name="d")
    partitions = NumberAttribute(attr_name="p")
    after = UnicodeAttribute(attr_name="k", null=True)
    reading = UnicodeAttribute(attr_name="l", null=True)
    marks = MarksAttribute(attr_name="m", null=True)
    counts = MarksAttribute(attr_name="c", null=True)
    failure = UnicodeAttribute(attr_name="e", null=True)
    version = NumberAttribute(attr_name="v")


def due_many_item(partition: str, accounts: Sequence[str], *, ttl: int) -> Item:
    """A due row of many accounts, as its item."""
    packed = zlib.compress(" ".join(sorted(accounts)).encode(), level=9)
    return DueManyRow(partition, keys.due_many(packed), accounts=packed, ttl=ttl).serialize()


def due_many_from(item: Item) -> list[str]:
    """The accounts of a due row, in their order."""
    return zlib.decompress(DueManyRow.from_raw_data(item).accounts).decode().split()


def dial_item(dial: Dial) -> Item:
    """Where a clock stands, as its item."""
    return DialRow(keys.CONFIG, keys.CLOCK, offset=dial.offset // MILLISECOND, job=dial.job).serialize()


def dial_from(item: Item) -> Dial:
    """Where a clock stands, of its item."""
    row = DialRow.from_raw_data(item)
    return Dial(int(row.offset) * MILLISECOND, row.job)


def job_item(job: Job) -> Item:
    """A job as its item."""
    return JobRow(
        keys.job(job.id),
        keys.JOB,
        fingerprint=job.fingerprint,
        actor=job.actor,
        starts_at=job.starts_at,
        ends_at=job.ends_at,
        reached_at=job.reached_at,
        beat_at=job.beat_at,
        status=job.status.value,
        days_total=job.days_total,
        days_done=job.days_done,
        partitions=job.partitions,
        after=job.after or None,
        reading=job.reading or None,
        marks=dict(job.marks) or None,
        counts=dict(job.counts) or None,
        failure=job.failure,
        version=job.version,
    ).serialize()


def job_from(item: Item) -> Job:
    """The job of an item."""
    row = JobRow.from_raw_data(item)
    return Job(
        id=row.pk.partition("#")[2],
        fingerprint=row.fingerprint,
        actor=row.actor,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        reached_at=row.reached_at,
        beat_at=row.beat_at,
        status=JobStatus(row.status),
        days_total=int(row.days_total),
        days_done=int(row.days_done),
        partitions=int(row.partitions),
        after=row.after or "",
        reading=row.reading or "",
        marks=row.marks or {},
        counts=row.counts or {},
        failure=row.failure,
        version=int(row.version),
    )
