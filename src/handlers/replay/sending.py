"""Enrolls households and records their baskets, as a till would: through the public GraphQL API, with its token.

A run may stop anywhere and be started again: everything it sends carries a key that follows from the data alone. An
unfinished run leaves a progress file and resumes behind what was acknowledged; a finished one removes it, so the next
run sends everything again and shows that this changes nothing.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from handlers.client import Client, Rejected
from handlers.replay.completejourney import CURRENCY, SOURCE, Basket

CHANNEL = "store"  # the data knows no other

# A run with this many failures says nothing new by going on.
FAILURES_MAX = 20

# The program may forget the key of an enrolling after 30 days, but never the external id: the member is there.
CODE_ENROLLED = "ALREADY_ENROLLED"

ENROLL = """
mutation ReplayEnroll($input: MemberEnrollInput!) {
  memberEnroll(input: $input) { member { id } replayed userErrors { code field message } }
}
"""
RECORD = """
mutation ReplayRecord($input: PurchaseRecordInput!) {
  purchaseRecord(input: $input) { entry { points } replayed userErrors { code field message } }
}
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """A household or basket that the program refused."""

    household_id: int
    basket_id: int | None  # None: the household could not be enrolled
    reason: str

    def __str__(self) -> str:
        what = "enrolling" if self.basket_id is None else f"basket {self.basket_id}"
        return f"household {self.household_id}, {what}: {self.reason}"


@dataclass(slots=True)
class Tally:
    """What became of the baskets. `acknowledged` were answered in an earlier run that did not finish."""

    households: int = 0
    baskets: int = 0
    acknowledged: int = 0
    replayed: int = 0
    lines: int = 0
    points: int = 0
    failures: list[Failure] = field(default_factory=list)


class Progress:
    """The file that remembers, of a run that did not finish, which baskets were acknowledged and with how many points.

    It belongs to one program and one shift; a file of another is started over. A line that a kill cut in half is
    ignored: its basket is sent again, which is always safe.
    """

    def __init__(self, path: Path, *, graphql_url: str, shift_days: int) -> None:
        self.points: dict[int, int] = {}
        self._path = path
        self._lock = threading.Lock()
        heading = json.dumps({"graphql_url": graphql_url, "shift_days": shift_days}) + "\n"
        kept = path.read_text().splitlines(keepends=True) if path.exists() else []
        if kept and kept[0] == heading:
            self.points = {
                int(basket): int(points)
                for basket, points in (line.split() for line in kept[1:] if line.endswith("\n"))
            }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(heading + "".join(f"{basket} {points}\n" for basket, points in self.points.items()))
        self._file: TextIO = path.open("a", buffering=1)

    def acknowledge(self, basket_id: int, points: int) -> None:
        """Note that the program has answered for a basket."""
        with self._lock:
            self.points[basket_id] = points
            self._file.write(f"{basket_id} {points}\n")

    def close(self) -> None:
        """Keep the file for a run that resumes."""
        self._file.close()

    def forget(self) -> None:
        """The run is complete: the next one sends everything again."""
        self.close()
        self._path.unlink()


def member_external_id(household_id: int) -> str:
    """The name under which a household is enrolled."""
    return f"household-{household_id}"


def enroll_input(household_id: int) -> dict[str, Any]:
    """`MemberEnrollInput`: an external id is all that a sign-up needs, and all that the data has."""
    external_id = member_external_id(household_id)
    return {"idempotencyKey": f"{SOURCE}:{external_id}", "externalId": external_id}


def purchase_input(basket: Basket) -> dict[str, Any]:
    """`PurchaseRecordInput`: the same for the same basket, to the letter, in every run."""
    return {
        "source": SOURCE,
        "externalId": str(basket.basket_id),
        "member": {"externalId": member_external_id(basket.household_id)},
        "total": {"amountMinor": basket.total_minor, "currency": CURRENCY},
        "occurredAt": basket.occurred_at.isoformat(),
        "location": str(basket.store_id),
        "channel": CHANNEL,
        "lines": [
            {"sku": str(line.product_id), "quantity": line.quantity, "amountMinor": line.amount_minor}
            | ({} if line.department is None else {"category": line.department})
            for line in basket.lines
        ],
    }


def send(
    baskets: Mapping[int, Sequence[Basket]],
    *,
    client: Client,
    progress: Progress,
    concurrency: int = 4,
    advance: Callable[[], None] = lambda: None,
) -> Tally:
    """Records every basket; several households at once, the baskets of each one after the other in time order.

    Raises `Unanswered` when the program stopped answering, and lets Ctrl-C through; both stop all households after the
    basket they are at, and `progress` resumes there.
    """
    run = _Run(client, progress, advance)
    # The longest first: otherwise the run may end with one household's year on one connection.
    order = sorted(baskets.values(), key=len, reverse=True)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="household") as households:
        sent = [households.submit(run.household, of_household) for of_household in order if of_household]
        try:
            for household in as_completed(sent):
                household.result()
        finally:
            run.stop.set()
            households.shutdown(cancel_futures=True)
    return run.tally


class _Run:
    def __init__(self, client: Client, progress: Progress, advance: Callable[[], None]) -> None:
        self.tally = Tally()
        self.stop = threading.Event()
        self._client = client
        self._progress = progress
        self._advance = advance
        self._lock = threading.Lock()

    def household(self, baskets: Sequence[Basket]) -> None:
        household_id = baskets[0].household_id
        if self.stop.is_set():
            return
        enrolled = self._ask(ENROLL, "memberEnroll", enroll_input(household_id), household_id, None)
        if enrolled is None:
            return
        # A member who did not exist cannot have baskets: what the progress file says is about a program that is gone.
        known = enrolled["replayed"] or bool(enrolled["userErrors"])
        acknowledged = self._progress.points if known else {}
        with self._lock:
            self.tally.households += 1
        for basket in baskets:
            if self.stop.is_set():
                return
            points = acknowledged.get(basket.basket_id)
            recorded = None
            if points is None:
                recorded = self._ask(RECORD, "purchaseRecord", purchase_input(basket), household_id, basket.basket_id)
                if recorded is None:
                    continue
                points = recorded["entry"]["points"]
                self._progress.acknowledge(basket.basket_id, points)
            with self._lock:
                self.tally.baskets += 1
                self.tally.acknowledged += recorded is None
                self.tally.replayed += recorded is not None and recorded["replayed"]
                self.tally.lines += len(basket.lines)
                self.tally.points += points
            self._advance()

    def _ask(
        self, document: str, mutation: str, given: dict[str, Any], household_id: int, basket_id: int | None
    ) -> dict[str, Any] | None:
        """The payload, or None with the failure noted: real input is never refused, so a refusal is news, not noise."""
        try:
            payload: dict[str, Any] = self._client.ask(document, {"input": given})[mutation]
        except Rejected as rejected:
            reason = str(rejected)
        else:
            if all(error["code"] == CODE_ENROLLED for error in payload["userErrors"]):
                return payload
            reason = "; ".join(
                f"{error['code']} {'.'.join(error['field'] or ())} {error['message']}"
                for error in payload["userErrors"]
            )
        with self._lock:
            self.tally.failures.append(Failure(household_id, basket_id, reason))
            if len(self.tally.failures) >= FAILURES_MAX:
                self.stop.set()
        return None
