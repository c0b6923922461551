"""`make scale`: runs every simulation, writes the tables of docs/scale.md and draws the pictures of docs/charts."""

import sys

from bench.scale import charts, page


def main() -> int:
    """The exit code."""
    page.PAGE.write_text(page.render(page.PAGE.read_text()))
    folder = page.PAGE.parent / "charts"
    folder.mkdir(exist_ok=True)
    for name in charts.CHARTS:
        charts.draw(name, folder / f"{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
