"""Resuming: `resume=latest`, `resume=<run folder>`, and runs of the same settings.

A run keeps its settings as data (`settings.json`). To go on with it is to take these, and nothing else that
its folder says: no word of Hydra's, and none of the places where things are written or kept (`paths`), which
are those of the one who goes on. The folder may be a stranger's.

Clips and files may have been moved since. So the settings that name them (`PLACES`) may have other values, as
long as what they lead to is what it was: that is compared by content (`jungle.training.run_inputs`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from jungle import runs
from jungle.config import TrainConfig, check, gate
from jungle.config.words import WORD, escape_interpolation, get_text, parse_words
from jungle.errors import UsageError
from jungle.files import write_json
from jungle.names import show
from jungle.plain import read

SETTINGS = "settings.json"
FOUND = "found.json"  # of searches: what was `auto` when the run was started
ENTITY = "logger.entity"
OURS = ("paths", "resume", "experiment", "sweep")
"""What is not taken from a run's settings; nor is `ENTITY`."""
PLACES = re.compile(
    r"data\.(root|labels|sites|test_labels|template|duplicates|metadata|pseudo)"
    r"|model\.(weights|warm_start)|frames\.weights"
)
"""Settings that name clips and files."""
MEANINGS = ("index", "self")
"""Values of `PLACES` that name no file."""
NAMED = 3  # changes that a message names


def save_settings(folder: Path, cfg: TrainConfig) -> None:
    """Write the settings of a run into its folder, as data."""
    write_json(folder / SETTINGS, cfg.model_dump(mode="json", exclude=set(OURS)))


@dataclass(frozen=True)
class Change:
    """A setting of a run and its value in the present command; None where it has none."""

    name: str
    was: object
    now: object

    @property
    def is_a_move(self) -> bool:
        """Whether the setting names a place of clips or files."""
        given = all(value not in (None, *MEANINGS) for value in (self.was, self.now))
        return PLACES.fullmatch(self.name) is not None and given

    def __str__(self) -> str:
        was, now = (_format_value(value) for value in (self.was, self.now))
        return f"{self.name} was {was}, is now {now}"


@dataclass(frozen=True)
class Difference:
    """Differences between the settings of a command and those of a run.

    Attributes:
        changes: what differs; empty where the folder does not say what its settings were.
        is_a_move: whether it is the same run, whose clips or files have another place.
        note: why it is not, where changes of place are all.
    """

    changes: tuple[Change, ...]
    is_a_move: bool
    note: str = ""

    def __str__(self) -> str:
        if not self.changes:
            return "its config.yaml"
        more = len(self.changes) - NAMED
        told = [*map(str, self.changes[:NAMED]), *([f"and {more} more"] if more > 0 else [])]
        return "; ".join([*told, *([self.note] if self.note else [])])


def compare_settings(folder: Path, cfg: TrainConfig) -> Difference | None:
    """Return how a config differs from that of the run in a folder; None where it does not.

    A run of version 0.1 did not keep what its files held, so that none of them can be known again elsewhere.
    """
    known = runs.state(folder).get("fingerprint")
    if known is None or cfg.is_of(known):
        return None
    ours = cfg.model_dump(mode="json")
    try:
        found = read_saved(folder).settings
        taken = {k: v for k, v in ours.items() if k in OURS}
        began = None if found is None else check(TrainConfig, {**_fill_missing(found, ours), **taken})
    except UsageError:
        began = None
    if began is None:
        return Difference((), False)
    was, now = _flatten(began.shaping()), _flatten(cfg.shaping())
    names = sorted(k for k in was.keys() | now.keys() if was.get(k) != now.get(k))
    changes = tuple(Change(k, was.get(k), now.get(k)) for k in names)
    if not all(c.is_a_move for c in changes) or not began.is_of(known):
        return Difference(changes, False)
    if (folder / runs.CLIP_FILES).is_file() or not any((folder / "checkpoints").glob("*.ckpt")):
        return Difference(changes, True)
    return Difference(changes, False, "version 0.1 kept nothing by which to know moved clips again")


def _flatten(settings: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Return nested settings by their dotted names."""
    found: dict[str, object] = {}
    for key, value in settings.items():
        found |= _flatten(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _format_value(value: object) -> str:
    return show(value if isinstance(value, str) else json.dumps(value))


def choose_folder(cfg: TrainConfig, changes: runs.Changes) -> Path:
    """Return the folder for a training command: an unfinished one of the same run, or a new name.

    A run counts as unfinished where its `run.json` says so and no living process holds its lock. It is the
    same run where settings and inputs are the same.

    Raises:
        UsageError: `resume` names a folder that is no run, or one of other settings or inputs.
    """
    if cfg.resume in ("auto", "never"):
        return runs.find_unfinished(cfg.paths.runs / "train", cfg.is_of, cfg.resume == "auto", changes)
    folder = runs.resolve_run(cfg.resume, cfg.paths.runs)
    if (other := compare_settings(folder, cfg)) is not None and not other.is_a_move:
        raise UsageError(
            f"resume={cfg.resume}: that run had other settings ({other}); give resume alone to go on with "
            "its own, or leave resume out to start a new run"
        )
    runs.check_unchanged(folder, changes(folder))
    return folder


def find_named_run(words: Sequence[str]) -> Path | None:
    """Return the run folder that a command names; None where it names none.

    Args:
        words: as Hydra reads them.

    Raises:
        UsageError: no run is there.
    """
    values = {o.key_or_group: o for o in parse_words(words) if o.key_or_group in ("resume", "paths.runs")}
    resume = get_text(values["resume"]) if "resume" in values else "auto"
    if resume in ("auto", "never"):
        return None
    return runs.resolve_run(
        resume, Path(get_text(values["paths.runs"]) if "paths.runs" in values else "runs")
    )


@dataclass(frozen=True)
class Saved:
    """Settings of a run in its folder: plain data, or the words that it was started with."""

    settings: dict[str, object] | None
    words: list[str]
    places: dict[str, object]
    """Where that run kept its things, to be told only: `paths.cache`."""


def read_saved(folder: Path) -> Saved:
    """Read the settings of a run; one of version 0.1 has them in `config.yaml`, or as words for Hydra.

    Raises:
        UsageError: they are not there, or no settings of this program.
    """
    if (file := folder / SETTINGS).exists():
        found = _require_dict(read(file), file)
    elif (file := folder / "config.yaml").exists():
        found = _require_dict(read(file), file)
        if (folder / FOUND).exists():
            for name in _require_dict(read(folder / FOUND), folder / FOUND):
                group, _, key = name.partition(".")
                if name in ("data.batch_size", "optim.lr") and isinstance(inner := found.get(group), dict):
                    inner[key] = "auto"
    elif (file := folder / ".hydra" / "overrides.yaml").exists():
        words = gate.check_words("train", read(file), file)
        kept = [
            w for w in words if _get_key(w) != ENTITY and _get_key(w).split(".")[0] not in ("paths", "resume")
        ]
        return Saved(None, kept, {})
    else:
        raise UsageError(f"{folder}: no {SETTINGS} in it; give the run's whole command instead")
    for name in found:
        gate.check_key("train", name, file)
    paths = found.get("paths")
    places = {f"paths.{k}": v for k, v in paths.items()} if isinstance(paths, dict) else {}
    settings = {k: v for k, v in found.items() if k not in OURS}
    if isinstance(logger := settings.get("logger"), dict) and logger.get("entity"):
        # Whose page of W&B the run, with pictures of clips, is sent to.
        places[ENTITY] = logger["entity"]
        settings["logger"] = {**logger, "entity": None}
    return Saved(settings, [], places)


def _require_dict(found: object, file: Path) -> dict[str, object]:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"{file}: not the settings of a training run")
    return found


def merge_settings(
    settings: dict[str, object], ours: dict[str, object], words: Sequence[str], groups: Sequence[str]
) -> dict[str, object]:
    """Return the settings of a run, overridden by those of a command, as plain data.

    Args:
        settings: of the run.
        ours: what the groups that the command chooses, and the program's defaults, compose to.
        words: of the command that are no choice of a group, as Hydra reads them.
        groups: that the command chooses.

    Raises:
        UsageError: a word is no `key=value`.
    """
    plain = {**_fill_missing(settings, ours), **{k: ours[k] for k in (*OURS, *groups) if k in ours}}
    cfg = OmegaConf.create(make_literal(plain))
    for override in parse_words(words):
        if override.is_delete() or override.package is not None:
            raise UsageError(f"{override.input_line}: with resume= a setting is given as key=value")
        OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True, force_add=True)
    found = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(found, dict)
    return {str(k): v for k, v in found.items()}


def _fill_missing(settings: dict[str, object], ours: dict[str, object]) -> dict[str, object]:
    """Return settings with those that were added since; another head or logger has its own."""
    found = dict(settings)
    for key, value in ours.items():
        there = found.setdefault(key, value)
        if not (isinstance(there, dict) and isinstance(value, dict)):
            continue
        if key not in ("head", "loss", "logger") or there.get("name") == value.get("name"):
            found[key] = {**value, **there}
    return found


def is_changed(settings: dict[str, object], plain: dict[str, object], word: str) -> bool:
    """Tell whether a word changes a setting of a run."""
    values: list[object] = [settings, plain]
    for name in _get_key(word).split("."):
        values = [v.get(name) if isinstance(v, dict) else None for v in values]
    return _get_key(word).startswith("paths.") or values[0] != values[1]


def check_places(cfg: TrainConfig, folder: Path) -> None:
    """Refuse a run that would render its sample outside the caller's own cache.

    Raises:
        UsageError: with what to type.
    """
    root, cache = next(iter(cfg.data.roots), None), cfg.paths.cache
    if cfg.data.format != "sample" or root is None or root.resolve().is_relative_to(cache.resolve()):
        return
    raise UsageError(
        f"{folder}: its sample lies in {root}, outside paths.cache={cache}; give paths.cache=<its cache>"
    )


def describe_places(places: dict[str, object], cfg: TrainConfig) -> str:
    """Describe folders that differ from those of the run; empty where they are the same."""
    ours: dict[str, object] = {f"paths.{k}": v for k, v in cfg.paths.model_dump(mode="json").items()}
    ours[ENTITY] = cfg.logger.entity or "null"
    other = [
        f"{k}={ours[k]} (that run had {v})" for k, v in places.items() if k in ours and str(v) != ours[k]
    ]
    return f"places are yours, not the run's: {', '.join(other)}" if other else ""


def make_literal(value: Any) -> Any:
    """Return plain data whose interpolations are escaped for OmegaConf."""
    if isinstance(value, dict):
        return {k: make_literal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [make_literal(v) for v in value]
    return escape_interpolation(value) if isinstance(value, str) else value


def _get_key(word: str) -> str:
    found = WORD.fullmatch(word)
    return found["key"] if found else word
