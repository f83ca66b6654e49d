"""Checks of other people's settings: they may set settings of this program, and nothing else.

A run folder that is resumed, the trials of a sweep, a recipe, a folder of configs (`--config-dir`) may come
from a stranger. Of what such a file says, settings pass: values that the types in `jungle.config` allow. What
Hydra itself builds or sets (callbacks, launchers, log handlers, folders, the environment) is Python by name:
no `hydra.` key passes but those of `ALLOWED`; no word that is an option; no look-up (`${oc.env:...}`) but
those of `LOOKUPS`, since what it finds would stand in the run's files; nothing larger than a config is.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser as Grammar
from omegaconf.grammar_parser import parse

from jungle.config import CONFIGS
from jungle.config.kinds import get_kind
from jungle.config.words import LONGEST, parse_words, to_hydra_words
from jungle.errors import UsageError
from jungle.plain import read

ALLOWED = re.compile(r"hydra\.sweeper\.(params(\..*)?|n_trials|direction|max_failure_rate)", re.DOTALL)
"""What a config of a folder beside the program's may set of Hydra."""
LOOKUPS = ("now",)
"""Resolvers that such a config may use."""
OF_THE_CALL = re.compile(
    r"hydra\.(runtime\.(config_sources|choices)|overrides|job\.override_dirname|searchpath)(\..*)?", re.DOTALL
)
"""Differs between any two compositions, or can be set by the command line alone."""
FILES, LINKED, WORDS = 1_000, 12, 500
"""The most YAML files of a folder, interpolations of all configs, words of a command.

Each interpolation may repeat what another repeats: twelve of them make at most a hundred of one value.
"""
WANDBS = ("run-", "offline-run-")


def check_words(
    verb: str, words: object, where: object, *, sweep: bool = False, run: bool = True
) -> list[str]:
    """Return the words of a file; each must set a setting of the verb or choose from a group.

    Args:
        verb: whose settings they are.
        words: what was read where a list of words belongs.
        where: the file, for messages.
        sweep: whether a word may have several values.
        run: whether they are for a command, which looks up `${...}`; else they are only told.

    Returns:
        The words in Hydra's form.

    Raises:
        UsageError: one is something else.
    """
    if not isinstance(words, list):
        raise UsageError(f"{where}: give a list of key=value")
    if len(words) > WORDS:
        raise UsageError(f"{where}: {len(words)} settings, there may be {WORDS}")
    for word in words:
        if not isinstance(word, str) or word.startswith("-") or not word.isprintable():
            raise UsageError(f"{where}: {str(word)[:80]!r}: give settings alone, as key=value")
    try:
        found = to_hydra_words(verb, words, sweep=sweep)
        overrides = parse_words(found)
    except UsageError as e:
        raise UsageError(f"{where}: {e}") from None
    for word, override in zip(words, overrides, strict=True):
        check_key(verb, override.key_or_group, where)
        if override.package is not None:
            raise UsageError(f"{where}: {word[:80]}: a package (@{override.package}) may not be set there")
        if override.is_sweep_override() and not sweep:
            raise UsageError(f"{where}: {word[:80]}: give one value")
        if run:
            check_lookups(word if override.is_sweep_override() else override.value(), f"{where}: {word[:80]}")
    return found


def check_key(verb: str, key: str, where: object) -> None:
    """Refuse a key that is not a setting or group of the verb.

    Raises:
        UsageError: with the key.
    """
    if get_kind(CONFIGS[verb], key) is None:
        raise UsageError(
            f"{where}: {key[:80]}: no setting of jungle {verb.replace('_', ' ')}; only those may be set there"
        )


def check_lookups(value: object, where: str) -> int:
    """Refuse a value with an interpolation other than `LOOKUPS`, at any depth; return how many it has.

    Raises:
        UsageError: with the look-up.
    """
    if isinstance(value, dict):
        return sum(check_lookups(v, where) for pair in value.items() for v in pair)
    if isinstance(value, list):
        return sum(check_lookups(v, where) for v in value)
    if not isinstance(value, str) or "${" not in value:
        return 0
    found = list(_find_interpolations(value, where))
    for name in found:
        if name is not None and name not in LOOKUPS:
            raise UsageError(
                f"{where}: {value[:80]}: look-ups (${{{name[:40]}:...}}) may stand on the command line only"
            )
    return len(found)


def _find_interpolations(text: str, where: str) -> Iterator[str | None]:
    """Yield the resolver of each `${...}` of a text, None where it names a setting.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        waiting: list[object] = [parse(text)]
    except (GrammarParseError, RecursionError):
        raise UsageError(f"{where}: {text[:80]}: ${{...}} that cannot be read") from None
    while waiting:
        node = waiting.pop()
        if isinstance(node, Grammar.InterpolationResolverContext):
            yield str(node.resolverName().getText())  # pyright: ignore[reportOptionalMemberAccess]
        elif isinstance(node, Grammar.InterpolationNodeContext):
            yield None
        waiting += getattr(node, "children", None) or []


def check_config_dir(folder: Path) -> None:
    """Refuse a folder of configs with files that would fill memory, or that choose their own package.

    Raises:
        UsageError: names the file, and what in it.
    """
    if not folder.is_dir():
        raise UsageError(f"--config-dir={folder}: no such folder")
    seen = 0
    for at, _, names in os.walk(folder):
        for name in sorted(names):
            if name.endswith((".yaml", ".yml")):
                seen += 1
                if seen > FILES:
                    raise UsageError(
                        f"--config-dir={folder}: more than {FILES} YAML files: no folder of configs"
                    )
                _check_config(Path(at) / name)


def _check_config(file: Path) -> None:
    found = read(file)
    if found is not None and not isinstance(found, dict):
        raise UsageError(f"{file}: give one setting per line, such as `seed: 1`")
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            said = re.match(r"\s*#\s*@package\s+(\S+)", line)
            if (
                said
                and said[1] not in ("_global_", "_group_")
                and said[1].split(".")[0] not in CONFIGS["train"].model_fields
            ):
                raise UsageError(f"{file}: @package {said[1]}: only _global_, or a group, may stand there")
    for entry in (found or {}).get("defaults") or []:
        if "${" in str(entry):
            raise UsageError(f"{file}: defaults: {entry}: names of choices are written out there")


@dataclass(frozen=True)
class Composed:
    """A composition with unresolved interpolations."""

    settings: dict[str, Any]
    hydra: dict[str, Any]


def split_composed(cfg: object) -> Composed:
    """Return the parts of what Hydra composed with `return_hydra_config`."""
    plain = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(plain, dict)
    return Composed({str(k): v for k, v in plain.items() if k != "hydra"}, {"hydra": plain.get("hydra", {})})


def check_composed(
    whole: Composed, own: Composed, words: Sequence[str], given: Sequence[str], where: object, verb: str
) -> None:
    """Refuse a folder of configs that sets more than settings.

    Args:
        whole: with the folder.
        own: without it: the program's own choices and the command line.
        words: of the command line.
        given: keys that they set.
        where: the folder, for messages.
        verb: whose settings they are.

    Raises:
        UsageError: names the key.
    """
    theirs, ours = dict(_iter_leaves(whole.hydra)), dict(_iter_leaves(own.hydra))
    for key in sorted(
        {k for k in theirs.keys() | ours.keys() if theirs.get(k, theirs) != ours.get(k, theirs)}
    ):
        if not OF_THE_CALL.fullmatch(key) and not ALLOWED.fullmatch(key):
            raise UsageError(f"{where}: a config there sets {key}: only the command line may")
    # These are handed to the trials of a sweep, and Hydra adds the command's own to what stands there.
    told = whole.hydra["hydra"]["overrides"]
    if sorted([*told["task"], *told["hydra"]]) != sorted(words):
        raise UsageError(f"{where}: a config there sets hydra.overrides: only the command line may")
    for key in whole.settings:
        check_key(verb, key, where)
    linked = 0
    for key, value in _iter_leaves(whole.settings):
        if isinstance(value, str) and len(value) > LONGEST:
            raise UsageError(f"{where}: {key[:80]}: a value has at most {LONGEST} letters")
        if not any(key == g or key.startswith(f"{g}.") for g in given):
            linked += check_lookups(value, f"{where}: {key[:80]}")
    if linked > LINKED:
        raise UsageError(f"{where}: {linked} values with ${{...}}; there may be {LINKED}")


def _iter_leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield each leaf with its key; an empty group is a leaf."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in inner:
        yield from _iter_leaves(below, f"{key}.{name}" if key else str(name))
    if not inner:
        yield key, value


def check_folder(folder: Path) -> None:
    """Refuse a run folder with links to other places, so that a resumed run writes inside it alone.

    Raises:
        UsageError: names the link, or what is neither a file nor a folder.
    """
    if not folder.exists():
        return
    top = folder.resolve()
    waiting, seen = [folder], 0
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as e:
            raise UsageError(f"{e.filename}: {e.strerror}: the run cannot go on in it") from None
        for entry in entries:
            seen += 1
            if entry.is_symlink():
                if not Path(entry.path).resolve().is_relative_to(top):
                    raise UsageError(
                        f"{entry.path}: a link out of the run's folder; put the file itself there"
                    )
            elif entry.is_dir():
                # W&B links its sessions to its own logs; a session is not written into again.
                if not (entry.name.startswith(WANDBS) and Path(entry.path).parent == folder / "wandb"):
                    waiting.append(Path(entry.path))
            elif not entry.is_file():
                raise UsageError(f"{entry.path}: neither a file nor a folder; remove it")
        if seen > 100_000:
            raise UsageError(f"{folder}: more than 100,000 entries: no folder of a run")
