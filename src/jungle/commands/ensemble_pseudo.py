"""`jungle ensemble pseudo`: soft labels where models agree, and a list for people where they do not."""

import numpy as np
import polars as pl

from jungle.config import EnsemblePseudoConfig, parse_config
from jungle.console import log, print_result
from jungle.data.spreadsheets import write_csv
from jungle.ensemble.agreement import compute_deviation, compute_disagreement, vote
from jungle.ensemble.unlabelled import UnlabelledPredictions, load_unlabelled
from jungle.errors import UsageError
from jungle.parquet import write_parquet
from jungle.wording import count, tally

PSEUDO, TO_LABEL = "pseudo.parquet", "to_label.csv"


def main(raw: object) -> None:
    """Write `pseudo.parquet` and `to_label.csv`, as a composed config says.

    Raises:
        UsageError: members that do not go together, or a result that stands already.
    """
    cfg = parse_config(EnsemblePseudoConfig, raw)

    if not cfg.overwrite and (stands := [n for n in (PSEUDO, TO_LABEL) if (cfg.out / n).exists()]):
        raise UsageError(
            f"out={cfg.out}: {stands[0]} stands there, perhaps with labels of people in it; name another "
            "folder, or overwrite=true"
        )
    unlabelled = load_unlabelled(cfg.members, cfg.split, cfg.clips)
    members = len(unlabelled.names)
    least = members if cfg.agree is None else cfg.agree
    if not members / 2 < least <= members:
        raise UsageError(f"agree={least}: more than half of the {members} members, and at most all of them")
    soft_NC = unlabelled.probs_MNC.mean(0)
    if cfg.deviation is None:
        top_N, taken_N = vote(unlabelled.probs_MNC, cfg.threshold, least)
        why = f"{least} of {members} members give the same class {cfg.threshold:g} or more"
    else:
        top_N, taken_N = soft_NC.argmax(1), compute_deviation(unlabelled.probs_MNC) < cfg.deviation
        why = f"the {members} members' squared differences add up to less than {cfg.deviation:g}"
    apart_N = compute_disagreement(unlabelled.probs_MNC, unlabelled.exclusive)
    names = unlabelled.clips["clip"].to_numpy()
    # What is agreed on is no question for people. Names settle ties, not the order of rows.
    asked = [n for n in np.lexsort((names, -apart_N)) if not taken_N[n]][: cfg.worst]
    soft = unlabelled.clips.select("clip").with_columns(
        pl.Series(c, soft_NC[:, i], dtype=pl.Float32) for i, c in enumerate(unlabelled.classes)
    )
    write_parquet(soft.filter(pl.Series(taken_N)), cfg.out / PSEUDO)
    # What people fill in is read as a labels table: names must stay as they are.
    exact = ("filepath", "label", "site", "path")
    write_csv(_make_questions(unlabelled, apart_N)[asked], cfg.out / TO_LABEL, exact=exact, float_precision=4)
    _log_counts(unlabelled, cfg.split, top_N, taken_N, why)
    print_result(f"soft labels: {cfg.out / PSEUDO}")
    print_result(f"to label: {cfg.out / TO_LABEL}")


def _make_questions(unlabelled: UnlabelledPredictions, apart_N: np.ndarray) -> pl.DataFrame:
    """Return a labels table whose labels are left to people, with what each member says."""
    columns = [
        unlabelled.clips["clip"].alias("filepath"),
        pl.Series("label", [""] * len(unlabelled.clips)),
        *([unlabelled.clips["site"]] if "site" in unlabelled.clips.columns else []),
        unlabelled.clips["path"],
        pl.Series("disagreement", apart_N),
    ]
    for name, p_NC in zip(unlabelled.names, unlabelled.probs_MNC, strict=True):
        columns.append(pl.Series(f"{name}: answer", [unlabelled.classes[i] for i in p_NC.argmax(1)]))
        columns.append(pl.Series(f"{name}: probability", p_NC.max(1)))
    return pl.DataFrame(columns)


def _log_counts(
    unlabelled: UnlabelledPredictions, split: str, top_N: np.ndarray, taken_N: np.ndarray, why: str
) -> None:
    """Log how many clips of each class were taken, beside how many the members' mean says there are."""
    n = len(taken_N)
    said = np.bincount(unlabelled.probs_MNC.mean(0).argmax(1), minlength=len(unlabelled.classes))
    taken = np.bincount(top_N[taken_N], minlength=len(unlabelled.classes))
    if unlabelled.left_out:
        log.info(
            f"{tally(unlabelled.left_out, 'clips are')} left out of {split}: not every member has read them"
        )
    log.info(
        f"{int(taken_N.sum())} of {count(n, f'{split} clip')} taken ({100 * taken_N.mean():.1f} %): {why}"
    )
    wide = max(len(c) for c in (*unlabelled.classes, "class"))
    rows = [f"{'class':<{wide}}  {'taken':>7}  {'of':>7}"]
    rows += [f"{c:<{wide}}  {taken[i]:>7}  {said[i]:>7}" for i, c in enumerate(unlabelled.classes)]
    log.info("\n".join(rows))
    if bare := [c for i, c in enumerate(unlabelled.classes) if said[i] and not taken[i]]:
        log.warning(f"warning: nothing was taken of {', '.join(bare)}: soft labels make these rarer")
