"""Entry points: `jungle <verb> [overrides]`, `python train.py`, `python predict.py`.

A command line is checked before Hydra runs it, so that a misspelt word is refused at once with the nearest
valid ones. Torch, Lightning and timm are imported inside the verbs, never here.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from jungle import __version__, streams, system
from jungle.cli import help
from jungle.config import options
from jungle.config.folder import config_dir
from jungle.errors import Stopped, UsageError, UserError, find_stop, suggest
from jungle.names import escape, show

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from jungle.config.values import Section

# verb -> (module with `main`, what it does). Verbs with a config in configs/ take Hydra overrides. A verb of
# two words is typed with a space: `jungle ensemble stack`.
# fmt: off
VERBS = {
    "train": ("jungle.commands.train", "train a classifier on labelled clips"),
    "predict": ("jungle.commands.predict", "predict what is in every clip"),
    "extract": ("jungle.commands.extract", "compute and keep the features of frozen backbones"),
    "preview": ("jungle.commands.preview", "show training clips as training sees them"),
    "index": ("jungle.commands.index", "list the length, size and codec of every video file"),
    "export": ("jungle.commands.export", "write a prediction in the formats of other programs"),
    "shrink": ("jungle.commands.shrink", "make a smaller copy of a data set"),
    "calibrate": ("jungle.commands.calibrate", "make a model's probabilities mean what they say"),
    "thresholds": ("jungle.commands.thresholds", "choose when a clip is blank, and when a class is certain"),
    "decide": ("jungle.commands.decide", "turn predictions into decisions: species list, taxonomy"),
    "doctor": ("jungle.doctor", "check this machine and say what to fix"),
    "download": ("jungle.commands.download", "fetch the competition's public files"),
    "ensemble_stack": ("jungle.commands.ensemble_stack", "combine trained models into one prediction"),
    "ensemble_report":
        ("jungle.commands.ensemble_report", "score trained models together, with confidence intervals"),
    "ensemble_check":
        ("jungle.commands.ensemble_check", "find what leaks between training, validation and test"),
    "ensemble_pseudo":
        ("jungle.commands.ensemble_pseudo", "label clips where models agree, ask people where they do not"),
    "bench": ("jungle.bench.cli", "measure decoding and training on this machine"),
}
# fmt: on
COMPOSED = [verb for verb in VERBS if verb not in ("extract", "doctor", "bench")]
# Errors of a path that a user gave; another OSError is a fault of the program: a traceback.
_OF_THE_DISK = {
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "ENOENT"),
        *("EEXIST", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EIO", "ESTALE"),
        *("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK"),
    )
}
_VERB = "JUNGLE_VERB"
_LINE = "\n"
# How libraries report that memory was refused; few raise MemoryError.
_NO_MEMORY = re.compile(
    r"[Cc]an(no|')t allocate memory|failed to map segment|bad_alloc|can't start new thread|out of memory"
)


def main(argv: list[str] | None = None) -> int:
    """Run `jungle <verb> ...`; return the exit code."""
    streams.prepare()
    try:
        return run_guarded(lambda: _main(_join_verb(sys.argv[1:] if argv is None else argv)))
    finally:
        streams.finish()


def _main(argv: list[str]) -> int:
    if "LOCAL_RANK" in os.environ and _VERB in os.environ and (not argv or argv[0] not in VERBS):
        return run(os.environ[_VERB], argv)  # a process of a DDP run: its command line lacks the verb
    if not argv or argv[0] in ("-h", "--help"):
        streams.say(_format_usage(VERBS))
        return 0 if argv else 2
    if argv[0] in _list_first_words() and (len(argv) == 1 or argv[1] in ("-h", "--help")):
        streams.say(_format_usage([verb for verb in VERBS if verb.startswith(f"{argv[0]}_")]))
        return 0 if argv[1:] else 2
    if argv[0] in ("-V", "--version"):
        streams.say(f"jungle {__version__}")
        return 0
    if argv[0] not in VERBS:
        typed = [verb.replace("_", " ") for verb in VERBS]
        word = argv[0].replace("_", " ")
        return _fail(UsageError(f"no verb named '{show(word)}'.{suggest(word, typed)}"))
    if argv[0] in COMPOSED:
        return run(argv[0], argv[1:])
    signal.signal(signal.SIGTERM, _stop)
    return run_guarded(lambda: importlib.import_module(VERBS[argv[0]][0]).main(argv[1:]))


def _format_usage(verbs: Iterable[str]) -> str:
    """Return what some verbs do, a line each, and how they are typed."""
    lines = [f"  {verb.replace('_', ' '):<16} {VERBS[verb][1]}" for verb in verbs]
    known = "\n".join(["usage: jungle <verb> [key=value ...]", "", *lines, ""])
    return f"{known}\njungle <verb> --help shows a verb's settings"


def _list_first_words() -> set[str]:
    """Return the first words of the verbs that have two."""
    return {verb.split("_")[0] for verb in VERBS if "_" in verb}


def _join_verb(argv: list[str]) -> list[str]:
    """Return the command line with a verb of two words as one: `ensemble stack` is `ensemble_stack`."""
    if len(argv) > 1 and argv[0] in _list_first_words() and argv[1].isidentifier():
        return [f"{argv[0]}_{argv[1]}", *argv[2:]]
    return argv


def run(verb: str, argv: list[str] | None = None) -> int:
    """Compose the verb's config from the command line and run it; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    streams.prepare()
    try:
        return run_guarded(lambda: _run(verb, argv))
    finally:
        streams.finish()


def run_guarded(task: Callable[[], int | None]) -> int:
    """Run `task`; a user's error or a full disk becomes one line on stderr and its exit code, Ctrl-C 130."""
    try:
        return task() or 0
    except UserError as e:
        return _fail(e)
    except (Stopped, KeyboardInterrupt) as e:
        return _report_stop(e)
    except BrokenPipeError:
        streams.silence(sys.stdout)
        return 1
    except Exception as e:
        known = _explain_machine_error(e)
        if known is not None:
            return _fail(known)
        stop = find_stop(e)
        if stop is None:
            raise
        return _report_stop(stop)


def _report_stop(stop: Stopped | KeyboardInterrupt) -> int:
    """Report that the command was stopped; return its exit code."""
    if isinstance(stop, KeyboardInterrupt):
        streams.say("interrupted: the same command resumes from here", error=True)
        return 130
    if system.get_rank() > 0:
        return 0  # only rank 0 reports
    streams.say(str(stop), error=True)
    return stop.exit_code


def _explain_machine_error(error: Exception) -> UserError | None:
    """Return a user's error where the disk, memory or open files caused it; None for a program fault."""
    if not isinstance(error, (MemoryError, OSError, RuntimeError, ImportError)):
        return None
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError) or (_NO_MEMORY.search(said) and "static TLS" not in said):
        why = f" ({said[:160]})" if said else ""
        return UserError(
            f"there is not enough memory{why}: end other programs, raise the limit (ulimit -v), or take a "
            "smaller batch_size, fewer workers, or a smaller model.size"
        )
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return UserError("too many files are open: raise the limit (ulimit -n), or take fewer workers")
    if error.errno not in _OF_THE_DISK:
        return None
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "make room, then give the same command again" if full else "give another path, or fix this one"
    return UserError(f"{error.filename or 'a file'}: {error.strerror}; {fix}")


def _fail(error: UserError) -> int:
    streams.say(f"error: {escape(str(error), kept=_LINE)}", error=True)
    return error.exit_code


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)


def _check_machine(cfg: Section) -> None:
    """Refuse a config that this machine cannot run."""
    from jungle.pipelines import preflight  # here: it needs polars, which a misspelt word does not

    preflight.check(cfg)


def _run(verb: str, argv: list[str]) -> int:
    recipe, argv = None, options.strip_dashes(verb, argv)
    if verb == "train":
        from jungle.pipelines import recipe_files

        argv = options.strip_dashes(verb, argv, recipe_files.WORDS)
        recipe = recipe_files.find_recipe(argv, config_dir())
        if recipe is None:
            recipe_files.check_words(argv, config_dir())
    if {"--help", "-h"} & set(argv):
        usage = recipe_files.format_usage(recipe, config_dir()) if recipe else None
        streams.say(usage or help.format_help(verb, argv, config_dir()))
        return 0
    from jungle.cli import overrides
    from jungle.pipelines import sweep as pipelines_sweep

    signal.signal(signal.SIGTERM, _stop)
    if recipe is not None:
        from jungle.pipelines import recipe as recipes  # here, since it imports polars

        return recipes.main(argv, recipe, config_dir())
    code = 0
    command = overrides.Command(argv)
    if overrides.is_checked(argv):
        command = overrides.prepare_command(verb, argv, config_dir(), _check_machine)
    if command.shown is not None:
        streams.say(command.shown.removesuffix("\n"))
        return 0
    argv = command.argv
    sweep = pipelines_sweep.folder_of(argv) if verb == "train" else None
    refused: list[UserError] = []

    def task(cfg: DictConfig) -> float | None:
        nonlocal code
        if sweep is not None:
            try:
                return None if refused else pipelines_sweep.trial(cfg, command.handed_on)
            except UserError as e:  # raised through Hydra, its message would hold all of the trial's words
                refused.append(e)
                return None
        raw = cfg if command.settings is None else overrides.make_config(command.settings)
        code = max(code, run_guarded(lambda: importlib.import_module(VERBS[verb][0]).main(raw)))
        return None

    def run_by_hydra() -> None:
        import hydra

        try:
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=verb)(task)()
        finally:
            if refused:
                raise refused[0]

    # Hydra reads sys.argv, and Lightning starts the other processes of a DDP run by this very command line.
    os.environ[_VERB] = verb
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # else Hydra prints errors of its own and exits
    known, sys.argv = sys.argv, [sys.argv[0], *argv]
    try:
        if command.composition is not None:
            command.composition.run([word for word in argv if not word.startswith("-")], task)
        elif sweep is None:
            run_by_hydra()
        else:
            pipelines_sweep.run(sweep, argv, run_by_hydra)
    finally:
        sys.argv = known
    return code
