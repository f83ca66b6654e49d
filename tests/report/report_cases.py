"""Predictions tables for the tests of the reports."""

import numpy as np

from jungle.data import predictions

CLASSES = ("blank", "leopard", "wild boar")


def said(probs, statuses=None, classes=CLASSES, names=None, attention=None):
    """A predictions table of probabilities `[N, C]`."""
    rows = []
    for i, p in enumerate(probs):
        status = statuses[i] if statuses else "ok"
        seen = status != "failed"
        rows.append(
            {
                "clip": names[i] if names else f"c{i}.avi",
                "status": status,
                "reason": "" if status == "ok" else f"reason {i}",
                "probs": p,
                "times": np.arange(12) / 6 if seen else None,
                "attention": attention if seen else None,
            }
        )
    return predictions.make(rows, classes)
