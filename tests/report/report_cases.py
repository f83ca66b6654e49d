"""Predictions tables for the tests of the reports."""

import numpy as np

from jungle.data import predictions
from jungle.data.predictions import ClipPrediction

CLASSES = ("blank", "leopard", "wild boar")


def said(probs, statuses=None, classes=CLASSES, names=None, attention=None):
    """A predictions table of probabilities `[N, C]`."""
    rows = []
    for i, p in enumerate(probs):
        status = statuses[i] if statuses else "ok"
        seen = status != "failed"
        rows.append(
            ClipPrediction(
                status,
                "" if status == "ok" else f"reason {i}",
                p,
                np.arange(12) / 6 if seen else None,
                attention if seen else None,
            )
        )
    return predictions.make_table(
        [names[i] if names else f"c{i}.avi" for i in range(len(rows))], rows, classes
    )
