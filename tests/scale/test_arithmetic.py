"""The multiplication, against figures worked out by hand."""

import pytest

from bench.scale import arithmetic, costs, facts, regulars
from bench.scale.arithmetic import Campaign, Peak


def test_fifty_thousand_purchases_a_second_need_what_the_design_says() -> None:
    peak = Peak(100_000_000, 50_000)
    assert peak.writes == 120_000
    assert peak.partitions_for_load == 120
    assert peak.reads == 50_000 * (1 + 4 + 1)
    # 4.4 calls of 5 ms each.
    assert peak.workers == 1_100
    assert peak.in_flight == 1_100 * 50 + 50_000
    assert peak.api_calls == 250_000
    assert "MaximumConcurrency 1,000" in peak.beyond


def test_a_small_program_is_within_every_default() -> None:
    assert Peak(10_000, 10).beyond == []
    assert Peak(10_000, 10).partitions == 1


def test_storage_is_the_items_and_a_hundred_bytes_for_each() -> None:
    of_purchase = 416 + 209 + 200
    assert arithmetic.stored_bytes(1) == 1_000 + 800 + 60 * of_purchase
    assert Peak(100_000_000, 10).partitions_for_bytes == 513


def test_quotas_are_told_as_soon_as_they_are_passed() -> None:
    for members in arithmetic.MEMBERS:
        told = [len(Peak(members, rate).beyond) for rate in (10, 1_000, 10_000, 50_000)]
        assert told == sorted(told)
    assert "API 10,000/s" not in Peak(1, 2_000).beyond
    assert "API 10,000/s" in Peak(1, 2_001).beyond


def test_a_campaign_costs_the_same_for_each_member_however_many_there_are() -> None:
    for members in (1_000_000, 100_000_000):
        job = Campaign(members, 10)
        assert job.writes / members == 1 + 29 / 500
        assert job.members_a_second == 1_000
    assert Campaign(1_000_000, 10).hours == pytest.approx(1_000 / 3_600)
    # One partition never gives more, however many workers AWS allows.
    assert Campaign(100_000_000, int(facts.MAPPING_CONCURRENCY_MAX)).shared_writes <= facts.PARTITION_WRITES


def test_the_relay_keeps_up_with_a_full_partition() -> None:
    made = facts.PARTITION_WRITES / regulars.WRITES
    assert regulars.RELAY_BATCH / arithmetic.relay_s(regulars.RELAY_BATCH) > made


def test_a_million_purchases_are_billed_as_the_price_lists_say() -> None:
    bill = costs.asked(purchases=1_000_000, queries=0, fill=1)
    assert bill.parts["writes"] == pytest.approx(2.4 * 0.625)
    assert bill.parts["reads"] == pytest.approx(2 * 0.125)
    assert bill.parts["API"] == pytest.approx(1.00)
    assert bill.parts["events"] == pytest.approx(1.00)
    assert bill.total == pytest.approx(sum(bill.parts.values()))


def test_tiers_begin_where_the_price_lists_say() -> None:
    below, above = (costs.asked(purchases=0, queries=calls, fill=1).parts["API"] for calls in (300e6, 400e6))
    assert below == pytest.approx(300)
    assert above == pytest.approx(390)


def test_a_message_is_three_requests_of_ten() -> None:
    bill = costs.submitted(purchases=1_000_000, fill=100)
    assert bill.parts["queues"] == pytest.approx(0.3 * 0.40)
    assert bill.parts["API"] == pytest.approx(1_000_000 / 500 / 1e6)


def test_a_month_grows_with_its_members_and_stores_what_they_have() -> None:
    small, large = costs.month(10_000), costs.month(1_000_000)
    assert large.total == pytest.approx(100 * small.total)
    assert large.parts["storage"] == pytest.approx(arithmetic.stored_bytes(1_000_000) / 1e9 * 0.25)
    assert 0 < large.table < large.total


def test_a_busy_month_is_an_ordinary_one_and_its_hours() -> None:
    bill, of_member = costs.busy_month(1_000_000, 10)
    hours = 730 / 24
    assert bill.total == pytest.approx(costs.month(1_000_000).total + hours * costs.hour(10).total)
    assert of_member == pytest.approx(2 + 10 * 3_600 * hours / 1_000_000)
