"""`jungle ensemble report`: the scores of trained models and of their plain mean, with intervals."""

import numpy as np

from jungle.config import EnsembleReportConfig, parse_config
from jungle.console import print_result
from jungle.ensemble import stack
from jungle.ensemble.evaluation import evaluate
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import PredictionMatrix, build_matrix
from jungle.errors import UsageError
from jungle.report.ensemble import write_ensemble_report


def main(raw: object) -> None:
    """Write the page; nothing is fitted."""
    cfg = parse_config(EnsembleReportConfig, raw)
    if cfg.out.suffix != ".html":
        raise UsageError(f"out={cfg.out}: the report is a page: give it a name that ends in .html")

    members = load_members(cfg.members)
    matrices = {
        split: matrix for split in ("test", "val") if (matrix := build_matrix(members, split)) is not None
    }
    plan = stack.Plan(("mean",), ("none",))
    lead = next(iter(matrices.values()))
    mean = stack.fit(lead.rows(np.arange(0)), lead.targets_NC[:0], lead.groups_N[:0], plan)
    probs, evaluations = {}, []
    for split, matrix in matrices.items():

        def predict(members: list[int], matrix: PredictionMatrix = matrix) -> np.ndarray:
            some, none = matrix.of(members), np.arange(0)
            blend, _ = stack.fit_stacker("mean", some.rows(none), some.targets_NC[none], plan.seed)
            return blend(some.rows(np.arange(len(some.clips))))

        probs[split] = predict(list(range(len(matrix.names))))
        found = evaluate(matrix, probs[split], split, predict if len(matrix.names) > 1 else None)
        evaluations += [found] if found is not None else []
    if not evaluations:
        raise UsageError("members: none of the clips that they have predicted has a label")
    write_ensemble_report(
        cfg.out,
        evaluations=evaluations,
        matrices=matrices,
        probs=probs,
        stack=mean,
        members=members,
        whole_paths=cfg.report_paths,
    )
    print_result(f"report: {cfg.out}")
