"""Predictions of several models: models of the same frames share one decoding, and one pass per backbone."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from jungle.config import PredictConfig
from jungle.data.batch import Batch, ValuesKey
from jungle.data.clip_reader import VideoReader
from jungle.data.content_key import Content
from jungle.data.loader import ClipLoader, Read
from jungle.data.predictions import FAILED, ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.features.fingerprint import fingerprint
from jungle.features.reader import FeatureReader
from jungle.features.spec import compute_dtype, feature_specs
from jungle.features.store import FeatureStore
from jungle.models.checkpoint import Loaded
from jungle.models.inference import compute_features, predict_batches
from jungle.system import free_memory, share_of_cores
from jungle.video import ClipSpec
from jungle.video.workers import device_selection

BLOCK = 64  # clips that one group of models answers before the next group reads them


@dataclass(frozen=True)
class AllClips:
    """All clips of a prediction, in order; a clip's place is its number.

    Attributes:
        paths: of their files, absolute; empty where there is none.
        contents: what each file holds; None for one that cannot be read.
        facts_NF: metadata of the clips, where a model uses them (`jungle.data.metadata`).
    """

    paths: Sequence[str]
    contents: Sequence[Content | None]
    facts_NF: np.ndarray | None = None

    @cached_property
    def keys(self) -> list[Content | None]:
        """The keys of each clip's row.

        Metadata change the answer as the file does: a clip whose metadata have changed is predicted again.
        """
        if self.facts_NF is None:
            return list(self.contents)
        digests = [hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in self.facts_NF]
        return [c and c.with_facts(facts) for c, facts in zip(self.contents, digests, strict=True)]


Groups = Mapping[ClipSpec, Sequence[Loaded]]
"""Loaded models by how clips become frames; models of the same frames share one decoding."""


def resolve_clip_spec(
    cfg: PredictConfig, spec: ClipSpec, members: list[Loaded], paths: list[str], device: str, folder: Path
) -> ClipSpec:
    """Return the spec with the decoder that the command names and the device to decode on.

    `folder` keeps the choice of a trial, so that a resumed command decodes on the same device.
    """
    first = members[0]

    def has_features(spec: ClipSpec) -> bool:
        return _open_stores(cfg, first, spec, compute_dtype(device)) is not None

    if cfg.decoder.name is not None:
        spec = replace(spec, decoder=cfg.decoder.name, device="cpu")
    return device_selection.select_device(
        spec,
        cfg.decoder.device,
        paths,
        device=device,
        workers=share_of_cores() if cfg.workers is None else cfg.workers,
        timeout_s=cfg.timeout_s,
        stored=has_features if first.model.is_frozen else lambda _: False,
        folder=folder,
    )


def _open_stores(cfg: PredictConfig, member: Loaded, spec: ClipSpec, dtype: str) -> list[FeatureStore] | None:
    """Open the stores of what a member's backbones see; None where one of them is not there."""
    shapes = feature_specs(member.model.backbone, spec, member.weights_hash, dtype)
    if not all(FeatureStore.find_folder(cfg.paths.features, s["backbone"], s).is_dir() for s in shapes):
        return None
    return [FeatureStore.open(cfg.paths.features, s["backbone"], s) for s in shapes]


def _hash_backbone(member: Loaded) -> str:
    """Hash all that shapes a frozen member's features of given frames."""
    return fingerprint({"weights": member.weights_hash, "backbone": member.model.backbone.to_dict()})


def select_whole_batches(todo: Sequence[int], clips: AllClips, batch_size: int, device: str) -> list[int]:
    """Return the clips that must be answered so that those of `todo` have the answers of an undisturbed run.

    On the CPU these are the clips of `todo`, since each clip is answered alone. On a GPU the last bit of an
    answer may depend on its batch, which is fixed by the clips' numbers: an unfinished batch is repeated.
    """
    if device == "cpu" or not todo:
        return list(todo)
    batches = {n // batch_size for n in todo}
    return [n for n, key in enumerate(clips.contents) if key is not None and n // batch_size in batches]


def predict_clips(
    cfg: PredictConfig,
    groups: Groups,
    clips: AllClips,
    todo: Sequence[int],
    classes: Sequence[str],
    device: str,
) -> Iterator[ClipPrediction]:
    """Yield the prediction of each clip of `todo`: the mean of the models that could read it.

    Raises:
        UserError: a model's answer is no number.
    """
    if len(groups) == 1:
        [(spec, members)] = groups.items()
        yield from predict_group(cfg, spec, members, clips, todo, classes, device)
        return
    span = max(BLOCK // cfg.batch_size, 1) * cfg.batch_size  # no batch is cut in two
    for part in _parts(todo, span):
        found: dict[int, list[tuple[int, ClipPrediction]]] = {n: [] for n in part}
        for spec, members in groups.items():
            for row in predict_group(cfg, spec, members, clips, part, classes, device):
                found[row.number].append((len(members), row))
        yield from map(average, found.values())


def _parts(numbers: Sequence[int], span: int) -> list[list[int]]:
    parts: dict[int, list[int]] = {}
    for n in numbers:
        parts.setdefault(n // span, []).append(n)
    return list(parts.values())


def average(rows: Sequence[tuple[int, ClipPrediction]]) -> ClipPrediction:
    """Return the mean of a clip's predictions, each given with the number of models that it is the mean of.

    Only models that could read the clip count. Where some could not, the mean is `degraded`; where none
    could, it has failed. Frame times and attention are those of the first that read it.
    """
    read = [(n, row, row.probs) for n, row in rows if row.probs is not None]
    if not read:
        return rows[0][1]
    first, models = read[0][1], sum(n for n, _, _ in read)
    probs_C = np.sum([n * probs_C.astype(np.float64) for n, _, probs_C in read], axis=0) / models
    lost = [(n, row) for n, row in rows if row.status == FAILED]
    worst = next((row for _, row, _ in read if row.status != "ok"), first)
    status, reasons = worst.status, [worst.reason] if worst.reason else []
    if lost:
        status = "degraded"
        every = models + sum(n for n, _ in lost)
        reasons.insert(0, f"{every - models} of {every} models could not read it: {lost[0][1].reason}")
    return replace(first, status=status, reason="; ".join(reasons), probs=probs_C.astype(np.float32))


def predict_group(
    cfg: PredictConfig,
    spec: ClipSpec,
    members: Sequence[Loaded],
    clips: AllClips,
    todo: Sequence[int],
    classes: Sequence[str],
    device: str,
) -> Iterator[ClipPrediction]:
    """Yield each clip's prediction: the mean of the members' probabilities, the first one's attention.

    Where all members share one frozen backbone, what the feature store has is taken from there.

    Args:
        cfg: the command's.
        spec: what the members see of a clip.
        members: loaded models.
        clips: all clips.
        todo: numbers of those to answer.
        classes: the order of the probabilities; each member's are matched by name.
        device: a torch device.
    """
    dtype = compute_dtype(device)
    first = members[0]
    stored: list[int] = []
    alike = all(m.model.is_frozen and _hash_backbone(m) == _hash_backbone(first) for m in members)
    stores = _open_stores(cfg, first, spec, dtype) if alike else None
    how = (cfg, members, clips, classes, device, dtype)
    if stores is not None:
        reader = FeatureReader(stores, {n: c for n in todo if (c := clips.contents[n]) is not None})
        stored = [n for n in todo if n not in reader.unread]
        if stored:
            yield from _rows(*how, reader, "x_BTD", stored)
    done = set(stored)
    rest = [n for n in todo if n not in done]
    if not rest:
        return
    workers = share_of_cores() if cfg.workers is None else cfg.workers
    _check_batch(cfg, spec)
    reader = VideoReader(clips.paths, spec, workers, cfg.timeout_s, device=device)
    try:
        yield from _rows(*how, reader, "frames_BTHWC", rest)
    finally:
        reader.close()


def _check_batch(cfg: PredictConfig, spec: ClipSpec) -> None:
    """Refuse a batch that memory cannot hold.

    Raises:
        UsageError: with what it takes and what is left.
    """
    free, batch = free_memory(), (spec.most_bytes or 0) * cfg.batch_size
    if batch > free:
        height, width = spec.size or (0, 0)
        raise UsageError(
            f"batch_size={cfg.batch_size}: so many clips of {spec.frames.count} frames of {height}x{width} "
            f"take {batch / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are left: give a smaller one"
        )


def _rows(
    cfg: PredictConfig,
    members: Sequence[Loaded],
    clips: AllClips,
    classes: Sequence[str],
    device: str,
    dtype: str,
    read: Read,
    key: ValuesKey,
    numbers: Sequence[int],
) -> Iterator[ClipPrediction]:
    total = len(clips.paths)
    loader = ClipLoader(
        read,
        key,
        np.array(numbers),
        np.full((total, len(classes)), np.nan, np.float32),
        np.ones(total, np.float32),
        cfg.batch_size,
        max_failed_fraction=1.0,
        facts=clips.facts_NF,
        aligned=True,
    )
    orders = [[m.model.classes.index(c) for c in classes] for m in members]
    reported: set[int] = set()
    for batch in loader:
        yield from _failures(loader, reported)
        seen: dict[str, Batch] = {}
        per_model: list[list[ClipPrediction]] = []
        for member, order in zip(members, orders, strict=True):
            given = batch
            if key == "frames_BTHWC" and member.model.is_frozen:
                if (by := _hash_backbone(member)) not in seen:
                    member.model.to(device)
                    seen[by] = compute_features(member.model, batch, device, dtype)
                given = seen[by]
            rows = predict_batches(member.model, [given], device, dtype)
            per_model.append([replace(row, probs=_check_probs(row.probs, member)[order]) for row in rows])
        for rows in zip(*per_model, strict=True):
            yield replace(rows[0], probs=np.mean([row.probs for row in rows], axis=0))
    yield from _failures(loader, reported)


def _check_probs(probs_C: np.ndarray | None, member: Loaded) -> np.ndarray:
    """Return a model's probabilities of a clip.

    Raises:
        UserError: one is nan.
    """
    if probs_C is None or not np.isfinite(probs_C).all():
        raise UserError(
            f"ckpt={member.file}: its answer to a clip is not a number (nan); its weights are damaged or too "
            "large: train it again, or leave it out"
        )
    return probs_C


def _failures(loader: ClipLoader, reported: set[int]) -> Iterator[ClipPrediction]:
    for number in sorted(set(loader.failures) - reported):
        reported.add(number)
        yield ClipPrediction.failure(loader.failures[number], number)
