"""Level 2 of a whole competition; a module of its own, so that its memory is measured without torch."""

import time
from typing import TypedDict

import numpy as np

from jungle.bench.processes import PeakMemory
from jungle.ensemble.network import fit_networks
from jungle.ensemble.prediction_matrix import StackerInput
from jungle.ensemble.stack import fit_stacker
from jungle.ensemble.stacking_features import build_features

CLASSES = 24  # as many as Pri-matrix Factorization had
SIGNAL = 1.5  # of a member's logits, in standard deviations of their noise


class StackerCost(TypedDict):
    """Cost of fitting a stacker and predicting with it."""

    seconds: float
    peak_mb: float


def measure_stacker(stacker: str, clips: int, members: int) -> StackerCost:
    """Fit a stacker to simulated predictions and predict the same clips; one network where it is `nn`."""
    with PeakMemory() as peak:
        rng = np.random.default_rng(0)
        targets_NC = (rng.random((clips, CLASSES)) < 0.05).astype(np.float32)
        logits_MNC = rng.standard_normal((members, clips, CLASSES), np.float32) - 3
        logits_MNC += SIGNAL * (2 * targets_NC - 1)
        answers = StackerInput(1 / (1 + np.exp(-logits_MNC)), np.zeros((clips, 0), np.float32), "multilabel")
        began = time.perf_counter()
        if stacker == "nn":
            seen_NF = build_features(answers)
            probs_NC = fit_networks(seen_NF, targets_NC, answers.task, 0, networks=1)(seen_NF)
        else:
            predict, _ = fit_stacker(stacker, answers, targets_NC, seed=0)
            probs_NC = predict(answers)
        assert np.isfinite(probs_NC).all()
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mb": peak.mb}
