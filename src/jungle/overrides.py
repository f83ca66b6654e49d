"""Check a command line's overrides before Hydra runs them, and choose the folder of the run."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jungle import extras
from jungle.errors import UsageError
from jungle.misspelt import check_choice, check_key

_ANSWERED_BY_HYDRA = (
    "--hydra-help",
    "--version",
    "--shell-completion",
    "-sc",
    "--info",
    "-i",
)


def is_checked(argv: list[str]) -> bool:
    """Tell whether `argv` composes a config, rather than asking Hydra about itself."""
    return not any(arg.split("=")[0] in _ANSWERED_BY_HYDRA for arg in argv)


def prepare(
    verb: str, argv: list[str], config_dir: Path, look: Callable[[Any], None] | None = None
) -> list[str]:
    """Return `argv` with the run's folder added, after every override has been found valid.

    `look` is given the config, unless the command only shows it: to refuse what this machine has not.

    Raises:
        UsageError: a misspelt group, choice, key or value, with the nearest valid ones.
    """
    from hydra._internal.utils import get_args_parser

    # Overrides go last: Hydra takes none behind an option such as -m where others stand before it.
    argv = sorted((_parsable(arg) for arg in argv), key=lambda arg: "=" in arg and not arg.startswith("-"))
    args = get_args_parser().parse_args(argv)
    if args.config_path:
        raise UsageError("--config-path would hide the program's own configs: give --config-dir=<folder>")
    if args.config_dir and not Path(args.config_dir).is_dir():
        raise UsageError(f"--config-dir={args.config_dir}: no such folder")
    if verb == "train" and not args.multirun and not args.cfg:
        argv = [*argv[: len(argv) - len(args.overrides)], *_with_saved(args.overrides)]
        args = get_args_parser().parse_args(argv)
    plain = composed(args.config_name or verb, args.overrides, config_dir, args.config_dir)
    if args.cfg:
        return argv
    if look is not None:
        look(plain)
    if verb != "train":
        return argv
    from jungle import runs, sweeps

    given = {o.lstrip("+").split("=", 1)[0] for o in args.overrides}
    if sweeps.is_sweep(args.multirun, args.overrides):
        argv = [a for a in argv if a not in ("-m", "--multirun")]
        folder = [] if "hydra.sweep.dir" in given else [sweeps.choose(plain, argv)]
        return [*argv, *(f"hydra.sweep.dir={quoted(f)}" for f in folder), "-m"]
    if "hydra.run.dir" not in given:
        from jungle.run_inputs import Comparison

        return [*argv, f"hydra.run.dir={quoted(runs.choose(plain, Comparison(plain).changes_in))}"]
    return argv


def _with_saved(overrides: list[str]) -> list[str]:
    """Put the overrides of the run that `resume=` names before those given."""
    from jungle import runs

    values = dict(o.split("=", 1) for o in overrides if "=" in o)
    resume = values.get("resume", "auto").strip("'\"")
    if resume in ("auto", "never", "null"):
        return overrides
    saved = runs.overrides_of(runs.named(resume, Path(values.get("paths.runs", "runs").strip("'\""))))
    return [*(o for o in saved if o.split("=", 1)[0] not in values), *overrides]


def _parsable(arg: str) -> str:
    """Quote a value that Hydra's grammar cannot read bare: a path with accents, brackets or `=` in it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = arg.partition("=")
    if arg.startswith("-") or not equals or value[:1] in "[{'\"":
        return arg
    try:
        OverridesParser.create().parse_override(arg)
    except HydraException:
        return f"{key}={quoted(value)}"
    return arg


def composed(name: str, overrides: list[str], config_dir: Path, extra_dir: str | None = None) -> Any:
    """Compose and check the config that `overrides` ask for; of a sweep, the first of each choice.

    Raises:
        UsageError: as `prepare`.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from jungle.config import CONFIGS, check

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as e:
        raise UsageError(f"{_one_line(e)} An override is key=value.") from None
    search = (
        [f"hydra.searchpath=[{quoted('file://' + str(Path(extra_dir).absolute()))}]"] if extra_dir else []
    )
    if nameless := next((o for o in parsed if not o.key_or_group), None):
        raise UsageError(f"{nameless.input_line}: an override is key=value")
    for o in parsed:
        _check_plugin(o, config_dir)
    with initialize_config_dir(str(config_dir), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = {
            o.key_or_group: o
            for o in parsed
            if loader.list_groups(o.key_or_group)
            or _options(loader, o)
            or (extra_dir and (Path(extra_dir) / o.key_or_group).is_dir())
        }
        for group, override in groups.items():
            if not extra_dir:
                check_choice(group, override, _options(loader, override))
        flat = [_first(o) for o in parsed]
        try:
            base = compose(
                name,
                overrides=[
                    *search,
                    *[f for f, o in zip(flat, parsed, strict=True) if o.key_or_group in groups],
                ],
            )
            known = set(_keys(OmegaConf.to_container(base)))
            for o in parsed:
                check_key(o, groups, known, loader.list_groups(""), config_dir)
            cfg = compose(name, overrides=[*search, *flat])
            if extra_dir or any(o.key_or_group.startswith("hydra.searchpath") for o in parsed):
                own = [f for f, o in zip(flat, parsed, strict=True) if o.key_or_group.startswith("hydra")]
                _check_strangers(
                    compose(name, overrides=[*search, *flat], return_hydra_config=True),
                    compose(name, overrides=own, return_hydra_config=True),
                )
            missing = OmegaConf.missing_keys(cfg)
            if missing:
                verb = name.replace("_", " ")
                raise UsageError(
                    f"{', '.join(sorted(missing))}= is needed: jungle {verb} --help says what it is"
                )
            plain = OmegaConf.to_container(cfg, resolve=True)
        except (HydraException, OmegaConfBaseException) as e:
            verb, said = name.replace("_", " "), _one_line(e)
            if foreign := re.match(r"Could not override '(\w+)'", said):
                said = f"{foreign[1]}= is no setting of jungle {verb}; jungle {verb} --help lists them"
            raise UsageError(said) from None
    return check(CONFIGS[name], plain) if name in CONFIGS else plain  # type: ignore[arg-type]


def variants(overrides: list[str]) -> list[list[str]]:
    """Return the command lines of one value a setting that one with several values stands for.

    Raises:
        UsageError: an override is none, or has no values that can be counted.
    """
    from itertools import product

    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    overrides = [_parsable(o) for o in overrides]
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        choices = [
            [f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [str(o.input_line)]
            for o in parsed
        ]
    except HydraException as e:
        raise UsageError(f"{_one_line(e)} An override is key=value, or key=one,another.") from None
    return [list(chosen) for chosen in product(*choices)]


def _check_plugin(override: Any, config_dir: Path) -> None:
    """Refuse a launcher, or a sweep, whose plugin of Hydra is not installed.

    Raises:
        UsageError: with the command that installs it.
    """
    group, value = override.key_or_group, override.value()
    extras.require(f"{group}={value}", override.input_line)
    file = config_dir / "sweep" / f"{value}.yaml"
    if group == "sweep" and isinstance(value, str) and file.is_file():
        text = file.read_text(encoding="utf-8")
        for part, name in re.findall(r"^\s+- override /(hydra/\w+): (\w+)", text, re.MULTILINE):
            extras.require(f"{part}={name}", override.input_line)


def _check_strangers(whole: Any, own: Any) -> None:
    """Refuse configs of a folder beside the program's that change what Hydra itself builds or sets.

    Its callbacks, launchers and log handlers are Python objects by name: they would run a stranger's code.

    Raises:
        UsageError: names the setting.
    """
    logging = ("job_logging", "hydra_logging")
    for part in ("callbacks", "launcher", "sweeper", *logging, "job.env_set", "run.dir"):
        there, here = (_unresolved(c, f"hydra.{part}") for c in (whole, own))
        if there != here:
            raise UsageError(f"a config of that folder sets hydra.{part}: only the command line may")


def _unresolved(cfg: Any, key: str) -> Any:
    from omegaconf import OmegaConf

    *parents, last = key.split(".")
    node = cfg
    for parent in parents:
        node = node[parent]
    value = node._get_node(last)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value._value()


def _options(loader: Any, override: Any) -> list[str]:
    return loader.get_group_options(override.key_or_group)


def _first(override: Any) -> str:
    """Return the override with the first choice of its sweep."""
    if not override.is_sweep_override():
        return override.input_line
    try:
        value = next(iter(override.sweep_string_iterator()))
    except Exception:  # an interval or a glob has no first choice: keep the default
        return f"{override.key_or_group}=null" if override.is_add() else "seed=0"
    return f"{override.input_line.split('=', 1)[0]}={value}"


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")


def quoted(text: object) -> str:
    """Return a value as Hydra reads it whatever is in it."""
    escaped = str(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".") + "."
