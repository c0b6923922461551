"""What the ledger holds: entries and the records they stand in, the claims of keys, and what may be written beside a record."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from urllib.parse import quote, unquote

from domain import accounts
from domain.accounts import Line, Standing, State
from domain.expiry import Rolling
from domain.refusals import Refusal


class EntryKind(Enum):
    """What caused an entry."""

    ENROLLMENT = "ENROLLMENT"
    PURCHASE = "PURCHASE"
    RETURN = "RETURN"
    REDEMPTION = "REDEMPTION"
    CANCELLATION = "CANCELLATION"
    ADJUSTMENT = "ADJUSTMENT"
    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    RELEASE = "RELEASE"
    TRANSFER_OUT = "TRANSFER_OUT"
    TRANSFER_IN = "TRANSFER_IN"
    UPDATE = "UPDATE"
    BLOCK = "BLOCK"
    UNBLOCK = "UNBLOCK"
    CLOSURE = "CLOSURE"
    # Another account's points came in, and went back.
    MERGE = "MERGE"
    UNMERGE = "UNMERGE"
    # The last entry of an account that lives on in another, and its first one when that was undone.
    MERGED = "MERGED"
    REOPENING = "REOPENING"
    # A better tier, or a lesser one.
    TIER = "TIER"
    # Points for a moment of the membership.
    BONUS = "BONUS"
    # Points of a campaign, and their reversal.
    CAMPAIGN_BONUS = "CAMPAIGN_BONUS"
    CAMPAIGN_REVERSAL = "CAMPAIGN_REVERSAL"
    # A no that was decided after the key was claimed: nobody sees it but whoever sends the key again.
    REFUSED = "REFUSED"
    LAPSE = accounts.LAPSED
    MATURITY = accounts.MATURED
    EXPIRY = accounts.EXPIRED
    DEBT_PAYMENT = accounts.SETTLED


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's idempotency key within its source; one key moves points in at most one entry, program-wide.

    Purchases use the caller's `source` name and the purchase's external id. Other operations use the caller itself as the
    source, returns the purchase they are of; both are marked so that they can never equal a purchase's (see `caller_key`).
    """

    source: str
    value: str

    def __str__(self) -> str:
        return f"{self.source}:{self.value}"

    @property
    def is_for_ever(self) -> bool:
        """Whether it is remembered for the program's life, as purchases, their returns and what campaigns give are; a caller's
        own is not."""
        return not self.source.startswith("~") or self.source.startswith((_RETURN_SOURCE, _CAMPAIGN_SOURCE))

    @property
    def campaign(self) -> str | None:
        """The campaign whose system key it is. Such a key has no claim: the log alone says whether it is booked."""
        is_of_one = self.source.startswith(_CAMPAIGN_SOURCE)
        return self.source.removeprefix(_CAMPAIGN_SOURCE) if is_of_one else None


def caller_key(actor_id: str, value: str) -> Key:
    """The key of an operation that is not a purchase: it belongs to its caller. `~` cannot stand in a purchase's source."""
    # A subject may hold any character; escaped, it cannot be mistaken for the colon that ends a source.
    return Key(f"~{quote(actor_id, safe='')}", value)


# No caller's id starts like these: theirs begin with the kind of caller (domain/access.py).
_RETURN_SOURCE = "~r."
_CAMPAIGN_SOURCE = "~c."


def return_key(purchase: Key, return_id: str) -> Key:
    """The key of a return: it belongs to its purchase."""
    return Key(f"{_RETURN_SOURCE}{purchase.source}", f"{quote(purchase.value, safe='')}:{return_id}")


def returned_purchase(key: Key) -> tuple[Key, str]:
    """The purchase and the return's id that `return_key` was made of."""
    assert key.source.startswith(_RETURN_SOURCE)
    value, _, return_id = key.value.partition(":")
    return Key(key.source.removeprefix(_RETURN_SOURCE), unquote(value)), return_id


def bonus_key(campaign: str, account: str) -> Key:
    """The system key of what a campaign gives to an account: once for the program's life."""
    return Key(f"{_CAMPAIGN_SOURCE}{campaign}", account)


def reversal_key(campaign: str, account: str) -> Key:
    """The system key of the reversal of what a campaign gave to an account."""
    return Key(f"{_CAMPAIGN_SOURCE}{campaign}", f"{account}:revert")


@dataclass(frozen=True, slots=True)
class Money:
    """Minor units (cents) of an ISO 4217 currency."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rule` gave (or took) `points`; `basis` is the amount in minor units it looked at, where it looked at money.

    The points of an entry's explanation add up to the entry's; where points only moved between the pots of an account, the
    explanation says by how many the balance changed.
    """

    rule: str
    points: int
    basis: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One immutable line of the ledger. `balance_after` is the spendable balance when it was booked at `at`.

    `occurred_at` is when its cause happened, where that differs from `at`. `total` is the money of a purchase or a return.
    `reward` is id and version of the reward redeemed, `code` the redemption's code. `reason` is a reason code, `note` the hash
    of the note that goes with it (the text is an annex, which can be erased). `terms` is the terms version that judged.
    `lapses_at` is the end of a hold. `cause` is the sequence and index of the earlier entry of the account that this one undoes.
    `peer` is account and sequence of the record that was written with this one, on the other account of a transfer or merge; of
    a cancellation, of the redemption, where that stands in an account that was merged since.
    `refusal` is the no of a refused operation.

    `rolls` is the rolling day after it, where it moves. `qualifies` is what it adds towards a tier, by period (less than 0 takes
    away), `standing` the tier after an entry of kind `TIER`, None for the lowest. `marks` are the marks of the account that it
    sets; 0 takes one away.
    """

    kind: EntryKind
    at: datetime
    lines: tuple[Line, ...]
    balance_after: int
    explanation: tuple[Explanation, ...] = ()
    key: Key | None = None
    actor: str | None = None
    occurred_at: datetime | None = None
    total: Money | None = None
    location: str | None = None
    channel: str | None = None
    reward: tuple[str, int] | None = None
    code: str | None = None
    reason: str | None = None
    note: bytes | None = None
    terms: int | None = None
    lapses_at: datetime | None = None
    cause: tuple[int, int] | None = None
    peer: tuple[str, int] | None = None
    refusal: Refusal | None = None
    rolls: Rolling | None = None
    qualifies: tuple[tuple[int, int], ...] = ()
    standing: Standing | None = None
    marks: tuple[tuple[str, int], ...] = ()

    @property
    def points(self) -> int:
        """The change in what the account is worth; 0 where points only moved between its pots (maturity, hold, release)."""
        return sum(line.points for line in self.lines)


@dataclass(frozen=True, slots=True)
class Record:
    """The entries written together at sequence `seq` of an account, oldest first, and the state after the last.

    `hash` chains the record to the one before, whose hash is `prior`; the store computes it when it writes (storage/chain.py).
    """

    account: str
    seq: int
    entries: tuple[Entry, ...]
    state: State
    prior: bytes = field(default=b"", compare=False, repr=False)
    hash: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BasketLine:
    """One line of a receipt. `quantity` is in the unit the till counts in; `amount_minor` is the line's total."""

    sku: str | None
    category: str | None
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Basket:
    """What a purchase's claim keeps for ever: the facts that somebody may ask for later."""

    occurred_at: datetime
    total: Money
    location: str | None
    channel: str | None
    lines: tuple[BasketLine, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """The memory of a key: whose it is, what was asked (`fingerprint`), and the refusal if the answer was no.

    `seq_seen` is the account's sequence that was read before the claim was written: an entry with this key can only stand
    after it. `expires_at` is when the claim may be forgotten; purchases are never forgotten.

    `followed` are the accounts that led to `account` when it was claimed, the one that was asked about first, each with the
    sequence of the record that closed it by a merge: where that is undone, the operation goes back.

    A return that came before its purchase makes a *parked* claim, without a fingerprint; the purchase completes it, and
    `had_returns` then tells that returns were waiting.
    """

    key: Key
    account: str
    seq_seen: int
    fingerprint: bytes
    at: datetime
    basket: Basket | None = None
    refusal: Refusal | None = None
    expires_at: datetime | None = None
    had_returns: bool = False
    followed: tuple[tuple[str, int], ...] = ()

    @property
    def asked_about(self) -> str:
        """The account that was asked about, wherever it lived then."""
        return self.followed[0][0] if self.followed else self.account

    @property
    def is_parked(self) -> bool:
        """Whether only returns of the purchase are known yet."""
        return not self.fingerprint


@dataclass(frozen=True, slots=True)
class Reversal:
    """What a return came to: the money of what was returned, and the points owed for it, by what became of them."""

    amount_minor: int
    taken: int
    debt: int
    written_off: int

    @property
    def owed(self) -> int:
        """Points that what was returned had earned."""
        return self.taken + self.debt + self.written_off


@dataclass(frozen=True, slots=True)
class PurchaseReturn:
    """A return of (a part of) a purchase, kept beside the purchase's claim for the program's life.

    It returns quantities of basket lines (`lines`: index in the basket → quantity), or `amount_minor`, or, when both are
    empty, all that is left. `account` and `seq` are where its entry stands, and `reversal` is what it came to; they are empty
    while it is parked, and stay so: the entry of a return that was parked is in its purchase's record. `member` is the account
    that the caller of a parked return took for the purchase's. `refusal` is set when the answer was no.
    """

    purchase: Key
    id: str
    fingerprint: bytes
    at: datetime
    lines: dict[int, int] = field(default_factory=dict)
    amount_minor: int | None = None
    currency: str | None = None
    occurred_at: datetime | None = None
    reason: str | None = None
    member: str = ""
    account: str = ""
    seq: int = 0
    reversal: Reversal | None = None
    refusal: Refusal | None = None

    @property
    def key(self) -> Key:
        """The key of its entry."""
        return return_key(self.purchase, self.id)


@dataclass(frozen=True, slots=True)
class End:
    """How the redemption at (`seq`, `index`) of an account ended; it ends once. `key` is of the operation that ended it."""

    account: str
    seq: int
    index: int
    kind: EntryKind
    key: Key
    at: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """Free text of staff about an entry. It is personal data: it stands apart from the ledger, found by `digest`, a hash that
    only `salt`, which is erased with it, makes guessable."""

    text: str
    salt: bytes
    digest: bytes
