"""The store on DynamoDB. Every method is one request, but for the bounded retries of the client itself; only days to note, and
returns beyond a megabyte, take one each."""

import hmac
import math
import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain import days, limits
from domain.entries import Claim, End, Key, Note, PurchaseReturn, Record
from domain.members import Lookup, Profile
from domain.notices import Notice
from domain.refusals import OutcomeUnknown
from domain.store import NOTHING, Beside, ClaimTaken, Contended, EndTaken, Home, LookupTaken, ReturnTaken, Update
from storage import items, keys, requests
from storage.items import Item


def _put_if(condition: str) -> dict[str, str]:
    return {**requests.IF_NEW, "ConditionExpression": condition}


_IF_NEW = requests.IF_NEW
# A claim without a fingerprint waits for its purchase (`Claim.is_parked`).
_IF_PARKED = _put_if("attribute_exists(PK) AND attribute_not_exists(f)")
_IF_NOT_COMPLETE = _put_if("attribute_not_exists(f)")
# A notice that is there, and that nobody has read.
_IF_UNREAD = {"ConditionExpression": "attribute_exists(PK) AND attribute_not_exists(rd)"}
# A look-up that was given up has no account.
_IF_NOBODYS = _put_if("attribute_not_exists(a)")
# Items of one transaction (AWS limit).
_READS_A_TRANSACTION_MAX = 100
# Full jitter. The cap lets a hundred writers of one account take turns: with n writers and a window of w between reading and
# writing, about n times w between attempts keeps most of them from being in vain.
_PAUSE_FIRST_S, _PAUSE_GROWTH, _PAUSE_MAX_S = 0.03, 3, 4.0


class Table:
    """`domain.store.Store` on one DynamoDB table.

    `pepper` keys the hashes of look-ups, and is None where a function only works on accounts that are named to it; `shards` is
    how many partitions a day's due rows and the directory are spread over. Both stay what they were when the table got its first
    member. `deadline` is when contending stops, on the monotonic clock.
    """

    def __init__(
        self, connection: Connection, name: str, *, pepper: bytes | None, shards: int, deadline: float = math.inf
    ) -> None:
        self._connection = connection
        self._name = name
        self._pepper = pepper
        self._shards = shards
        self._deadline = deadline

    def until(self, deadline: float) -> "Table":
        """The same table for one request that has to be answered by `deadline` (seconds on the monotonic clock)."""
        return Table(self._connection, self._name, pepper=self._pepper, shards=self._shards, deadline=deadline)

    # --- reads ---------------------------------------------------------------------------------------------------------

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        item = self._get(self._lookup_key(lookup), keys.LOOKUP, strong=strong)
        account: str | None = items.LookupRow.from_raw_data(item).account if item else None
        return account

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        found = self._entries(account, keys.ENTRY_FIRST, keys.ENTRY_LAST, limit=1, strong=strong)
        return items.record_from(found[0]) if found else None

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        # `P` is the only thing in the partition that sorts after every `E#…`.
        found = self._query(
            "PK = :p AND SK >= :a",
            {":p": {"S": keys.account(account)}, ":a": {"S": keys.ENTRY_FIRST}},
            limit=entries + 2,
            strong=strong,
        )
        profile = next((items.profile_from(item) for item in found if item["SK"]["S"] == keys.PROFILE), None)
        records = tuple(items.record_from(item) for item in found if item["SK"]["S"].startswith(keys.ENTRY_PREFIX))
        # Where there is no profile any more, its place on the page was taken by a record too many.
        return Home(profile, records[: entries + 1]) if records else None

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        found = self._entries(account, keys.ENTRY_FIRST, keys.entry(seq), limit=limit)
        return [items.record_from(item) for item in found]

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        found = self._entries(account, keys.entry(seq + 1), keys.ENTRY_LAST, limit=limit, strong=True, descending=False)
        return [items.record_from(item) for item in found]

    def claim(self, key: Key) -> Claim | None:
        item = self._get(keys.claim(key), keys.CLAIM, strong=True)
        return items.claim_from(item) if item else None

    def claims(self, wanted: Collection[Key]) -> Mapping[Key, Claim]:
        found = self._get_many([(keys.claim(key), keys.CLAIM) for key in dict.fromkeys(wanted)])
        return {claim.key: claim for claim in map(items.claim_from, found)}

    def records(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], Record]:
        found = self._get_many([(keys.account(account), keys.entry(seq)) for account, seq in dict.fromkeys(places)])
        return {(record.account, record.seq): record for record in map(items.record_from, found)}

    def returns(self, purchase: Key) -> Sequence[PurchaseReturn]:
        request: dict[str, Any] = {
            "KeyConditionExpression": "PK = :p AND begins_with(SK, :r)",
            "ExpressionAttributeValues": {":p": {"S": keys.claim(purchase)}, ":r": {"S": keys.RETURN_PREFIX}},
            "ConsistentRead": True,
        }
        # To the end, however many pages that takes: a return that is overlooked here would be given back twice.
        page = self._call("Query", request)
        found: list[Item] = page["Items"]
        while "LastEvaluatedKey" in page:
            page = self._call("Query", {**request, "ExclusiveStartKey": page["LastEvaluatedKey"]})
            found += page["Items"]
        return sorted(map(items.return_from, found), key=lambda each: (each.at, each.id))

    def end(self, account: str, seq: int, index: int) -> End | None:
        item = self._get(keys.account(account), keys.end(seq, index), strong=True)
        return items.end_from(item) if item else None

    def note(self, account: str, digest: bytes) -> Note | None:
        item = self._get(keys.account(account), keys.note(digest), strong=True)
        return items.note_from(item) if item else None

    def notices(self, account: str, *, before: tuple[int, str] | None = None, limit: int) -> Sequence[Notice]:
        last = keys.NOTICE_LAST if before is None else keys.notice(*before)
        # One more: both ends of a range belong to it.
        found = self._entries(account, keys.NOTICE_FIRST, last, limit=limit + 1)
        return [items.notice_from(item) for item in found if item["SK"]["S"] != last][:limit]

    def notice(self, account: str, day: int, about: str) -> Notice | None:
        item = self._get(keys.account(account), keys.notice(day, about), strong=True)
        return items.notice_from(item) if item else None

    # --- writes --------------------------------------------------------------------------------------------------------

    def remember(self, claim: Claim) -> None:
        self._claim({"Item": items.claim_item(claim), **_IF_NEW})

    def complete(self, claim: Claim) -> None:
        self._claim({"Item": items.claim_item(claim), **_IF_PARKED})

    def park(self, waiting: PurchaseReturn) -> None:
        parked = Claim(key=waiting.purchase, account="", seq_seen=0, fingerprint=b"", at=waiting.at)
        reasons = self._transact(
            [
                {"Item": items.claim_item(parked), **_IF_NOT_COMPLETE},
                {"Item": items.return_item(waiting), **_IF_NEW},
            ]
        )
        if reasons:
            self._raise_if_claimed(reasons[0])
            self._raise_if_returned(reasons[1])
            raise Contended

    def refuse_return(self, refused: PurchaseReturn) -> None:
        old = self._put({"Item": items.return_item(refused), **_IF_NEW})
        if old is not None:
            raise ReturnTaken(items.return_from(old))

    def note_due(self, account: str, due: Iterable[int]) -> None:
        shard = keys.shard(account, self._shards)
        for day in due:
            row = items.DueRow(keys.due(day, shard), account, ttl=_forget_after(day))
            self._call("PutItem", {"Item": row.serialize()})

    def note_due_all(self, accounts: Sequence[str], day: int) -> None:
        of_shards: dict[int, list[str]] = {}
        for account in accounts:
            of_shards.setdefault(keys.shard(account, self._shards), []).append(account)
        for shard, together in of_shards.items():
            if len(together) == 1:
                self.note_due(together[0], (day,))
            else:
                item = items.due_many_item(keys.due(day, shard), together, ttl=_forget_after(day))
                self._call("PutItem", {"Item": item})

    def keep_note(self, account: str, note: Note) -> None:
        self._call("PutItem", {"Item": items.note_item(account, note)})

    def give_notice(self, account: str, notice: Notice) -> bool:
        return self._put({"Item": items.notice_item(account, notice), **_IF_NEW}) is None

    def mark_read(self, account: str, notice: Notice) -> bool:
        assert notice.read_at is not None
        try:
            self._call("PutItem", {"Item": items.notice_item(account, notice), **_IF_UNREAD})
        except VerboseClientError as error:
            if requests.response_of(error)["Error"]["Code"] == "ConditionalCheckFailedException":
                # Read before, or forgotten a moment ago.
                return False
            raise
        return True

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        put = {"Item": items.record_item(record), **_IF_NEW}
        if not beside:
            if self._put(put) is not None:
                raise Contended
            return
        accounts = {record.account, *(other.account for other in beside.records)}
        assert len(accounts) == 1 + len(beside.records), "an account moves once in a transaction"
        puts = [put, *({"Item": items.record_item(other), **_IF_NEW} for other in beside.records)]
        records = len(puts)
        if beside.booked is not None:
            puts.append({"Item": items.return_item(beside.booked), **_IF_NEW})
        if beside.end is not None:
            puts.append({"Item": items.end_item(beside.end), **_IF_NEW})
        gained = len(puts)
        if beside.update is not None:
            puts += self._update(beside.update)
        reasons = self._transact(puts)
        if not reasons:
            return
        if all(reason.get("Code") == "None" for reason in reasons[:records]):
            if beside.booked is not None:
                self._raise_if_returned(reasons[records])
            if beside.end is not None and reasons[gained - 1].get("Code") == "ConditionalCheckFailed":
                raise EndTaken(items.end_from(reasons[gained - 1]["Item"]))
            if beside.update is not None:
                self._raise_if_owned(beside.update.gained, reasons[gained:])
        raise Contended

    def enroll(self, claim: Claim, record: Record, profile: Profile, lookups: Sequence[Lookup]) -> None:
        shard = keys.shard(record.account, self._shards)
        others = [
            items.record_item(record),
            items.profile_item(record.account, profile),
            items.Row(keys.directory(shard), record.account).serialize(),
        ]
        reasons = self._transact(
            [
                {"Item": items.claim_item(claim), **_IF_NEW},
                *(self._lookup_put(lookup, record.account) for lookup in lookups),
                *({"Item": item, **_IF_NEW} for item in others),
            ]
        )
        if reasons:
            self._raise_if_claimed(reasons[0])
            self._raise_if_owned(lookups, reasons[1:])
            raise Contended

    def digest(self, text: bytes) -> bytes:
        return hmac.digest(self._secret, text, "sha256")

    def fits(self, record: Record) -> bool:
        return items.is_one_unit(items.record_item(record))

    def require_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise OutcomeUnknown("The account is too busy; whether this happened is unknown. Retry with the same key.")

    def pause(self, attempt: int) -> None:
        self.require_time()
        time.sleep(random.uniform(0, min(_PAUSE_MAX_S, _PAUSE_FIRST_S * _PAUSE_GROWTH ** min(attempt, 10))))  # noqa: S311 (spreading, not secrecy)

    # --- requests ------------------------------------------------------------------------------------------------------

    @property
    def _secret(self) -> bytes:
        assert self._pepper is not None, "this function has no secret: it neither finds members nor keeps keys"
        return self._pepper

    def _lookup_key(self, lookup: Lookup) -> str:
        return keys.lookup(lookup.kind, lookup.value, self._secret)

    def _lookup_put(self, lookup: Lookup, account: str) -> dict[str, Any]:
        row = items.LookupRow(self._lookup_key(lookup), keys.LOOKUP, account=account)
        return {"Item": row.serialize(), **_IF_NOBODYS}

    def _update(self, update: Update) -> list[dict[str, Any]]:
        """Gained look-ups first. Whoever gives one up must still own it; TTL takes away what nobody wants again."""
        ttl = int(time.time() + limits.LOOKUP_RETENTION.total_seconds())
        puts = [self._lookup_put(lookup, update.account) for lookup in update.gained]
        for lookup in update.given_up:
            row = items.LookupRow(self._lookup_key(lookup), keys.LOOKUP, ttl=ttl)
            owned = {"ConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": update.account}}}
            puts.append({"Item": row.serialize(), **owned})
        profile = items.profile_item(update.account, update.profile)
        return [*puts, {"Item": profile, "ConditionExpression": "attribute_exists(PK)"}]

    def _claim(self, put: dict[str, Any]) -> None:
        old = self._put(put)
        if old is not None:
            raise ClaimTaken(items.claim_from(old))

    def _put(self, put: dict[str, Any]) -> Item | None:
        """Puts one item on its condition; the item that is there when that fails."""
        try:
            self._call("PutItem", put)
        except VerboseClientError as error:
            response = requests.response_of(error)
            if response["Error"]["Code"] == "ConditionalCheckFailedException":
                assert "Item" in response, "the condition failed, and nothing is there"
                old: Item = response["Item"]
                return old
            if response["Error"]["Code"] == "TransactionConflictException":
                # A transaction on the same key is on its way; the retry finds its answer.
                raise Contended from error
            raise
        return None

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self._send(operation, {"TableName": self._name, **request})

    def _send(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One request with the client's own bounded retries. Refuses `OutcomeUnknown` when they end without an answer."""
        return requests.send(self._connection, operation, request)

    def _get(self, pk: str, sk: str, *, strong: bool = False) -> Item | None:
        found = self._call("GetItem", {"Key": {"PK": {"S": pk}, "SK": {"S": sk}}, "ConsistentRead": strong})
        return found.get("Item")

    def _get_many(self, chosen: Sequence[tuple[str, str]]) -> list[Item]:
        """The items under many keys, as far as there are any.

        As transactions of reads: they need no permission but that of GetItem, and BatchGetItem would need one of its own.
        """
        found: list[Item] = []
        for start in range(0, len(chosen), _READS_A_TRANSACTION_MAX):
            some = chosen[start : start + _READS_A_TRANSACTION_MAX]
            reads = [{"Get": {"TableName": self._name, "Key": {"PK": {"S": pk}, "SK": {"S": sk}}}} for pk, sk in some]
            try:
                responses = self._send("TransactGetItems", {"TransactItems": reads})["Responses"]
                found += [each["Item"] for each in responses if each.get("Item")]
            except VerboseClientError as error:
                if requests.response_of(error)["Error"]["Code"] != "TransactionCanceledException":
                    raise
                # One of them is being written in a transaction right now: one by one they are read before or after it.
                found += [item for pk, sk in some if (item := self._get(pk, sk, strong=True)) is not None]
        return found

    def _entries(
        self, account: str, first: str, last: str, *, limit: int, strong: bool = False, descending: bool = True
    ) -> list[Item]:
        values = {":p": {"S": keys.account(account)}, ":a": {"S": first}, ":z": {"S": last}}
        return self._query(
            "PK = :p AND SK BETWEEN :a AND :z", values, limit=limit, strong=strong, descending=descending
        )

    def _query(
        self, condition: str, values: Item, *, limit: int, strong: bool = False, descending: bool = True
    ) -> list[Item]:
        # One page: `limit` items of at most a few KB are far below the 1 MB at which DynamoDB would cut it.
        found: list[Item] = self._call(
            "Query",
            {
                "KeyConditionExpression": condition,
                "ExpressionAttributeValues": values,
                "Limit": limit,
                "ConsistentRead": strong,
                "ScanIndexForward": not descending,
            },
        )["Items"]
        return found

    def _transact(self, puts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Puts every item on its condition, all or none. Empty when written, else the cancellation reasons in order."""
        try:
            # The client's own request token covers its own retries only; what makes a write safe to repeat are the keys.
            request = {"TransactItems": [{"Put": {"TableName": self._name, **put}} for put in puts]}
            self._send("TransactWriteItems", request)
        except VerboseClientError as error:
            response = requests.response_of(error)
            reasons: list[dict[str, Any]] = response.get("CancellationReasons", [])
            if reasons and all(reason["Code"] in requests.RETRYABLE for reason in reasons if reason["Code"] != "None"):
                return reasons
            raise
        return []

    @staticmethod
    def _raise_if_claimed(reason: dict[str, Any]) -> None:
        if reason.get("Code") == "ConditionalCheckFailed":
            raise ClaimTaken(items.claim_from(reason["Item"]))

    @staticmethod
    def _raise_if_returned(reason: dict[str, Any]) -> None:
        if reason.get("Code") == "ConditionalCheckFailed":
            raise ReturnTaken(items.return_from(reason["Item"]))

    @staticmethod
    def _raise_if_owned(lookups: Sequence[Lookup], reasons: Sequence[dict[str, Any]]) -> None:
        for lookup, reason in zip(lookups, reasons, strict=False):
            if reason.get("Code") == "ConditionalCheckFailed":
                raise LookupTaken(lookup)


def _forget_after(day: int) -> int:
    """When a due row of `day` may go, in epoch seconds. TTL runs on wall time; a day's end in UTC is near enough."""
    on = days.date_of(day)
    return int((datetime(on.year, on.month, on.day, tzinfo=UTC) + limits.DUE_RETENTION).timestamp())
