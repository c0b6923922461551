"""The hash chain of an account's log: each record's hash covers the record as it is stored and the hash before it.

A byte that is altered later, in any attribute, no longer matches its hash; a record that is altered together with its hash no
longer matches the next one's. What is hashed is the stored item, so what an older version of the program wrote stays provable.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# 128 bits: nobody finds another record with the same hash, and it is paid for with every entry.
HASH_BYTES = 16
HASH_ATTRIBUTE = "h"
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=bytes.hex).encode


def hash_of(item: Mapping[str, Any], prior: bytes) -> bytes:
    """The hash of a record's item (with or without its own hash in it) that follows a record with the hash `prior`."""
    content = {name: value for name, value in item.items() if name != HASH_ATTRIBUTE}
    return hashlib.sha256(prior + _canonical(content).encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]
