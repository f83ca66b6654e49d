"""Answers of models that see the same frames: a clip is decoded once, and once through each backbone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jungle.config import PredictConfig
from jungle.cores import share_of_cores
from jungle.data.loader import ClipLoader
from jungle.data.video_reader import VideoReader
from jungle.errors import UsageError
from jungle.memory import free_memory
from jungle.video import ClipSpec

Clip = tuple[str, str | None, str]  # name, path, content key


def settled(
    cfg: PredictConfig, spec: ClipSpec, members: list[Any], paths: list[str], device: str
) -> ClipSpec:
    """Return the spec with the decoder that the command names and the device to decode on."""
    from jungle import decoding
    from jungle.features.plans import compute_dtype

    first = members[0]

    def stored(made: ClipSpec) -> bool:
        return _stores(cfg, first, made, compute_dtype(device)) is not None

    if cfg.decoder.name is not None:
        spec = replace(spec, decoder=cfg.decoder.name, device="cpu")
    return decoding.settle(
        spec,
        cfg.decoder.device,
        paths,
        device=device,
        workers=share_of_cores() if cfg.workers is None else cfg.workers,
        timeout_s=cfg.timeout_s,
        stored=stored if first.model.is_frozen else lambda _: False,
    )


def _stores(cfg: PredictConfig, member: Any, spec: ClipSpec, dtype: str) -> list[Any] | None:
    """Open the stores of what a member's backbones see; None where one of them is not there."""
    from jungle.features.plans import feature_specs
    from jungle.features.store import FeatureStore

    shapes = feature_specs(member.model.backbone, spec, member.weights_hash, dtype)
    if not all(FeatureStore.folder_of(cfg.paths.features, s["backbone"], s).is_dir() for s in shapes):
        return None
    return [FeatureStore.open(cfg.paths.features, s["backbone"], s) for s in shapes]


def group_answers(
    cfg: PredictConfig,
    spec: ClipSpec,
    members: list[Any],
    clips: list[Clip],
    facts_NF: np.ndarray | None,
    device: str,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each clip's number and row: the mean of the members' probabilities, the first one's attention.

    `facts_NF`: what is known of the clips besides, where a member sees it (`jungle.data.metadata`).
    Where all members share one frozen backbone, what the feature store has is taken from there.
    """
    from jungle.features.plans import compute_dtype
    from jungle.features.reader import FeatureReader

    dtype = compute_dtype(device)
    first = members[0]
    stored: set[int] = set()
    alike = all(m.model.is_frozen and m.weights_hash == first.weights_hash for m in members)
    stores = _stores(cfg, first, spec, dtype) if alike else None
    if stores is not None:
        keys = [k for _, _, k in clips]
        unread = {k for store in stores for k in (*store.missing(keys), *store.failures())}
        stored = {i for i, k in enumerate(keys) if k not in unread}
        if stored:
            reader = FeatureReader(stores, keys)
            yield from _rows(
                cfg, members, reader, "x_BTD", sorted(stored), facts_NF, device, dtype, len(clips)
            )
    rest = [i for i in range(len(clips)) if i not in stored]
    if not rest:
        return
    workers = share_of_cores() if cfg.workers is None else cfg.workers
    paths = [str(Path(p or "").absolute()) for _, p, _ in clips]
    _check_batch(cfg, spec)
    reader = VideoReader(paths, spec, workers, cfg.timeout_s, device=device)
    try:
        yield from _rows(cfg, members, reader, "frames_BTHWC", rest, facts_NF, device, dtype, len(clips))
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
    members: list[Any],
    read: Any,
    key: str,
    numbers: list[int],
    facts_NF: np.ndarray | None,
    device: str,
    dtype: str,
    total: int,
) -> Iterator[tuple[int, dict[str, Any]]]:
    from jungle.models.inference import answers, frame_features

    classes = len(members[0].model.classes)
    none = np.full((total, classes), np.nan, np.float32)
    loader = ClipLoader(
        read,
        key,
        np.array(numbers),
        none,
        np.ones(total, np.float32),
        cfg.batch_size,
        max_failed_fraction=1.0,
        facts=facts_NF,
    )
    said: set[int] = set()
    for batch in loader:
        yield from _failed(loader, said, classes)
        seen: dict[str, Any] = {}
        per_model = []
        for member in members:
            given = batch
            if key == "frames_BTHWC" and member.model.is_frozen:
                if member.weights_hash not in seen:
                    member.model.to(device)
                    seen[member.weights_hash] = frame_features(member.model, batch, device, dtype)
                given = seen[member.weights_hash]
            per_model.append(list(answers(member.model, [given], device, dtype)))
        for rows in zip(*per_model, strict=True):
            mean = np.mean([r["probs"] for r in rows], axis=0)
            yield rows[0]["number"], {**rows[0], "probs": mean}
    yield from _failed(loader, said, classes)


def _failed(loader: ClipLoader, said: set[int], classes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for number in sorted(set(loader.failures) - said):
        said.add(number)
        reason = loader.failures[number]
        yield number, {"status": "failed", "reason": reason, "probs": np.zeros(classes, np.float32)}
