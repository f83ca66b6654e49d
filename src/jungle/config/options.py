"""Options of a command line, the words that begin with a dash."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jungle.config import CONFIGS
from jungle.config.kinds import list_keys
from jungle.errors import UsageError, suggest

SWITCHES = {
    "-m": "--multirun",
    "--multirun": "--multirun",
    "--resolve": "--resolve",
    "-r": "--run",
    "--run": "--run",
}
TAKING = {
    "--cfg": "--cfg",
    "-c": "--cfg",
    "--config-dir": "--config-dir",
    "-cd": "--config-dir",
    "--package": "--package",
    "-p": "--package",
}
REFUSED = {
    "--config-path": "would hide the program's own configs: give --config-dir=<folder>",
    "-cp": "would hide the program's own configs: give --config-dir=<folder>",
    "--config-name": "would hide the program's own settings: give --config-dir=<folder> experiment=<name>",
    "-cn": "would hide the program's own settings: give --config-dir=<folder> experiment=<name>",
    "--experimental-rerun": "runs what a file says: give resume=<run folder>",
}


@dataclass(frozen=True)
class CommandLine:
    """A command line, split into options and settings."""

    words: tuple[str, ...]
    """`key=value`, in order."""
    multirun: bool = False
    cfg: str | None = None
    config_dir: Path | None = None
    others: tuple[str, ...] = ()
    """Options that are Hydra's alone."""

    @property
    def handed_on(self) -> list[str]:
        """Options that this command passes to those that it starts."""
        return [] if self.config_dir is None else [f"--config-dir={self.config_dir}"]


def strip_dashes(verb: str, argv: Sequence[str], more: Iterable[str] = ()) -> list[str]:
    """Return a command line in which `--key=value` has become `key=value`.

    So write the agents of W&B's sweeps, unless told otherwise, and people who come from argparse. What is no
    setting is left as it is: `parted` says what was meant.

    Args:
        verb: whose settings they are.
        argv: as typed.
        more: further words that the command takes as `key=value`.
    """
    known = {*(list_keys(CONFIGS[verb]) if verb in CONFIGS else ()), *more}
    found: list[str] = []
    for arg in argv:
        name, equals, value = arg.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        is_setting = equals and name.startswith("--") and key in known
        found.append(f"{key}={value}" if is_setting else arg)
    return found


def parse_options(verb: str, argv: Sequence[str]) -> CommandLine:
    """Split a command line into options and settings.

    Raises:
        UsageError: an option that there is not, with what to write.
    """
    words: list[str] = []
    found: dict[str, str] = {}
    meant: list[str] = []
    unknown: list[str] = []
    at = 0
    while at < len(argv):
        arg = argv[at]
        at += 1
        if not arg.startswith("-"):
            words.append(arg)
            continue
        name, equals, value = arg.partition("=")
        if name in REFUSED:
            raise UsageError(f"{name} {REFUSED[name]}")
        if name in SWITCHES and not equals:
            found[SWITCHES[name]] = ""
            continue
        follows = at < len(argv) and (
            not argv[at].startswith("-") or re.fullmatch(r"-\.?\d.*", argv[at]) is not None
        )
        if name in TAKING:
            if not equals and follows:
                value = argv[at]
                at += 1
            if not value:
                raise UsageError(f"{name}: needs a value, as in {TAKING[name]}=<value>")
            found[TAKING[name]] = value
            continue
        key = name.lstrip("-").replace("-", "_")
        if not equals and follows and "=" not in argv[at]:
            value = argv[at]
            at += 1
        known = set(list_keys(CONFIGS[verb])) if verb in CONFIGS else set()
        short = [k for k in known if "." not in k and len(key) == 1 and k.startswith(key)]
        if key in known or len(short) == 1:
            meant.append(f"{key if key in known else short[0]}={value or '<value>'}")
        else:
            near = suggest(key, known, 1) if len(key) > 2 and _is_near(key, known) else ""
            unknown.append(f"{name}.{near}")
    if unknown:
        raise UsageError(f"no option {' '.join(unknown)} Settings are written key=value; --help lists them")
    if meant:
        raise UsageError(f"settings have no dashes: write {' '.join(meant)}")
    if found.get("--cfg", "job") not in ("job", "hydra", "all"):
        raise UsageError(f"--cfg={found['--cfg']}: job (the settings), hydra or all")
    if len(doing := [k for k in ("--run", "--multirun", "--cfg") if k in found]) > 1:
        raise UsageError(f"{' and '.join(doing)}: a command does one of these; leave the others out")
    if "--cfg" not in found and (shaping := [k for k in ("--resolve", "--package") if k in found]):
        raise UsageError(f"{shaping[0]}: shapes what --cfg=job shows; add that, or leave it out")
    others = [
        f"{k}={v}" if v else k for k, v in found.items() if k not in ("--multirun", "--config-dir", "--cfg")
    ]
    folder = Path(found["--config-dir"]) if "--config-dir" in found else None
    return CommandLine(tuple(words), "--multirun" in found, found.get("--cfg"), folder, tuple(others))


def _is_near(key: str, known: set[str]) -> bool:
    return bool(difflib.get_close_matches(key, known, n=1, cutoff=0.7))
