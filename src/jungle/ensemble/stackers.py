"""Stackers: models over columns, the members' answers and what else is known of a clip.

Each takes the answers for n clips and their labels `[n, C]` (nan where unknown), and returns what turns
answers into probabilities `[n, C]`, with a few plain values that say what it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jungle.ensemble.blend import Fitted
from jungle.ensemble.logits import normalise
from jungle.ensemble.prediction_matrix import StackerInput
from jungle.ensemble.stacking_features import build_features

FEW = 5  # labelled clips of a class: with fewer it is answered with its share

FEWEST_TREES, MOST_TREES = (1_000, 120, 0.05), (200_000, 1600, 0.03)
"""Clips, trees and their rate: what suits hundreds of clips, and what the first place had for 200,000."""
QUICK_TREES = 10_000  # clips: fits that only compare have no more trees than so many ask for
TOGETHER, ALONE = 4, 1  # weights of the first place's models over all members, and of those over one each


def logistic(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Logistic regression on standardised logits, one a class; the penalty suits some hundred clips."""

    def model() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))

    return _one_a_class(answers, targets_NC, model)


def lightgbm(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Boosted trees (LightGBM), one model a class; the more clips the more trees."""
    from lightgbm import LGBMClassifier  # here: other stackers do not need it

    leaves = 7 if len(answers) < 2000 else 31
    trees, rate = choose_forest(min(len(answers), QUICK_TREES) if quick else len(answers))

    def model() -> Any:
        return LGBMClassifier(
            n_estimators=trees,
            learning_rate=rate,
            num_leaves=leaves,
            min_child_samples=max(5, min(50, len(answers) // 50)),
            subsample=0.8,
            subsample_freq=1,
            colsample_bytree=0.4,
            reg_lambda=5.0,
            random_state=seed,
            n_jobs=1 if len(answers) < 20_000 else -1,
            verbosity=-1,
        )

    return _one_a_class(answers, targets_NC, model)


def choose_forest(clips: int) -> tuple[int, float]:
    """Return how many trees, at which rate, suit so many clips: between two known cases by powers."""
    (few, fewest, fast), (many, most, slow) = FEWEST_TREES, MOST_TREES
    part = float(np.clip(np.log(max(clips, 1) / few) / np.log(many / few), 0, 1))
    return round(fewest * (most / fewest) ** part), fast * (slow / fast) ** part


def nn(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """The third place's network, the mean of ten, each stopped by a tenth of the rows; `quick`, of three."""
    from jungle.ensemble.network import NETWORKS, fit_networks  # here: trees need no torch

    predict = fit_networks(build_features(answers), targets_NC, answers.task, seed, 3 if quick else NETWORKS)
    return lambda given: predict(build_features(given)), {"networks": NETWORKS}


def lightgbm_nn(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """The mean of `lightgbm` and `nn`."""
    trees, _ = lightgbm(answers, targets_NC, seed, quick)
    networks, about = nn(answers, targets_NC, seed, quick)
    return lambda given: (trees(given) + networks(given)) / 2, about


def primatrix_first(
    answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False
) -> Fitted:
    """Boosted trees and a wide network, over all members together and over each alone.

    The first place's of Pri-matrix Factorization (2017). The two over the columns of all members have four
    times the weight of all those over one member's. `quick`: the first two alone.
    """
    # Here: other stackers need no torch.
    from jungle.ensemble.wide_network import OVER_ALL, OVER_ONE, Shape, fit_wide

    def both(seen: StackerInput, shape: Shape) -> Callable[[StackerInput], np.ndarray]:
        trees, _ = lightgbm(seen, targets_NC, seed, quick)
        predict = fit_wide(build_features(seen), targets_NC, seed, shape, quick)
        return lambda given: (trees(given) + normalise(predict(build_features(given)), given.task)) / 2

    together = both(answers, OVER_ALL)
    members = len(answers.probs_MNC)
    if quick or members == 1:
        return together, {"together": 1.0}
    each = [both(answers.member(i), OVER_ONE) for i in range(members)]

    def blend(given: StackerInput) -> np.ndarray:
        alone_NC = sum(one(given.member(i)) for i, one in enumerate(each)) / members
        return (TOGETHER * together(given) + ALONE * alone_NC) / (TOGETHER + ALONE)

    return blend, {"together": TOGETHER / (TOGETHER + ALONE)}


def _one_a_class(answers: StackerInput, targets_NC: np.ndarray, model: Callable[[], Any]) -> Fitted:
    x_NF = build_features(answers)
    fitted: list[Any] = []
    for y_N in targets_NC.T:
        known = np.isfinite(y_N)
        positives = int((y_N[known] == 1).sum())
        if min(positives, int(known.sum()) - positives) < FEW:
            fitted.append((positives + 0.5) / (int(known.sum()) + 1))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence, and of names that columns have not
            fitted.append(model().fit(x_NF[known], y_N[known].astype(int)))

    def predict(given: StackerInput) -> np.ndarray:
        x = build_features(given)
        probs = np.empty((len(given), len(fitted)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for c, found in enumerate(fitted):
                probs[:, c] = found if isinstance(found, float) else found.predict_proba(x)[:, 1]
        return normalise(probs, given.task)

    return predict, {}


STACKERS: dict[str, Callable[[StackerInput, np.ndarray, int, bool], Fitted]] = {
    "logistic": logistic,
    "lightgbm": lightgbm,
    "nn": nn,
    "lightgbm_nn": lightgbm_nn,
    "primatrix_first": primatrix_first,
}
