"""Predictions of several models: clips are decoded once for all of them, ahead of the models.

Models of one frozen backbone share its features, and what a feature store has is taken from there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from jungle.config import PredictConfig
from jungle.data.batch import Batch
from jungle.data.clip_reader import limit_ahead, make_sample
from jungle.data.content_key import Content
from jungle.data.loader import Sample, ValuesKey, make_batch
from jungle.data.predictions import FAILED, ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.features.fingerprint import compute_fingerprint
from jungle.features.reader import FeatureReader
from jungle.features.spec import compute_dtype, make_feature_specs
from jungle.features.store import FeatureStore
from jungle.models.checkpoint import Loaded
from jungle.models.inference import compute_features, predict_batch
from jungle.system import free_memory, share_of_cores
from jungle.video import Clip, ClipError, ClipSpec
from jungle.video.workers import device_selection
from jungle.video.workers.decode_pool import DecodePool, Job
from jungle.video.workers.gpu_pool import GpuPool, open_pool

Groups = Mapping[ClipSpec, Sequence[Loaded]]
"""Loaded models by how clips become frames; models of the same frames share one decoding."""
Samples = list[tuple[int, Sample]]
"""Numbers of clips, each with what was read of it."""


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
    shapes = make_feature_specs(member.model.backbone, spec, member.weights_hash, dtype)
    if not all(FeatureStore.find_folder(cfg.paths.features, s["backbone"], s).is_dir() for s in shapes):
        return None
    return [FeatureStore.open(cfg.paths.features, s["backbone"], s) for s in shapes]


def _hash_backbone(member: Loaded) -> str:
    """Hash all that shapes a frozen member's features of given frames."""
    return compute_fingerprint({"weights": member.weights_hash, "backbone": member.model.backbone.to_dict()})


@dataclass(frozen=True)
class Group:
    """Models that see the same frames of a clip.

    Attributes:
        spec: how clips become these frames.
        members: the models, on the device.
        orders: for each model, the place of each class in its answer.
    """

    spec: ClipSpec
    members: Sequence[Loaded]
    orders: Sequence[Sequence[int]]

    @cached_property
    def backbones(self) -> list[str | None]:
        """What shapes each model's features; None where frames go through the whole model."""
        return [_hash_backbone(m) if m.model.is_frozen else None for m in self.members]

    @property
    def has_one_backbone(self) -> bool:
        """Whether all models share one frozen backbone."""
        return None not in self.backbones and len(set(self.backbones)) == 1


@dataclass(frozen=True)
class _Lane:
    """Decoding processes, and the numbers of the groups for which they decode."""

    pool: DecodePool | GpuPool
    groups: tuple[int, ...]
    ahead: int


class Predictor:
    """Predict clips by all models. The decoding processes start at the first clip and stay until `close`.

    Args:
        cfg: the settings of the command.
        groups: the models.
        classes: the order of the probabilities; each model's are matched by name.
        device: a torch device.

    Raises:
        UsageError: memory cannot hold a batch.
    """

    def __init__(self, cfg: PredictConfig, groups: Groups, classes: Sequence[str], device: str) -> None:
        self.cfg, self.classes, self.device = cfg, tuple(classes), device
        self.dtype = compute_dtype(device)
        self.groups = [
            Group(spec, members, [[m.model.classes.index(c) for c in classes] for m in members])
            for spec, members in groups.items()
        ]
        for group in self.groups:
            for member in group.members:
                member.model.eval().to(device)
        self._stores = [
            _open_stores(cfg, g.members[0], g.spec, self.dtype) if g.has_one_backbone else None
            for g in self.groups
        ]
        self._lanes: list[_Lane] | None = None
        self._pools = ExitStack()

    def close(self) -> None:
        """End the decoding processes."""
        self._pools.close()

    def predict(
        self,
        todo: Sequence[int],
        paths: Mapping[int, str],
        contents: Mapping[int, Content],
        facts_NF: np.ndarray | None = None,
    ) -> Iterator[ClipPrediction]:
        """Yield the prediction of each clip of `todo`, in order: the mean of the models that could read it.

        Clips whose numbers have the same quotient by the batch size are answered in one batch.

        Args:
            todo: numbers of the clips, ascending.
            paths: of their files.
            contents: of their files.
            facts_NF: metadata, by number, where a model uses them.

        Raises:
            UserError: a model's answer is no number.
        """
        readers = [
            None if stores is None else FeatureReader(stores, {n: contents[n] for n in todo})
            for stores in self._stores
        ]
        stored = [set() if r is None else {n for n in todo if n not in r.unread} for r in readers]
        features = [
            iter(()) if r is None else r([n for n in todo if n in mine], 0)
            for r, mine in zip(readers, stored, strict=True)
        ]
        decoded = self._decode(todo, paths, stored)
        for batch in _split_batches(todo, self.cfg.batch_size):
            found: dict[int, list[tuple[int, ClipPrediction]]] = {n: [] for n in batch}
            read = {n: next(decoded) for n in batch}
            for i, group in enumerate(self.groups):
                ready = [next(features[i]) for n in batch if n in stored[i]]
                frames = [(n, read[n][i]) for n in batch if n not in stored[i]]
                answers = (
                    *self._predict_group(group, "x_BTD", ready, facts_NF),
                    *self._predict_group(group, "frames_BTHWC", frames, facts_NF),
                )
                for row in answers:
                    found[row.number].append((len(group.members), row))
            yield from (rows[0][1] if len(rows) == 1 else average(rows) for rows in found.values())

    def _predict_group(
        self,
        group: Group,
        key: ValuesKey,
        clips: Sequence[tuple[int, Sample | str]],
        facts_NF: np.ndarray | None,
    ) -> Iterator[ClipPrediction]:
        """Yield each clip's prediction: the mean of the members' probabilities, the first one's attention."""
        samples: Samples = []
        for number, sample in clips:
            if isinstance(sample, str):
                yield ClipPrediction.failure(sample, number)
            else:
                samples.append((number, sample))
        if not samples:
            return
        batch = make_batch(
            samples,
            key,
            targets_BC=np.full((len(samples), len(self.classes)), np.nan, np.float32),
            weight_B=np.ones(len(samples), np.float32),
            facts_BF=None if facts_NF is None else facts_NF[[n for n, _ in samples]],
        )
        seen: dict[str, Batch] = {}
        per_model: list[list[ClipPrediction]] = []
        for member, order, backbone in zip(group.members, group.orders, group.backbones, strict=True):
            given = batch
            if key == "frames_BTHWC" and backbone is not None:
                if backbone not in seen:
                    seen[backbone] = compute_features(member.model, batch, self.device, self.dtype)
                given = seen[backbone]
            rows = predict_batch(member.model, given, self.device, self.dtype)
            per_model.append([replace(row, probs=_check_probs(row.probs, member)[order]) for row in rows])
        for (_, sample), *rows in zip(samples, *per_model, strict=True):
            probs = np.mean([row.probs for row in rows], axis=0)
            yield replace(rows[0], probs=probs, duration=sample.duration, created=sample.created)

    def _decode(
        self, todo: Sequence[int], paths: Mapping[int, str], stored: Sequence[set[int]]
    ) -> Iterator[dict[int, Sample | str]]:
        """Yield for each clip what was decoded, by the number of the group, or why nothing could be."""
        wanted = [[i for i in range(len(self.groups)) if n not in stored[i]] for n in todo]
        if not any(wanted):
            yield from ({} for _ in todo)
            return
        if self._lanes is None:
            self._lanes = self._open_lanes()
        lanes = [(lane.groups, self._run(lane, todo, paths, wanted)) for lane in self._lanes]
        for mine in wanted:
            found: dict[int, Sample | str] = {}
            for groups, results in lanes:
                if which := [i for i in mine if i in groups]:
                    clips = next(results)
                    if isinstance(clips, ClipError):
                        found.update(dict.fromkeys(which, str(clips)))
                    else:
                        found.update(zip(which, map(make_sample, clips), strict=True))
            yield found

    def _open_lanes(self) -> list[_Lane]:
        """Start one pool that decodes each clip once for all groups; where a GPU decodes, one for each."""
        workers = share_of_cores() if self.cfg.workers is None else self.cfg.workers
        specs = [group.spec for group in self.groups]
        for spec in specs:
            _check_batch(self.cfg, spec)
        ahead = limit_ahead(specs, 2 * max(workers, 1) + 2)
        if len(specs) > 1 and all(spec.device == "cpu" for spec in specs):
            pool = DecodePool(specs, workers=workers, timeout_s=self.cfg.timeout_s)
            return [_Lane(self._pools.enter_context(pool), tuple(range(len(specs))), ahead)]
        lanes = []
        for i, spec in enumerate(specs):
            pool = open_pool(spec, device=self.device, workers=workers, timeout_s=self.cfg.timeout_s)
            lanes.append(_Lane(self._pools.enter_context(pool), (i,), ahead))
        return lanes

    @staticmethod
    def _run(
        lane: _Lane, todo: Sequence[int], paths: Mapping[int, str], wanted: Sequence[Sequence[int]]
    ) -> Iterator[list[Clip] | ClipError]:
        places = {group: place for place, group in enumerate(lane.groups)}
        jobs = (
            Job(str(n), paths[n], specs=tuple(places[i] for i in mine if i in places))
            for n, mine in zip(todo, wanted, strict=True)
            if not places.keys().isdisjoint(mine)
        )
        if isinstance(lane.pool, DecodePool):
            for _, found in lane.pool.map_each(jobs, ahead=lane.ahead):
                yield found
        else:
            for _, clip in lane.pool.map(jobs, ahead=lane.ahead):
                yield clip if isinstance(clip, ClipError) else [clip]


def _split_batches(numbers: Iterable[int], size: int) -> list[list[int]]:
    """Return the numbers in groups of the same quotient by `size`."""
    batches: dict[int, list[int]] = {}
    for n in numbers:
        batches.setdefault(n // size, []).append(n)
    return list(batches.values())


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
