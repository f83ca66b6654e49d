"""Prediction run: models are loaded, clips are predicted, and results are written; once, or as clips come."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from jungle.config import PredictConfig
from jungle.console import log, log_time
from jungle.errors import UsageError, UserError
from jungle.models import large_libraries  # noqa: F401  # before what imports them: without what is not used
from jungle.models.checkpoint import Loaded, load_checkpoint
from jungle.prediction.fill import fill_rows, needs_micro
from jungle.prediction.requests import ClipRequest, find_requests
from jungle.prediction.writer import FILES, PRIVATE, STORE, Rows, check_clips
from jungle.wording import format_seconds, tally

TRIED = 16  # clips of an estimate


@dataclass(frozen=True)
class Models:
    """Models of a run, and the folder of their results.

    Attributes:
        keys: content keys of the checkpoints' files.
    """

    loaded: Sequence[Loaded]
    keys: Sequence[str]
    out: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the tables."""
        return self.loaded[0].model.classes

    @property
    def priors(self) -> dict[str, float]:
        """The share of each class in the training clips, the mean of the models."""
        return {c: sum(m.priors[c] for m in self.loaded) / len(self.loaded) for c in self.classes}

    def open_rows(self, cfg: PredictConfig) -> Rows:
        """Return the rows of the folder; a context manager."""
        plan = {"ckpt": [m.identity for m in self.loaded], "decoder": cfg.decoder.name, FILES: self.keys}
        return Rows(self.out, plan, self.classes, cfg.overwrite)


def load_models(cfg: PredictConfig, files: Sequence[Path], keys: Sequence[str]) -> Models:
    """Load the checkpoints.

    Raises:
        UserError: one cannot be loaded.
        UsageError: they are of different classes, or a setting is of no use to them.
    """
    with log_time("loading"):
        loaded = [load_checkpoint(path) for path in files]
    if cfg.metadata is not None and not any(m.model.metadata for m in loaded):
        raise UsageError(f"metadata={cfg.metadata}: no model of ckpt uses metadata: leave it out")
    if cfg.micro is not None and not any(map(needs_micro, loaded)):
        raise UsageError(f"micro={cfg.micro}: no model of ckpt uses small copies of clips: leave it out")
    for path, other in zip(cfg.ckpt, loaded, strict=True):
        if set(other.model.classes) != set(loaded[0].model.classes):
            raise UsageError(
                f"ckpt={path}: its classes differ from those of {cfg.ckpt[0]}; predict them separately"
            )
    out = cfg.out or cfg.paths.runs / "predict" / "-".join(m.identity[:8] for m in loaded[:4])
    return Models(loaded, keys, out)


def predict(cfg: PredictConfig, models: Models, requests: Sequence[ClipRequest]) -> None:
    """Predict the clips that have no row yet, and write the tables of all.

    Raises:
        UsageError: the folder is of other models or has other clips, or another process writes there.
        UserError: a model's answer is no number, or memory is full.
    """
    log.info(
        f"{tally(len(requests), 'clips')}, {tally(len(models.loaded), 'models')}, results go to {models.out}"
    )
    with models.open_rows(cfg) as rows:
        # Once more, now that nobody else writes there; overwrite has removed it all.
        check_clips(models.out, [r.clip for r in requests])
        if cfg.retry_failed:
            rows.forget_failed()
        fill_rows(cfg, models.loaded, requests, rows)
        rows.finish(requests)


def follow(cfg: PredictConfig, models: Models) -> Iterator[list[ClipRequest]]:
    """Predict clips as they come into the folder; yield all clips each time when the tables have new ones.

    It ends when the process is told to stop. A clip that was taken out of the folder keeps its row.
    """
    known: dict[str, ClipRequest] = {}
    seen: dict[str, tuple[int, int]] = {}
    log.info(f"watching {cfg.videos}: clips are predicted as they come; Ctrl-C ends it")
    while True:
        fresh = [r for r in _look(cfg) if r.clip not in known and _is_complete(r, seen, cfg.watch_s)]
        if fresh:
            known.update((r.clip, r) for r in fresh)
            requests, is_first = list(known.values()), len(known) == len(fresh)
            overwrite = cfg.overwrite and is_first
            with models.open_rows(cfg.model_copy(update={"overwrite": overwrite})) as rows:
                if is_first:
                    check_clips(models.out, [r.clip for r in requests])
                fill_rows(cfg, models.loaded, fresh, rows)
                rows.finish(requests)
            yield requests
        time.sleep(cfg.watch_s)


def _look(cfg: PredictConfig) -> list[ClipRequest]:
    try:
        return find_requests(cfg, None)
    except UserError as e:  # there is no clip yet, or the disk is away
        log.debug(str(e))
        return []


def _is_complete(request: ClipRequest, seen: dict[str, tuple[int, int]], pause_s: float) -> bool:
    """Return whether a file has not been written to since the last look, or for as long as one takes."""
    try:
        info = os.stat(request.path or "")
    except (OSError, ValueError):
        return False
    state = (info.st_size, info.st_mtime_ns)
    if seen.get(request.clip) == state or time.time() - info.st_mtime > pause_s:
        return True
    seen[request.clip] = state
    return False


def estimate(cfg: PredictConfig, models: Models, requests: Sequence[ClipRequest]) -> str:
    """Predict a few clips into nowhere; return in a sentence what a run would do, and how long."""
    left = list(requests)
    if not cfg.overwrite and (models.out / PRIVATE / STORE).exists():
        with models.open_rows(cfg) as rows:
            left = [r for r in requests if not rows.has(r.clip)]
    done = len(requests) - len(left)
    begin = f"would predict {len(left)} of {tally(len(requests), 'clips')}"
    if done:
        begin += f" ({done} were done before)"
    if not left:
        return f"{begin}; results are in {models.out}"
    tried = left[:: max(len(left) // TRIED, 1)][:TRIED]
    first = tried[: min(2, len(tried) - 1)]
    spent = [_time(cfg, models, some) for some in (first, tried)]
    per_clip = max(spent[1] - spent[0], 1e-3) / max(len(tried) - len(first), 1)
    total = format_seconds(spent[0] + per_clip * len(left))
    return (
        f"{begin}: about {total}, {per_clip:.2f} s per clip, measured on {len(tried)}; "
        f"results would go to {models.out}"
    )


def _time(cfg: PredictConfig, models: Models, requests: Sequence[ClipRequest]) -> float:
    began = time.monotonic()
    with TemporaryDirectory() as folder, Rows(Path(folder), {}, models.classes, False) as rows:
        fill_rows(cfg, models.loaded, requests, rows)
    return time.monotonic() - began
