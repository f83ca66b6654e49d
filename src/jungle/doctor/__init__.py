"""`jungle doctor`: is this machine fit for training and prediction, and if not, what fixes it.

Every check is on its own: what may crash or hang (torch, decoders) runs in another process with a time limit,
and an error inside a check is a row of the table, never a traceback.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from jungle import streams
from jungle.doctor.child import Late, printable
from jungle.doctor.rows import Row, bad, warning
from jungle.errors import UsageError, suggest
from jungle.files import expand_user

Check = Callable[[], Row | list[Row]]

USAGE = """usage: jungle doctor [--json] [paths.cache=<folder>] [paths.runs=<folder>]

Checks this machine; says what is good, what deserves a look, what is broken, and how to fix it.
The exit code is 1 where something is broken, else 0."""


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
    from jungle.doctor import checks, gpu, machine

    tasks: list[Check] = [
        checks.python,
        checks.lock,
        checks.torch,
        *(partial(checks.decoder, name) for name in ("pyav", "decord", "torchcodec")),
        gpu.gpu_decoding,
        checks.ffmpeg,
        checks.weights,
        machine.cores,
        machine.memory,
        machine.shared_memory,
        *(partial(machine.room, key, path) for key, path in places.items()),
        checks.wandb,
    ]
    # Four at a time: the slow ones wait for other processes.
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(guarded, tasks))
    return [row for rows in found for row in rows]


def guarded(check: Check) -> list[Row]:
    """Run one check; an error in it becomes a row, and so does an answer that did not come in time."""
    name = getattr(getattr(check, "func", check), "__name__", "check")
    try:
        rows = check()
    except Late as e:
        name = next(iter(getattr(check, "args", ())), name).replace("_", " ").replace("gpu", "GPU")
        return [warning(name, str(e), "give the command again when less is running here")]
    except Exception as e:
        lines = [printable(line.strip()) for line in str(e).splitlines() if line.strip()]
        found = f"the check failed: {type(e).__name__}: {lines[0][:200] if lines else ''}"
        return [bad(name, found, "this is a fault of jungle: please report it")]
    return rows if isinstance(rows, list) else [rows]


def show(rows: list[Row]) -> None:
    """Print the table and one line that sums it up."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    looks = {"good": ("✓ good", "green"), "warning": ("! warning", "yellow"), "bad": ("✗ bad", "bold red")}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("check", "", "found"):
        table.add_column(name, overflow="fold")
    for row in rows:
        text, style = looks[row.state]
        found = Text(row.found)
        if row.fix:
            found.append(f"\n→ {row.fix}", style="bold" if row.state == "bad" else "dim")
        table.add_row(row.check, Text(text, style=style, no_wrap=True), found)
    console = Console(width=min(shutil.get_terminal_size((110, 40)).columns, 120))
    console.print(table)
    count = {state: sum(row.state == state for row in rows) for state in looks}
    console.print()
    if count["bad"]:
        console.print(f"{count['bad']} broken, {count['warning']} to look at", style="bold red")
    elif count["warning"]:
        console.print(f"fit for work, {count['warning']} to look at", style="yellow")
    else:
        console.print("fit for work", style="green")
