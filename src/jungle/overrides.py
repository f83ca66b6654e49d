"""Check a command line's overrides before Hydra runs them, and choose the folder of the run."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jungle import gate, resuming
from jungle.config import CONFIGS, TrainConfig, check
from jungle.console import log
from jungle.errors import UsageError
from jungle.misspelt import check_choice, check_key
from jungle.options import CommandLine, parted
from jungle.words import as_meant, parsed, quoted, refuse_sweep, text_of, word_of

__all__ = ["Command", "composed", "is_checked", "prepare", "prepared", "quoted", "variants"]

_ANSWERED_BY_HYDRA = (
    "--hydra-help",
    "--version",
    "--shell-completion",
    "-sc",
    "--info",
    "-i",
)


@dataclass(frozen=True)
class Command:
    """A command line that has been found valid."""

    argv: list[str]
    """As Hydra takes it."""
    settings: dict[str, Any] | None = None
    """Of a run that goes on by `resume=<folder>`: they stand in the place of what Hydra composes."""
    handed_on: tuple[str, ...] = ()
    """Options that the trials of a sweep need as well."""


def as_config(settings: dict[str, Any]) -> Any:
    """Return settings as Hydra would have composed them."""
    return OmegaConf.create(resuming.as_literal(settings))


def is_checked(argv: list[str]) -> bool:
    """Tell whether `argv` composes a config, rather than asking Hydra about itself."""
    asking = [a for a in argv if a.split("=")[0] in _ANSWERED_BY_HYDRA]
    if asking and (others := [a for a in argv if a.startswith("-") and a not in asking]):
        raise UsageError(f"{others[0]}: {asking[0]} takes no other option")
    return not asking


def prepare(verb: str, argv: list[str], config_dir: Path) -> list[str]:
    """Return the `argv` of `prepared`."""
    return prepared(verb, argv, config_dir).argv


def prepared(verb: str, argv: Sequence[str], config_dir: Path) -> Command:
    """Return a command line with the run's folder added, after every override has been found valid.

    Raises:
        UsageError: a misspelt group, choice, key or value, with the nearest valid ones.
    """
    from jungle import runs, sweeps

    line = parted(verb, argv)
    words = _of_this_process(list(line.words))
    sweep = verb == "train" and sweeps.is_sweep(line.multirun, words)
    if line.multirun and verb != "train":
        raise UsageError(f"-m: jungle {verb.replace('_', ' ')} has no sweeps; give one value a setting")
    words = as_meant(verb, words, sweep=sweep)
    if not sweep:
        refuse_sweep(verb, parsed(words))
    extra = str(line.config_dir) if line.config_dir else None
    # Overrides go last: Hydra takes none behind an option such as -m where others stand before it.
    options = [*line.handed_on, *line.others]
    if line.cfg:
        composed(verb, words, config_dir, extra, sweep=sweep)
        return Command([*options, f"--cfg={line.cfg}", *(["-m"] if line.multirun else []), *words])
    if verb == "train" and (folder := resuming.asked(words)) is not None:
        if sweep:
            raise UsageError(f"resume={folder}: one run goes on, not a sweep: leave out -m, or resume=")
        return _going_on(line, words, folder, config_dir)
    plain = composed(verb, words, config_dir, extra, sweep=sweep)
    if verb != "train":
        return Command([*options, *words])
    given = {o.key_or_group for o in parsed(words)}
    if sweep:
        if "hydra.sweep.dir" not in given:
            folder = sweeps.choose(plain, [*options, *words])
            gate.check_folder(folder)
            words = [*words, f"hydra.sweep.dir={quoted(folder)}"]
        return Command([*options, *words, "-m"], None, tuple(line.handed_on))
    if "hydra.run.dir" not in given:
        folder = runs.choose(plain)
        gate.check_folder(folder)
        words = [*words, f"hydra.run.dir={quoted(folder)}"]
    return Command([*options, *words])


def _of_this_process(words: list[str]) -> list[str]:
    """Leave out the folder that Lightning adds for another device's process: ours is there, well quoted."""
    if "LOCAL_RANK" not in os.environ:
        return words
    folders = [i for i, word in enumerate(words) if word.startswith("hydra.run.dir=")]
    return [word for i, word in enumerate(words) if i not in folders[1:]]


def _going_on(line: CommandLine, words: list[str], folder: Path, config_dir: Path) -> Command:
    """Return the command that goes on with the run in a folder, whose settings are those of the run."""
    from jungle import runs

    extra = str(line.config_dir) if line.config_dir else None
    gate.check_folder(folder)
    hydras = [o for o in parsed(words) if o.key_or_group.startswith("hydra")]
    lines = {word_of(o) for o in hydras}
    words = [w for w in words if w not in lines and not w.startswith("resume=")]
    for o in hydras:
        if o.key_or_group == "hydra.run.dir" and Path(text_of(o)).resolve() != folder.resolve():
            raise UsageError(f"{o.input_line}: with resume= the run goes on in {folder}: leave it out")
    found = resuming.saved(folder)
    keys = {o.key_or_group for o in parsed(words)}
    if found.settings is None:
        begun = [word_of(o) for o in parsed(found.words) if o.key_or_group not in keys]
        plain = _plain("train", [*begun, *words], config_dir, extra)
    elif "experiment" in keys:  # the run's whole command
        plain = _plain("train", words, config_dir, extra)
    else:
        groups = [o for o in parsed(words) if o.key_or_group in found.settings and "." not in o.key_or_group]
        groups = [o for o in groups if isinstance(found.settings[o.key_or_group], dict)]
        chosen = {word_of(o) for o in groups}
        places = [w for w in words if w.startswith("paths.")]
        ours = _plain("train", [*chosen, *places], config_dir, extra)
        single = [w for w in words if w not in chosen]
        plain = resuming.merged(found.settings, ours, single, [o.key_or_group for o in groups])
        words = [w for w in words if w in chosen or resuming.differs(found.settings, plain, w)]
    plain["resume"] = str(folder)
    try:
        cfg = check(TrainConfig, plain)
    except UsageError as e:
        raise UsageError(f"resume={folder}: {e}") from None
    resuming.check_places(cfg, folder)
    runs.choose(cfg)  # refuses a run of other settings
    if runs.rank() == 0 and (said := resuming.told(found.paths, cfg)):
        log.info(said)
    own = [word_of(o) for o in hydras if o.key_or_group not in ("hydra.run.dir", "hydra.output_subdir")]
    here = [f"hydra.run.dir={quoted(folder)}", "hydra.output_subdir=null"]
    argv = [*line.handed_on, *line.others, *words, f"resume={quoted(folder)}", *own, *here]
    return Command(argv, plain)


def composed(
    name: str,
    overrides: Sequence[str],
    config_dir: Path,
    extra_dir: str | None = None,
    *,
    sweep: bool = False,
) -> Any:
    """Compose and check the config that `overrides` ask for; of a sweep, the first of each choice.

    Args:
        name: of the verb.
        overrides: `key=value`.
        config_dir: the program's configs.
        extra_dir: a folder of configs beside them.
        sweep: whether a comma parts several values.

    Raises:
        UsageError: as `prepare`.
    """
    plain = _plain(name, as_meant(name, overrides, sweep=sweep), config_dir, extra_dir)
    return check(CONFIGS[name], plain) if name in CONFIGS else plain


def _plain(name: str, overrides: Sequence[str], config_dir: Path, extra_dir: str | None) -> dict[str, Any]:
    """Compose what words in Hydra's form ask for, with every name in it checked, not yet its values."""
    words = parsed(overrides)
    if any(o.key_or_group.startswith("hydra.searchpath") for o in words):
        raise UsageError("hydra.searchpath: give --config-dir=<folder>")
    if extra_dir is not None:
        gate.check_config_dir(Path(extra_dir))
    with initialize_config_dir(str(config_dir), version_base="1.3"):
        composer = _Composer(name, words, config_dir, extra_dir)
        try:
            return composer.plain()
        except RecursionError:
            raise UsageError(f"{extra_dir}: configs there name each other in a ring") from None
        except (HydraException, OmegaConfBaseException) as e:
            verb, said = name.replace("_", " "), _one_line(e)
            if foreign := re.match(r"Could not override '(\w+)'", said):
                said = f"{foreign[1]}= is no setting of jungle {verb}; jungle {verb} --help lists them"
            raise UsageError(said) from None


class _Composer:
    """One command's composition, where Hydra is told of the program's configs."""

    def __init__(self, name: str, words: Sequence[Override], config_dir: Path, extra_dir: str | None) -> None:
        self.name, self.words, self.config_dir = name, words, config_dir
        self.extra = Path(extra_dir).absolute() if extra_dir else None
        self._search = [f"hydra.searchpath=[{quoted(f'file://{self.extra}')}]"] if self.extra else []
        self._loader: Any = GlobalHydra.instance().config_loader()
        self.groups = {o.key_or_group: o for o in words if self._options(o.key_or_group)}

    def plain(self) -> dict[str, Any]:
        for group, override in self.groups.items():
            check_choice(group, override, self._options(group))
        flat = [_first(o) for o in self.words]
        self._check_keys(flat)
        if self.extra is not None:
            self._check_strangers(flat)
        cfg = self._composed(flat)
        if missing := OmegaConf.missing_keys(cfg):
            verb = self.name.replace("_", " ")
            raise UsageError(f"{', '.join(sorted(missing))}= is needed: jungle {verb} --help says what it is")
        found = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(found, dict)
        return {str(key): value for key, value in found.items()}

    def _composed(self, words: Sequence[str], hydra: bool = False, own: bool = False) -> Any:
        search = [] if own else self._search
        return compose(self.name, overrides=[*search, *words], return_hydra_config=hydra)

    def _options(self, group: str, own: bool = False) -> list[str]:
        """Return the choices of a group, a folder's below it as `folder/name`; none where it is no group."""
        found = list(self._loader.get_group_options(group))
        beside = not own and self.extra is not None and not group.startswith("hydra")
        folder = self.extra / group if beside and self.extra else None
        if folder is not None and re.fullmatch(r"[\w/]+", group) and folder.is_dir():
            files = [f.relative_to(folder).with_suffix("").as_posix() for f in folder.rglob("*.yaml")]
            found += sorted(f for f in files if f not in found)
        if found:
            return found
        return list(self._loader.list_groups(group)) if group and not own else []

    def _check_keys(self, flat: Sequence[str]) -> None:
        base = self._composed(
            [f for f, o in zip(flat, self.words, strict=True) if o.key_or_group in self.groups]
        )
        known = set(_keys(OmegaConf.to_container(base)))
        for o in self.words:
            check_key(o, self.groups, known, self._loader.list_groups(""), self.config_dir)

    def _check_strangers(self, flat: list[str]) -> None:
        """Let what a folder of configs says pass the gate: with the first choices, and each other one."""
        own = [
            f
            for f, o in zip(flat, self.words, strict=True)
            if o.key_or_group.startswith("hydra")
            or (o.key_or_group in self.groups and _chosen(f) in self._options(o.key_or_group, own=True))
        ]
        given = {o.key_or_group for o in self.words}
        ours = gate.unresolved(self._composed(own, hydra=True, own=True))
        whole = self._gated(flat, ours)
        for key, value in whole.settings["paths"].items() if "paths" in whole.settings else ():
            if value != ours.settings["paths"].get(key) and f"paths.{key}" not in given:
                log.info(f"a config of {self.extra} sets paths.{key}={value}")
        params = whole.hydra["hydra"].get("sweeper", {}).get("params") or {}
        swept = gate.check_words(self.name, [f"{k}={v}" for k, v in params.items()], self.extra, sweep=True)
        for o in [*self.words, *parsed(swept)]:
            for choice in _choices(o) if o.key_or_group in {*self.groups, *self._groups()} else []:
                if choice not in flat:
                    rest = [
                        f for f, w in zip(flat, self.words, strict=True) if w.key_or_group != o.key_or_group
                    ]
                    self._gated([*rest, choice], ours)

    def _groups(self) -> list[str]:
        return self._loader.list_groups("")

    def _gated(self, flat: Sequence[str], ours: gate.Composed) -> gate.Composed:
        whole = gate.unresolved(self._composed(flat, hydra=True))
        given = [o.key_or_group for o in self.words]
        gate.check_composed(whole, ours, [*self._search, *flat], given, self.extra, self.name)
        return whole


def variants(overrides: Sequence[str]) -> list[list[str]]:
    """Return the command lines of one value a setting that one with several values stands for.

    The clips are the same in all, so that a comma in `data.` and `paths.` is a letter.

    Raises:
        UsageError: an override is none, or has no values that can be counted.
    """
    words = [
        w for o in overrides for w in as_meant("train", [o], sweep=not o.startswith(("data.", "paths.")))
    ]
    try:
        choices = [
            [f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [word_of(o)]
            for o in parsed(words)
        ]
    except HydraException as e:
        raise UsageError(f"{_one_line(e)} An override is key=value, or key=one,another.") from None
    return [list(chosen) for chosen in product(*choices)]


def _choices(override: Override) -> list[str]:
    """Return an override once for each value of its sweep that can be told."""
    if not override.is_sweep_override():
        return [word_of(override)]
    try:
        return [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
    except Exception:  # an interval or a glob: each trial is checked when it starts
        return []


def _chosen(word: str) -> str:
    return word.partition("=")[2].strip("'\"")


def _first(override: Override) -> str:
    """Return the override with the first choice of its sweep."""
    if not override.is_sweep_override():
        return word_of(override)
    if found := _choices(override):
        return found[0]
    return f"{override.key_or_group}=null" if override.is_add() else "seed=0"  # keep the default


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".") + "."
