"""The key design: one table, no index, every access pattern a key.

| to find                          | PK                      | SK                    | how                                   |
|----------------------------------|-------------------------|-----------------------|---------------------------------------|
| the account now                  | `M#<acct>`              | `E#<seq>`             | Query, begins_with `E#`, descending, 1 |
| the history, page by page        | `M#<acct>`              | `E#<seq>`             | Query, `E#` ≤ cursor, descending       |
| member, account, n newest entries| `M#<acct>`              | `P`, `E#<seq>`        | Query, descending, n + 2 (`P` > `E#…`) |
| what a key was answered          | `K#<source>:<key>`      | `K`                   | the failed put returns it; GetItem     |
| the returns of a purchase        | `K#<source>:<purchase>` | `R#<return id>`       | Query, begins_with `R#`                |
| how a redemption ended           | `M#<acct>`              | `C#<seq>.<index>`     | the failed put returns it; GetItem     |
| a note of staff about an entry   | `M#<acct>`              | `A#N#<its hash>`      | GetItem                               |
| what a member was told, by page   | `M#<acct>`              | `A#M#<day>#<about>`   | Query, `A#M#` ≤ cursor, descending     |
| whether they were told of it     | `M#<acct>`              | `A#M#<day>#<about>`   | the failed put; GetItem               |
| the account of a contact, login… | `U#<kind>#<hmac>`       | `U`                   | GetItem                               |
| who has something due on a day   | `D#<day>#<shard>`       | `<acct>`              | Query a shard                         |
| many who have, by one row        | `D#<day>#<shard>`       | `~<hash of them>`     | Query a shard                         |
| every member                     | `DIR#<shard>`           | `<acct>`              | Query a shard                         |
| the program in force             | `CFG`                   | `V#<version>`         | Query, descending, 1                  |
| terms or a reward of a version   | `CFG`                   | `V#<version>`         | GetItem                               |
| up to where a round is planned   | `CFG`                   | `JOB#<round>`         | GetItem                               |
| where a sandbox's clock stands   | `CFG`                   | `CLOCK`               | GetItem                               |
| how far a job is                 | `JOB#<id>`              | `JOB`                 | GetItem                               |
| a campaign; all, the newest first | `CMP`                   | `C#<id>`              | GetItem; Query, descending            |
| the campaigns at work            | `CMP`                   | `WORK`                | GetItem                               |
| what a campaign's key was used for | `CMPK#<hash of the key>` | `K`                   | GetItem                               |
| how far a run is                 | `CMP#<id>#<run>`        | `S#<shard>`           | Query; GetItem of a shard             |
| what is left of its budget       | `CMP#<id>#<run>`        | `B`                   | GetItem                               |
| members whose turn comes together | `CMP#<id>#<run>#<shard>` | `A#<chunk>`          | GetItem; Query, descending, 1          |
| what they are to get             | `CMP#<id>#<run>#<shard>` | `D#<chunk>`          | GetItem                               |
| what became of them              | `CMP#<id>#<run>#<shard>` | `Z#<chunk>`          | GetItem; Query                        |
| a list; all, the newest first     | `LST`                   | `L#<id>`              | GetItem; Query, descending            |
| the list a key was used for      | `LSTK#<hash of the key>` | `K`                   | GetItem                               |
| where the parts of its file begin | `LST#<id>`              | `C`                   | GetItem                               |
| what was found in a part         | `LST#<id>`              | `P#<part>`            | GetItem                               |
| the parts that were looked up    | `LST#<id>`              | `Z#<part>`            | Query                                 |
| lines of it that name nobody     | `LST#<id>`              | `X`                   | GetItem                               |
| who is on it                     | `LST#<id>#<shard>`      | `A#<last account>`    | Query, > `A#<acct>`                   |
| what was submitted               | `SUB#<id>`              | `S`                   | the failed put returns it; GetItem     |
| whether the queue has all of it  | `SUB#<id>`              | `T`                   | GetItem                               |
| what was refused or given up of it | `SUB#<id>`            | `N#<index><R or F>`   | Query, begins_with `N#`               |

The directory is read by whoever tells everybody's events again (storage/streams.py), and by campaigns, whose ids are in the order
in which they were made.
Sequences and versions have ten digits, and days of notices six (the last day of the year 2999 is 376,199), so that their text
order is their number order.
"""

import hashlib
import hmac
import zlib

from domain.entries import Key

PROFILE = "P"
CLAIM = "K"
LOOKUP = "U"
CONFIG = "CFG"
CLOCK = "CLOCK"
JOB = "JOB"
ENTRY_PREFIX = "E#"
# Before every entry and after every entry: the ends of a Query range.
ENTRY_FIRST = "E#0000000000"
ENTRY_LAST = "E#9999999999"
VERSION_PREFIX = "V#"
SUBMISSION = "S"
SENT = "T"
SUBMISSION_NOTE_PREFIX = "N#"
RETURN_PREFIX = "R#"
# Before every notice and after every notice.
NOTICE_FIRST = "A#M#"
NOTICE_LAST = "A#M$"


def account(acct: str) -> str:
    """Partition of everything that is one account's."""
    return f"M#{acct}"


def entry(seq: int) -> str:
    """Sort key of the record at `seq`."""
    return f"E#{seq:010d}"


def sequence(sort_key: str) -> int:
    """The sequence in a record's sort key."""
    return int(sort_key[2:])


def claim(key: Key) -> str:
    """Partition of a claim. A source never holds a colon, so the first one ends it."""
    assert ":" not in key.source
    return f"K#{key.source}:{key.value}"


def purchase_return(return_id: str) -> str:
    """Sort key of a return, in the partition of its purchase's claim."""
    return f"{RETURN_PREFIX}{return_id}"


def end(seq: int, index: int) -> str:
    """Sort key of the end of a redemption, in the partition of its account; before every entry."""
    return f"C#{seq:010d}.{index}"


def note(digest: bytes) -> str:
    """Sort key of a note of staff, in the partition of the account it is about; before every entry."""
    return f"A#N#{digest.hex()}"


def notice(day: int, about: str) -> str:
    """Sort key of a notice, in the partition of the account it is for; before every entry."""
    assert 0 <= day < 1_000_000
    return f"{NOTICE_FIRST}{day:06d}#{about}"


def noticed(sort_key: str) -> tuple[int, str]:
    """Day and subject in a notice's sort key."""
    _, _, day, about = sort_key.split("#", 3)
    return int(day), about


def lookup(kind: str, value: str, pepper: bytes) -> str:
    """Partition of a look-up. The value is personal data: only its keyed hash is ever a key."""
    digest = hmac.new(pepper, f"{kind}#{value}".encode(), hashlib.sha256).hexdigest()
    return f"U#{kind}#{digest}"


def due(day: int, shard: int) -> str:
    """Partition of the accounts of one shard that have something due on `day`."""
    return f"D#{day}#{shard}"


def directory(shard: int) -> str:
    """Partition of the members of one shard."""
    return f"DIR#{shard}"


def shard(acct: str, shards: int) -> int:
    """The shard of an account, the same for ever while the number of shards is."""
    return zlib.crc32(acct.encode()) % shards


def version(number: int) -> str:
    """Sort key of a program version."""
    return f"V#{number:010d}"


def mark(round_: str) -> str:
    """Sort key of the last planned day of a round of scheduled jobs."""
    return f"JOB#{round_}"


def job(job_id: str) -> str:
    """Partition of a job."""
    return f"JOB#{job_id}"


# --- campaigns --------------------------------------------------------------------------------------------------------

CAMPAIGNS = "CMP"
CAMPAIGNS_AT_WORK = "WORK"
# Before every campaign and after every campaign.
CAMPAIGN_FIRST = "C#"
CAMPAIGN_LAST = "C$"
RUN_BUDGET = "B"
# After every shard of a run, and after every chunk and every outcome of a shard: numbers have digits only.
RUN_SHARD_LAST = "S$"
CHUNK_LAST = "A$"
DONE_LAST = "Z$"


def campaign(campaign_id: str) -> str:
    """Sort key of a campaign."""
    return f"{CAMPAIGN_FIRST}{campaign_id}"


def campaign_id(sort_key: str) -> str:
    """The id in a campaign's sort key."""
    return sort_key[2:]


def campaign_key(digest: bytes) -> str:
    """Partition of the campaign that a caller's key was used for."""
    return f"CMPK#{digest.hex()}"


def campaign_digest(partition: str) -> bytes:
    """The hash in the partition of a caller's key."""
    return bytes.fromhex(partition.partition("#")[2])


def run(campaign_id: str, run: str) -> str:
    """Partition of how far a run of a campaign is."""
    return f"CMP#{campaign_id}#{run}"


def run_shard(number: int) -> str:
    """Sort key of how far a shard of a run is."""
    return f"S#{number:04d}"


def run_shard_number(sort_key: str) -> int:
    """The shard in the sort key of its progress."""
    return int(sort_key[2:])


def chunks(campaign_id: str, run: str, shard: int) -> str:
    """Partition of the chunks of a shard of a run."""
    return f"CMP#{campaign_id}#{run}#{shard}"


def chunk(number: int) -> str:
    """Sort key of the members of a chunk."""
    return f"A#{number:08d}"


def decision(number: int) -> str:
    """Sort key of what the members of a chunk are to get."""
    return f"D#{number:08d}"


def done(number: int) -> str:
    """Sort key of what became of the members of a chunk."""
    return f"Z#{number:08d}"


def chunk_number(sort_key: str) -> int:
    """The number in the sort key of a chunk, a decision or an outcome."""
    return int(sort_key[2:])


# --- lists of members -------------------------------------------------------------------------------------------------

LISTS = "LST"
# Before every list and after every list.
LIST_FIRST = "L#"
LIST_LAST = "L$"
LIST_CUT = "C"
LIST_EXAMPLES = "X"
# Before every part that was looked up and after every one.
LIST_PART_KEPT_FIRST = "Z#"
LIST_PART_KEPT_LAST = "Z$"
# After every page of accounts.
LIST_PAGE_LAST = "A$"


def member_list(list_id: str) -> str:
    """Sort key of a list."""
    return f"{LIST_FIRST}{list_id}"


def list_key(digest: bytes) -> str:
    """Partition of what a caller's key was used for."""
    return f"LSTK#{digest.hex()}"


def list_import(list_id: str) -> str:
    """Partition of how far the import of a list is."""
    return f"LST#{list_id}"


def list_part(number: int) -> str:
    """Sort key of what was found in a part."""
    return f"P#{number:04d}"


def list_part_kept(number: int) -> str:
    """Sort key of the mark that a part was looked up."""
    return f"{LIST_PART_KEPT_FIRST}{number:04d}"


def list_part_number(sort_key: str) -> int:
    """The number in the sort key of a part or its mark."""
    return int(sort_key[2:])


def list_members(list_id: str, shard: int) -> str:
    """Partition of the members of one shard that are on a list."""
    return f"LST#{list_id}#{shard}"


def list_page(last: str) -> str:
    """Sort key of a page of accounts: its last one, so that a page is found by any account before it."""
    return f"A#{last}"


# --- many at once -----------------------------------------------------------------------------------------------------

# Sorts after every account, so that the rows of single accounts come first.
DUE_MANY = "~"


def due_many(accounts: bytes) -> str:
    """Sort key of a due row of many accounts: the same accounts have the same one."""
    return f"{DUE_MANY}{hashlib.sha256(accounts).hexdigest()[:32]}"


def submission(submission_id: str) -> str:
    """Partition of a submission."""
    return f"SUB#{submission_id}"


def submission_marks(submission_id: str, sent_at: int) -> str:
    """Partition of what is noted of a submission that was sent at an instant (epoch milliseconds): of another one under the same
    key, after this one was forgotten, nothing is found there."""
    return f"SUB#{submission_id}#{sent_at}"


def submission_note(index: int, *, is_failure: bool) -> str:
    """Sort key of a refusal, or of a failure, of a purchase of a submission."""
    return f"{SUBMISSION_NOTE_PREFIX}{index:03d}{'F' if is_failure else 'R'}"


def noted_index(sort_key: str) -> int:
    """The purchase in the sort key of a note."""
    return int(sort_key[len(SUBMISSION_NOTE_PREFIX) : -1])
