"""What a Python program calls: `jungle.load`, `jungle.read_frames`, `jungle.train`."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jungle import runs
from jungle.errors import UsageError, UserError
from jungle.files import read_json
from jungle.video import Clip, ClipSpec, Frames, read_clip

if TYPE_CHECKING:
    import polars as pl

BEST = "best checkpoint: "


def load(checkpoint: str | Path | Sequence[str | Path]) -> "Predictor":
    """Load a trained model, or several whose probabilities are averaged.

    Args:
        checkpoint: a `best.ckpt` or `last.ckpt`, or the folder of a run, which means its best; or a list.

    Returns:
        A model whose `predict` gives the predictions table.

    Raises:
        UserError: it is not there, or is no checkpoint of this program; no code of the file is run.
    """
    return Predictor(checkpoint)


class Predictor:
    """Trained models on the CPU, until `predict` moves them.

    Attributes:
        classes: class names, the columns of the table.
        task: `multilabel` or `exclusive`.
        clip_spec: how the first model sees a clip: which frames, their size, the decoder.
        priors: the share of each class in the clips that the first model was trained on.
    """

    def __init__(self, checkpoint: str | Path | Sequence[str | Path]) -> None:
        from jungle.models.checkpoint import load_checkpoint  # here, since it imports torch

        several = [checkpoint] if isinstance(checkpoint, (str, Path)) else list(checkpoint)
        if not several:
            raise UsageError("checkpoint: an empty list: give one checkpoint or more")
        several = runs.drop_repeated([Path(file) for file in several], "checkpoint")
        self._loaded = [load_checkpoint(runs.resolve_checkpoint(file, "checkpoint")) for file in several]
        first = self._loaded[0]
        self.classes, self.task = first.model.classes, first.model.task
        self.clip_spec, self.priors = first.clip_spec, dict(first.priors)
        for file, other in zip(several, self._loaded, strict=True):
            if set(other.model.classes) != set(self.classes):
                raise UsageError(
                    f"checkpoint={file}: its classes differ from those of {several[0]}; load them separately"
                )

    def predict(
        self,
        videos: str | Path | Sequence[str | Path],
        *,
        device: str = "auto",
        decoder: str | None = None,
        workers: int | None = None,
        batch_size: int | None = None,
        timeout_s: float | None = None,
    ) -> "pl.DataFrame":
        """Predict what is in every clip, as `predict.py` does to the last bit; no file is written.

        Args:
            videos: a folder, a video, a glob, a list of them (.txt or .csv), or several of these.
            device: `auto`, `cpu`, `cuda` or `cuda:1`.
            decoder: `decord`, `pyav`, `torchcodec` or `auto`; None = as the model was trained.
            workers: decoding processes; None = by the number of cores.
            batch_size: clips at a time through the model; None = as predict.py.
            timeout_s: seconds that one clip may take to decode; None = as predict.py.

        Returns:
            A row per clip: `clip`, `status` (`ok`, `degraded`, `failed`), `reason`, a float32 probability per
            class, `times` (seconds of the frames) and `attention`. A clip that cannot be read is `failed`
            and has no probabilities.

        Raises:
            UserError: there is no clip to predict, or the device does not exist.
        """
        from jungle.config.compose import compose
        from jungle.config.folder import config_dir
        from jungle.pipelines import preflight
        from jungle.prediction import requests
        from jungle.prediction.fill import fill_rows
        from jungle.prediction.writer import Rows

        given = {
            "device": device,
            "decoder.name": decoder,
            "workers": workers,
            "batch_size": batch_size,
            "timeout_s": timeout_s,
        }
        words = [f"{name}={value}" for name, value in given.items() if value is not None]
        cfg = compose("predict", [*words, "ckpt=loaded", "videos=."], config_dir())
        several = [str(videos)] if isinstance(videos, (str, Path)) else list(map(str, videos))
        cfg = cfg.model_copy(update={"videos": several, "ckpt": []})
        preflight.check(cfg)
        asks = requests.find_requests(cfg, None)
        own = [m.model.backbone for m in self._loaded]
        try:
            with tempfile.TemporaryDirectory() as folder, Rows(Path(folder), {}, self.classes, False) as rows:
                fill_rows(cfg, self._loaded, asks, rows)
                return rows.table([ask.clip for ask in asks])
        finally:
            for member, backbone in zip(self._loaded, own, strict=True):
                member.model.backbone = backbone  # one folded for the CPU is not for a GPU


def read_frames(
    path: str | Path,
    *,
    count: int = 16,
    kind: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    crop_bottom: float = 0,
    decoder: str = "auto",
    seed: int = 0,
) -> Clip:
    """Read frames of a video in this process, which a broken file can hang; `train.py` cannot hang like that.

    Args:
        path: the file.
        count: frames; the most there may be where `fps` is given. A shorter clip gives what it has.
        kind: `uniform`, `random`, `early_bias`, `keyframe`, `motion`, `opening` or `fps`; None = `fps` where
            a rate is given, else `uniform`.
        fps: frames a second.
        size: height and width in pixels; None = as they are in the file.
        crop_bottom: cut from the bottom before resizing: below 1 a fraction of the height, else pixels.
        decoder: `auto` (PyAV), `decord`, `pyav` or `torchcodec`.
        seed: for `random`.

    Returns:
        A clip: `frames` uint8 RGB `[T, H, W, 3]`, `times` float64 `[T]` in seconds, `status` (`ok`, or
        `degraded` with its `reason`), and the `decoder` that read it.

    Raises:
        jungle.video.ClipError: no frame can be read; its text says why.
        UsageError: a setting is not valid.
    """
    frames = Frames(kind or ("uniform" if fps is None else "fps"), count, fps)
    return read_clip(path, ClipSpec(frames, size, crop_bottom, decoder), seed)


@dataclass(frozen=True)
class Trained:
    """A finished training run.

    Attributes:
        folder: of the run.
        checkpoint: its best.
        scores: of the best checkpoint, as `metrics.json` has them: `val/log_loss`, `test/accuracy`, ...
    """

    folder: Path
    checkpoint: Path
    scores: dict[str, float] = field(default_factory=dict)


def train(overrides: Sequence[str] = ()) -> Trained:
    """Train one model as `python train.py <overrides>` does, in a process of its own, and wait for it.

    Its log goes to this process's stderr. The same call resumes a run that was stopped.

    Args:
        overrides: settings as they are typed: `["data=csv", "data.labels=labels.csv", "head=gru"]`.

    Returns:
        Where the run and its best checkpoint are, and its scores.

    Raises:
        UsageError: a setting is not valid, or asks for several runs.
        UserError: training failed; the text says why.
    """
    if isinstance(overrides, str):
        raise UsageError(f"overrides={overrides!r}: give a list: [{overrides!r}]")
    words = [str(word) for word in overrides]
    if several := next((w for w in words if w.startswith(("-", "sweep=", "+sweep="))), None):
        raise UsageError(f"{several}: jungle.train trains one model: give it to train.py")
    from jungle.config.folder import config_dir
    from jungle.pipelines.recipe_files import find_recipe

    if (recipe := find_recipe(words, config_dir())) is not None:
        raise UsageError(f"experiment={recipe.stem}: a recipe trains several models: give it to train.py")
    return _run_training(words)


def _run_training(words: Sequence[str]) -> Trained:
    """Run the command; return the run that its last line names.

    Raises:
        UserError: it failed.
    """
    command, said = [sys.executable, "-m", "jungle", "train", *words], ""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        with subprocess.Popen(
            command, stdout=out, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                sys.stderr.write(line)
                said = line.strip() or said
        out.seek(0)
        results = out.read().splitlines()
    if process.returncode:
        kind = UsageError if process.returncode == UsageError.exit_code else UserError
        raise kind(said.removeprefix("error: ") or f"training failed (exit code {process.returncode})")
    best = next((Path(r.removeprefix(BEST)) for r in reversed(results) if r.startswith(BEST)), None)
    if best is None:
        raise UserError(f"training named no best checkpoint; its last line: {said}")
    return Trained(best.parents[1], best, read_json(best.parents[1] / "metrics.json"))
