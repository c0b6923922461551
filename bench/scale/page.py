"""The tables of docs/scale.md, each a block between two marks of its name; what stands outside the blocks is written by hand."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.scale import arithmetic, campaign, costs, facts, hot_member, reckoned, regulars, simulated, spike, storm
from bench.scale.markdown import count, duration, percent

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
_BLOCK = re.compile(r"(?P<open><!-- (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- /(?P=name) -->)", re.DOTALL)


def render(page: str) -> str:
    """The page with every block written anew. A block whose name is not known is a mistake of the page's."""
    return _BLOCK.sub(lambda found: f"{found['open']}{BLOCKS[found['name']]()}{found['close']}", page)


def names(page: str) -> list[str]:
    """The blocks that a page has, in its order."""
    return [found["name"] for found in _BLOCK.finditer(page)]


def summary() -> str:
    """What to remember, with its numbers."""
    lines = (_spike(), _campaign(), _storm(), _hot(), _peak(), _relay(), _money())
    return "".join(f"- {line}\n" for line in lines)


def _spike() -> str:
    default, cold, warm = spike.runs()
    waiting, drained = count(default.backlog_max), duration(default.drained_after_s or 0)
    return (
        f"A spike of ten times loses nothing. {default.spike.workers} workers throttle nothing, not even on a new table, and "
        f"have drained {waiting} purchases {drained} after it; {cold.spike.workers} need {duration(cold.drained_after_s or 0)} "
        f"on a new table, and on a pre-warmed one at most {count(warm.backlog_max)} wait."
    )


def _campaign() -> str:
    (small_shop, small), (large_shop, large) = campaign.runs()
    default = int(regulars.CAMPAIGN_CONCURRENCY)
    usual, usual_large = (next(each for each in runs if each.concurrency == default) for runs in (small, large))
    over = next(each for each in small if each.purchase_p99 > campaign.RATIO_MAX * small[0].purchase_p99)
    last = large[-1]
    return (
        f"A campaign to all by {default} workers, the default, leaves the p99 of a purchase at "
        f"{usual.purchase_p99 / small[0].purchase_p99:.2f} times (1 M members) and "
        f"{usual_large.purchase_p99 / large[0].purchase_p99:.2f} times (100 M) what it was. {campaign.RATIO_MAX} times are "
        f"passed at {over.concurrency} workers on the {small_shop.partitions} partitions of a new table; on "
        f"{large_shop.partitions} not even at {last.concurrency:,}, the most that AWS allows "
        f"({last.purchase_p99 / large[0].purchase_p99:.2f} times)."
    )


def _storm() -> str:
    hasty, _, ours = storm.runs()
    sooner = duration((hasty.calm_after_s or 0) - (ours.calm_after_s or 0))
    return (
        f"Callers who try again at once make {max(hasty.calls) / storm.RATE:.0f} times the calls; with bounded retries and "
        f"jitter it is {max(ours.calls) / storm.RATE:.0f} times and calm comes {sooner} sooner, but "
        f"{percent(ours.given_up / ours.arrived, 0)} of the purchases are left for the queue."
    )


def _hot() -> str:
    tills, queue = hot_member.runs()
    bearable = max((each for each in tills if each.p99 <= 3), key=lambda each: each.rate)
    most = max(queue, key=lambda each: each.a_second)
    return (
        f"One member bears {bearable.rate} purchases a second at tills with a p99 of {bearable.p99:.1f} s, and "
        f"{most.a_second:.0f} through the queue: the account's lock is what is scarce, not its partition."
    )


def _peak() -> str:
    peak = arithmetic.PEAKS[-1]
    return (
        f"{count(peak.purchases)} purchases a second need {count(peak.writes)} WRU/s, with their balances "
        f"{count(peak.reads)} RRU/s, {peak.partitions_for_load} partitions at least ({count(peak.members)} members have "
        f"{peak.partitions_for_bytes} by their size alone), {peak.api_concurrency:,} calls of the API at once, or "
        f"{peak.workers:,} workers and {count(peak.in_flight)} messages in flight; {len(peak.beyond)} defaults of AWS have to "
        "be raised or gone round."
    )


def _relay() -> str:
    made = facts.PARTITION_WRITES / regulars.WRITES
    told = regulars.RELAY_BATCH / arithmetic.relay_s(regulars.RELAY_BATCH)
    return f"A partition full of purchases makes {made:.0f} records a second; the relay, one call a shard, announces {told:.0f}."


def _money() -> str:
    month, bonus = costs.month(1_000_000), costs.campaign(arithmetic.CAMPAIGNS[0])
    return (
        f"A million members cost ${month.total:.0f} a month, ${month.table:.0f} of it DynamoDB; a bonus to all of them costs "
        f"${bonus.total:.2f}."
    )


BLOCKS: Mapping[str, Callable[[], str]] = {
    "summary": summary,
    "spike": simulated.spike_table,
    "campaign": simulated.campaign_table,
    "workers": simulated.workers_table,
    "storm": simulated.storm_table,
    "hot": simulated.hot_table,
    "shards": simulated.shards_table,
    "directory": simulated.directory_table,
    "peaks": reckoned.peaks_table,
    "months": reckoned.months_table,
    "hours": reckoned.hours_table,
    "busy": reckoned.busy_table,
    "campaigns": reckoned.campaigns_table,
    "facts": reckoned.facts_table,
    "program": reckoned.program_table,
}
