"""Comparison of predictions with labels: the numbers that a report shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from jungle.data import predictions as tables
from jungle.metrics import scores


@dataclass(frozen=True)
class Outcome:
    """The clips of one split that were both predicted and labelled, joined by name."""

    clips: list[str]
    """Names `[N]`."""
    probs_NC: np.ndarray
    targets_NC: np.ndarray
    """0, 1, or nan where unknown."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def top_N(self) -> np.ndarray:
        """The most probable class of each clip."""
        return self.probs_NC.argmax(1)

    @property
    def right_N(self) -> np.ndarray:
        """Whether the most probable class is in the clip."""
        return self.targets_NC[np.arange(len(self)), self.top_N] == 1


def match_labels(predictions: pl.DataFrame, clips: pl.DataFrame, classes: Sequence[str]) -> Outcome:
    """Join predictions with the clips table by `clip`.

    Clips without any label are left out, and those that could not be read, as in the run's metrics.
    """
    known = [c for c in classes if c in clips.columns]
    truth = clips.select("clip", *known).filter(pl.any_horizontal(pl.col(c).is_not_null() for c in known))
    read = tables.select_read(predictions)
    said = read.filter(pl.col("clip").is_in(truth["clip"].to_list()))
    joined = said.select("clip").join(truth, on="clip", how="left", maintain_order="left")
    unknown = pl.Series([None] * len(joined), dtype=pl.Float64)
    columns = [joined[c] if c in known else unknown for c in classes]
    targets = [c.cast(pl.Float64).fill_null(math.nan).to_numpy() for c in columns]
    probs = np.stack([said[c].to_numpy().astype(np.float64) for c in classes], axis=1)
    return Outcome(said["clip"].to_list(), probs, np.stack(targets, axis=1))


def add_complement(
    predictions: Mapping[str, pl.DataFrame], clips: pl.DataFrame | None, only: str
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame | None, tuple[str, str]]:
    """Return predictions, clips and classes of a model of one class, with the class `not <only>` added.

    Without it that one class would be the most probable one of every clip.
    """
    other = f"not {only}"
    tables = {s: t.with_columns((1 - pl.col(only)).alias(other)) for s, t in predictions.items()}
    if clips is not None and only in clips.columns:
        clips = clips.with_columns((1 - pl.col(only)).alias(other))
    return tables, clips, (only, other)


def count_unreadable(predictions: pl.DataFrame, clips: pl.DataFrame, classes: Sequence[str]) -> int:
    """Count the clips that have a label and could not be read: no figure is of them."""
    known = pl.any_horizontal(pl.col(c).is_not_null() for c in classes if c in clips.columns)
    return len(tables.select_failed(predictions).join(clips.filter(known), on="clip", how="semi"))


def has_labels(clips: pl.DataFrame | None, classes: Sequence[str]) -> bool:
    """Tell whether the clips table says of any clip what is in it."""
    return clips is not None and any(c in clips.columns and clips[c].is_not_null().any() for c in classes)


def compute_prior_log_loss(outcome: Outcome, clips: pl.DataFrame, classes: Sequence[str]) -> float | None:
    """Return the log loss of answering each clip with the shares of the training clips, if there are any."""
    if "split" not in clips.columns or any(c not in clips.columns for c in classes):
        return None
    train = clips.filter(pl.col("split") == "train")
    shares = [train[c].cast(pl.Float64).mean() for c in classes]
    if not len(outcome) or any(s is None for s in shares):
        return None
    priors_C = np.array(shares, np.float64)
    value = scores.log_loss(np.broadcast_to(priors_C, outcome.probs_NC.shape), outcome.targets_NC)
    return value if math.isfinite(value) else None


def collect_scores(
    outcome: Outcome, classes: Sequence[str], task: str, given: Mapping[str, float]
) -> dict[str, float]:
    """Collect the scores of a split: those `given` (from the run's metrics), the rest computed."""
    wanted = {"log_loss", "accuracy", "macro_f1", "map", "clips", *(f"class/{c}/clips" for c in classes)}
    if wanted <= given.keys():
        return dict(given)
    return {**scores.compute_scores(outcome.probs_NC, outcome.targets_NC, tuple(classes), task), **given}


def compute_confusion_matrix(outcome: Outcome) -> np.ndarray:
    """Count `[C, C]`: rows are true classes, columns the most probable class.

    A clip of several classes counts once in the row of each, with its other true classes set aside: finding
    one of two animals is no confusion of them.
    """
    n_classes = outcome.probs_NC.shape[1]
    counts_CC = np.zeros((n_classes, n_classes), int)
    for probs_C, targets_C in zip(outcome.probs_NC, outcome.targets_NC, strict=True):
        true = np.flatnonzero(targets_C == 1)
        for t in true:
            others = true[true != t]
            left_C = probs_C.copy()
            left_C[others] = -1
            counts_CC[t, left_C.argmax()] += 1
    return counts_CC


def compute_interval(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    z, share = 1.96, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)
