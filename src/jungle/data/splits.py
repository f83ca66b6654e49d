"""Assignment of train, val and test: as given, else by site and stratified by label, else by label.

Every choice depends on the seed, the names of clips and sites, and the labels, never on the order of rows.
"""

import math

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.clips import Clips, shuffle_rows
from jungle.data.site_splits import choose_sites, compute_least_sites, fold_sites
from jungle.errors import UsageError
from jungle.wording import count


def assign_splits(
    clips: Clips,
    *,
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    seed: int = 0,
) -> Clips:
    """Give every clip a split.

    A split in the table stays. Labelled clips without one are for training; where the table has no val, val
    is cut from the clips for training (and test from those without a split, if `test_fraction` is above 0
    and there is none). Unlabelled clips without a split become `unlabelled`.

    Where sites are known no site is on two sides of a cut, each class that is at two sites or more is in
    val, and each class stays in training; where a class in val would take another's last site from training,
    training comes first and a warning says so. Of ten sites or more at least three are in val, of five or
    more two, if they are not too many of the clips; where that cannot be, a warning says so. Clips without a
    site, or all of them if none has one, are cut clip by clip, stratified by their combination of labels.

    Args:
        clips: the table.
        val_fraction: of the clips for training.
        test_fraction: of the clips without a split.
        folds: cut K folds instead of one val; a val in the table is then part of what is cut.
        fold: the fold that is val, from 0.
        seed: of every choice.

    Raises:
        UsageError: a fraction, `folds` or `fold` is out of range.
    """
    _check(val_fraction, test_fraction, folds, fold)
    given = np.array(clips.splits().to_list(), dtype=object)
    labelled = clips.labelled().to_numpy()
    split = np.where([g is not None for g in given], given, np.where(labelled, "free", "unlabelled"))
    if test_fraction > 0 and not (split == "test").any():
        rows = np.flatnonzero(split == "free")
        split[rows[_choose_held_out(clips, rows, test_fraction, seed, "test")]] = "test"
    if folds is not None:
        rows = np.flatnonzero(np.isin(split, ["free", "train", "val"]) & labelled)
        split[rows] = np.where(_assign_folds(clips, rows, folds, seed) == fold, "val", "train")
    elif not (split == "val").any() and val_fraction > 0:
        rows = np.flatnonzero(np.isin(split, ["free", "train"]) & labelled)
        split[rows] = "train"
        split[rows[_choose_held_out(clips, rows, val_fraction, seed + 1, "val")]] = "val"
    split[split == "free"] = "train"
    return clips.with_columns(split=pl.Series("split", split.tolist(), dtype=pl.String))


def _check(val_fraction: float, test_fraction: float, folds: int | None, fold: int | None) -> None:
    if not (0 <= val_fraction < 1 and 0 <= test_fraction < 1 and val_fraction + test_fraction < 1):
        raise UsageError(
            f"data.val_fraction={val_fraction} data.test_fraction={test_fraction}: each is from 0 to below "
            "1, and so is their sum."
        )
    if folds is None:
        if fold is not None:
            raise UsageError(f"data.fold={fold} needs data.folds=<how many>.")
        return
    if not 2 <= folds <= 100:
        raise UsageError(f"data.folds={folds}: from 2 to 100.")
    if fold is None or not 0 <= fold < folds:
        raise UsageError(f"data.fold={fold}: with data.folds={folds} it is a number from 0 to {folds - 1}.")


def _number_sites(clips: Clips, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the number of each row's site (-1 for none) and the names of the sites, sorted."""
    none = np.full(len(rows), -1)
    if "site" not in clips.table.columns:
        return none, []
    site = clips.table["site"][rows]
    names = sorted(site.drop_nulls().unique().to_list())
    if len(names) < 2:
        if names:
            log.warning(
                "all clips are of one site: val is cut clip by clip and says nothing about other sites"
            )
        return none, []
    number = site.replace_strict({n: i for i, n in enumerate(names)}, default=-1, return_dtype=pl.Int64)
    return number.fill_null(-1).to_numpy(), names


def _choose_held_out(clips: Clips, rows: np.ndarray, fraction: float, seed: int, split: str) -> np.ndarray:
    """Choose which of `rows` are held out as `split`: bool `[R]`."""
    keep_sites = 2 if split == "test" else 1  # val is cut from what test leaves, and training needs one too
    labels = clips.labels()[rows]
    site, names = _number_sites(clips, rows)
    out = np.zeros(len(rows), bool)
    loose = site < 0
    if names:
        counts = _count_per_site(labels, site, len(names))
        sizes = np.bincount(site[~loose], minlength=len(names))
        everywhere = clips.where(clips.labelled()).table["site"].drop_nulls().n_unique()
        least = compute_least_sites(len(names), everywhere)
        chosen, missing = choose_sites(counts, sizes, fraction, names, seed, keep_sites, least)
        # A loose clip can stand in for a site, so only what both lack is missing.
        missing &= ~labels[loose].any(axis=0)
        if missing.any() and keep_sites == 1:
            lost = ", ".join(np.array(clips.classes)[missing][:5])
            log.warning(f"not in val, because each of their sites holds the last of some class: {lost}")
        _warn_of_sites(split, sizes, chosen, names, fraction, least)
        out[~loose] = chosen[site[~loose]]
    if loose.any():
        clip = clips.table["clip"][rows[loose]].to_list()
        out[loose] = _choose_clips(labels[loose], fraction, clip, seed)
    return out


def _warn_of_sites(
    split: str,
    sizes: np.ndarray,
    chosen: np.ndarray,
    names: list[str],
    fraction: float,
    least: list[tuple[int, float]],
) -> None:
    """Warn of a cut of too few sites, or of a share of the clips that is far from what was asked for."""
    held, share = int(chosen.sum()), float(sizes[chosen].sum() / max(sizes.sum(), 1))
    sites, most = least[0] if least else (1, math.inf)
    if held < sites:
        why = "every other site holds the last of some class"
        if most < math.inf:
            why += f", or more would be far more of the clips than data.{split}_fraction={fraction:g}"
        log.warning(
            f"{split} has {count(held, 'site')} of {len(names)} ({why}): its scores say little about "
            "other sites"
        )
    elif abs(share - fraction) > 0.6 * fraction:
        log.warning(
            f"{split} has {share:.0%} of the clips, not {fraction:.0%} (data.{split}_fraction): sites are "
            f"never divided, and {count(held, 'site')} of {len(names)} come nearest"
        )


def _assign_folds(clips: Clips, rows: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each of `rows`: int `[R]`."""
    labels = clips.labels()[rows]
    site, names = _number_sites(clips, rows)
    if names and len(names) < folds and not (site < 0).any():
        raise UsageError(
            f"data.folds={folds}: there are only {len(names)} sites, and a site is never divided."
        )
    fold = np.zeros(len(rows), np.int64)
    loose = site < 0
    if names:
        sizes = np.bincount(site[~loose], minlength=len(names))
        fold[~loose] = fold_sites(_count_per_site(labels, site, len(names)), sizes, folds, names, seed)[
            site[~loose]
        ]
    if loose.any():
        order, _ = _stratify(labels[loose], clips.table["clip"][rows[loose]].to_list(), seed)
        dealt = np.empty(len(order), np.int64)
        dealt[order] = np.arange(len(order)) % folds
        fold[loose] = dealt
    return fold


def _count_per_site(labels: np.ndarray, site: np.ndarray, n: int) -> np.ndarray:
    """Count the clips of each class at each site: int `[S, C]`."""
    known = site >= 0
    columns = [np.bincount(site[known & labels[:, c]], minlength=n) for c in range(labels.shape[1])]
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0), np.int64)


def _stratify(labels: np.ndarray, clip: list[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Order clips so that those with one combination of labels are together; return each rarest class, too.

    Blocks of one rarest class come first to last by how rare it is; inside, combinations; inside, as
    shuffled.
    """
    counts = labels.sum(axis=0)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    rarest = np.where(labels, rank[None, :], len(counts)).min(axis=1, initial=len(counts))
    _, combination = np.unique(np.packbits(labels, axis=1), axis=0, return_inverse=True)
    place = np.empty(len(clip), np.int64)
    place[shuffle_rows(clip, seed)] = np.arange(len(clip))
    return np.lexsort((place, combination.reshape(-1), rarest)), rarest


def _choose_clips(labels: np.ndarray, fraction: float, clip: list[str], seed: int) -> np.ndarray:
    """Choose the clips that are held out, an even share of each combination of labels: bool `[N]`.

    A class of two clips or more is on both sides, as far as clips of several classes allow.
    """
    order, rarest = _stratify(labels, clip, seed)
    out = np.zeros(len(clip), bool)
    owed = 0.0  # what rounding left from the blocks before, so that the whole share is right too
    for block in np.split(order, np.flatnonzero(np.diff(rarest[order])) + 1):
        m = len(block)
        k = round(m * fraction + owed)
        k = min(max(k, 1), m - 1) if m > 1 else 0
        owed += m * fraction - k
        owed = min(max(owed, -1.0), 1.0)
        out[block[((np.arange(k) + 0.5) * m / max(k, 1)).astype(int)]] = True
    held, total = labels[out].sum(axis=0), labels.sum(axis=0)
    for c in np.flatnonzero((total > 1) & ((held == 0) | (held == total))):
        # All clips of the class are on one side: one goes over, if that robs no other class of its last
        # there.
        side = bool(held[c])
        mine = order[labels[order, c] & (out[order] == side)]
        spare = (held if side else total - held) > 1
        if side:
            spare |= total == 1  # a class of one clip belongs in training anyway
        if len(free := mine[(spare | ~labels[mine]).all(axis=1)]):
            out[free[0]] = not side
            held = labels[out].sum(axis=0)
    return out
