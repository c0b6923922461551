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
| every member                     | `DIR#<shard>`           | `<acct>`              | Query a shard                         |
| the program in force             | `CFG`                   | `V#<version>`         | Query, descending, 1                  |
| terms or a reward of a version   | `CFG`                   | `V#<version>`         | GetItem                               |
| up to where a round is planned   | `CFG`                   | `JOB#<round>`         | GetItem                               |
| where a sandbox's clock stands   | `CFG`                   | `CLOCK`               | GetItem                               |
| how far a job is                 | `JOB#<id>`              | `JOB`                 | GetItem                               |

The directory is read by whoever tells everybody's events again (storage/streams.py).
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
