"""Sizes of what a purchase writes, over real baskets.

    python -m bench.baskets

Households chosen at random (always the same) have their year recorded by the use case itself, on the store in memory, so the
state in their entries grows as it would; every claim and every entry is then made into its item and measured.
"""

import random
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bench import report, stage, units
from bench.report import Figure, Section
from domain import members, purchases
from domain.entries import Claim, Record
from domain.members import Lookup, Profile
from domain.programs import Program
from handlers.replay import completejourney
from storage import items
from storage.memory import Memory

BASKETS, BASKETS_QUICK = 5_000, 500
SEED = 2
# An entry of 1,024 bytes is one write unit; this leaves room before most of them would be two.
ENTRY_P99_MAX = 900


def measure(program: Program, *, quick: bool) -> list[Section]:
    """Claims and entries, in bytes and write units."""
    written = list(_written(program, BASKETS_QUICK if quick else BASKETS))
    lines = [len(claim.basket.lines) for claim, _ in written if claim.basket]
    claims = [units.item_bytes(items.claim_item(claim)) for claim, _ in written]
    entries = [units.item_bytes(items.record_item(record)) for _, record in written]
    section = Section(
        f"What {len(written):,} real baskets write",
        ("", "p50", "p90", "p99", "most", "over 1,024 B", "write units (mean)"),
    )
    section.add("lines of a basket", *_spread(lines))
    for name, sizes, p99_max in (("claim, bytes", claims, None), ("entry, bytes", entries, ENTRY_P99_MAX)):
        over = sum(size > units.WRITE_UNIT_BYTES for size in sizes) / len(sizes)
        mean = statistics.mean(-(-size // units.WRITE_UNIT_BYTES) for size in sizes)
        section.add(
            name,
            *_spread(sizes),
            f"{over:.2%}",
            f"{mean:.3f}",
            figures=[Figure(f"{name}: p99", _percentile(sizes, 99), "B at p99", p99_max)],
        )
        section.figures += [
            Figure(f"{name}: p50", _percentile(sizes, 50), "B"),
            Figure(f"{name}: most", max(sizes), "B"),
            Figure(f"{name}: over 1,024 B", over, "share"),
            Figure(f"{name}: write units", mean, "WRU"),
        ]
    buckets = [len(record.state.buckets) for _, record in written]
    section.notes.append(
        f"{len({record.account for _, record in written})} households, at most {max(buckets)} buckets each; write units of an "
        "untransacted put"
    )
    return [section]


def _written(program: Program, baskets: int) -> Iterator[tuple[Claim, Record]]:
    """What the first `baskets` baskets of random households write."""
    everybody = completejourney.households(10_000)
    # A household has 63 baskets a year in the mean.
    chosen = random.Random(SEED).sample(everybody, baskets // 63 + 30)  # noqa: S311 (spreading, not secrecy)
    now = datetime.now(UTC).replace(microsecond=0)
    year = completejourney.baskets(chosen, shift=timedelta())
    newest = max(of_one[-1].occurred_at for of_one in year.values())
    shift = (now - newest) // timedelta(days=7) * timedelta(days=7)
    left = baskets
    for household, of_one in completejourney.baskets(chosen, shift=shift).items():
        store, account = Memory(), f"01JBENCH{household:018}"
        external_id = f"household-{household}"
        members.enroll(
            store,
            program,
            actor=stage.till(),
            idempotency_key=external_id,
            profile=Profile(enrolled_at=now, external_id=external_id),
            account=account,
            now=of_one[0].occurred_at,
        )
        for basket in of_one[:left]:
            purchases.record(
                store,
                program,
                actor=stage.till(),
                source=completejourney.SOURCE,
                external_id=str(basket.basket_id),
                member=Lookup("external", external_id),
                basket=stage.domain_basket(basket),
                now=basket.occurred_at + timedelta(seconds=2),
            )
        # After the enrollment: a record for each purchase, whose claim its key leads to.
        for record in store.records_after(account, 1, limit=left):
            claims = [store.claim(entry.key) for entry in record.entries if entry.key]
            assert claims[0] is not None
            yield claims[0], record
        left -= len(of_one[:left])
        if not left:
            return


def _spread(values: Sequence[int]) -> list[str]:
    return [*(f"{_percentile(values, share):,}" for share in (50, 90, 99)), f"{max(values):,}"]


def _percentile(values: Sequence[int], share: int) -> int:
    """The value that `share` % of the values do not exceed."""
    return sorted(values)[-(-len(values) * share // 100) - 1]


def main() -> None:
    """This part alone."""
    console = report.console()
    for section in measure(stage.demo_program(), quick=False):
        report.show(console, section)


if __name__ == "__main__":
    main()
