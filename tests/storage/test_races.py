"""200 at once on one account, on each store: exactly as many succeed as the balance allows, the others are refused for good, and
nobody hears anything else. Who hears nothing, because an engine on a small machine has no answer for so many, asks again with the
same key, as the contract says. What the winners and the losers did to the log is audited."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from domain.ledger import Outcome
from domain.refusals import OutcomeUnknown
from domain.store import Store
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import ZONE, adjust, at_once, enroll, give, head_of, hold, redeem
from tests.storage.tables import NOW, Tables, all_of_memory, all_of_table

AT_ONCE = 200
ASKED_MAX = 20
OPERATIONS: dict[str, tuple[int, Callable[[Store, int], Outcome]]] = {
    "redemptions": (40, lambda store, number: redeem(store, "ada", "latte", NOW, key=str(number))),
    "gifts": (10, lambda store, number: give(store, "ada", "bob", 10, NOW, key=str(number))),
    # At most 8 may be open: the balance ends before that.
    "holds": (50, lambda store, number: hold(store, "ada", 50, NOW, key=str(number))),
}
SUCCESSES = {"redemptions": 23, "gifts": 31, "holds": 6}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", OPERATIONS)
def test_200_at_once_succeed_as_often_as_the_balance_allows(store: Store, place: Memory | Tables, name: str) -> None:
    cost, call = OPERATIONS[name]
    for member in ("ada", "bob"):
        enroll(store, member, NOW)
    adjust(store, "ada", cost * SUCCESSES[name] + cost - 1, NOW, key="start")

    def told(number: int) -> Outcome:
        for _ in range(ASKED_MAX):
            with suppress(OutcomeUnknown):
                return call(store, number)
        raise AssertionError(f"{number} is never told")

    answers = at_once([lambda number=number: told(number) for number in range(AT_ONCE)])

    heard = Counter(type(answer).__name__ for answer in answers)
    assert heard == {"Outcome": SUCCESSES[name], "InsufficientPoints": AT_ONCE - SUCCESSES[name]}
    assert head_of(store, "ADA").state.balance == cost - 1
    received = head_of(store, "BOB").state.balance
    assert received == (cost * SUCCESSES[name] if name == "gifts" else 0)
    logs = (all_of_memory(place) if isinstance(place, Memory) else all_of_table(place)).logs
    books.check_all(logs, ZONE)
