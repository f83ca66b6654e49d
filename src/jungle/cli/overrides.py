"""Check a command line's overrides before Hydra runs them, and choose the folder of the run."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from jungle import system
from jungle.config import CONFIGS, TrainConfig, check, gate, resuming
from jungle.config.compose import (
    Composition,
    check_composition,
    check_sweep_values,
    compose,
    compose_words,
    list_choices,
)
from jungle.config.kinds import get_kind
from jungle.config.options import CommandLine, parse_options
from jungle.config.values import Section
from jungle.config.words import (
    check_blanks,
    get_text,
    get_word,
    parse_words,
    quote,
    refuse_sweep,
    to_hydra_words,
)
from jungle.console import log
from jungle.errors import UsageError, UserError
from jungle.pipelines import sweep as pipelines_sweep

__all__ = ["Command", "compose", "is_checked", "prepare", "prepare_command", "quote"]

_ANSWERED_BY_HYDRA = ("--hydra-help", "--version", "--shell-completion", "-sc", "--info", "-i")


@dataclass(frozen=True)
class Command:
    """A command line that has been found valid."""

    argv: list[str]
    """As Hydra takes it."""
    settings: Mapping[str, object] | None = None
    """Of a run that `resume=<folder>` resumes: they replace what Hydra composes."""
    handed_on: tuple[str, ...] = ()
    """Options that the trials of a sweep need as well."""
    composition: Composition | None = field(default=None, compare=False)
    """Of one run, which it runs; else (sweeps, what is not `_is_simple`) Hydra composes and runs."""
    shown: str | None = None
    """What the command prints, where it does nothing else."""


def make_config(settings: Mapping[str, object]) -> DictConfig:
    """Return settings as Hydra would have composed them."""
    return DictConfig(resuming.make_literal(settings))


def is_checked(argv: list[str]) -> bool:
    """Tell whether `argv` composes a config, rather than asking Hydra about itself."""
    asking = [a for a in argv if a.split("=")[0] in _ANSWERED_BY_HYDRA]
    if asking and (others := [a for a in argv if a.startswith("-") and a not in asking]):
        raise UsageError(f"{others[0]}: {asking[0]} takes no other option")
    if any(a.startswith("query=") for a in argv) and asking and "COMP_LINE" not in os.environ:
        raise UsageError(
            f"{asking[0]} query=: a shell asks this while you type; install=bash prints what installs it"
        )
    return not asking


OF_ONE_RUN = ("hydra.run.dir", "hydra.job.name", "hydra.output_subdir")
"""Settings that Lightning passes to the processes of a run, and a resumed run to itself."""

Look = Callable[[Section], None]
"""Takes a checked config, and refuses one that this machine cannot run."""


def prepare(verb: str, argv: list[str], config_dir: Path, look: Look | None = None) -> list[str]:
    """Return the `argv` of `prepare_command`."""
    return prepare_command(verb, argv, config_dir, look).argv


def prepare_command(verb: str, argv: Sequence[str], config_dir: Path, look: Look | None = None) -> Command:
    """Return a command line with the run's folder added, after every override has been found valid.

    `look` takes the config, unless the command only shows it.

    Raises:
        UsageError: a misspelt group, choice, key or value, with the nearest valid ones.
    """
    line = parse_options(verb, argv)
    check_blanks(line.words)
    words = _drop_added_folder(list(line.words))
    sweep = verb == "train" and pipelines_sweep.is_sweep(line.multirun, words)
    if line.multirun and verb != "train":
        raise UsageError(f"-m: jungle {verb.replace('_', ' ')} has no sweeps; give one value a setting")
    words = to_hydra_words(verb, words, sweep=sweep)
    if sweep:
        check_sweep_values(parse_words(words))
    else:
        refuse_sweep(verb, parse_words(words))
    if mode := [get_word(o) for o in parse_words(words) if o.key_or_group == "hydra.mode"]:
        fix = "-m asks for a sweep" if verb == "train" else f"jungle {verb.replace('_', ' ')} has no sweeps"
        raise UsageError(f"{mode[0]}: {fix}; leave it out")
    _say_repeated(verb, parse_words(words))
    extra = str(line.config_dir) if line.config_dir else None
    # Overrides go last: Hydra takes none behind an option such as -m where others stand before it.
    options = [*line.handed_on, *line.others]
    if line.cfg:
        found = compose_words(verb, words, config_dir, extra)
        check_composition(verb, found, words, config_dir)
        plain = line.cfg == "job" and not (line.others or sweep)
        argv = [*options, f"--cfg={line.cfg}", *words]
        return Command(argv, shown=found.yaml() if plain else None)
    if verb == "train" and (folder := resuming.find_named_run(words)) is not None:
        if sweep:
            raise UsageError(f"resume={folder}: it resumes one run, not a sweep; leave out -m, or resume=")
        return _resume(line, words, folder, config_dir, look)
    found = compose_words(verb, words, config_dir, extra)
    cfg = check_composition(verb, found, words, config_dir)
    if look is not None:
        look(cfg)
        if sweep:
            _warn_of_trials(words, config_dir, extra, look)
    overrides = parse_words(words)
    given = {o.key_or_group for o in overrides}
    if sweep:
        if "hydra.sweep.dir" not in given:
            folder = _check_folder(pipelines_sweep.choose(cfg, [*options, *words]))
            words = [*words, f"hydra.sweep.dir={quote(folder)}"]
        return Command([*options, *words, "-m"], None, tuple(line.handed_on))
    if verb == "train" and "hydra.run.dir" not in given:
        words = [*words, f"hydra.run.dir={quote(_check_folder(_choose_folder(cfg)))}"]
    return Command([*options, *words], composition=found if _is_simple(line, overrides) else None)


def _is_simple(line: CommandLine, overrides: Sequence[Override]) -> bool:
    """Tell whether a run is as `Composition.run` does it: Hydra is asked for nothing but `OF_ONE_RUN`."""
    asked = [o for o in overrides if o.key_or_group.startswith("hydra")]
    known = all(o.key_or_group in OF_ONE_RUN and not o.is_delete() for o in asked)
    return known and set(line.others) <= {"--run"}


def _say_repeated(verb: str, words: Sequence[Override]) -> None:
    """Warn of a setting that is given twice: the last value is taken.

    Raises:
        UsageError: it takes several values at once, so that both may be meant.
    """
    given: dict[str, Override] = {}
    for o in words:
        before, given[o.key_or_group] = given.get(o.key_or_group), o
        if before is None or get_word(before).partition("=")[2] == get_word(o).partition("=")[2]:
            continue
        kind = get_kind(CONFIGS[verb], o.key_or_group) if verb in CONFIGS else None
        twice = f"{get_word(before)} and {get_word(o)}: {o.key_or_group}= is given twice"
        if kind is not None and kind.texts:
            raise UsageError(f"{twice}; several values are a list: {o.key_or_group}=[one,another]")
        if isinstance(o.value(), dict):
            raise UsageError(f"{twice}; write both in one: {o.key_or_group}={{one: 1, another: 2}}")
        if system.get_rank() == 0:
            log.warning(f"{twice}; the last is taken")


def _warn_of_trials(words: Sequence[str], config_dir: Path, extra: str | None, look: Look) -> None:
    """Warn of the models of a sweep that cannot be had, before its first trial trains for hours.

    The sweep is not refused, because its other trials are worth having; theirs are recorded as failed.
    """
    for i, override in enumerate(parse_words(words)):
        if override.key_or_group.split(".")[0] != "model":
            continue
        for choice in list_choices(override)[1:]:
            try:
                trial = [*words[:i], choice, *words[i + 1 :]]
                look(compose("train", trial, config_dir, extra, sweep=True))
            except UserError as e:
                log.warning(f"warning: trials of {choice} will fail: {e}")


def _choose_folder(cfg: TrainConfig) -> Path:
    """Return the folder of a training command, as `resuming.choose_folder` does."""
    from jungle.training.run_inputs import Comparison  # here: it needs polars, which a misspelt word does not

    return resuming.choose_folder(cfg, Comparison(cfg).changes_in)


def _check_folder(folder: Path) -> Path:
    """Return a folder that Hydra can work in.

    Raises:
        UsageError: Hydra would write elsewhere.
    """
    if "${" in str(folder.absolute()):
        raise UsageError(
            f"{folder.absolute()}: results cannot lie in a folder with ${{ in its name; give paths.runs="
        )
    gate.check_folder(folder)
    return folder


def _drop_added_folder(words: list[str]) -> list[str]:
    """Leave out the folder that Lightning adds for another device's process: ours is there, well quoted."""
    if "LOCAL_RANK" not in os.environ:
        return words
    folders = [i for i, word in enumerate(words) if word.startswith("hydra.run.dir=")]
    return [word for i, word in enumerate(words) if i not in folders[1:]]


def _resume(
    line: CommandLine, words: list[str], folder: Path, config_dir: Path, look: Look | None
) -> Command:
    """Return the command that resumes the run in a folder, with the settings of the run."""
    extra = str(line.config_dir) if line.config_dir else None
    gate.check_folder(folder)
    hydras = [o for o in parse_words(words) if o.key_or_group.startswith("hydra")]
    lines = {get_word(o) for o in hydras}
    words = [w for w in words if w not in lines and not w.startswith("resume=")]
    for o in hydras:
        if o.key_or_group == "hydra.run.dir" and Path(get_text(o)).resolve() != folder.resolve():
            raise UsageError(f"{o.input_line}: with resume= the run resumes in {folder}; leave it out")
    found = resuming.read_saved(folder)
    keys = {o.key_or_group for o in parse_words(words)}
    if found.settings is None:
        begun = [get_word(o) for o in parse_words(found.words) if o.key_or_group not in keys]
        base = compose_words("train", [*begun, *words], config_dir, extra)
        plain = dict(base.settings)
    elif "experiment" in keys:  # the run's whole command
        base = compose_words("train", words, config_dir, extra)
        plain = dict(base.settings)
    else:
        groups = [
            o for o in parse_words(words) if o.key_or_group in found.settings and "." not in o.key_or_group
        ]
        groups = [o for o in groups if isinstance(found.settings[o.key_or_group], dict)]
        chosen = {get_word(o) for o in groups}
        places = [w for w in words if w.startswith("paths.")]
        base = compose_words("train", [*chosen, *places], config_dir, extra)
        single = [w for w in words if w not in chosen]
        plain = resuming.merge_settings(
            found.settings, base.settings, single, [o.key_or_group for o in groups]
        )
        words = [w for w in words if w in chosen or resuming.is_changed(found.settings, plain, w)]
    plain["resume"] = str(folder)
    try:
        cfg = check(TrainConfig, plain)
    except UsageError as e:
        raise UsageError(f"resume={folder}: {e}") from None
    resuming.check_places(cfg, folder)
    if look is not None:
        look(cfg)
    _choose_folder(cfg)  # refuses a run of other settings or inputs
    if system.get_rank() == 0 and (said := resuming.describe_places(found.places, cfg)):
        log.info(said)
    own = [get_word(o) for o in hydras if o.key_or_group not in ("hydra.run.dir", "hydra.output_subdir")]
    here = [f"hydra.run.dir={quote(folder)}", "hydra.output_subdir=null"]
    argv = [*line.handed_on, *line.others, *words, f"resume={quote(folder)}", *own, *here]
    return Command(argv, plain, composition=base if _is_simple(line, hydras) else None)
