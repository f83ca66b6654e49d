"""What a checkpoint says of its model, read without torch, and the answers stored in it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jungle.data import predictions
from jungle.errors import UserError
from jungle.metrics.calibration import Calibration
from jungle.metrics.thresholds import Thresholds
from jungle.models.archives import check_plain, check_saved, one_line
from jungle.names import escape

ANSWERS = ("calibration", "thresholds")
"""Entries of a description that change no probability, only what is made of it."""


@dataclass(frozen=True, slots=True)
class Description:
    """What decisions need of a checkpoint.

    Attributes:
        task: `exclusive` or `multilabel`.
        classes: in the order of the model.
        calibration: None where it has none.
        thresholds: None where it has none.
    """

    task: str
    classes: tuple[str, ...]
    calibration: Calibration | None
    thresholds: Thresholds | None


def read_description(path: Path) -> Description:
    """Read the classes, the calibration and the thresholds of a checkpoint; no code of the file is run.

    Raises:
        UserError: it is no checkpoint of this program, or what it says is not valid.
    """
    try:
        check_saved(path)
        about = _read_about(path)
        check_plain(about, "its description")
        if about.get("version") != 1 or about.get("task") not in ("exclusive", "multilabel"):
            raise UserError("not a checkpoint of this program")
        named = about.get("classes")
        if not isinstance(named, (list, tuple)):
            raise UserError("its classes are no list of names")
        classes = predictions.check_classes(tuple(named))
        return Description(str(about["task"]), classes, *read_answers(about, classes))
    except UserError as e:
        raise UserError(
            f"ckpt={path}: {escape(str(e))}. Give the best.ckpt or last.ckpt of a training run"
        ) from None
    except OSError as e:
        raise UserError(f"ckpt={path}: {(e.strerror or 'cannot be read').lower()}") from None


def read_answers(
    about: Mapping[str, object], classes: Sequence[str]
) -> tuple[Calibration | None, Thresholds | None]:
    """Return the calibration and the thresholds of a description; None for one that it lacks.

    Raises:
        UserError: a value is none that a fit gives, or of a class that the model does not know.
    """
    calibration, thresholds = about.get("calibration"), about.get("thresholds")
    return (
        None if calibration is None else Calibration.from_dict(calibration, len(classes)),
        None if thresholds is None else Thresholds.from_dict(thresholds, classes),
    )


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values; a tensor becomes None."""

    def find_class(self, module: str, name: str) -> object:
        """Return a stand-in for what builds tensors; `check_saved` has refused everything else."""
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _make_nothing

    def persistent_load(self, pid: object) -> None:
        """Return nothing for the numbers of a tensor."""


def _make_nothing(*_: object) -> None:
    return None


def _read_about(path: Path) -> dict[str, object]:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl")
            saved = _PlainUnpickler(io.BytesIO(archive.read(name))).load()
    except OSError:
        raise
    except Exception as e:
        raise UserError(f"damaged ({one_line(e)})") from None
    about = saved.get("jungle") if isinstance(saved, dict) else None
    if not isinstance(about, dict):
        raise UserError("not a checkpoint of this program (it has no 'jungle' entry)")
    return about
