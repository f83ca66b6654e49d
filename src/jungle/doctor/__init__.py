"""`jungle doctor`: is this machine fit for training and prediction, and if not, what fixes it."""

import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jungle import streams
from jungle.doctor.checks import CHECKS, Row, check_room, run_check
from jungle.errors import UsageError, suggest
from jungle.files import expand_user

USAGE = """usage: jungle doctor [--json] [paths.cache=<folder>] [paths.runs=<folder>]

Checks this machine; says what is good, what deserves a look, what is broken, and how to fix it.
The exit code is 1 where something is broken, else 0."""
LOOKS = {"good": ("✓ good", "green"), "warning": ("! warning", "yellow"), "bad": ("✗ bad", "bold red")}


def main(argv: list[str]) -> int:
    """Check this machine and print what was found; return 1 where something is bad, else 0.

    Raises:
        UsageError: an unknown argument.
    """
    if {"-h", "--help"} & set(argv):
        streams.say(USAGE)
        return 0
    places = {"paths.cache": Path("cache"), "paths.runs": Path("runs")}
    for word in argv:
        key, equals, value = word.partition("=")
        if equals and key in places and value:
            places[key] = expand_user(value)
        elif word != "--json":
            raise UsageError(f"doctor: {word} is not known.{suggest(key, [*places, '--json'])}")
    rows = examine(places)
    if "--json" in argv:
        streams.say(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        show(rows)
    return int(any(row.state == "bad" for row in rows))


def examine(places: dict[str, Path]) -> list[Row]:
    """Run every check, several at a time; return their rows in a fixed order."""
    rooms = {
        f"disk, {key.removeprefix('paths.')}": partial(check_room, key, place)
        for key, place in places.items()
    }
    checks = {**CHECKS, **rooms}
    with ThreadPoolExecutor(4) as pool:  # the slow ones wait for other processes
        return [row for rows in pool.map(run_check, checks, checks.values()) for row in rows]


def show(rows: list[Row]) -> None:
    """Print the table and one line that sums it up."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("check", "", "found"):
        table.add_column(name, overflow="fold")
    for row in rows:
        text, style = LOOKS[row.state]
        found = Text(row.found)
        if row.fix:
            found.append(f"\n→ {row.fix}", style="bold" if row.state == "bad" else "dim")
        table.add_row(row.check, Text(text, style=style, no_wrap=True), found)
    console = Console(width=min(shutil.get_terminal_size((110, 40)).columns, 120))
    console.print(table)
    number = Counter(row.state for row in rows)
    worst = next((state for state in ("bad", "warning") if number[state]), "good")
    head = f"{number['bad']} broken" if number["bad"] else "no problems"
    tail = "" if worst == "good" else f", {number['warning']} to check"
    console.print(f"\n{head}{tail}", style=LOOKS[worst][1])
