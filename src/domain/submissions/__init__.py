"""Submissions: many purchases in one call, queued first and booked soon.

What is wrong with a purchase by itself is said at once; the others go out as a message each, and a worker books those of one
member together (domain/groups.py). A submission is written down before the first message goes out, so nothing is queued that
nobody can ask for, and sent again under its key it queues the same purchases again, which is harmless: a purchase is booked once.

What became of each is read from the ledger. Only what leaves nothing there is noted beside the submission: a refusal of the
worker's, and why a message was given up.
"""

from domain.submissions.booking import book, give_up
from domain.submissions.kept import (
    ITEM_REFUSALS,
    Item,
    Note,
    Submission,
    SubmissionKnown,
    Submissions,
    SubmittedTooLongAgo,
)
from domain.submissions.looking import Standing, Status, standing, tally
from domain.submissions.receiving import SUBMIT_REFUSALS, NoPurchases, Offer, SubmissionTooLarge, Submitted, submit

__all__ = [
    "ITEM_REFUSALS",
    "SUBMIT_REFUSALS",
    "Item",
    "NoPurchases",
    "Note",
    "Offer",
    "Standing",
    "Status",
    "Submission",
    "SubmissionKnown",
    "SubmissionTooLarge",
    "Submissions",
    "Submitted",
    "SubmittedTooLongAgo",
    "book",
    "give_up",
    "standing",
    "submit",
    "tally",
]
