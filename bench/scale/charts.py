"""The pictures of docs/charts: each title says what to see in it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.scale import arithmetic, campaign, costs, facts, hot_member, shards, spike, storm

# Colors that people who confuse red and green can tell apart (Okabe and Ito).
_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
_MORE = (_BLUE, _ORANGE, _GREEN, _RED, "#CC79A7", "#56B4E9", "#F0E442", "#000000", _GREY)
_STYLE: dict[Any, Any] = {
    # The same picture is the same file, and its words stay words.
    "svg.hashsalt": "regulars",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def _figure(
    title: str, *, rows: int, columns: int = 1, height: float, sharex: bool = True
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8.4, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    axes = figure.subplots(rows, columns, squeeze=False, sharex="col" if sharex else "none")
    return figure, [each for row in axes for each in row]


def draw_spike() -> Figure:
    """Arrivals, backlog and age through a tenfold spike."""
    figure, (rates, backlog, oldest) = _figure(
        "A tenfold spike is late, never lost: how late is a matter of workers and of a warm table", rows=3, height=6.6
    )
    for seen, color in zip(spike.runs(), (_BLUE, _RED, _GREEN), strict=True):
        minutes = [(place + 1) * seen.every / 60 for place in range(len(seen.backlog))]
        rates.plot(minutes, seen.applied, color=color, label=f"recorded: {seen.spike.name}")
        backlog.plot(minutes, [each / 1_000 for each in seen.backlog], color=color)
        oldest.plot(minutes, [each / 60 for each in seen.oldest_s], color=color)
    first = spike.runs()[0]
    minutes = [(place + 1) * first.every / 60 for place in range(len(first.arrivals))]
    rates.plot(minutes, first.arrivals, color=_GREY, linestyle=":", label="submitted")
    rates.set_title("purchases a second")
    rates.legend(fontsize=8)
    backlog.set_title("waiting in the queue, thousands")
    oldest.set_title("age of the oldest, minutes")
    oldest.set_xlabel("minutes")
    oldest.set_xlim(0, first.spike.ends_at / 60)
    return figure


def draw_campaign() -> Figure:
    """The foreground's p99 and the campaign's speed against its concurrency."""
    figure, axes = _figure(
        "Ten campaign workers are not felt at the till;\n"
        "more than a partition bears make the campaign no faster, and a small table slow for all",
        rows=2,
        columns=2,
        height=5.2,
    )
    for column, (shop, runs) in enumerate(campaign.runs()):
        ratio, speed = axes[column], axes[2 + column]
        workers = [seen.concurrency for seen in runs]
        ratio.plot(
            workers, [seen.purchase_p99 / runs[0].purchase_p99 for seen in runs], "o-", color=_BLUE, label="purchases"
        )
        ratio.plot(workers, [seen.query_p99 / runs[0].query_p99 for seen in runs], "s-", color=_GREEN, label="balances")
        ratio.axhline(campaign.RATIO_MAX, color=_RED, linestyle="--", label=f"{campaign.RATIO_MAX} times")
        ratio.set_yscale("log")
        ratio.set_yticks([1, 1.5, 3, 10, 30], labels=["1", "1.5", "3", "10", "30"])
        ratio.minorticks_off()
        ratio.set_ylim(0.8, 30)
        ratio.set_title(f"{shop.name}\np99 at the API, times what it is without a campaign")
        speed.plot(workers, [seen.members_a_second / 1_000 for seen in runs], "o-", color=_ORANGE)
        full = campaign.concurrency_max(shop)
        side = "right" if full > workers[-1] * 0.7 else "left"
        speed.axvline(full, color=_GREY, linestyle=":")
        speed.annotate(" a partition is full ", (full, 0.1), color=_GREY, fontsize=8, ha=side, va="bottom")
        speed.set_title("thousand members a second")
        speed.set_xlabel("campaign workers at once")
        speed.set_ylim(bottom=0)
    axes[0].legend(fontsize=8, loc="upper left")
    return figure


def draw_storm() -> Figure:
    """Calls and records through twenty seconds of little throughput, by who tries again and how."""
    most = max(storm.runs()[0].calls) / storm.RATE
    title = f"Trying again at once multiplies the calls by {most:.0f} and records nothing sooner"
    figure, (calls, attempts, recorded) = _figure(title, rows=3, height=6.2)
    for seen, color in zip(storm.runs(), (_RED, _ORANGE, _BLUE), strict=True):
        seconds = range(1, len(seen.calls) + 1)
        calls.plot(seconds, [max(0.1, each / storm.RATE) for each in seen.calls], color=color, label=seen.policy.name)
        attempts.plot(seconds, [max(0.1, each / storm.RATE) for each in seen.attempts], color=color)
        recorded.plot(seconds, [each / storm.RATE for each in seen.recorded], color=color)
    for panel in (calls, attempts, recorded):
        panel.axvspan(storm.COLD_FROM, storm.COLD_UNTIL, color="#eeeeee")
    calls.set_yscale("log")
    calls.set_ylim(0.3, 3_000)
    attempts.set_yscale("log")
    calls.set_title("calls of the API for each purchase that arrives (grey: the table gives a quarter)")
    calls.legend(fontsize=8, loc="upper right")
    attempts.set_title("writes asked of DynamoDB for each purchase that arrives")
    recorded.set_title("purchases recorded for each that arrives")
    recorded.set_xlabel("seconds")
    return figure


def draw_hot() -> Figure:
    """The hot member's waiting, and the hot shards' partition."""
    figure, (member, days) = _figure(
        "One member bears some forty purchases a second at the till;\n"
        "one day's due rows want 256 shards and more where purchases are many",
        rows=1,
        columns=2,
        height=4.2,
        sharex=False,
    )
    tills, queue = hot_member.runs()
    for runs, color, name in ((tills, _BLUE, "at tills"), (queue, _ORANGE, "through the queue")):
        member.plot([seen.rate for seen in runs], [seen.p99 for seen in runs], "o-", color=color, label=f"p99 {name}")
        member.plot([seen.rate for seen in runs], [seen.p50 for seen in runs], "o:", color=color, label=f"p50 {name}")
    member.set_xscale("log")
    member.set_yscale("log")
    member.set_title("seconds until a purchase is recorded")
    member.set_xlabel("purchases a second of one member")
    member.legend(fontsize=8)
    large = [each for each in shards.days() if each.purchases == max(day.purchases for day in shards.days())]
    for offset, share, color, name in ((-0.2, 0, _GREEN, "an ordinary day"), (0.2, 1, _RED, "the first of a month")):
        chosen = [each for each in large if (each.share == 1) == bool(share)]
        places = [place + offset for place in range(len(chosen))]
        days.bar(places, [each.fullest for each in chosen], 0.4, color=color, label=name)
        days.set_xticks(range(len(chosen)), labels=[f"{each.shards}" for each in chosen])
    days.axhline(facts.PARTITION_WRITES, color=_GREY, linestyle="--", label="what a partition gives")
    days.set_title(f"fullest of {large[0].partitions} partitions, WRU/s, at {large[0].purchases:,.0f} purchases/s")
    days.set_xlabel("shards of a day's due rows")
    days.grid(visible=False, axis="x")
    days.legend(fontsize=8)
    return figure


def draw_costs() -> Figure:
    """What a million members cost, by part."""
    figure, (axes,) = _figure(
        "An ordinary month is storage and the API; a purchase costs less through the queue", rows=1, height=3.4
    )
    job = next(each for each in arithmetic.CAMPAIGNS if each.members == 1_000_000)
    bills = (
        ("a bonus to 1 M members", costs.campaign(job)),
        ("… through the queue", costs.queued_hour(1_000)),
        ("… at tills", costs.hour(1_000, queries=0)),
        ("an hour of 1,000 purchases/s at tills, and 4,000 balances/s", costs.hour(1_000)),
        ("an ordinary month of 1 M members", costs.month(1_000_000)),
    )
    left = [0.0] * len(bills)
    for part, color in zip(costs.PARTS, _MORE, strict=True):
        amounts = [bill.parts.get(part, 0.0) for _, bill in bills]
        axes.barh([name for name, _ in bills], amounts, left=left, color=color, label=part, height=0.6)
        left = [before + amount for before, amount in zip(left, amounts, strict=True)]
    for place, total in enumerate(left):
        axes.annotate(f" ${total:,.2f}", (total, place), va="center", fontsize=8)
    axes.set_xlabel("dollars, list prices of us-east-1")
    axes.set_xlim(right=max(left) * 1.1)
    axes.grid(visible=False, axis="y")
    axes.legend(fontsize=8, ncols=5, loc="upper center", bbox_to_anchor=(0.4, -0.2))
    return figure


CHARTS: Mapping[str, Callable[[], Figure]] = {
    "spike": draw_spike,
    "campaign": draw_campaign,
    "storm": draw_storm,
    "hot": draw_hot,
    "costs": draw_costs,
}


def draw(name: str, path: Path) -> None:
    """Draws one of `CHARTS` into a file; its ending says how."""
    with mpl.rc_context(_STYLE):
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {}
        CHARTS[name]().savefig(path, metadata=metadata, facecolor="white")
