"""Stackers: models over columns, the members' answers and what else is known of a clip.

Each takes the answers for n clips and their labels `[n, C]` (nan where unknown), and returns what turns
answers into probabilities `[n, C]`, with a few plain values that say what it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jungle.ensemble.blend import Fitted
from jungle.ensemble.board import Answers
from jungle.ensemble.columns import plain
from jungle.ensemble.odds import whole

FEW = 5  # labelled clips of a class: with fewer it is answered with its share


def logistic(answers: Answers, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Logistic regression on standardised log-odds, one a class; the penalty suits some hundred clips."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def model() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))

    return _one_a_class(answers, targets_NC, model)


def lightgbm(answers: Answers, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """Boosted trees (LightGBM), one model a class."""
    from lightgbm import LGBMClassifier

    leaves = 7 if len(answers) < 2000 else 31

    def model() -> Any:
        return LGBMClassifier(
            n_estimators=120,
            learning_rate=0.05,
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


def nn(answers: Answers, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """The third place's network, the mean of ten, each stopped by a tenth of the rows; `quick`, of three."""
    from jungle.ensemble.network import NETWORKS, fit_networks

    predict = fit_networks(plain(answers), targets_NC, answers.task, seed, 3 if quick else NETWORKS)
    return lambda given: predict(plain(given)), {"networks": NETWORKS}


def lightgbm_nn(answers: Answers, targets_NC: np.ndarray, seed: int = 0, quick: bool = False) -> Fitted:
    """The mean of `lightgbm` and `nn`, as the first place of Pri-matrix Factorization (2017) had it."""
    trees, _ = lightgbm(answers, targets_NC, seed, quick)
    networks, about = nn(answers, targets_NC, seed, quick)
    return lambda given: (trees(given) + networks(given)) / 2, about


def _one_a_class(answers: Answers, targets_NC: np.ndarray, model: Callable[[], Any]) -> Fitted:
    x_NF = plain(answers)
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

    def predict(given: Answers) -> np.ndarray:
        x = plain(given)
        probs = np.empty((len(given), len(fitted)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for c, found in enumerate(fitted):
                probs[:, c] = found if isinstance(found, float) else found.predict_proba(x)[:, 1]
        return whole(probs, given.task)

    return predict, {}


STACKERS: dict[str, Callable[[Answers, np.ndarray, int, bool], Fitted]] = {
    "logistic": logistic,
    "lightgbm": lightgbm,
    "nn": nn,
    "lightgbm_nn": lightgbm_nn,
}
