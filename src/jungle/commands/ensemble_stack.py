"""`jungle ensemble stack`: from the answers of trained models to one answer, its scores and a submission."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from jungle.config import EnsembleStackConfig, parse_config
from jungle.console import log, log_time, print_result
from jungle.data import predictions
from jungle.ensemble import stack, stacking_features
from jungle.ensemble.blend import BLENDS
from jungle.ensemble.evaluation import judge
from jungle.ensemble.frame_statistics import of_member
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import board_of, table_of
from jungle.ensemble.stackers import STACKERS
from jungle.errors import UsageError
from jungle.export.submission import read_template, write_submission
from jungle.files import read_json, write_json
from jungle.metrics.scores import compute_scores
from jungle.report.ensemble import write_ensemble_report
from jungle.training.clips import priors
from jungle.wording import count

RESULTS = ("stack.json", "metrics.json", "submission.csv", "report.html")
RESULTS += ("predictions_val.parquet", "predictions_test.parquet")


def main(raw: Any) -> None:
    """Stack as a composed config says; a result that stands is not made again."""
    cfg = parse_config(EnsembleStackConfig, raw)

    template = read_template(cfg.template) if cfg.template else None
    members = load_members(cfg.members)
    fingerprint = _fingerprint(cfg, members)
    out = cfg.out or cfg.paths.runs / "ensemble" / fingerprint
    known = read_json(out / "stack.json").get("fingerprint")
    if known is not None and known != fingerprint and not cfg.overwrite:
        raise UsageError(
            f"out={out}: holds the result of other members or settings; name another, or overwrite=true"
        )
    asked = ["metrics.json", "predictions_val.parquet"]
    asked += ["submission.csv"] if template is not None else []
    asked += ["report.html"] if cfg.report else []
    if known == fingerprint and not cfg.overwrite and all((out / name).is_file() for name in asked):
        log.info(f"{out} is finished already")
    else:
        for m in members:
            log.info(
                f"member {m.name}: {count(len(m.runs), 'run')}, "
                f"{count(len(m.answers['val']), 'validation clip')}"
            )
        _stack(cfg, members, template, out, fingerprint)
    for what, name in (
        ("submission", "submission.csv"),
        ("report", "report.html"),
        ("predictions", "predictions_test.parquet"),
    ):
        if (out / name).is_file():
            print_result(f"{what}: {out / name}")
    print_result(f"metrics: {out / 'metrics.json'}")


def _stack(cfg: EnsembleStackConfig, members: Any, template: Any, out: Path, fingerprint: str) -> None:
    from jungle.training.evaluation import not_scored

    boards = {split: board_of(members, split) for split in ("val", "test")}
    if cfg.neighbours:
        boards = {s: b and replace(b, extra_NF=stacking_features.neighbours(b)) for s, b in boards.items()}
    if cfg.frame_statistics:
        boards = {s: b and _with_frames(b, members, s) for s, b in boards.items()}
    val, test = boards["val"], boards["test"]
    assert val is not None
    at = np.flatnonzero(val.labelled_N)
    if not len(at):
        raise UsageError("members: none of the validation clips has a label, so there is nothing to fit on")
    more = [name for name in ("neighbours", "frame_statistics") if getattr(cfg, name)]
    if more and cfg.stacker in BLENDS:
        raise UsageError(
            f"stacker={cfg.stacker} joins answers alone: {more[0]}=true needs one of {', '.join(STACKERS)}"
        )
    plan = stack.plan_of(cfg.stacker, cfg.calibration, len(at), bool(more), cfg.seed)
    if template is not None:
        _check_template(template, test)
    with log_time("stacking"):
        nested_NC = stack.nested(val, at, plan)
        final = stack.fit(val.rows(at), val.targets_NC[at], val.groups_N[at], plan)
    log.info(f"stacker {final.stacker}, calibration {final.calibration}")
    probs = {"val": final(val.rows(np.arange(len(val.clips))))}
    probs["val"][at] = nested_NC  # what has a label is answered by a fit that did not see it
    if test is not None:
        probs["test"] = final(test.rows(np.arange(len(test.clips))))
    scores: dict[str, float] = {}
    out.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:  # until all is written, nothing stands here; some are not written each time
        (out / name).unlink(missing_ok=True)
    for split, board in boards.items():
        if board is None:
            continue
        table = table_of(board, probs[split])
        predictions.write(table, out / f"predictions_{split}.parquet")
        if (labelled := board.labelled_N).any():
            found = compute_scores(
                probs[split][labelled], board.targets_NC[labelled], board.classes, board.task
            )
            found["unreadable"] = float(board.lost_labelled)
            scores |= {f"{split}/{k}": v for k, v in found.items()}
            if board.lost_labelled:
                log.warning(f"{split}: {not_scored(board.lost_labelled)}")
            log.info(
                f"{split}: log loss {found['log_loss']:.4f}, "
                f"accuracy {found.get('accuracy', float('nan')):.4f}"
            )
        if split == "test" and template is not None:
            lead = max(members, key=lambda m: len(m.classes))
            write_submission(table, template, out / "submission.csv", priors(lead.clips))
    alone = {s: _calibrated(val, at, plan, None if s == "val" else b) for s, b in boards.items() if b}
    judged = _judged(boards, probs, at, final, cfg.seed, alone)
    _say(judged, final, val.names, alone["val"] is not None)
    write_json(out / "metrics.json", scores)
    if cfg.report:
        with log_time("report"):
            write_ensemble_report(
                out / "report.html",
                judged=judged,
                boards=boards,
                probs=probs,
                stack=final,
                calibrated=alone,
                neighbours=cfg.neighbours,
                whole_paths=cfg.report_paths,
            )
    write_json(out / "stack.json", {"fingerprint": fingerprint, **_facts(members, final, judged)})


def _calibrated(val: Any, at: np.ndarray, plan: Any, board: Any) -> list[np.ndarray] | None:
    """Return what `stack.calibrated` does; None where the ensemble is a plain mean and nothing is fitted."""
    if plan.stackers == ("mean",) and plan.calibrations == ("none",):
        return None
    return stack.calibrated(val, at, plan, board)


def _say(judged: list[Any], final: Any, names: tuple[str, ...], calibrated: bool) -> None:
    """Say what the ensemble gains on its best member, and where it is no more than one member."""
    if not judged:
        return
    j = judged[0]
    gain, beside = j.gain["log_loss"], "calibrated alike" if calibrated else "as it is"
    if len(names) > 1:
        log.info(
            f"{j.split}: gain on the best member ({j.best}, {beside}): {gain.value:+.4f} of log loss, "
            f"above 0 is better; 95 % interval {gain.low:+.4f} to {gain.high:+.4f}"
        )
    if len(names) > 1 and final.alone is not None:
        log.warning(
            f"all the weight is with {names[final.alone]}: this stack is that model calibrated, and the "
            "other members add nothing"
        )


def _judged(
    boards: Any, probs: Any, at: np.ndarray, final: Any, seed: int, calibrated: dict[str, Any]
) -> list[Any]:
    """Judge each split that has labels; on the first, what each member adds."""
    val = boards["val"]
    found: list[Any] = []
    for split in ("test", "val"):
        board = boards[split]
        if board is None:
            continue

        def of(members: list[int], board: Any = board, split: str = split) -> np.ndarray:
            if split == "val":
                answered = probs["val"].copy()
                answered[at] = stack.held_back(final, val.of(members), at, seed)
                return answered
            return stack.again(final, val.of(members), at, board.of(members), seed)

        asked = None if any(found) or len(val.names) < 2 else of
        found.append(judge(board, probs[split], split, asked, calibrated[split]))
    return [j for j in found if j is not None]


def _with_frames(board: Any, members: Any, split: str) -> Any:
    """Return the board with statistics of what each member says of single frames."""
    clips = board.clips.table["clip"].to_list()
    own = [of_member(m, split, clips, board.classes, board.probs_MNC[i]) for i, m in enumerate(members)]
    return replace(board, own_MNF=tuple(own))


def _check_template(template: Any, test: Any) -> None:
    if test is None:
        raise UsageError("template: the members have predicted no test clips")
    template.check_classes(test.classes)
    if lost := set(template.names) - set(test.asked):
        raise UsageError(
            f"template={template.file}: the members have not predicted {len(lost)} of its "
            f"{count(len(template.names), 'clip')}, as {min(lost)!r}"
        )


def _facts(members: Any, final: Any, judged: Any) -> dict[str, Any]:
    return {
        "members": [{"name": m.name, "runs": [str(r) for r in m.runs]} for m in members],
        "stacker": final.stacker,
        "calibration": final.calibration,
        "about": final.about,
        "alone": None if final.alone is None else members[final.alone].name,
        "held_back_log_loss": final.losses,
        "judged": {j.split: asdict(j) for j in judged},
    }


def _fingerprint(cfg: EnsembleStackConfig, members: Any) -> str:
    """Hash of what the members answered and of the settings that shape the result."""
    seen = hashlib.blake2b(digest_size=8)
    settings = cfg.model_dump(
        mode="json", exclude={"paths", "members", "out", "overwrite", "report", "report_paths", "template"}
    )
    seen.update(json.dumps(settings, sort_keys=True).encode())
    if cfg.template is not None:
        seen.update(cfg.template.read_bytes())
    for m in members:
        for run in m.runs:
            names = ("predictions_val.parquet", "predictions_test.parquet", "clips.parquet")
            frames = ("frames_val.parquet", "frames_test.parquet") if cfg.frame_statistics else ()
            for name in (*names, *frames):
                file = run / name
                seen.update(file.read_bytes() if file.is_file() else b"none")
    return seen.hexdigest()
