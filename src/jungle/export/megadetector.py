"""MegaDetector's output format 1.6, which Timelapse and other programs import.

A classifier of whole clips finds no boxes: a clip has one detection a category, the whole frame, at the frame
with the highest attention.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.errors import UsageError
from jungle.export.categories import Category, find_category
from jungle.export.settings import ExportSettings, Results
from jungle.files import write_text
from jungle.names import show
from jungle.wording import tally

VERSION = "1.6"
Detected = Literal["animal", "person", "vehicle"]
DETECTED: dict[Detected, str] = {"animal": "1", "person": "2", "vehicle": "3"}
DETECTED_AS: dict[Category, Detected] = {
    "animal": "animal",
    "unknown": "animal",
    "human": "person",
    "vehicle": "vehicle",
}
LEAST = 0.005  # confidence below which MegaDetector writes no detection either
UNKNOWN_RATE = -1.0  # of a file that could not be read, as MegaDetector writes it
DIGITS = 4


class Detection(TypedDict):
    """One detection of a video; `classifications` are pairs of class id and probability, highest first."""

    category: str
    conf: float
    bbox: list[float]
    frame_number: int
    classifications: list[tuple[str, float]]


class Image(TypedDict):
    """One file; `detections` is None where it could not be read."""

    file: str
    frame_rate: float
    frames_processed: list[int]
    detections: list[Detection] | None
    failure: NotRequired[str]


@dataclass(frozen=True, slots=True)
class _Model:
    """Classes of a model: those of empty clips, and those of each detection category with their ids."""

    blank: list[str]
    detected: dict[Detected, list[tuple[str, str]]]
    exclusive: bool


def write(results: Results, settings: ExportSettings) -> list[Path]:
    """Write `megadetector.json`.

    Raises:
        UsageError: the frame rate of a clip that was read is unknown.
    """
    _check_rates(results)
    kinds: dict[str, Category] = {c: find_category(c) for c in results.classes}
    model = _Model(
        blank=[c for c, kind in kinds.items() if kind == "blank"],
        detected={
            name: [
                (str(i), c) for i, (c, kind) in enumerate(kinds.items(), 1) if DETECTED_AS.get(kind) == name
            ]
            for name in DETECTED
        },
        exclusive=results.task == "exclusive",
    )
    images = [_make_image(row, model) for row in results.table.iter_rows(named=True)]
    content = {
        "info": {
            "format_version": VERSION,
            "detector": "none: whole frames",
            "detector_metadata": {"typical_detection_threshold": settings.threshold},
            "classifier": settings.model,
            "classifier_metadata": {"typical_classification_threshold": settings.threshold},
        },
        "detection_categories": {number: name for name, number in DETECTED.items()},
        "classification_categories": {
            str(i): c for i, c in enumerate(results.classes, 1) if kinds[c] != "blank"
        },
    }
    head = json.dumps(content, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n  ".join(json.dumps(image, ensure_ascii=False, allow_nan=False) for image in images)
    path = settings.out / "megadetector.json"
    write_text(path, f'{head},\n "images": [\n  {lines}\n ]\n}}\n')  # one line a clip
    if not predictions.select_read(results.table)["attention"].is_not_null().any():
        log.info("megadetector.json: the model has no attention: each box is at the middle frame that it saw")
    return [path]


def _check_rates(results: Results) -> None:
    """Refuse clips that were read and whose frame rate is unknown: the format requires it.

    Raises:
        UsageError: how many, and the first.
    """
    lacks = predictions.select_read(results.table).filter(pl.col("fps").is_null())
    if len(lacks):
        raise UsageError(
            f"megadetector: the frame rate of {tally(len(lacks), 'clips')} is unknown, as "
            f"{show(lacks['clip'][0])}: give videos=<folder of the clips>, or index=<table of jungle index>"
        )


def _make_image(row: dict[str, object], model: _Model) -> Image:
    """Return the entry of a clip, from its row."""
    fps, clip = row["fps"], str(row["clip"])
    if row["status"] == predictions.FAILED:
        return {
            "file": clip,
            "frame_rate": fps if isinstance(fps, float) and fps > 0 else UNKNOWN_RATE,
            "frames_processed": [],
            "detections": None,
            "failure": str(row["reason"] or "could not be read"),
        }
    assert isinstance(fps, float)
    times_T = np.array(row["times"] or [0.0], np.float64)
    frames_T = np.round(times_T * fps).astype(int).clip(0)
    weights = row["attention"]
    best = int(np.argmax(weights)) if isinstance(weights, list) and weights else (len(frames_T) - 1) // 2
    return {
        "file": clip,
        "frame_rate": fps if fps > 0 else 1.0,  # a clip of one frame has no rate, and its frame is number 0
        "frames_processed": sorted({int(f) for f in frames_T}),
        "detections": _list_detections(row, model, int(frames_T[best])),
    }


def _list_detections(row: dict[str, object], model: _Model, frame: int) -> list[Detection]:
    """Return the detections of a clip, one a category that the model has classes of, the surest first.

    The confidence is the probability of all classes of the category together. Where classes do not exclude
    each other, that of animals is 1 - p(blank), or the highest where no class is of empty clips.
    """
    found: list[Detection] = []
    for name, classes in model.detected.items():
        probs = [(number, float(row[c])) for number, c in classes]  # type: ignore[arg-type]  # a number
        if not probs:
            continue
        values = [p for _, p in probs]
        conf = min(sum(values), 1.0) if model.exclusive else max(values)
        if name == "animal" and not model.exclusive and model.blank:
            conf = 1 - max(float(row[c]) for c in model.blank)  # type: ignore[arg-type]  # a number
        if conf < LEAST:
            continue
        pairs = [(number, round(p, DIGITS)) for number, p in probs]
        found.append(
            {
                "category": DETECTED[name],
                "conf": round(conf, DIGITS),
                "bbox": [0.0, 0.0, 1.0, 1.0],
                "frame_number": frame,
                "classifications": sorted(pairs, key=lambda pair: -pair[1]),
            }
        )
    return sorted(found, key=lambda d: -d["conf"])
