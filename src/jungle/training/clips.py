"""From a config to the clips of a training run, checked and split."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from jungle.config import ClipsConfig, TrainConfig
from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.contrast import check_contrast
from jungle.data.duplicates import join_copied_sites, lookup_contents, warn_of_copies
from jungle.data.formats import LabelSource, load_labels
from jungle.data.metadata import Metadata
from jungle.data.pseudo_labels import SoftLabels, read, select_free
from jungle.data.splits import assign_splits
from jungle.data.text import clean_name, match_names
from jungle.data.validation import check
from jungle.data.validation_report import Problems
from jungle.errors import UsageError, suggest
from jungle.models.checkpoint_metadata import CheckpointMetadata
from jungle.sample import ensure_sample
from jungle.video import ClipSpec
from jungle.wording import count


def load(cfg: ClipsConfig) -> tuple[Clips, dict[int, str]]:
    """Load, split, check and limit the clips; return them with the numbers of those that are not on disk.

    Raises:
        UserError: one message with all that is wrong with the labels.
    """
    problems = Problems()
    clips = _load(cfg, problems)
    contents = lookup_contents(clips, cfg.data.duplicates) if cfg.data.duplicates else None
    cut = assign_splits(
        clips if contents is None else join_copied_sites(clips, contents),
        val_fraction=cfg.data.val_fraction,
        test_fraction=cfg.data.test_fraction,
        folds=cfg.data.folds,
        fold=cfg.data.fold,
        seed=cfg.seed,
    )
    clips = clips.with_columns(split=cut.splits())
    if contents is not None:
        warn_of_copies(clips, contents)
    fixed = cfg.data.format in ("sample", "primatrix", "primatrix_micro") or cfg.data.folds is not None
    named = cfg.data.tables or cfg.data.roots
    where = named[0] if len(named) == 1 else "data.labels" if cfg.data.tables else "data.root"
    if cfg.data.format == "sample" and cfg.data.limit is not None:  # only what is kept is rendered
        kept = _only(clips, cfg.data.only).limit(cfg.data.limit, cfg.seed).table["clip"]
        clips = clips.where(clips.table["clip"].is_in(kept.implode()))
        _render_sample(cfg, kept.to_list())
        limit = None
    else:
        limit = cfg.data.limit
    checked = check(
        clips,
        classes=cfg.data.classes,
        missing=cfg.data.missing,
        strict=not fixed,
        problems=problems,
        where=where,
    )
    for warning in checked.warnings:
        log.warning(f"warning: {warning}")
    present = _only(checked.clips, cfg.data.only)
    if cfg.data.only is not None:
        _check_only(present, where)
    if cfg.data.limit is not None:
        return (present if limit is None else present.limit(limit, cfg.seed)), {}
    if not len(checked.failures):
        return present, {}
    gone = _only(clips.where(clips.table["clip"].is_in(checked.failures["clip"].implode())), cfg.data.only)
    reasons = dict(checked.failures.select("clip", "reason").iter_rows())
    whole = Clips(pl.concat([present.table, gone.table], how="diagonal_relaxed"), present.classes)
    return whole, {len(present) + i: reasons[c] for i, c in enumerate(gone.table["clip"])}


def _only(clips: Clips, names: Sequence[str] | None) -> Clips:
    """Return the clips with some of their classes alone, or all: clips of the others have none of these."""
    if names is None:
        return clips
    found = match_names(names, clips.classes)
    if lost := [*found.unknown, *found.ambiguous]:
        listed = ", ".join(map(repr, lost))
        raise UsageError(f"data.only: there is no class {listed}.{suggest(lost[0], clips.classes)}")
    for name, of in found.guessed.items():
        log.warning(f"data.only: {name!r} is the class {of!r}")
    kept = [c for c in clips.classes if c in found.known.values()]
    return Clips(clips.table.drop([c for c in clips.classes if c not in kept]), tuple(kept))


def _check_only(clips: Clips, where: object) -> None:
    """Refuse classes of `data.only` that every training clip has, or none; warn as `check_contrast` does."""
    problems = Problems()
    warnings: list[str] = []
    check_contrast(clips, problems, warnings)
    problems.raise_if_any(where)
    for warning in warnings:
        log.warning(f"warning: {warning}")


def _render_sample(cfg: ClipsConfig, clips: Sequence[str] | None) -> Path:
    """Render some clips of the sample, or all; return its folder."""
    return ensure_sample(cfg.data.roots[0], clips=cfg.data.sample_clips, only=clips)


def _load(cfg: ClipsConfig, problems: Problems) -> Clips:
    data, root = cfg.data, cfg.data.root
    cleaned = [clean_name(c) for c in data.classes or ()]
    if twice := [c for i, c in enumerate(cleaned) if c in cleaned[:i]]:
        raise UsageError(f"data.classes: {twice[0]!r} is named twice; remove one")
    if data.format == "sample":
        root = _render_sample(cfg, None if data.limit is None else ()) / "raw"
    source = LabelSource(
        root=root,
        labels=data.labels,
        template=data.template,
        test_labels=data.test_labels,
        sites=data.sites,
        classes=data.classes,
        filepath_column=data.filepath_column,
        label_column=data.label_column,
        rename=data.rename,
        min_confidence=data.min_confidence,
        timezone=data.timezone,
    )
    return load_labels(data.format, source, problems)


def compute_priors(clips: Clips) -> dict[str, float]:
    """Return the share of each class in the training clips; 0 for a class without any known label.

    A clip counts as much as its weight, as it does in the loss.
    """
    train = clips.of("train")
    targets, weight_N1 = train.targets(), train.weights()[:, None].astype(np.float64)
    known = (np.isfinite(targets) * weight_N1).sum(0)
    share = np.nansum(targets * weight_N1, axis=0) / np.where(known > 0, known, 1)
    return {c: float(p) for c, p in zip(clips.classes, share, strict=True)}


def describe_clips(
    clips: Clips, spec: ClipSpec, weights_hash: str, facts_NF: np.ndarray | None
) -> CheckpointMetadata:
    """Return what a checkpoint says of the clips that its model is trained on.

    Args:
        clips: with their splits.
        spec: how clips become frames in evaluation.
        weights_hash: of the backbone.
        facts_NF: metadata of the clips, if the head takes them; those of training clips are measured.
    """
    found: CheckpointMetadata = {
        "clip": spec.to_dict(),
        "priors": compute_priors(clips),
        "weights_hash": weights_hash,
    }
    if facts_NF is not None:
        train = (clips.splits() == "train").fill_null(False).to_numpy()
        found["metadata"] = Metadata.fit(facts_NF[train]).to_dict()
    return found


def read_soft_labels(cfg: TrainConfig, clips: Clips, task: str) -> SoftLabels | None:
    """Return the soft labels of the table `data.pseudo`; None where there is none.

    Raises:
        UserError: one message with all that is wrong with its table.
    """
    if cfg.data.pseudo is None:
        return None
    if cfg.data.pseudo == "self":  # the model makes them as it goes
        if not select_free(clips).any():
            raise UsageError("data.pseudo=self: there is no clip without a label (split unlabelled or test)")
        return None
    soft = read(cfg.data.pseudo, clips, task, cfg.data.pseudo_weight, partial=cfg.data.limit is not None)
    test = int((clips.splits() == "test").fill_null(False).to_numpy()[soft.numbers].sum())
    log.info(
        f"trained on with soft labels: {count(len(soft), 'clip')}, {test} of them of the test split, whose "
        "labels are not read"
    )
    return soft
