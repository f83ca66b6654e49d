"""`jungle ensemble pseudo`: soft labels where models agree, and a list for people where they do not."""

from typing import Any

from jungle.config import EnsemblePseudoConfig, typed
from jungle.console import log, result
from jungle.errors import UsageError

PSEUDO, TO_LABEL = "pseudo.parquet", "to_label.csv"


def main(raw: Any) -> None:
    """Write `pseudo.parquet` and `to_label.csv`, as a composed config says.

    Raises:
        UsageError: members that do not go together, or a result that stands already.
    """
    cfg = typed(EnsemblePseudoConfig, raw)
    import numpy as np
    import polars as pl

    from jungle.ensemble.agreement import agreed, disagreement
    from jungle.ensemble.panel import panel_of
    from jungle.files import write_text
    from jungle.parquet import write_parquet

    if not cfg.overwrite and (stands := [n for n in (PSEUDO, TO_LABEL) if (cfg.out / n).exists()]):
        raise UsageError(
            f"out={cfg.out}: {stands[0]} stands there, perhaps with labels of people in it; name another "
            "folder, or overwrite=true"
        )
    panel = panel_of(cfg.members, cfg.split, cfg.clips)
    members = len(panel.names)
    least = members if cfg.agree is None else cfg.agree
    if not members / 2 < least <= members:
        raise UsageError(f"agree={least}: more than half of the {members} members, and at most all of them")
    top_N, taken_N = agreed(panel.probs_MNC, cfg.threshold, least)
    soft_NC = panel.probs_MNC.mean(0)
    apart_N = disagreement(panel.probs_MNC, panel.exclusive)
    names = panel.clips["clip"].to_numpy()
    # What is agreed on is no question for people. Names settle ties, not the order of rows.
    asked = [n for n in np.lexsort((names, -apart_N)) if not taken_N[n]][: cfg.worst]
    soft = panel.clips.select("clip").with_columns(
        pl.Series(c, soft_NC[:, i], dtype=pl.Float32) for i, c in enumerate(panel.classes)
    )
    write_parquet(soft.filter(pl.Series(taken_N)), cfg.out / PSEUDO)
    write_text(cfg.out / TO_LABEL, _questions(panel, apart_N)[asked].write_csv(float_precision=4))
    _say(panel, cfg.split, top_N, taken_N, f"{least} of {members}", cfg.threshold)
    result(f"soft labels: {cfg.out / PSEUDO}")
    result(f"to label: {cfg.out / TO_LABEL}")


def _questions(panel: Any, apart_N: Any) -> Any:
    """Return a labels table whose labels are left to people, with what each member says."""
    import polars as pl

    columns = [
        panel.clips["clip"].alias("filepath"),
        pl.Series("label", [""] * len(panel.clips)),
        *([panel.clips["site"]] if "site" in panel.clips.columns else []),
        panel.clips["path"],
        pl.Series("disagreement", apart_N),
    ]
    for name, p_NC in zip(panel.names, panel.probs_MNC, strict=True):
        columns.append(pl.Series(f"{name}: answer", [panel.classes[i] for i in p_NC.argmax(1)]))
        columns.append(pl.Series(f"{name}: probability", p_NC.max(1)))
    return pl.DataFrame(columns)


def _say(panel: Any, split: str, top_N: Any, taken_N: Any, who: str, threshold: float) -> None:
    """Log how many clips of each class were taken, beside how many the members' mean says there are."""
    import numpy as np

    n = len(taken_N)
    said = np.bincount(panel.probs_MNC.mean(0).argmax(1), minlength=len(panel.classes))
    taken = np.bincount(top_N[taken_N], minlength=len(panel.classes))
    if panel.left_out:
        log.info(f"{panel.left_out} {split} clips are left out: not every member has read them")
    log.info(
        f"{int(taken_N.sum())} of {n} {split} clips taken ({100 * taken_N.mean():.1f} %): {who} "
        f"members give the same class {threshold:g} or more"
    )
    wide = max(len(c) for c in (*panel.classes, "class"))
    rows = [f"{'class':<{wide}}  {'taken':>7}  {'of':>7}"]
    rows += [f"{c:<{wide}}  {taken[i]:>7}  {said[i]:>7}" for i, c in enumerate(panel.classes)]
    log.info("\n".join(rows))
    if bare := [c for i, c in enumerate(panel.classes) if said[i] and not taken[i]]:
        log.warning(f"warning: nothing was taken of {', '.join(bare)}: soft labels make these rarer")
