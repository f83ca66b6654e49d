"""Composition of configs from the words of a command; names are checked before values."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.utils import run_job
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jungle import extras
from jungle.config import CONFIGS, check, gate
from jungle.config.kinds import list_keys
from jungle.config.suggestions import check_choice, check_key, is_setting, list_configs
from jungle.config.words import get_word, parse_words, quote, to_hydra_words
from jungle.console import log
from jungle.errors import UsageError, find_stop, shorten_error
from jungle.plain import find_repeated


@dataclass(frozen=True)
class Composition:
    """A composed config whose names are checked."""

    settings: dict[str, Any]
    """As plain data, everything looked up."""
    whole: DictConfig
    """As Hydra composed it, its own settings among them."""
    loader: ConfigLoader

    def yaml(self) -> str:
        """Return the settings as `--cfg=job` shows them, with interpolations."""
        return OmegaConf.to_yaml(OmegaConf.create(gate.split_composed(self.whole).settings))

    def run(self, words: Sequence[str], task: Callable[[Any], Any]) -> None:
        """Do what `hydra.main` does for one run (its folder, log and files), without composing again.

        Args:
            words: of the command; those of Hydra's that were not composed are put over what was.
            task: is given the settings.
        """
        hydra, told = self.whole.hydra, parse_words([*words, "hydra.mode=RUN"])
        for override in told:
            if override.is_hydra_override():
                OmegaConf.update(self.whole, override.key_or_group, override.value())
        hydra.overrides.hydra = [get_word(o) for o in told if o.is_hydra_override()]
        hydra.overrides.task = [get_word(o) for o in told if not o.is_hydra_override()]
        calls: Any = Callback()  # which does nothing
        _ = run_job(
            hydra_context=HydraContext(config_loader=self.loader, callbacks=calls),
            task_function=task,
            config=self.whole,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        ).return_value  # raises what the task has raised


def compose(
    name: str,
    overrides: Sequence[str],
    config_dir: Path,
    extra_dir: str | None = None,
    *,
    sweep: bool = False,
) -> Any:
    """Compose and check the config of `overrides`; of a sweep, the first of each choice.

    Args:
        name: of the verb.
        overrides: `key=value`.
        config_dir: the program's configs.
        extra_dir: another folder of configs, given by `--config-dir`.
        sweep: whether a comma parts several values.

    Raises:
        UsageError: as `prepare`.
    """
    words = to_hydra_words(name, overrides, sweep=sweep)
    return check_composition(name, compose_words(name, words, config_dir, extra_dir), words, config_dir)


def check_composition(name: str, found: Composition, words: Sequence[str], config_dir: Path) -> Any:
    """Return the typed config of a verb that words in Hydra's form compose to.

    Raises:
        UsageError: every wrong value.
    """
    if name not in CONFIGS:
        return found.settings
    try:
        return check(CONFIGS[name], found.settings)
    except UsageError as e:
        if choice := _explain_choice(parse_words(words), config_dir):
            raise UsageError(choice) from None
        raise e


def _explain_choice(words: Sequence[Override], config_dir: Path) -> str:
    """Explain how to take a choice, where a word sets only its `name`."""
    for word in words:
        group, dot, inner = word.key_or_group.partition(".")
        if dot and inner == "name" and (config_dir / group / f"{word.value()}.yaml").is_file():
            return f"{word.input_line}: a choice has settings of its own: write {group}={word.value()}"
    return ""


def compose_words(
    name: str, overrides: Sequence[str], config_dir: Path, extra_dir: str | None = None
) -> Composition:
    """Compose words in Hydra's form; names are checked, values not yet.

    Raises:
        UsageError: a name that there is not, with the nearest ones; what Hydra refuses.
    """
    words = parse_words(overrides)
    if any(o.key_or_group.startswith("hydra.searchpath") for o in words):
        raise UsageError("hydra.searchpath: give --config-dir=<folder>")
    if extra_dir is not None:
        gate.check_config_dir(Path(extra_dir))
    with initialize_config_dir(str(config_dir), name, version_base="1.3"):
        composer = _Composer(name, words, config_dir, extra_dir)
        try:
            return composer.composition()
        except RecursionError:
            raise UsageError(f"{extra_dir}: configs there name each other in a ring") from None
        except KeyError as e:  # what `hydra.job.env_copy` asks for
            if extra_dir is None:
                raise UsageError(f"hydra.job.env_copy: the environment has no variable {e}") from None
            raise UsageError(f"{extra_dir}: a config there sets {e}: only the command line may") from None
        except (HydraException, OmegaConfBaseException) as e:
            if (stop := find_stop(e)) is not None:
                raise stop from None  # Hydra wraps a signal that comes while it composes
            verb, said = name.replace("_", " "), summarize_error(e)
            if foreign := re.match(r"Could not override '(\w+)'", said):
                said = f"{foreign[1]}= is no setting of jungle {verb}; jungle {verb} --help lists them"
            raise UsageError(said) from None


class _Composer:
    """Composition of one command from the program's configs and a folder of the user's."""

    def __init__(self, name: str, words: Sequence[Override], config_dir: Path, extra_dir: str | None) -> None:
        self.name, self.words, self.config_dir = name, words, config_dir
        self.extra = Path(extra_dir).absolute() if extra_dir else None
        self._search = [f"hydra.searchpath=[{quote(f'file://{self.extra}')}]"] if self.extra else []
        self._loader = GlobalHydra.instance().config_loader()
        self._own = list_configs(config_dir)
        self._others = list_configs(self.extra) if self.extra else []
        self.groups = {o.key_or_group: o for o in words if self._options(o.key_or_group)}

    def composition(self) -> Composition:
        for o in self.words:
            self._check_plugin(o)  # first, since composing fails without the plugin
        for group, override in self.groups.items():
            check_choice(group, override, self._options(group))
        flat = [_take_first(o) for o in self.words]
        if self.name in CONFIGS:  # Hydra would find it too, for one more composition
            self._check_keys(flat, list_keys(CONFIGS[self.name]))
        try:
            whole = self._composed(flat)
        except Exception:
            self._check_keys(flat)  # says where the setting belongs, which Hydra does not know
            raise
        found = gate.split_composed(whole)
        if self.extra is not None:
            self._check_strangers(flat, found)
        cfg = OmegaConf.create(found.settings)
        if missing := OmegaConf.missing_keys(cfg):
            said, verb = " and ".join(f"{key}=" for key in sorted(missing)), self.name.replace("_", " ")
            are, they_are = ("is", "it is") if len(missing) == 1 else ("are", "they are")
            raise UsageError(f"{said} {are} needed: jungle {verb} --help says what {they_are}")
        plain = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(plain, dict)
        whole.hydra.searchpath = []  # of `--config-dir`, which Hydra keeps by another name
        for source in whole.hydra.runtime.config_sources:
            source.provider = source.provider.replace("hydra.searchpath in ", "")
        return Composition({str(key): value for key, value in plain.items()}, whole, self._loader)

    def _composed(self, words: Sequence[str], own: bool = False) -> DictConfig:
        search = [] if own else self._search
        return hydra_compose(self.name, overrides=[*search, *words], return_hydra_config=True)

    def _options(self, group: str, own: bool = False) -> list[str]:
        """Return the choices of a group, a folder's below it as `folder/name`; none where it is no group."""
        if group.split("/")[0] == "hydra":
            return list(self._loader.get_group_options(group) or self._loader.list_groups(group))
        ours, theirs = (
            [name.removeprefix(f"{group}/") for name in names if name.startswith(f"{group}/")]
            for names in (self._own, [] if own else self._others)
        )
        found = [name for name in ours if "/" not in name]
        found += [name for name in theirs if name not in found]
        return found if found or own else sorted({name.split("/")[0] for name in ours})

    def _check_keys(self, flat: Sequence[str], names: Iterable[str] = ()) -> None:
        """Refuse a setting that the chosen groups do not have; `names` are known settings, where given."""
        known = set(names)
        if all(is_setting(o, self.groups, known) for o in self.words):
            return  # without composing for it
        base = self._composed(
            [f for f, o in zip(flat, self.words, strict=True) if o.key_or_group in self.groups]
        )
        known = set(_list_keys(gate.split_composed(base).settings))
        for o in self.words:
            check_key(o, self.groups, known, self._groups(), self.config_dir)

    def _check_plugin(self, override: Override) -> None:
        """Refuse a launcher, or a sweep, whose plugin of Hydra is not installed.

        Raises:
            UsageError: with the command that installs it.
        """
        group, value = override.key_or_group, override.value()
        extras.require(f"{group}={value}", str(override.input_line))
        file = self.config_dir / "sweep" / f"{value}.yaml"
        if group == "sweep" and isinstance(value, str) and file.is_file():
            text = file.read_text(encoding="utf-8")
            for part, name in re.findall(r"^\s+- override /(hydra/\w+): (\w+)", text, re.MULTILINE):
                extras.require(f"{part}={name}", str(override.input_line))

    def _check_strangers(self, flat: list[str], whole: gate.Composed) -> None:
        """Check what a folder of configs sets, with the first choices and with each other one."""
        own = [
            f
            for f, o in zip(flat, self.words, strict=True)
            if o.key_or_group.startswith("hydra")
            or (o.key_or_group in self.groups and _get_choice(f) in self._options(o.key_or_group, own=True))
        ]
        given = {o.key_or_group for o in self.words}
        ours = gate.split_composed(self._composed(own, own=True))
        self._gate(flat, whole, ours)
        for key, value in whole.settings["paths"].items() if "paths" in whole.settings else ():
            if value != ours.settings["paths"].get(key) and f"paths.{key}" not in given:
                log.info(f"a config of {self.extra} sets paths.{key}={value}")
        entity = whole.settings.get("logger", {}).get("entity")
        if entity is not None and "logger.entity" not in given:
            log.info(f"a config of {self.extra} sets logger.entity={entity}: runs go to that page of W&B")
        params = whole.hydra["hydra"].get("sweeper", {}).get("params") or {}
        swept = gate.check_words(self.name, [f"{k}={v}" for k, v in params.items()], self.extra, sweep=True)
        for o in [*self.words, *parse_words(swept)]:
            for choice in list_choices(o) if o.key_or_group in {*self.groups, *self._groups()} else []:
                if choice not in flat and _get_choice(choice) not in self._options(o.key_or_group, own=True):
                    rest = [
                        f for f, w in zip(flat, self.words, strict=True) if w.key_or_group != o.key_or_group
                    ]
                    other = [*rest, choice]
                    self._gate(other, gate.split_composed(self._composed(other)), ours)

    def _groups(self) -> set[str]:
        return {name.split("/")[0] for name in self._own if "/" in name}

    def _gate(self, flat: Sequence[str], whole: gate.Composed, ours: gate.Composed) -> None:
        given = [o.key_or_group for o in self.words]
        gate.check_composed(whole, ours, [*self._search, *flat], given, self.extra, self.name)


def expand_variants(overrides: Sequence[str]) -> list[list[str]]:
    """Return one command line for each combination of values.

    The clips are the same in all, so that a comma in `data.` and `paths.` is a letter.

    Raises:
        UsageError: an override is none, or has no values that can be counted.
    """
    words = [
        w
        for o in overrides
        for w in to_hydra_words("train", [o], sweep=not o.startswith(("data.", "paths.")))
    ]
    try:
        choices = [
            [f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [get_word(o)]
            for o in parse_words(words)
        ]
    except HydraException as e:
        raise UsageError(f"{summarize_error(e)} A setting is key=value, or key=one,another.") from None
    return [list(chosen) for chosen in product(*choices)]


def list_choices(override: Override) -> list[str]:
    """Return an override once for each value of its sweep, where the values can be listed."""
    if not override.is_sweep_override():
        return [get_word(override)]
    try:
        return [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
    except Exception:  # an interval or a glob: each trial is checked when it starts
        return []


def check_sweep_values(overrides: Sequence[Override]) -> None:
    """Refuse a sweep over no value, or over one value twice.

    Raises:
        UsageError: with the setting.
    """
    for o in overrides:
        if not (o.is_choice_sweep() or o.is_range_sweep()):
            continue  # an interval or a glob
        values = list_choices(o)
        if not values:
            raise UsageError(f"{o.input_line}: no value is in it; give one or more")
        if (again := find_repeated(values)) is not None:
            raise UsageError(f"{o.input_line}: {again} is in it twice; remove one")


def _get_choice(word: str) -> str:
    return word.partition("=")[2].strip("'\"")


def _take_first(override: Override) -> str:
    """Return the override with the first choice of its sweep."""
    if not override.is_sweep_override():
        return get_word(override)
    if found := list_choices(override):
        return found[0]
    return f"{override.key_or_group}=null" if override.is_add() else "seed=0"  # keep the default


def _list_keys(tree: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{prefix}{key}"
            yield from _list_keys(value, f"{prefix}{key}.")


def summarize_error(error: Exception) -> str:
    """Return the useful line of one of Hydra's errors, which is often the second."""
    return shorten_error(error, lines=2).rstrip(".") + "."
