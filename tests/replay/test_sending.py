import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from graphql import GraphQLError

from handlers.client import ATTEMPTS_MAX, Client, Rejected, Unanswered
from handlers.replay import completejourney, sending
from handlers.replay.completejourney import Basket
from tests.replay.tiny_program import TinyProgram

SHIFT = timedelta(weeks=460)


@pytest.fixture(scope="module")
def baskets() -> dict[int, list[Basket]]:
    return completejourney.baskets(completejourney.households(5), shift=SHIFT)


@pytest.fixture
def progress_file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "completejourney.progress"


@pytest.fixture
def progress(progress_file: Path, program: TinyProgram) -> Iterator[sending.Progress]:
    progress = open_progress(progress_file, program)
    yield progress
    progress.close()


def open_progress(path: Path, program: TinyProgram) -> sending.Progress:
    return sending.Progress(path, graphql_url=program.graphql_url, shift_days=SHIFT.days)


def count(baskets: dict[int, list[Basket]]) -> int:
    return sum(map(len, baskets.values()))


def points(baskets: Sequence[Basket]) -> int:
    return sum(basket.total_minor // 100 for basket in baskets)


def test_records_every_basket_of_every_household_once(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    steps = []

    tally = sending.send(baskets, client=client, progress=progress, advance=lambda: steps.append(1))

    assert program.balances() == {f"household-{household}": points(own) for household, own in baskets.items()}
    assert tally == sending.Tally(
        households=5,
        baskets=count(baskets),
        lines=sum(len(basket.lines) for own in baskets.values() for basket in own),
        points=sum(points(own) for own in baskets.values()),
    )
    assert len(program.purchases) == len(steps) == count(baskets)


def test_sends_what_outside_scripts_rely_on(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    basket = next(basket for basket in baskets[1] if any(line.department is None for line in basket.lines))

    sending.send({1: [basket]}, client=client, progress=progress)

    enroll, purchase = (request.input for request in program.requests)
    assert enroll == {"idempotencyKey": "completejourney:household-1", "externalId": "household-1"}
    assert {name: value for name, value in purchase.items() if name != "lines"} == {
        "source": "completejourney",
        "externalId": str(basket.basket_id),
        "member": {"externalId": "household-1"},
        "total": {"amountMinor": basket.total_minor, "currency": "USD"},
        "occurredAt": basket.occurred_at.isoformat(),
        "location": str(basket.store_id),
        "channel": "store",
    }
    assert purchase["lines"][0] == {
        "sku": str(basket.lines[0].product_id),
        "category": basket.lines[0].department,
        "quantity": basket.lines[0].quantity,
        "amountMinor": basket.lines[0].amount_minor,
    }
    without = [line for line in purchase["lines"] if "category" not in line]
    assert len(without) == sum(line.department is None for line in basket.lines) > 0


def test_the_baskets_of_a_household_arrive_in_time_order(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    sending.send(baskets, client=client, progress=progress, concurrency=4)

    arrived = defaultdict(list)
    for purchase in program.purchases:
        arrived[purchase["member"]["externalId"]].append(purchase["occurredAt"])
    assert len(arrived) == 5
    assert all(one <= next_ for instants in arrived.values() for one, next_ in pairwise(instants))


def test_a_second_run_sends_the_same_bytes_and_changes_nothing(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress_file: Path
) -> None:
    first = open_progress(progress_file, program)
    sending.send(baskets, client=client, progress=first)
    first.forget()
    before, sent = program.balances(), Counter(request.body for request in program.requests)
    program.requests.clear()

    second = open_progress(progress_file, program)
    tally = sending.send(
        completejourney.baskets(completejourney.households(5), shift=SHIFT), client=client, progress=second
    )
    second.forget()

    assert Counter(request.body for request in program.requests) == sent
    assert program.balances() == before
    assert (tally.baskets, tally.replayed, tally.acknowledged) == (count(baskets), count(baskets), 0)


def test_an_interrupted_run_resumes_where_it_stopped(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress_file: Path
) -> None:
    program.status = lambda number: 503 if number >= 100 else None
    first = open_progress(progress_file, program)
    with pytest.raises(Unanswered):
        sending.send(baskets, client=client, progress=first)
    first.close()
    acknowledged = set(program.recorded)
    assert 0 < len(acknowledged) < count(baskets)

    program.status = lambda number: None
    program.requests.clear()
    second = open_progress(progress_file, program)
    tally = sending.send(baskets, client=client, progress=second)
    second.forget()

    assert {purchase["externalId"] for purchase in program.purchases}.isdisjoint(acknowledged)
    assert len(program.purchases) == count(baskets) - len(acknowledged)
    assert (tally.baskets, tally.acknowledged) == (count(baskets), len(acknowledged))
    assert tally.points == sum(points(own) for own in baskets.values())
    assert program.balances() == {f"household-{household}": points(own) for household, own in baskets.items()}
    assert not progress_file.exists()


def test_ctrl_c_stops_behind_the_baskets_under_way(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sending.send(baskets, client=client, progress=progress, concurrency=2, advance=interrupt)

    assert 1 <= len(program.purchases) <= 4
    assert {str(basket) for basket in progress.points} == set(program.recorded)


def test_a_line_that_a_kill_cut_in_half_is_sent_again(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress_file: Path
) -> None:
    two = {1: baskets[1][:2]}
    first = open_progress(progress_file, program)
    sending.send(two, client=client, progress=first)
    first.close()
    progress_file.write_text(progress_file.read_text()[:-2])
    program.requests.clear()

    second = open_progress(progress_file, program)
    tally = sending.send(two, client=client, progress=second)
    second.close()

    assert [purchase["externalId"] for purchase in program.purchases] == [str(baskets[1][1].basket_id)]
    assert (tally.baskets, tally.acknowledged, tally.replayed) == (2, 1, 1)
    assert len(open_progress(progress_file, program).points) == 2


@pytest.mark.parametrize("other", [{"graphql_url": "http://127.0.0.1:1/graphql"}, {"shift_days": 1}])
def test_the_progress_of_another_program_or_shift_is_started_over(
    other: dict[str, object], program: TinyProgram, progress_file: Path
) -> None:
    one = open_progress(progress_file, program)
    one.acknowledge(7, 3)
    one.close()

    kept = {"graphql_url": program.graphql_url, "shift_days": SHIFT.days} | other

    assert sending.Progress(progress_file, **kept).points == {}  # type: ignore[arg-type]


def test_what_was_acknowledged_by_a_program_that_is_gone_is_sent_again(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    sending.send({1: baskets[1]}, client=client, progress=progress)
    program.members.clear()
    program.recorded.clear()

    tally = sending.send({1: baskets[1]}, client=client, progress=progress)

    assert tally.acknowledged == 0
    assert program.balances() == {"household-1": points(baskets[1])}


def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    program.is_lost = lambda number: number in {1, 5, 6}

    tally = sending.send({1: baskets[1]}, client=client, progress=progress, concurrency=1)

    bodies = [request.body for request in program.requests]
    assert bodies[1] == bodies[2]
    assert bodies[5] == bodies[6] == bodies[7]
    assert (tally.baskets, tally.replayed, tally.failures) == (len(baskets[1]), 2, [])
    assert program.balances() == {"household-1": points(baskets[1])}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_program_is_asked_again(
    status: int, baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    program.status = lambda number: status if number % 3 == 1 else None

    tally = sending.send({1: baskets[1][:5]}, client=client, progress=progress)

    assert (tally.baskets, tally.replayed, tally.failures) == (5, 0, [])


def test_an_unknown_outcome_is_asked_for_again(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    program.refusal = lambda _: "OUTCOME_UNKNOWN" if len(program.requests) < 4 else None

    tally = sending.send({1: baskets[1][:1]}, client=client, progress=progress)

    assert len({request.body for request in program.requests[1:]}) == 1
    assert (len(program.purchases), tally.baskets, tally.failures) == (3, 1, [])


def test_a_fault_of_the_program_is_asked_again(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    def fail_twice(_: object) -> None:
        if len(program.requests) < 4:
            raise GraphQLError("Internal fault.", extensions={"code": "INTERNAL"})

    program.refusal = fail_twice

    tally = sending.send({1: baskets[1][:1]}, client=client, progress=progress)

    assert (len(program.purchases), tally.baskets, tally.failures) == (3, 1, [])


def test_retries_are_bounded(program: TinyProgram, client: Client) -> None:
    program.status = lambda _: 503

    with pytest.raises(Unanswered, match="503"):
        client.ask("{ member(by: {}) { id } }", {})

    assert len(program.requests) == ATTEMPTS_MAX


def test_a_program_that_is_not_there_is_unanswered(program: TinyProgram) -> None:
    client = Client("http://127.0.0.1:9/graphql", token=program.token, wait_first_s=0.001)

    with pytest.raises(Unanswered, match="ConnectError"):
        client.ask("{ member(by: {}) { id } }", {})


def test_an_expired_token_is_renewed_once_for_all_households(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    def expire(number: int) -> None:
        if number == 50:
            program.token_valid = "none"

    program.status = expire

    tally = sending.send(baskets, client=client, progress=progress, concurrency=4)

    assert program.tokens_issued == 2
    assert {request.authorization for request in program.requests} == {"Bearer partner-1", "Bearer partner-2"}
    assert (tally.baskets, tally.failures) == (count(baskets), [])


def test_a_token_that_stays_invalid_is_reported_and_not_asked_for_forever(
    baskets: dict[int, list[Basket]], program: TinyProgram, progress: sending.Progress
) -> None:
    asked = []

    def token() -> str:
        asked.append("stranger")
        return "stranger"

    stranger = Client(program.graphql_url, token=token, wait_first_s=0.001)

    tally = sending.send({1: baskets[1], 2: baskets[2]}, client=stranger, progress=progress, concurrency=1)

    assert {(failure.household_id, failure.basket_id) for failure in tally.failures} == {(1, None), (2, None)}
    assert all("401" in failure.reason for failure in tally.failures)
    assert len(asked) == 3
    assert program.requests == []


def test_a_refused_basket_is_named_and_the_others_are_recorded(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress_file: Path
) -> None:
    refused = baskets[2][3]
    program.refusal = lambda given: "INVALID_AMOUNT" if given["externalId"] == str(refused.basket_id) else None
    first = open_progress(progress_file, program)

    tally = sending.send(baskets, client=client, progress=first)
    first.close()

    assert [str(failure) for failure in tally.failures] == [
        f"household 2, basket {refused.basket_id}: INVALID_AMOUNT input no"
    ]
    assert tally.baskets == len(program.recorded) == count(baskets) - 1

    program.refusal = lambda _: None
    program.requests.clear()
    second = open_progress(progress_file, program)
    assert sending.send(baskets, client=client, progress=second).baskets == count(baskets)
    assert [purchase["externalId"] for purchase in program.purchases] == [str(refused.basket_id)]
    second.close()


def test_many_refusals_end_the_run(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    program.refusal = lambda _: "CURRENCY_NOT_ACCEPTED"

    tally = sending.send(baskets, client=client, progress=progress, concurrency=4)

    assert sending.FAILURES_MAX <= len(tally.failures) < sending.FAILURES_MAX + 4
    assert program.recorded == {}


def test_a_member_whose_enrolling_was_forgotten_is_not_a_failure(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    program.members["household-1"] = []
    program.is_forgetful = True

    tally = sending.send({1: baskets[1][:3]}, client=client, progress=progress)

    assert (tally.households, tally.baskets, tally.failures) == (1, 3, [])


def test_a_document_that_does_not_fit_the_schema_is_rejected_not_repeated(program: TinyProgram, client: Client) -> None:
    with pytest.raises(Rejected, match="nothing"):
        client.ask("{ nothing }", {})

    assert len(program.requests) == 1


def test_several_households_are_under_way_at_once(
    baskets: dict[int, list[Basket]], program: TinyProgram, client: Client, progress: sending.Progress
) -> None:
    together = threading.Barrier(4, timeout=20)
    met = threading.Event()

    def meet() -> None:
        if not met.is_set():
            together.wait()
            met.set()

    sending.send(baskets, client=client, progress=progress, concurrency=4, advance=meet)

    assert met.is_set()
