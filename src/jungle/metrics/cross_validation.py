"""Cross-validation over whole sites: parts of the clips, each predicted by a fit to the others."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from jungle.errors import UsageError


def split_parts(
    targets_NC: np.ndarray, groups_N: np.ndarray, parts: int, *, seed: int, what: str = "stacking"
) -> list[np.ndarray]:
    """Return the rows of each part: whole sites, with classes spread as evenly as that allows.

    Args:
        targets_NC: labels; nan where unknown.
        groups_N: the site of each clip as a number; a number of its own where no site is known.
        parts: how many, where there are as many sites.
        seed: of the order.
        what: needs the parts, for the message.

    Raises:
        UsageError: there is only one site.
    """
    rarest_first = np.argsort(np.nansum(targets_NC, axis=0), kind="stable")
    has = np.nan_to_num(targets_NC)[:, rarest_first] == 1
    label_N = np.where(has.any(1), has.argmax(1), -1)
    count = min(parts, len(np.unique(groups_N)))
    if count < 2:
        raise UsageError(f"{what} needs validation clips of at least two sites, or several without a site")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer clips than parts
        stratified = max(np.bincount(label_N + 1)) >= count  # otherwise no class has a clip for each part
        kind = StratifiedGroupKFold if stratified else GroupKFold
        split = kind(count, shuffle=True, random_state=seed)
        found = [held for _, held in split.split(has, label_N, groups_N)]
    return [held for held in found if len(held)]


def predict_parts(
    parts: Sequence[np.ndarray],
    shape: tuple[int, ...],
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return probabilities `shape`; those of each part are `predict(rows of the others, its own rows)`."""
    probs_NC = np.empty(shape)
    for held in parts:
        probs_NC[held] = predict(np.setdiff1d(np.arange(shape[0]), held), held)
    return probs_NC
