"""What the program needs of a store, and what a store may answer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from domain.entries import Claim, End, Key, Note, PurchaseReturn, Record

if TYPE_CHECKING:
    from domain.members import Lookup, Profile
    from domain.notices import Notice


class ClaimTaken(Exception):
    """The key has a claim already. Nothing was written."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(str(claim.key))
        self.claim = claim


class ReturnTaken(Exception):
    """The purchase has a return with this id already. Nothing was written."""

    def __init__(self, taken: PurchaseReturn) -> None:
        super().__init__(taken.id)
        self.taken = taken


class EndTaken(Exception):
    """The redemption has ended already. Nothing was written."""

    def __init__(self, end: End) -> None:
        super().__init__(f"{end.account} {end.seq}.{end.index}")
        self.end = end


class LookupTaken(Exception):
    """A contact, card, external id or login already belongs to an account. Nothing was written."""

    def __init__(self, lookup: "Lookup") -> None:
        super().__init__(lookup.kind)
        self.lookup = lookup


class Contended(Exception):
    """Another writer was first, or the store was too busy. Nothing was written; reading again and retrying is safe."""


@dataclass(frozen=True, slots=True)
class Home:
    """What an app's first screen needs: who the member is and the newest records, newest first (at least the head)."""

    profile: "Profile | None"
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a member's personal data: the whole new profile, the look-ups it gains and the ones it gives up.

    It stands beside a record of the account, so no two of them can be made of the same old profile.
    """

    account: str
    profile: "Profile"
    gained: tuple["Lookup", ...] = ()
    given_up: tuple["Lookup", ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What an operation writes in one transaction with its own record, because neither may be without the other."""

    records: tuple[Record, ...] = ()
    booked: PurchaseReturn | None = None
    end: End | None = None
    update: Update | None = None

    def __bool__(self) -> bool:
        return bool(self.records or self.booked or self.end or self.update)


NOTHING = Beside()


class Store(Protocol):
    """What the program needs of a store. Reads may be stale unless they say *strong*; every write is all or nothing.

    Any method may refuse `OutcomeUnknown`: the store gave no answer, and a write may have happened.
    """

    def find_account(self, lookup: "Lookup", *, strong: bool = False) -> str | None:
        """The account a look-up value belongs to."""

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        """The newest record."""

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        """Profile and at least the newest record, with up to `entries` + 1 newest records, in one read."""

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        """Up to `limit` records at or before `seq`, newest first."""

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        """Up to `limit` records after `seq`, oldest first; strong."""

    def claim(self, key: Key) -> Claim | None:
        """The claim of a key; strong."""

    def claims(self, wanted: Collection[Key]) -> Mapping[Key, Claim]:
        """The claims of many keys, a few requests for all of them; strong."""

    def records(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], Record]:
        """Many records, each by its account and sequence, a few requests for all of them; strong."""

    def returns(self, purchase: Key) -> Sequence[PurchaseReturn]:
        """All returns of a purchase, refused and parked ones too, oldest first (by `at`, then id); strong."""

    def end(self, account: str, seq: int, index: int) -> End | None:
        """How the redemption at this place ended, if it did; strong."""

    def note(self, account: str, digest: bytes) -> Note | None:
        """The text that belongs to the hash in an entry; None when it was erased; strong."""

    def notices(self, account: str, *, before: tuple[int, str] | None = None, limit: int) -> "Sequence[Notice]":
        """Up to `limit` notices of an account, the newest first by (`day`, `about`), before that place."""

    def notice(self, account: str, day: int, about: str) -> "Notice | None":
        """A notice; strong. None when it was never given, or given so long ago that it is forgotten."""

    def remember(self, claim: Claim) -> None:
        """Writes the claim of a key, with its refusal if it has one. Raises `ClaimTaken` or `Contended`."""

    def complete(self, claim: Claim) -> None:
        """Writes the claim of a purchase over the one its returns have parked. Raises `ClaimTaken` or `Contended`."""

    def park(self, waiting: PurchaseReturn) -> None:
        """Keeps a return whose purchase is not known.

        Raises `ReturnTaken`, `ClaimTaken` when the purchase has become known, `Contended`.
        """

    def refuse_return(self, refused: PurchaseReturn) -> None:
        """Keeps a return with its refusal. Raises `ReturnTaken` or `Contended`."""

    def note_due(self, account: str, due: Iterable[int]) -> None:
        """Notes that something happens to the account on each day of `due`; noting it again changes nothing."""

    def note_due_all(self, accounts: Sequence[str], day: int) -> None:
        """Notes that something happens to many accounts on one day, in few writes."""

    def keep_note(self, account: str, note: Note) -> None:
        """Keeps a text of staff under its hash."""

    def give_notice(self, account: str, notice: "Notice") -> bool:
        """Gives a notice, unless one about the same was given: whether it was new."""

    def mark_read(self, account: str, notice: "Notice") -> bool:
        """Writes that a notice was read, at its `read_at`; False where that was written before, and where it is gone."""

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        """Writes the record, and what must come or stay away with it, unless its sequence is taken.

        Raises `Contended`; with something beside it also `ReturnTaken`, `EndTaken` and `LookupTaken`.
        """

    def enroll(self, claim: Claim, record: Record, profile: "Profile", lookups: Sequence["Lookup"]) -> None:
        """Writes a new member whole. Raises `ClaimTaken`, `LookupTaken` or `Contended`."""

    def digest(self, text: bytes) -> bytes:
        """A hash of `text` from which nobody can guess their way back: inputs name members by their contacts."""

    def fits(self, record: Record) -> bool:
        """Whether the record is small enough to be written for what the smallest one costs. Asks nobody."""

    def require_time(self) -> None:
        """Refuses `OutcomeUnknown` when the request has no time left for another read."""

    def pause(self, attempt: int) -> None:
        """Waits a random moment that grows with `attempt`, so that contending writers spread out.

        Refuses `OutcomeUnknown` when the request has no time left for another attempt.
        """
