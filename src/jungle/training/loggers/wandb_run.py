"""W&B: a run that begins and ends with or without a network, and what its page shows."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import wandb
from pytorch_lightning.loggers import Logger, WandbLogger

from jungle import __version__, network, system
from jungle.config import TrainConfig
from jungle.console import log
from jungle.errors import UserError, shorten_error
from jungle.training.loggers.results import (
    CLASS_COLUMNS,
    Confusion,
    Curve,
    Results,
    compute_curves,
    count_confusions,
)
from jungle.training.loggers.run_names import RunNames
from jungle.training.loggers.wandb_key import OFFLINE_MODES, has_key
from jungle.wording import tally

NO_KEY = "no key found (wandb login puts runs online)"
LONGEST_ID = 128  # characters, as W&B allows
START_S = 30.0  # for W&B's server to take a run, once it has answered
END_S = 600.0  # for it to take what is left at a run's end, a checkpoint included
SESSION = re.compile(r"(?:offline-)?run-(?P<began>\d{8}_\d{6})-(?P<id>[\w.-]{1,128})")
OFFLINE = "the run is kept offline in its folder (wandb sync sends it later)"


def check_online() -> None:
    """Refuse `logger.mode=online` where W&B cannot be reached or refuses the key.

    Raises:
        UserError: which of these, and what to give instead.
    """
    if why := _find_obstacle(_find_host()):
        raise UserError(
            f"logger.mode=online: {why}; give logger.mode=offline (wandb sync sends the run later), or "
            "logger=none"
        )


def open_run(cfg: TrainConfig, folder: Path, names: RunNames) -> Logger | Literal[False]:
    """Return Lightning's logger for W&B, its run begun; False where W&B cannot be used at all.

    W&B goes online where a key is found (`wandb login`, or WANDB_API_KEY) and its host answers, else it keeps
    the run in the run's folder: `wandb sync` sends it later. A resumed run keeps its W&B run.

    Raises:
        UserError: `logger.mode=online`, and W&B refuses the run.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    mode = cfg.logger.mode
    if system.get_rank() > 0:  # only the first process speaks to W&B
        return _make_logger(cfg, folder, names, online=False)
    if mode == "auto":
        host = _find_host()
        why = _find_obstacle(host, ask_key=False) if has_key(host) else NO_KEY
        if why:
            log.info(f"W&B: {why}: {OFFLINE}")
        mode = "offline" if why else "online"
    if mode == "online":
        try:
            return _start(_make_logger(cfg, folder, names, online=True))
        except Exception as e:
            if cfg.logger.mode == "online":
                raise UserError(f"logger.mode=online: W&B refuses the run: {_gist(e)}") from None
            log.warning(f"warning: W&B refuses the run ({_gist(e)}): {OFFLINE}")
            wandb.teardown()  # nothing of the refused run is left, so that the next begins like the first
    try:
        return _start(_make_logger(cfg, folder, names, online=False))
    except Exception as e:
        if cfg.logger.mode == "offline":
            raise UserError(f"logger=wandb cannot be used: {_gist(e)}; give logger=none") from None
        log.warning(f"warning: W&B cannot be used ({_gist(e)}): history.json alone keeps the numbers")
        return False


def _make_logger(cfg: TrainConfig, folder: Path, names: RunNames, online: bool) -> WandbLogger:
    settings = wandb.Settings(init_timeout=START_S, git_root=_find_repository())
    if online and "finish_timeout_raises" in wandb.Settings.model_fields:  # earlier ones wait without end
        settings.finish_timeout, settings.finish_timeout_raises = END_S, True
    return WandbLogger(
        project=cfg.logger.project or os.environ.get("WANDB_PROJECT") or "jungle",
        entity=cfg.logger.entity,
        name=names.name,
        group=names.group,
        job_type=names.job_type,
        tags=cfg.logger.tags or None,
        id=_choose_id(folder),
        resume="allow",
        save_dir=folder,
        mode="online" if online else "offline",
        config={"jungle_version": __version__, **cfg.model_dump(mode="json")},
        settings=settings,
    )


def _find_repository() -> str | None:
    """Return the git repository that a run is of: where the command is given, else where this program lies.

    W&B itself looks where the run is kept, which may be another disk.
    """
    for start in (Path.cwd(), Path(__file__)):
        for folder in (start, *start.parents):
            if (folder / ".git").exists():
                return str(folder)
    return None


def _choose_id(folder: Path) -> str | None:
    """Return the id of a run: the one it has already, or a new one; None where W&B's environment has it.

    An agent of W&B's own sweeps has chosen the id; a person may have, for one run and not for those that it
    starts.
    """
    if "WANDB_SWEEP_ID" in os.environ or ("WANDB_RUN_ID" in os.environ and system.STARTER not in os.environ):
        return None
    sessions = [found for f in folder.glob("wandb/*run-*") if (found := SESSION.fullmatch(f.name))]
    if sessions:
        return max(sessions, key=lambda found: found["began"])["id"]
    # The folders of a sweep's trials and of a recipe's folds are named within the folder above.
    named = re.fullmatch(r"\d+|fold\d+|run", folder.name)
    plain = "-".join(folder.parts[-2:] if named else folder.parts[-1:])
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', plain)[-LONGEST_ID + 9 :]}-{secrets.token_hex(4)}"


def log_results(logger: Logger, cfg: TrainConfig, results: Results) -> None:
    """Log summary, charts and tables of a finished run, and the best checkpoint where the config asks."""
    assert isinstance(logger, WandbLogger)
    run = logger.experiment
    run.summary.update({f"best_{name}": value for name, value in results.class_scores.items()})
    if results.epoch is not None:
        run.summary["best_epoch"] = results.epoch
    media: dict[str, object] = {}
    for split, outcome in results.splits.items():
        rows = results.class_rows(split)
        media[f"best_{split}/classes"] = wandb.Table(columns=list(CLASS_COLUMNS), data=rows)
        if (confusion := count_confusions(outcome, results.classes)) is not None:
            media[f"best_{split}/confusion"] = _chart_confusion(confusion, split)
        if curves := compute_curves(outcome, results.classes):
            media[f"best_{split}/precision_recall"] = _chart_curves(curves, split)
    if results.clips:
        media["best_val/examples"] = _tabulate_clips(results)
        if not getattr(run, "offline", True):
            number = tally(len(results.clips), "validation clips")
            log.info(f"W&B: {number} sent with pictures (logger.clips=0: none)")
    with _keep_data_in(Path(logger.save_dir or ".")):
        run.log(media)
    if cfg.logger.checkpoint and results.checkpoint is not None:
        scores = {f"best_{name}": value for name, value in results.headline.items()}
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=scores)
        # It stays in the run's folder as it is: no copy of it is needed.
        artifact.add_file(str(results.checkpoint.absolute()), name="best.ckpt", policy="immutable")
        run.log_artifact(artifact, aliases=["best"])


@contextmanager
def _keep_data_in(folder: Path) -> Iterator[None]:
    """Have W&B keep pictures of tables in the run's folder until they are sent, not in the home folder."""
    if os.environ.get("WANDB_DATA_DIR"):
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str((folder / "wandb").absolute())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def _chart_confusion(confusion: Confusion, split: str) -> object:
    rows = [
        [true, predicted, int(confusion.counts_CC[t, p])]
        for t, true in enumerate(confusion.classes)
        for p, predicted in enumerate(confusion.classes)
    ]
    columns = ["Actual", "Predicted", "nPredictions"]
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=wandb.Table(columns=[*columns], data=rows),
        fields={name: name for name in columns},
        string_fields={"title": f"{split}: clips by true and most probable class"},
    )


def _chart_curves(curves: list[Curve], split: str) -> object:
    rows = [
        [curve.name, round(float(recall), 4), round(float(precision), 4)]
        for curve in curves
        for recall, precision in zip(curve.recall_P, curve.precision_P, strict=True)
    ]
    return wandb.plot_table(
        vega_spec_name="wandb/area-under-curve/v0",
        data_table=wandb.Table(columns=["class", "recall", "precision"], data=rows),
        fields={"x": "recall", "y": "precision", "class": "class"},
        string_fields={
            "title": f"{split}: precision and recall",
            "x-axis-title": "recall",
            "y-axis-title": "precision",
        },
    )


def _tabulate_clips(results: Results) -> wandb.Table:
    rows = [
        [
            s.clip,
            None if s.picture_HWC is None else wandb.Image(s.picture_HWC, caption=s.clip, file_type="jpg"),
            ", ".join(s.truth),
            s.top,
            s.right,
            *map(float, s.probs_C),
            s.reason,
        ]
        for s in results.clips
    ]
    probabilities = [f"p({c})" for c in results.classes]
    columns = ["clip", "frames", "truth", "most probable", "right", *probabilities, "why no picture"]
    return wandb.Table(columns=[*columns], data=rows)


def _start(logger: WandbLogger) -> WandbLogger:
    """Begin the logger's run: with the first epoch a refusal would end the training."""
    assert logger.experiment is not None
    return logger


def _find_host() -> str:
    """Return the address of the W&B server that this person uses."""
    return str(wandb.setup().settings.base_url)


def _find_obstacle(host: str, ask_key: bool = True) -> str | None:
    """Return why W&B cannot be used online; None where it can.

    Args:
        host: address of its server.
        ask_key: whether to ask the server if it knows the key, too.
    """
    if os.environ.get("WANDB_MODE") in OFFLINE_MODES:
        return f"WANDB_MODE={os.environ['WANDB_MODE']} is set"
    if not network.is_reachable(host):
        return f"{host} does not answer"
    if not ask_key:
        return None
    if not has_key(host):
        return NO_KEY
    try:
        wandb.login(prompt=False, verify=True)
    except Exception as e:
        return _gist(e)
    return None


def close_run() -> None:
    """Close the run, so that the next one of this process gets its own."""
    try:
        wandb.finish()
    except TimeoutError:
        log.warning(
            f"warning: W&B did not take all of the run within {END_S:.0f} s: it is whole in its folder "
            "(wandb sync sends it)"
        )


def _gist(error: Exception) -> str:
    """Return what an error says, as a part of a sentence."""
    return shorten_error(error, 200).rstrip(". ")
