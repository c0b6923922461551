"""How figures and tables are written."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def count(value: float) -> str:
    """A number as people say it: two or three digits of it."""
    for size, unit in ((1e9, " G"), (1e6, " M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def dollars(value: float) -> str:
    """Cents where they matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever says most."""
    if seconds >= 2 * 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def percent(share: float, digits: int = 2) -> str:
    """A share of all."""
    return f"{share * 100:.{digits}f} %"
