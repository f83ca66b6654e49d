"""Choice of a calibration for one model, and its reliability before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jungle.errors import UsageError
from jungle.metrics.bootstrap import DRAWS, Interval, draw_sums
from jungle.metrics.calibration import Calibration
from jungle.metrics.calibration_fits import CALIBRATIONS, calibrate_held_out
from jungle.metrics.cross_validation import split_parts
from jungle.metrics.reliability import BINS, collect_statements
from jungle.metrics.scores import cell_losses, log_loss
from jungle.postprocessing.labelled import LabelledPredictions
from jungle.wording import count

METHODS = ("none", "temperature", "platt", "isotonic")
PARTS = 5
FEW_SITES = 4
"""With fewer sites, the parts of the cross-validation are of clips."""
LEAST_CLIPS = 20
MOST_CELLS = 20_000_000  # clips times classes; beyond, a fit for each class would take hours

Scores = dict[str, Interval]
"""`ece`, `brier` and `log_loss`, with bootstrap intervals over sites."""


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """A calibration chosen by cross-validation.

    Attributes:
        calibration: fitted to all clips.
        losses: log loss of each candidate on clips that it was not fitted to.
        by_site: whether the parts were whole sites.
        clips, sites: how many it was fitted to.
        before, after: scores of the probabilities as they were, and of the clips of each part calibrated by a
            fit to the others.
        change: `after` minus `before`; below 0 is better.
    """

    calibration: Calibration
    losses: dict[str, float]
    by_site: bool
    clips: int
    sites: int
    before: Scores
    after: Scores
    change: Scores

    def to_dict(self) -> dict[str, object]:
        """Return plain values for a checkpoint."""

        def plain(scores: Scores) -> dict[str, list[float]]:
            return {name: [i.value, i.low, i.high] for name, i in scores.items()}

        return {
            **self.calibration.to_dict(),
            "clips": self.clips,
            "sites": self.sites,
            "by_site": self.by_site,
            "held_out_log_loss": self.losses,
            "before": plain(self.before),
            "after": plain(self.after),
        }

    def describe(self) -> str:
        """Return what was chosen on what, as one sentence."""
        grouped = "whole sites" if self.by_site else "clips, because there are too few sites"
        fitted = self.calibration.describe()
        value = f" {fitted['temperature']:.3g}" if "temperature" in fitted else ""
        sites = f" of {count(self.sites, 'site')}" if self.sites else ""
        return (
            f"calibration: {self.calibration.method}{value}, chosen on {count(self.clips, 'clip')}{sites} by "
            f"cross-validation over {grouped}"
        )

    def format_scores(self) -> list[str]:
        """Return a line for each score: before, after, and the change with its interval."""
        names = {"ece": "calibration error", "brier": "Brier score", "log_loss": "log loss"}
        return [
            f"{names[k]}: {_format(self.before[k])} before, {_format(self.after[k])} after; change "
            f"{self.change[k].value:+.4f} (95 %: {self.change[k].low:+.4f} to {self.change[k].high:+.4f})"
            for k in self.before
        ]


def _format(score: Interval) -> str:
    return f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f})"


def fit_calibration(
    labelled: LabelledPredictions, task: str, methods: Sequence[str] = METHODS, seed: int = 0
) -> CalibrationFit:
    """Choose the calibration with the lowest log loss on held-out sites, and fit it to all clips.

    Args:
        labelled: predictions that the model did not train on.
        task: `exclusive` or `multilabel`.
        methods: the candidates; of equal ones the first is taken.
        seed: of the parts and of the bootstrap.

    Raises:
        UsageError: there are too few clips.
    """
    if len(labelled) < LEAST_CLIPS:
        raise UsageError(
            f"calibration needs at least {LEAST_CLIPS} labelled clips that were read; there "
            f"{'is' if len(labelled) == 1 else 'are'} {count(len(labelled), 'clip')}"
        )
    probs_NC, targets_NC = labelled.probs_NC, labelled.targets_NC
    if len(methods) > 1 and probs_NC.size > MOST_CELLS:
        methods = [m for m in methods if m in ("none", "temperature")]
    by_site = labelled.site_count >= FEW_SITES
    groups_N = labelled.number_groups(by_site)
    parts = split_parts(targets_NC, groups_N, PARTS, seed=seed, what="calibration")
    held = {m: calibrate_held_out(m, probs_NC, targets_NC, task, parts) for m in methods}
    losses = {m: log_loss(p, targets_NC) for m, p in held.items()}
    chosen = min(losses, key=losses.__getitem__)
    before, after, change = compare_reliability(
        probs_NC, held[chosen], targets_NC, groups_N=groups_N, task=task, seed=seed
    )
    return CalibrationFit(
        CALIBRATIONS[chosen](probs_NC, targets_NC, task),
        losses,
        by_site,
        len(labelled),
        labelled.site_count,
        before,
        after,
        change,
    )


def compare_reliability(
    before_NC: np.ndarray,
    after_NC: np.ndarray,
    targets_NC: np.ndarray,
    *,
    groups_N: np.ndarray,
    task: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Scores, Scores, Scores]:
    """Return the scores of two sets of probabilities for the same clips, and their change.

    All three are of the same draws of whole sites. The calibration error of a draw is too high by chance, so
    the interval of each is moved by the mean excess.
    """
    sums = [
        _draw_scores(p, targets_NC, groups_N, task=task, draws=draws, seed=seed)
        for p in (before_NC, after_NC)
    ]
    values = [
        _draw_scores(p, targets_NC, np.zeros(len(p), int), task=task, draws=1, seed=seed)[0]
        for p in (before_NC, after_NC)
    ]
    found: list[Scores] = []
    for value_S, drawn_DS in (
        (values[0], sums[0]),
        (values[1], sums[1]),
        (values[1] - values[0], sums[1] - sums[0]),
    ):
        low_S, high_S = np.quantile(drawn_DS, [0.025, 0.975], axis=0)
        excess_S = np.where(np.arange(3) == 0, drawn_DS.mean(0) - value_S, 0.0)
        found.append(
            {
                name: Interval(
                    float(value_S[i]), float(low_S[i] - excess_S[i]), float(high_S[i] - excess_S[i])
                )
                for i, name in enumerate(("ece", "brier", "log_loss"))
            }
        )
    before, after, change = found
    for scores in (before, after):
        scores["ece"] = Interval(scores["ece"].value, max(scores["ece"].low, 0.0), scores["ece"].high)
    return before, after, change


def _draw_scores(
    probs_NC: np.ndarray, targets_NC: np.ndarray, groups_N: np.ndarray, *, task: str, draws: int, seed: int
) -> np.ndarray:
    """Return calibration error, Brier score and log loss of each draw of groups, `[draws, 3]`."""
    said = collect_statements(probs_NC, targets_NC, task)
    cell_BN = np.zeros((2, BINS, len(probs_NC)))
    np.add.at(cell_BN[0], (said.bin_M, said.row_M), said.stated_M - said.true_M)
    np.add.at(cell_BN[1], (said.bin_M, said.row_M), 1.0)
    known_N = np.isfinite(targets_NC).sum(1)
    others = np.stack(
        [
            np.nansum((probs_NC - targets_NC) ** 2, axis=1),
            np.nansum(cell_losses(probs_NC, targets_NC), axis=1),
            known_N,
        ]
    )
    sums = draw_sums(np.concatenate([*cell_BN, others]), groups_N, draws, seed)
    gap_DB, count_DB = sums[:, :BINS], sums[:, BINS : 2 * BINS]
    total = np.maximum(count_DB.sum(1), 1)
    cells = np.maximum(sums[:, -1], 1)
    return np.stack([np.abs(gap_DB).sum(1) / total, sums[:, -3] / cells, sums[:, -2] / cells], axis=1)
