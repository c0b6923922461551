"""The items of the table: short attribute names outside, the domain's names inside.

Attribute names are stored in every item and paid for with every write, so they have one to three letters; each model gives them
their names. Numbers that belong together (buckets, lines, explanations) are one readable string, because DynamoDB and its
client charge for structure: `20850+12 20881-3` is +12 points in the bucket of day 20850 and -3 in that of day 20881.
"""

from storage.items.claims import BasketAttribute, claim_from, claim_item, end_from, end_item, return_from, return_item
from storage.items.jobs import DueRow, MarkRow, ProgramRow, dial_from, dial_item, job_from, job_item
from storage.items.members import LookupRow, note_from, note_item, notice_from, notice_item, profile_from, profile_item
from storage.items.records import RecordRow, record_from, record_item
from storage.items.row import Item, Row

__all__ = [
    "BasketAttribute",
    "DueRow",
    "Item",
    "LookupRow",
    "MarkRow",
    "ProgramRow",
    "RecordRow",
    "Row",
    "claim_from",
    "claim_item",
    "dial_from",
    "dial_item",
    "end_from",
    "end_item",
    "job_from",
    "job_item",
    "note_from",
    "note_item",
    "notice_from",
    "notice_item",
    "profile_from",
    "profile_item",
    "record_from",
    "record_item",
    "return_from",
    "return_item",
]
