"""The store in memory, for tests and for judging many members at once. A state machine holds it to the table's behavior."""

import hmac
import threading
import time
from collections.abc import Iterable, Sequence

from domain.ledger import Claim, ClaimTaken, Contended, Home, Key, LookupTaken, Record
from domain.members import Lookup, Profile


class Memory:
    """`domain.ledger.Store` in dictionaries under one lock: every method is atomic, every read is strong."""

    def __init__(self, *, pepper: bytes = b"in memory") -> None:
        self._pepper = pepper
        self._lock = threading.RLock()
        self._claims: dict[Key, Claim] = {}
        self._logs: dict[str, list[Record]] = {}
        self._profiles: dict[str, Profile] = {}
        self._lookups: dict[Lookup, str] = {}
        self.due: set[tuple[int, str]] = set()

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        return self._lookups.get(lookup)

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        log = self._logs.get(account)
        return log[-1] if log else None

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        with self._lock:
            log = self._logs.get(account)
            return Home(self._profiles.get(account), tuple(log[: -entries - 2 : -1])) if log else None

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        return self._logs.get(account, [])[:seq][::-1][:limit]

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        return self._logs.get(account, [])[seq : seq + limit]

    def claim(self, key: Key) -> Claim | None:
        return self._claims.get(key)

    def append(self, claim: Claim, record: Record, *, due: Iterable[int] = ()) -> None:
        with self._lock:
            self._require_unclaimed(claim)
            log = self._logs.setdefault(record.account, [])
            if record.seq <= len(log):
                raise Contended
            assert record.seq == len(log) + 1, "a record was appended beyond the head"
            self._claims[claim.key] = claim
            log.append(record)
            self.due.update((day, record.account) for day in due)

    def refuse(self, claim: Claim) -> None:
        with self._lock:
            self._require_unclaimed(claim)
            self._claims[claim.key] = claim

    def enroll(self, claim: Claim, record: Record, profile: Profile, lookups: Sequence[Lookup]) -> None:
        with self._lock:
            self._require_unclaimed(claim)
            for lookup in lookups:
                if lookup in self._lookups:
                    raise LookupTaken(lookup)
            self.append(claim, record)
            self._profiles[record.account] = profile
            self._lookups.update(dict.fromkeys(lookups, record.account))

    def digest(self, text: bytes) -> bytes:
        return hmac.digest(self._pepper, text, "sha256")

    def pause(self, attempt: int) -> None:
        time.sleep(0)

    def _require_unclaimed(self, claim: Claim) -> None:
        taken = self._claims.get(claim.key)
        if taken is not None:
            raise ClaimTaken(taken)
