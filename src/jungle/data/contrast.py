"""Check that training clips differ in their labels: a class of all or none of them cannot be learnt."""

import numpy as np
import polars as pl

from jungle.data.clips import Clips
from jungle.data.validation_report import Problems
from jungle.names import show
from jungle.wording import count

MOST = 5  # names shown


def check_contrast(clips: Clips, problems: Problems, warnings: list[str]) -> None:
    """Check the known labels of the training clips.

    If every class is the same in all of them, a model learns a constant and scores perfectly: an error. A
    class that all of them have while others differ, and classes that only occur together, are warnings.
    Classes that no training clip has are reported elsewhere.

    Args:
        clips: with their splits.
        problems: takes errors.
        warnings: takes warnings.
    """
    train = clips.of("train")
    train = train.where(train.labelled())
    if not len(train):
        return
    counts = pl.Series(train.weights() > 0)
    if not counts.any():
        problems.say("Every training clip has the weight 0: nothing is learnt from it. Correct the weights.")
        return
    train = train.where(counts)
    y_NC = train.targets()
    seen, absent = (y_NC == 1).any(axis=0), (y_NC == 0).any(axis=0)
    names = [show(c, 40) for c in clips.classes]
    always = [n for n, s, a in zip(names, seen, absent, strict=True) if s and not a]
    if not (seen & absent).any():
        problems.say(_find_constant(len(train), always, names))
        return
    if always:
        one = len(always) == 1
        warnings.append(
            f"each of the {count(len(train), 'training clip')} has {'the class' if one else 'the classes'} "
            f"{_list_names(always)}: the model will say so of every clip; add clips without "
            f"{'it, or leave it' if one else 'them, or leave them'} out (data.only=[...])"
        )
    for alike in _find_identical(y_NC, np.flatnonzero(seen & absent)):
        warnings.append(
            f"classes {_list_names([names[c] for c in alike])} are in the same training clips, always "
            "together: the model cannot tell them apart; add clips with one of them alone, or make them one "
            "class"
        )


def _find_constant(clips: int, always: list[str], names: list[str]) -> str:
    if always:
        whose = f"All {clips} training clips are" if clips > 1 else "The only training clip is"
        return (
            f"{whose} {_list_names(always)}: there is nothing to tell {'it' if len(always) == 1 else 'them'} "
            "from. Add blank clips or clips of other species."
        )
    return (
        f"No training clip (of {clips}) has {_list_names(names)}: there is nothing to learn. Add clips that "
        f"have {'it' if len(names) == 1 else 'them'}, or name other classes: data.only=[...]."
    )


def _find_identical(y_NC: np.ndarray, columns: np.ndarray) -> list[list[int]]:
    """Return groups of classes with the same labels throughout, of two clips or more."""
    alike: dict[bytes, list[int]] = {}
    for c in columns.tolist():
        if (y_NC[:, c] == 1).sum() > 1:
            alike.setdefault(np.packbits(y_NC[:, c] == 1).tobytes(), []).append(c)
    return [group for group in alike.values() if len(group) > 1]


def _list_names(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return " and ".join(names) if len(names) == 2 else ", ".join(names[:MOST]) + more
