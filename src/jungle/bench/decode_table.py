"""The tables of `jungle bench decode` in Markdown: one row a way of reading, one column a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


def tables(rows: list[Row]) -> str:
    """Clips a second on one core (and how many times faster than the first row), then memory at its peak."""
    return "\n".join(
        [
            *_table(rows, "clips/s (times faster)", speed),
            "",
            *_table(rows, "peak MB of the process", lambda row: f"{row['peak_mb']:.0f}"),
        ]
    )


def _table(rows: list[Row], heading: str, cell: Callable[[Row], str]) -> list[str]:
    files = list(dict.fromkeys(row["file"] for row in rows))
    ways = dict.fromkeys((row["decoder"], row["asked"]) for row in rows)
    lines = [f"| {heading} | {' | '.join(files)} |", "| --- |" + " --: |" * len(files)]
    for way in ways:
        found = {row["file"]: cell(row) for row in rows if (row["decoder"], row["asked"]) == way}
        lines.append(f"| {', '.join(way)} | {' | '.join(found.get(file, '-') for file in files)} |")
    return lines


def speed(row: Row) -> str:
    """Clips a second, and times faster where that is known."""
    return _short(row["clips_s"]) + (f" ({_short(row['times_faster'])}x)" if row["times_faster"] else "")


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"
