"""Choice of whole sites for validation and folds, balanced over the classes."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from jungle.data.clips import shuffle_rows

TRIES = 32  # orders of the sites that are tried; the best balanced wins
WORK = 20_000  # sites looked at over all tries, so that many sites take few tries
SETS = 12_000  # sets of sites that are compared where the orders give too few sites: all sets of 3 of 42
CELLS = 1_000_000  # numbers held at once while sets are compared
MISSING, LACKING = 1e6, 1e4  # what a class that is not held out costs, and a site that lacks
FEW, MANY = 5, 10  # sites from which two, and three, are held out
AT_MOST = 2.25  # times the fraction, to have more sites than it gives: two of five equal sites are twice


def compute_least_sites(here: int, everywhere: int) -> list[tuple[int, float]]:
    """Return the least number of sites to hold out, and the largest share of the clips that this may cost.

    Scores of one site do not show how much sites differ, and a stack needs two to be evaluated.

    Args:
        here: sites to choose from.
        everywhere: sites of the whole table, some of which another split may have taken.

    Returns:
        Pairs of a number of sites and a share as a multiple of the fraction, the ones wanted most first.
    """
    wanted = [(3, math.inf)] if here >= MANY else [(3, AT_MOST)] if everywhere >= MANY and here > FEW else []
    return wanted + ([(2, AT_MOST)] if here >= FEW else [])


def choose_sites(
    counts: np.ndarray,
    sizes: np.ndarray,
    fraction: float,
    names: Sequence[str],
    seed: int,
    keep: int = 1,
    least: Sequence[tuple[int, float]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Choose whole sites that hold about `fraction` of the clips of each class.

    Args:
        counts: clips of each class at each site, int `[S, C]`.
        sizes: clips at each site, int `[S]`.
        fraction: of clips to hold out.
        names: of the sites, for an order that does not depend on rows.
        seed: of the orders tried.
        keep: sites of each class that are left, where it has them. A class with more sites than that is held
            out.
        least: from `compute_least_sites`; the first that is possible counts.

    Returns:
        bool `[S]`, the sites held out, and bool `[C]`, the classes with more than `keep` sites that are not
        among them because every site of theirs is needed by what is left.
    """
    tries = min(max(WORK // max(len(names), 1), 1), TRIES)
    found = []
    for k in range(tries):
        order = shuffle_rows(names, seed * 1009 + k)
        out, missing = _try_once(counts, sizes, fraction, order, keep, by_chance=k % 2 == 1)
        found.append(
            (MISSING * missing.sum() + _measure_imbalance(counts, sizes, out, fraction), out, missing)
        )
    score, out, missing = min(found, key=lambda one: one[0])
    for sites, most in least:
        if out.sum() >= sites:
            break
        sets = [other for other in found if other[1].sum() >= sites]
        sets += _choose_n_sites(counts, sizes, fraction, sites, keep, seed)
        sets = [s for s in sets if sizes[s[1]].sum() <= most * fraction * sizes.sum()]
        lacking = LACKING * (sites - out.sum())
        if sets and (best := min(sets, key=lambda one: one[0]))[0] < score + lacking:
            return best[1], best[2]
    return out, missing


def _choose_n_sites(
    counts: np.ndarray, sizes: np.ndarray, fraction: float, sites: int, keep: int, seed: int
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Return the best set of exactly so many sites, if there is one, with its cost and the classes it lacks.

    All sets are compared, or a part of them drawn by `seed` where there are too many.
    """
    n = len(sizes)
    if math.comb(n, sites) <= SETS:
        sets = np.array(list(combinations(range(n), sites)), np.int64).reshape(-1, sites)
    else:
        rng = np.random.default_rng(seed)
        sets = np.sort(rng.integers(0, n, (SETS, sites)), axis=1)
        sets = np.unique(sets[(np.diff(sets, axis=1) > 0).all(axis=1)], axis=0)
    every, at = np.column_stack([counts, sizes]).astype(float), counts > 0
    aim, left = fraction * every.sum(axis=0), at.sum(axis=0)
    floor, wanted = np.minimum(left, keep), left > keep
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for some in np.array_split(sets, max(1, len(sets) * every.shape[1] // CELLS)):
        held_KC = at[some].sum(axis=1)
        cost_K = (((every[some].sum(axis=1) - aim) / (aim + 1)) ** 2).sum(axis=1)
        cost_K += MISSING * (wanted & (held_KC == 0)).sum(axis=1)
        cost_K[~(left - held_KC >= floor).all(axis=1)] = math.inf
        k = int(np.argmin(cost_K)) if len(some) else -1
        if k >= 0 and cost_K[k] < (math.inf if best is None else best[0]):
            out = np.zeros(n, bool)
            out[some[k]] = True
            best = float(cost_K[k]), out, wanted & (held_KC[k] == 0)
    return [] if best is None else [best]


def _measure_imbalance(counts: np.ndarray, sizes: np.ndarray, out: np.ndarray, fraction: float) -> float:
    """Measure how far the held-out share of each class, and of all clips, is from `fraction`."""
    every = np.column_stack([counts, sizes]).astype(float)
    aim = fraction * every.sum(axis=0)
    return float((((every[out].sum(axis=0) - aim) / (aim + 1)) ** 2).sum())


def _try_once(
    counts: np.ndarray, sizes: np.ndarray, fraction: float, order: np.ndarray, keep: int, by_chance: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Choose greedily: first a site for each class, the rarest first; then sites that improve the balance.

    The first sites are the best balanced ones, or chosen `by_chance`, for when the best exclude each other.
    """
    every = np.column_stack([counts, sizes]).astype(float)
    aim = fraction * every.sum(axis=0)
    at = counts > 0
    left = at.sum(axis=0)  # sites of each class that are not held out
    floor = np.minimum(left, keep)
    wanted = left > keep
    held = np.zeros(every.shape[1])
    out = np.zeros(len(order), bool)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))

    def take(s: int) -> None:
        nonlocal left, held
        out[s] = True
        left = left - at[s]
        held = held + every[s]

    def cost(s: np.ndarray | int) -> np.ndarray:
        return (((held + every[s] - aim) / (aim + 1)) ** 2).sum(axis=-1)

    for c in np.lexsort((counts.sum(axis=0), left)):
        if not wanted[c] or at[out, c].any():
            continue
        sites = np.flatnonzero(at[:, c] & ~out)
        sites = sites[((left - at[sites]) >= floor).all(axis=1)]
        if len(sites):
            take(int(sites[np.lexsort((rank[sites], np.zeros(len(sites)) if by_chance else cost(sites)))[0]]))
    now = float((((held - aim) / (aim + 1)) ** 2).sum())
    for s in order:
        if not out[s] and (left - at[s] >= floor).all() and (after := float(cost(s))) < now:
            take(int(s))
            now = after
    return out, wanted & ~at[out].any(axis=0)


def fold_sites(
    counts: np.ndarray, sizes: np.ndarray, folds: int, names: Sequence[str], seed: int
) -> np.ndarray:
    """Deal whole sites into folds, each with about the same share of every class: int `[S]`.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) over sites: the class with the fewest sites
    is dealt first, each of its sites to the fold that has the fewest sites of it, so that a class with two
    sites is in two folds wherever its sites are still free.
    """
    every = np.column_stack([counts, sizes]).astype(float)
    aim = every.sum(axis=0) / folds + 1
    at = np.column_stack([counts > 0, np.ones(len(sizes), bool)])  # all sites, as if they were one more class
    rank = np.empty(len(names), np.int64)
    rank[shuffle_rows(names, seed)] = np.arange(len(names))
    fold = np.full(len(names), -1)
    held = np.zeros((folds, every.shape[1]))
    n_at = np.zeros((folds, every.shape[1]), np.int64)
    for c in np.lexsort((every.sum(axis=0), at.sum(axis=0))):
        sites = np.flatnonzero(at[:, c] & (fold < 0))
        # Large sites first, small ones even out what those leave; not strictly, so that the seed counts.
        for s in sites[np.argsort(-sizes[sites] * (1 + rank[sites] / len(names)), kind="stable")]:
            after = (((held + every[s]) / aim) ** 2).sum(axis=1) - ((held / aim) ** 2).sum(axis=1)
            first = n_at[:, c] if n_at[:, c].min() == 0 else np.zeros(folds)
            k = int(np.lexsort((np.arange(folds), n_at[:, -1], after, first))[0])
            fold[s] = k
            held[k] += every[s]
            n_at[k] += at[s]
    return fold
