"""Stackers: models on columns, which are the members' predictions and further facts about a clip.

Each takes the predictions for n clips, their labels `[n, C]` (nan where unknown), a seed, and `quick` for a
fit in less time. It returns a function from predictions to probabilities `[n, C]`, and its fitted values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jungle.ensemble.blend import Fitted
from jungle.ensemble.prediction_matrix import StackerInput
from jungle.ensemble.stacking_features import build_features
from jungle.metrics.logits import normalise

Classifier = Callable[[np.ndarray], np.ndarray]
"""From columns `[n, F]` to the probability of one class, `[n]`."""

FEW = 5  # clips with a class, and without it, below which its share is predicted

FEWEST_TREES, MOST_TREES = (1_000, 120, 0.05), (200_000, 1600, 0.03)
"""Clips, trees and learning rate: a setting for hundreds of clips, and the first place's for 200,000."""
QUICK_TREES = 10_000  # a quick fit has at most as many trees as for so many clips
TOGETHER, ALONE = 4, 1  # weights of the first place's models on all members, and on one each


def logistic(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Fit a logistic regression per class on standardised logits; the penalty suits some hundred clips."""

    def fit(x_NF: np.ndarray, y_N: np.ndarray) -> Classifier:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500)).fit(x_NF, y_N)
        return lambda given_NF: model.predict_proba(given_NF)[:, 1]

    return _fit_per_class(answers, targets_NC, fit)


def lightgbm(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Fit boosted trees (LightGBM), one model per class; the number of trees grows with that of clips."""
    from lightgbm import LGBMClassifier  # here: other stackers do not need it

    leaves = 7 if len(answers) < 2000 else 31
    trees, rate = choose_forest(min(len(answers), QUICK_TREES) if quick else len(answers))

    def fit(x_NF: np.ndarray, y_N: np.ndarray) -> Classifier:
        model = LGBMClassifier(
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
        ).fit(x_NF, y_N)
        return lambda given_NF: np.asarray(model.predict_proba(given_NF))[:, 1]

    return _fit_per_class(answers, targets_NC, fit)


def choose_forest(clips: int) -> tuple[int, float]:
    """Return the number of trees and their learning rate, interpolated by powers between two known cases."""
    (few, fewest, fast), (many, most, slow) = FEWEST_TREES, MOST_TREES
    part = float(np.clip(np.log(max(clips, 1) / few) / np.log(many / few), 0, 1))
    return round(fewest * (most / fewest) ** part), fast * (slow / fast) ** part


def nn(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Fit the third place's ten networks; three of them if `quick`."""
    from jungle.ensemble.network import NETWORKS, fit_networks  # here: trees need no torch

    predict = fit_networks(build_features(answers), targets_NC, answers.task, seed, 3 if quick else NETWORKS)
    return lambda given: predict(build_features(given)), {"networks": NETWORKS}


def lightgbm_nn(answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Fit `lightgbm` and `nn`; the prediction is their mean."""
    trees, _ = lightgbm(answers, targets_NC, seed, quick)
    networks, about = nn(answers, targets_NC, seed, quick)
    return lambda given: (trees(given) + networks(given)) / 2, about


def primatrix_first(
    answers: StackerInput, targets_NC: np.ndarray, seed: int = 0, quick: bool = False
) -> Fitted:
    """Fit boosted trees and a wide network on all members together, and on each member by itself.

    As in the first place of Pri-matrix Factorization (2017). The two on all members have four times the
    weight of those on single members. `quick` fits only the former.
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


def _fit_per_class(
    answers: StackerInput, targets_NC: np.ndarray, fit: Callable[[np.ndarray, np.ndarray], Classifier]
) -> Fitted:
    """Fit a model per class; a rare class has its share as prediction."""
    x_NF = build_features(answers)
    fitted: list[Classifier | float] = []
    for y_N in targets_NC.T:
        known = np.isfinite(y_N)
        positives = int((y_N[known] == 1).sum())
        if min(positives, int(known.sum()) - positives) < FEW:
            fitted.append((positives + 0.5) / (int(known.sum()) + 1))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about convergence, and about columns without names
            fitted.append(fit(x_NF[known], y_N[known].astype(int)))

    def predict(given: StackerInput) -> np.ndarray:
        x = build_features(given)
        probs = np.empty((len(given), len(fitted)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for c, found in enumerate(fitted):
                probs[:, c] = found(x) if callable(found) else found
        return normalise(probs, given.task)

    return predict, {}


STACKERS: dict[str, Callable[[StackerInput, np.ndarray, int, bool], Fitted]] = {
    "logistic": logistic,
    "lightgbm": lightgbm,
    "nn": nn,
    "lightgbm_nn": lightgbm_nn,
    "primatrix_first": primatrix_first,
}
