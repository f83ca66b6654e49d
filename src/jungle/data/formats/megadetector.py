"""Results of MegaDetector and of classifiers behind it, as labels: its JSON format 1.x."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BaseModel, Field, ValidationError

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.labels_csv import load_tables, report_refused, unify_names
from jungle.data.formats.merging import LabelTable
from jungle.data.formats.observed import (
    build_clips,
    count_labels,
    count_suffixes,
    list_counts,
    read_json,
)
from jungle.data.formats.roots import place_names
from jungle.data.table_io import Table
from jungle.data.text import clean_name, is_ambiguous, is_blank, is_missing
from jungle.data.validation_report import Problems
from jungle.data.video_suffixes import is_video
from jungle.errors import UserError
from jungle.names import show
from jungle.wording import count, tally

DETECTION, CLASSIFICATION = 0.2, 0.5
"""Confidence from which a detection and a classification count, where neither settings nor the file say."""
ANIMAL, BLANK = "animal", "blank"
UNNAMED = (ANIMAL, "unknown", "unidentified", "no cv result")
"""Classifications that are no species."""
Confidence = Annotated[float, Field(ge=0, le=1)]


class _Metadata(BaseModel):
    """Confidences that a model's authors recommend."""

    typical_detection_threshold: Confidence | None = None
    typical_classification_threshold: Confidence | None = None


class _Info(BaseModel):
    """Where the results come from."""

    format_version: str | float = "1.0"
    detector: str | None = None
    classifier: str | None = None
    detector_metadata: _Metadata = _Metadata()
    classifier_metadata: _Metadata = _Metadata()


class _File(BaseModel):
    """A file of results."""

    info: _Info = _Info()
    detection_categories: dict[str, str] = Field({})
    classification_categories: dict[str, str] | None = None
    images: list[object]


class _Detection(BaseModel):
    """One thing in one frame."""

    category: str | int
    conf: Confidence
    classifications: list[tuple[str | int, Confidence]] | None = None


class _Entry(BaseModel):
    """What was found in one image or video."""

    file: Annotated[str, Field(min_length=1)]
    detections: list[_Detection] | None = None
    failure: object = None


@dataclass(frozen=True, slots=True)
class _Rules:
    """How detections become labels."""

    categories: Mapping[str, str]
    species: Mapping[str, str]
    detection: float
    classification: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What the entries of a file say; lists of one length, then files that are counted."""

    files: list[str] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    labels: list[list[str] | None] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    strange: Counter[str] = field(default_factory=Counter)


def load_megadetector(source: LabelSource, problems: Problems) -> Clips:
    """Read the detections of videos as labels.

    Each detection with enough confidence gives its category (animal, person, vehicle). Where the file has
    classifications, it gives its first class, if that has enough confidence, and an animal without such a
    class is no label. A video without any such detection is `blank`. One that failed has no label.

    Raises:
        UserError: a file cannot be read, is of another format, or names no video.
    """
    source.report_absent_root(problems)
    return load_tables(source, problems, _read_results)


def _read_results(path: Path, source: LabelSource, problems: Problems) -> LabelTable:
    results = _parse(path)
    info, given = results.info, source.min_confidence
    typical = (
        info.detector_metadata.typical_detection_threshold,
        info.classifier_metadata.typical_classification_threshold,
    )
    detection, classification = (
        given if given is not None else usual if own is None else own
        for own, usual in zip(typical, (DETECTION, CLASSIFICATION), strict=True)
    )
    rules = _Rules(
        {key: clean_name(name) for key, name in results.detection_categories.items()},
        {key: clean_name(name) for key, name in (results.classification_categories or {}).items()},
        detection,
        classification,
    )
    found = _Found()
    for number, entry in enumerate(results.images, 1):
        _read_entry(entry, number, rules, found)
    problems.add(
        "entries of images cannot be read",
        found.wrong,
        "Write the file again with the program that made it; MegaDetector has a validator of its format.",
    )
    if not found.files and not problems:
        raise UserError(
            f"{path}: none of its {count(len(found.others), 'file')} is a video "
            f"({count_suffixes(found.others) or 'it is empty'}): run MegaDetector on the videos themselves"
        )
    _say_found(path, info, rules, found)
    table = Table(path, pl.DataFrame({"file": found.files}), pl.Series(found.entries), unit="entry")
    names = unify_names(table, place_names(table.frame["file"], source.roots or [path.parent]))
    report_refused(table, names, "file", problems)
    keep = names.clip.is_not_null()
    clips = build_clips(
        pl.DataFrame([names.clip, names.path]).filter(keep),
        [row for row, kept in zip(found.labels, keep, strict=True) if kept],
        classes=source.classes,
        path=path,
        problems=problems,
    )
    return LabelTable(path, clips)


def _parse(path: Path) -> _File:
    """Return the results in a file, their entries as they are.

    Raises:
        UserError: it is no file of results.
    """
    try:
        results = _File.model_validate(read_json(path))
    except ValidationError as e:
        raise UserError(
            f"{path}: not results of MegaDetector in format 1.x, which has info, detection_categories and "
            f"images: {_explain(e)}"
        ) from None
    version = str(results.info.format_version)
    if not version.startswith("1"):
        raise UserError(f"{path}: results in format {show(version, 20)} of MegaDetector; 1.x can be read")
    return results


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return f"{show(place, 60)}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _read_entry(entry: object, number: int, rules: _Rules, found: _Found) -> None:
    """Add what one entry of `images` says."""
    try:
        one = _Entry.model_validate(entry)
    except ValidationError as e:
        found.wrong.append(f"entry {number} ({_explain(e)})")
        return
    if not is_video(one.file):
        found.others.append(one.file)
        return
    label = None
    if one.failure is not None or one.detections is None:
        found.failed.append(one.file)
    else:
        label = _read_label(list(_find_seen(one.detections, rules, found.strange)), bool(rules.species))
        if label is None:
            found.unnamed.append(one.file)
    found.files.append(one.file)
    found.entries.append(number)
    found.labels.append(label)


def _find_seen(detections: list[_Detection], rules: _Rules, strange: Counter[str]) -> Iterator[str]:
    """Yield what each detection with enough confidence shows: its species, else its category."""
    for one in detections:
        if one.conf < rules.detection:
            continue
        category = rules.categories.get(str(one.category))
        if category is None:  # by the format, this is no detection
            strange[str(one.category)] += 1
            continue
        key, confidence = max(one.classifications or [("", 0.0)], key=lambda pair: pair[1])
        name = rules.species.get(str(key), "")
        if name == "" and key != "":
            strange[f"classification {key}"] += 1
        unnamed = name.casefold() in UNNAMED or is_missing(name) or is_ambiguous(name)
        yield name if name and not unnamed and confidence >= rules.classification else category


def _read_label(seen: list[str], by_species: bool) -> list[str] | None:
    """Return the classes of a clip from what was seen; None where that is an animal of unknown species."""
    unnamed = by_species and ANIMAL in seen
    named = sorted({name for name in seen if not is_blank(name) and not (by_species and name == ANIMAL)})
    return named or (None if unnamed else [BLANK])


def _say_found(path: Path, info: _Info, rules: _Rules, found: _Found) -> None:
    model = (info.classifier if rules.species else info.detector) or "an unnamed model"
    second = f", of classifications from {rules.classification:g}" if rules.species else ""
    least = f"{rules.detection:g}{second} (data.min_confidence)"
    log.info(
        f"{path}: labels by {show(model, 60)}, of detections from a confidence of {least}: "
        f"{count_labels(found.labels) or 'none'}. A machine made them: look at some."
    )
    for what, files in (
        ("files failed there and have no label", found.failed),
        ("videos have no label, since it is not sure which species they show", found.unnamed),
    ):
        if files:
            log.warning(f"{path}: {tally(len(files), what)}: {', '.join(show(f, 60) for f in files[:3])}")
    if found.others:
        said = tally(len(found.others), "files are no videos")
        log.warning(f"{path}: {said}, left out: {count_suffixes(found.others)}")
    if found.strange:
        log.warning(f"{path}: detections of unknown categories are passed over: {list_counts(found.strange)}")
