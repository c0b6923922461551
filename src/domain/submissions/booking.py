"""Booking what was queued: a worker's part of a submission."""

from collections.abc import Callable, Sequence
from datetime import datetime

from domain import limits, purchases
from domain.programs import Program
from domain.purchases import Recorded
from domain.queued import Queued
from domain.refusals import OutcomeUnknown, Refusal
from domain.store import Store
from domain.submissions.kept import Note, Submissions, SubmittedTooLongAgo, placed


def book(
    submissions: Submissions,
    store: Store,
    program: Program,
    waiting: Sequence[Queued],
    *,
    now: datetime,
    wall: datetime,
    has_time: Callable[[], bool] = lambda: True,
) -> list[Recorded | Refusal]:
    """Books queued purchases, in the order in which they were submitted; any of them may come again, late, or after others. What
    is refused for good is noted.

    `OutcomeUnknown` among the answers says that nothing is certain of that purchase, and its message has to come again; so it
    is with whatever has not begun when `has_time` ends. Refuses `SubmittedTooLongAgo`, by the clock on the wall, and what
    `purchases.record` refuses.
    """
    too_old = SubmittedTooLongAgo(f"It was queued for more than {limits.QUEUED_AGE_MAX.days} days.", field=("input",))
    timely = [index for index, each in enumerate(waiting) if wall - each.sent_at <= limits.QUEUED_AGE_MAX]
    timely.sort(key=lambda index: waiting[index].order)
    receipts = [waiting[index].receipt for index in timely]
    booked = purchases.record_each(store, program, receipts, now=now, has_time=has_time)
    answers: list[Recorded | Refusal] = [too_old] * len(waiting)
    for index, answer in zip(timely, booked, strict=True):
        answers[index] = answer
    for place, (each, answer) in enumerate(zip(waiting, answers, strict=True)):
        if isinstance(answer, Refusal) and not isinstance(answer, OutcomeUnknown):
            try:
                noted = Note(each.index, placed(answer, each.index))
                submissions.note(each.submission, each.sent_at, noted, at=wall)
            except OutcomeUnknown as unknown:
                answers[place] = unknown
    return answers


def give_up(
    submissions: Submissions, submission_id: str, sent_at: datetime | None, index: int, failure: str, *, wall: datetime
) -> None:
    """Notes why the message of a purchase will not come again by itself; said again, the last word stays. Of what was
    altered nobody knows when it was sent (`sent_at` None): it is noted with the submission that it names. Refuses
    `OutcomeUnknown`."""
    if sent_at is None:
        known = submissions.find(submission_id)
        if known is None:
            return
        sent_at = known.sent_at
    submissions.note(submission_id, sent_at, Note(index, failure=failure), at=wall)
