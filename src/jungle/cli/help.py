"""`jungle <verb> --help`: every group, its choices, and every setting with its default and what it means.

Read from the config files, whose comments are the words: composing them with Hydra takes longer than a person
likes to wait for help, and loses the comments.
"""

import itertools
import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from jungle.config.suggestions import check_choices, list_configs

SETTING = re.compile(r"^(?P<indent> *)(?P<name>\w+):(?: +(?P<value>[^#\n]*?))?(?: +# (?P<about>.*))?$")
DEFAULT = re.compile(r"^  - (?P<group>[\w/]+): (?P<choice>\w+)(?: +# (?P<about>.*))?$", re.MULTILINE)
BASES = re.compile(r"^defaults: \[(.*)\]$", re.MULTILINE)
FIRST = ("data", "model", "head", "trainer")
COLUMN = 46  # where what a setting means begins


def format_help(verb: str, argv: Sequence[str], configs: Path) -> str:
    """Return the help of a verb; of a group named on the command line, as `model=finetune`, that choice.

    Raises:
        UsageError: no such choice.
    """
    whole = (configs / f"{verb}.yaml").read_text(encoding="utf-8")
    given = dict(arg.split("=", 1) for arg in argv if "=" in arg)
    top = itertools.takewhile(lambda line: line.startswith("#"), whole.splitlines())
    blocks = ["\n".join(line.removeprefix("#").removeprefix(" ") for line in top)]
    for found in sorted(DEFAULT.finditer(whole), key=lambda found: _rank_group(found["group"])):
        group, about = found["group"], found["about"] or ""
        choices = [name for name in list_configs(configs / group) if name != "base"]  # which several share
        choice = given.get(group, found["choice"])
        if group in given:
            check_choices(group, [choice], choices)
        others = textwrap.fill(", ".join(c for c in choices if c != choice), _get_width() - 4)
        lines = [f"{group}={choice}{'   ' + about if about else ''}"]
        lines += [textwrap.indent(f"or {others}", "  ")] if others else []
        if choice != "null" and group not in ("experiment", "sweep"):
            lines += _format_settings(_read_settings(configs / group, choice), f"{group}.")
        blocks.append("\n".join(lines))
    own = whole.split("\n\n", 1)[1].split("\nhydra:\n")[0]
    blocks.append("\n".join(["settings", *_format_settings(_parse_lines(own), "")]))
    sweep = "   a sweep: -m model=a,b" if verb == "train" else ""
    blocks.append(f"A setting: key=value   a group: group=choice{sweep}   without running: --cfg job")
    return "\n\n".join(blocks)


def _rank_group(group: str) -> int:
    """Return where help shows a group: the ones that people use first, and where files lie last."""
    order = [*FIRST, "", "paths"]
    return order.index(group if group in order else "")


def _read_settings(group: Path, choice: str) -> dict[str, tuple[str, str]]:
    """Return the settings of a choice and of those it builds on: name -> (default, what it means)."""
    body = (group / f"{choice}.yaml").read_text(encoding="utf-8")
    found: dict[str, tuple[str, str]] = {}
    bases = BASES.search(body)
    for base in bases[1].split(",") if bases else ():
        if base.strip() != "_self_":
            found |= _read_settings(group, base.strip())
    for name, (value, about) in _parse_lines(body).items():
        found[name] = (value, about or found.get(name, ("", ""))[1])
    return found


def _parse_lines(body: str) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    above = ""
    for line in body.splitlines():
        setting = SETTING.match(line)
        if setting is None or setting["name"] == "defaults":
            continue
        if not setting["indent"]:
            above = setting["name"]
        name = f"{above}.{setting['name']}" if setting["indent"] else setting["name"]
        if setting["value"] is not None:
            found[name] = (setting["value"], setting["about"] or "")
    return found


def _format_settings(settings: dict[str, tuple[str, str]], prefix: str) -> list[str]:
    lines = []
    for name, (value, about) in settings.items():
        head = f"    {prefix}{name}={value}"
        words = textwrap.wrap(about, max(_get_width() - COLUMN, 30)) or [""]
        if len(head) >= COLUMN:
            lines.append(head)
            head = ""
        lines += [f"{head:<{COLUMN}}{words[0]}".rstrip(), *(" " * COLUMN + word for word in words[1:])]
    return lines


def _get_width() -> int:
    return min(shutil.get_terminal_size((118, 40)).columns, 130)
