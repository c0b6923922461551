"""Campaigns beside tills, storms, hot members and hot shards: what the page says of them, on small ones."""

import pytest

from bench.scale import campaign, facts, hot_member, regulars, shards, storm
from bench.scale.campaign import Shop

_SMALL = Shop("small", 1_000_000, 2, 50, 200, 40, ())


def _ratio(concurrency: int) -> float:
    return campaign.run(_SMALL, concurrency).purchase_p99 / campaign.run(_SMALL, 0).purchase_p99


def test_the_default_concurrency_leaves_the_tills_as_they_are_even_on_a_new_table() -> None:
    shop = Shop("new", 1_000_000, int(facts.TABLE_WRITES_START / facts.PARTITION_WRITES), 100, 400, 20, ())
    without, beside = campaign.run(shop, 0), campaign.run(shop, int(regulars.CAMPAIGN_CONCURRENCY))
    assert beside.purchase_p99 <= campaign.RATIO_MAX * without.purchase_p99
    assert beside.query_p99 <= campaign.RATIO_MAX * without.query_p99
    assert beside.failed == 0


def test_below_the_limit_of_a_partition_nobody_waits_and_far_above_it_the_tills_do() -> None:
    most = campaign.concurrency_max(_SMALL)
    assert _ratio(int(most * 0.9)) <= 1.1
    assert _ratio(int(most * 2)) > campaign.RATIO_MAX


def test_workers_beyond_the_limit_make_a_campaign_no_faster() -> None:
    most = campaign.concurrency_max(_SMALL)
    at_limit, beyond = campaign.run(_SMALL, int(most)), campaign.run(_SMALL, int(most * 2))
    assert at_limit.members_a_second == pytest.approx(int(most) / regulars.BONUS_BUSY_S, rel=0.03)
    assert beyond.members_a_second < 1.1 * at_limit.members_a_second


def test_what_a_campaign_writes_is_what_its_table_gives() -> None:
    seen = campaign.run(_SMALL, 60)
    writes = (
        seen.members_a_second * (1 + regulars.CHUNK_WRITES / regulars.CHUNK_MEMBERS)
        + _SMALL.purchases * regulars.WRITES
    )
    assert writes <= _SMALL.partitions * facts.PARTITION_WRITES * 1.05


def test_percentiles_are_those_of_the_sorted_values() -> None:
    assert campaign.percentile([3, 1, 2], 0.5) == 2
    assert campaign.percentile(list(range(1, 101)), 0.99) == 99
    assert campaign.percentile([7], 0.99) == 7


def test_bounded_retries_with_jitter_make_fewer_calls_and_are_calm_sooner_than_hasty_ones() -> None:
    hasty, _, ours = storm.runs()
    assert max(ours.calls) * 10 < max(hasty.calls)
    assert ours.attempts_total * 10 < hasty.attempts_total
    assert ours.calm_after_s is not None
    assert hasty.calm_after_s is not None
    assert ours.calm_after_s < hasty.calm_after_s


def test_a_storm_loses_no_purchase_and_records_no_more_than_the_table_gives() -> None:
    for seen in storm.runs():
        assert seen.arrived == seen.done + seen.given_up + seen.open
        cold_s = storm.COLD_UNTIL - storm.COLD_FROM
        seconds = storm.ENDS_AT - cold_s * (1 - storm.COLD_SHARE) + 1
        assert seen.done * regulars.WRITES * 0.98 <= seen.units_total <= seconds * facts.PARTITION_WRITES * storm.SLICE


def test_one_member_is_given_each_sequence_once_and_answers_all_who_have_time() -> None:
    seen = hot_member.at_tills(20, seconds=20)
    assert seen.arrived == seen.recorded == seen.records
    assert seen.unknown == 0
    crowded = hot_member.at_tills(200, seconds=20)
    assert crowded.unknown > 0
    assert crowded.arrived == crowded.recorded + crowded.unknown


def test_a_busier_member_waits_longer_and_the_queue_shares_records() -> None:
    waits = [hot_member.at_tills(rate, seconds=30).p99 for rate in (5, 20, 60)]
    assert waits == sorted(waits)
    queued = hot_member.in_queue(200, seconds=20)
    assert queued.arrived == queued.recorded
    assert queued.records * 3 < queued.recorded <= queued.records * regulars.GROUP_MAX


def test_a_partition_is_split_until_it_bears_its_keys_and_a_single_key_never_is() -> None:
    even = shards.day(purchases=10_000, share=0.4, shards=1_024, partitions=64)
    assert (even.throttled_share, even.mended_after_s) == (0, 0)
    uneven = shards.day(purchases=50_000, share=1, shards=64, partitions=256)
    assert uneven.fullest > facts.PARTITION_WRITES
    assert uneven.mended_after_s is not None
    assert uneven.mended_after_s >= facts.SPLIT_AFTER_S
    hopeless = shards.day(purchases=50_000, share=1, shards=4, partitions=256)
    assert hopeless.a_shard > facts.PARTITION_WRITES
    assert hopeless.mended_after_s is None


def test_the_fullest_partition_bears_at_least_its_share() -> None:
    day = shards.day(purchases=50_000, share=1, shards=256, partitions=256)
    spread = 50_000 * regulars.PURCHASE_WRITES / 256
    assert day.fullest >= spread + day.a_shard
    assert (day.fullest - spread) % day.a_shard == pytest.approx(0, abs=1e-6)


def test_a_reader_of_the_directory_gets_no_more_than_a_partition_gives() -> None:
    seen = shards.directory(members=100_000_000, shards=16, partitions=256, queries=4_000)
    assert seen.units == pytest.approx(100_000_000 / 16 * regulars.DIRECTORY_ROW_BYTES / 4_096)
    assert seen.units <= facts.PARTITION_READS * (seen.seconds + 1)
    assert seen.throttled == 0
