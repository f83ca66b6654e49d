"""`jungle ensemble report`: what trained models score, alone and as a plain mean, and how sure that is."""

from typing import Any

import numpy as np

from jungle.config import EnsembleReportConfig, parse_config
from jungle.console import print_result
from jungle.ensemble import stack
from jungle.ensemble.evaluation import judge
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import board_of
from jungle.errors import UsageError
from jungle.report.ensemble import write_ensemble_report


def main(raw: Any) -> None:
    """Write the page; nothing is fitted, so each number is as good as the members' own."""
    cfg = parse_config(EnsembleReportConfig, raw)
    if cfg.out.suffix != ".html":
        raise UsageError(f"out={cfg.out}: the report is a page: give it a name that ends in .html")

    members = load_members(cfg.members)
    boards = {split: board for split in ("test", "val") if (board := board_of(members, split)) is not None}
    plan = stack.Plan(("mean",), ("none",))
    lead = next(iter(boards.values()))
    mean = stack.fit(lead.rows(np.arange(0)), lead.targets_NC[:0], lead.groups_N[:0], plan)
    probs, judged = {}, []
    for split, board in boards.items():

        def of(members: list[int], board: Any = board) -> np.ndarray:
            some = board.of(members)
            return stack.again(mean, some, np.arange(0), some, plan.seed)

        probs[split] = of(list(range(len(board.names))))
        found = judge(board, probs[split], split, of if len(board.names) > 1 else None)
        judged += [found] if found is not None else []
    if not judged:
        raise UsageError("members: none of the clips that they have predicted has a label")
    write_ensemble_report(
        cfg.out, judged=judged, boards=boards, probs=probs, stack=mean, whole_paths=cfg.report_paths
    )
    print_result(f"report: {cfg.out}")
