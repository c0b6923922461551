"""The tables of what was simulated."""

from bench.scale import arithmetic, campaign, hot_member, regulars, shards, spike, storm
from bench.scale.markdown import count, duration, percent, table


def spike_table() -> str:
    """The tenfold spike."""
    runs = spike.runs()

    def row(seen: spike.Seen) -> list[str]:
        drained = "not" if seen.drained_after_s is None else duration(seen.drained_after_s)
        return [
            seen.spike.name,
            count(seen.backlog_max),
            drained,
            duration(seen.oldest_max_s),
            f"{seen.busy_max}",
            count(seen.in_flight_max),
            count(seen.throttles),
            count(seen.came_again_total),
            f"{seen.arrived_total:,}",
            f"{seen.applied_total:,} + {seen.refused_total:,} + {seen.dead_total} + {seen.waiting_total}",
        ]

    columns = (
        "run",
        "backlog at most",
        "drained after the spike",
        "oldest at most",
        "workers busy",
        "in flight at most",
        "throttled writes",
        "messages that failed and came again",
        "arrived",
        "= applied + refused + put aside + waiting",
    )
    return table(columns, map(row, runs))


def campaign_table() -> str:
    """The foreground beside a campaign."""
    rows = []
    for shop, runs in campaign.runs():
        for seen in runs:
            ratio = seen.purchase_p99 / runs[0].purchase_p99
            mark = "" if ratio <= campaign.RATIO_MAX else " **over**"
            rows.append(
                [
                    shop.name,
                    f"{seen.concurrency:,}" if seen.concurrency else "no campaign",
                    count(seen.members_a_second) if seen.concurrency else "",
                    duration(shop.members / seen.members_a_second) if seen.concurrency else "",
                    f"{seen.purchase_p50:.0f} / {seen.purchase_p99:.0f} ms",
                    f"{ratio:.1f}{mark}",
                    f"{seen.query_p50:.0f} / {seen.query_p99:.0f} ms",
                    percent(seen.throttled_share),
                    f"{seen.failed}",
                ]
            )
    columns = (
        "program",
        "workers",
        "members/s",
        "takes",
        "purchase p50 / p99",
        "p99 ratio",
        "balance p50 / p99",
        "throttled",
        "failed",
    )
    return table(columns, rows)


def workers_table() -> str:
    """How many campaign workers a table bears, by arithmetic."""
    shops = [
        *campaign.SHOPS,
        campaign.Shop("1 M members, pre-warmed to 12 partitions", 1_000_000, 12, 100, 400, 0, ()),
        campaign.Shop("1 M members, 12 partitions, a peak", 1_000_000, 12, 1_000, 4_000, 0, ()),
        campaign.Shop("100 M members, 256 partitions, a peak", 100_000_000, 256, 50_000, 200_000, 0, ()),
    ]
    rows = []
    for shop in shops:
        most = int(campaign.concurrency_max(shop))
        job = arithmetic.Campaign(shop.members, most)
        rows.append(
            [
                shop.name,
                count(shop.purchases),
                f"{most}",
                count(job.members_a_second),
                duration(job.hours * 3_600),
                count(job.shared_writes),
            ]
        )
    return table(
        (
            "program",
            "purchases/s",
            "workers at most",
            "members/s",
            "all members in",
            "WRU/s under the run's key",
        ),
        rows,
    )


def storm_table() -> str:
    """The retry storm."""
    rows = [
        [
            seen.policy.name,
            f"{max(seen.calls) / storm.RATE:.0f}",
            f"{seen.calls_a_purchase:.1f}",
            f"{max(seen.attempts) / storm.RATE / regulars.WRITES:.0f}",
            f"{seen.attempts_a_write:.1f}",
            percent(seen.wasted, 1),
            f"{seen.calm_after_s:.0f} s" if seen.calm_after_s is not None else "not",
            f"{seen.arrived:,}",
            f"{seen.done:,} + {seen.given_up:,} + {seen.open:,}",
        ]
        for seen in storm.runs()
    ]
    columns = (
        "who tries again",
        "calls of the API, times the usual, at most",
        "calls a purchase",
        "writes asked for, times the usual, at most",
        "asked for each write needed",
        "units that recorded nothing",
        "calm after",
        "arrived",
        "= recorded + left for later + open",
    )
    return table(columns, rows)


def hot_table() -> str:
    """The hot member."""
    rows = [
        [
            seen.path,
            count(seen.rate),
            f"{seen.a_second:.3g}",
            f"{count(seen.p50)} s",
            f"{count(seen.p99)} s",
            f"{seen.lost_races / seen.recorded:.1f}",
            f"{seen.unknown}",
            f"{(seen.recorded + seen.records) / seen.recorded:.2f}",
        ]
        for runs in hot_member.runs()
        for seen in runs
    ]
    columns = (
        "path",
        "purchases/s of one member",
        "recorded/s",
        "p50",
        "p99",
        "lost races a purchase",
        "outcome unknown",
        "WRU a purchase",
    )
    return table(columns, rows)


def shards_table() -> str:
    """Due rows of one day."""
    rows = []
    for each in shards.days():
        mended = "never: one key is too much" if each.mended_after_s is None else duration(each.mended_after_s)
        rows.append(
            [
                count(each.purchases),
                "first of a month" if each.share == 1 else "ordinary",
                f"{each.partitions}",
                f"{each.shards:,}",
                count(each.a_shard),
                count(each.fullest),
                percent(each.throttled_share),
                "nothing to mend" if each.mended_after_s == 0 else mended,
            ]
        )
    columns = (
        "purchases/s",
        "day",
        "partitions",
        "shards",
        "WRU/s a shard",
        "fullest partition, WRU/s",
        "writes throttled at first",
        "mended by splits after",
    )
    return table(columns, rows)


def directory_table() -> str:
    """Reading the directory."""
    rows = [
        [
            count(each.members),
            f"{each.shards}",
            f"{each.pages}",
            count(each.units),
            f"{count(each.seconds)} s",
            duration(each.seconds * each.shards),
            count(each.units * each.shards),
            f"{each.throttled} of {each.queries:,}",
        ]
        for each in shards.readings()
    ]
    columns = (
        "members",
        "shards",
        "pages a shard",
        "RRU a shard",
        "a shard takes",
        "all, one after the other",
        "RRU in all",
        "balances throttled in that partition",
    )
    return table(columns, rows)
