"""Summary of predictions without labels: clips per class, blanks, confidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from jungle.data.predictions import select_read
from jungle.data.text import is_blank


@dataclass(frozen=True)
class Summary:
    """Summary of the clips that could be read."""

    clips: list[str]
    """Names `[N]`."""
    probs_NC: np.ndarray
    counts: list[tuple[str, int]]
    """Clips of each class, most first: the most probable class, or every class of at least 0.5."""
    said_N: np.ndarray
    """Whether any class was found in a clip."""
    nothing: int
    """Clips in which no class reached 0.5; 0 for exclusive classes."""
    blank: int | None
    """Clips without an animal; None where no class has a name that says so."""
    blank_classes: list[str]
    """The classes whose names say so: `leer` is one."""
    confidence: list[int]
    """Clips by the probability of their most probable class, in ten equal bins."""


def summarise(table: pl.DataFrame, classes: Sequence[str], task: str) -> Summary:
    """Summarise a predictions table; clips that could not be read are left out."""
    read = select_read(table)
    probs_NC = np.stack([read[c].to_numpy().astype(np.float64) for c in classes], axis=1)
    top_N = probs_NC.argmax(1)
    said_NC = np.eye(len(classes), dtype=bool)[top_N] if task == "exclusive" else probs_NC >= 0.5
    counts = sorted(zip(classes, said_NC.sum(0).tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    blanks = [i for i, c in enumerate(classes) if is_blank(c)]
    confidence = np.bincount(np.minimum((probs_NC.max(1) * 10).astype(int), 9), minlength=10).tolist()
    return Summary(
        clips=read["clip"].to_list(),
        probs_NC=probs_NC,
        counts=counts,
        said_N=np.asarray(said_NC.any(1)),
        nothing=int((~said_NC.any(1)).sum()),
        blank=int(said_NC[:, blanks].any(1).sum()) if blanks else None,
        blank_classes=[classes[i] for i in blanks],
        confidence=confidence,
    )
