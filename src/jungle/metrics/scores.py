"""Scores of probabilities `[N, C]` against 0/1 targets `[N, C]`; NaN targets are unknown and left out."""

import numpy as np

Array = np.ndarray


def log_loss(probs_NC: Array, targets_NC: Array) -> float:
    """Return the metric of Pri-matrix Factorization: mean binary log loss of clips and classes, in nats.

    Probabilities are clipped to [1e-15, 1 - 1e-15] in float64, as DrivenData does. Lower is better.
    """
    return _mean(cell_losses(probs_NC, targets_NC))


def class_log_loss(probs_NC: Array, targets_NC: Array) -> Array:
    """Return the binary log loss of each class, `[C]`; their mean is `log_loss`."""
    return _column_mean(cell_losses(probs_NC, targets_NC))


def cell_losses(probs_NC: Array, targets_NC: Array) -> Array:
    """Return the binary log loss of each clip and class, float64 `[N, C]`; NaN where it is unknown."""
    p = np.clip(np.asarray(probs_NC, dtype=np.float64), 1e-15, 1 - 1e-15)
    y = np.asarray(targets_NC, dtype=np.float64)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def top_k(probs_NC: Array, targets_NC: Array, k: int = 1) -> float:
    """Return the share of clips with a class for which one of the `k` most probable classes is right.

    A single class is always the most probable one: the share is then that of the clips with a known label
    for which `p >= 0.5` is right.
    """
    if np.shape(probs_NC)[1] == 1:
        known = np.isfinite(np.asarray(targets_NC, dtype=np.float64))
        right = (np.asarray(probs_NC) >= 0.5) == (np.asarray(targets_NC) == 1)
        return float(right[known].mean()) if known.any() else float("nan")
    y = np.nan_to_num(np.asarray(targets_NC, dtype=np.float64))
    labelled = y.sum(1) > 0
    if not labelled.any():
        return float("nan")
    best = np.argsort(-np.asarray(probs_NC)[labelled], axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(y[labelled], best, axis=1).max(1).mean())


def class_f1(probs_NC: Array, targets_NC: Array, task: str) -> Array:
    """Return the F1 of each class, `[C]`, NaN if no clip has it.

    The predicted class is the most probable one if classes are exclusive, else each with p >= 0.5.
    """
    p = np.asarray(probs_NC, dtype=np.float64)
    y = np.asarray(targets_NC, dtype=np.float64)
    said = np.eye(p.shape[1], dtype=bool)[p.argmax(1)] if task == "exclusive" else p >= 0.5
    known = ~np.isnan(y)
    true = (y == 1) & known
    hit = (said & true).sum(0)
    all_said, all_true = (said & known).sum(0), true.sum(0)
    return np.where(all_true > 0, 2 * hit / np.maximum(all_said + all_true, 1), np.nan)


def class_average_precision(probs_NC: Array, targets_NC: Array) -> Array:
    """Return the average precision of each class, `[C]`, NaN if no clip has it; ties count as one step."""
    import torch
    from torchmetrics.functional.classification import binary_average_precision

    p, y = np.asarray(probs_NC, dtype=np.float64), np.asarray(targets_NC, dtype=np.float64)
    found = np.full(p.shape[1], np.nan)
    for c in range(p.shape[1]):
        known = ~np.isnan(y[:, c])
        if (y[known, c] == 1).any():
            found[c] = float(
                binary_average_precision(torch.from_numpy(p[known, c]), torch.from_numpy(y[known, c]).long())
            )
    return found


def compute_scores(
    probs_NC: Array, targets_NC: Array, classes: tuple[str, ...], task: str
) -> dict[str, float]:
    """Return every score by name: `log_loss`, `accuracy`, `top3`, `macro_f1`, `map`, `clips`, and per class.

    The macro means are over the classes that occur. Scores that cannot be computed are left out.
    """
    if not len(probs_NC):
        return {"clips": 0.0}
    f1, ap = class_f1(probs_NC, targets_NC, task), class_average_precision(probs_NC, targets_NC)
    scores = {
        "log_loss": log_loss(probs_NC, targets_NC),
        "accuracy": top_k(probs_NC, targets_NC, 1),
        "top3": top_k(probs_NC, targets_NC, 3) if len(classes) > 1 else float("nan"),
        "macro_f1": _mean(f1),
        "map": _mean(ap),
        "clips": float(len(probs_NC)),
    }
    per_class = {"log_loss": class_log_loss(probs_NC, targets_NC), "f1": f1, "ap": ap}
    per_class["clips"] = (np.asarray(targets_NC) == 1).sum(0).astype(np.float64)
    for name, values in per_class.items():
        scores.update({f"class/{c}/{name}": float(v) for c, v in zip(classes, values, strict=True)})
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def _mean(values: Array) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _column_mean(cells: Array) -> Array:
    count = np.isfinite(cells).sum(0)
    return np.where(count > 0, np.nansum(cells, axis=0) / np.maximum(count, 1), np.nan)
