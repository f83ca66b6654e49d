"""`jungle ensemble stack`: one prediction from those of several models, its scores and a submission."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path

import numpy as np

from jungle.config import EnsembleStackConfig, parse_config
from jungle.console import log, log_time, print_result
from jungle.data import predictions
from jungle.ensemble import stack, stacking_features
from jungle.ensemble.blend import BLENDS
from jungle.ensemble.evaluation import Evaluation, evaluate
from jungle.ensemble.frame_statistics import compute_member_statistics
from jungle.ensemble.members import Member, load_members
from jungle.ensemble.prediction_matrix import PredictionMatrix, build_matrix, make_predictions
from jungle.ensemble.stackers import STACKERS
from jungle.errors import UsageError
from jungle.export.submission import Template, read_template, write_submission
from jungle.files import read_json, write_json
from jungle.metrics.scores import compute_scores
from jungle.report.ensemble import write_ensemble_report
from jungle.report.formatting import format_gain
from jungle.training.clips import compute_priors
from jungle.wording import count

RESULTS = ("stack.json", "metrics.json", "submission.csv", "report.html")
RESULTS += ("predictions_val.parquet", "predictions_test.parquet")


def main(raw: object) -> None:
    """Stack as a composed config says; a finished result is kept."""
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


def _stack(
    cfg: EnsembleStackConfig,
    members: Sequence[Member],
    template: Template | None,
    out: Path,
    fingerprint: str,
) -> None:
    from jungle.training.evaluation import describe_unscored  # here: a finished result needs no torch

    matrices = {split: build_matrix(members, split) for split in ("val", "test")}
    if cfg.neighbours:
        matrices = {s: b and _with_neighbours(b) for s, b in matrices.items()}
    if cfg.frame_statistics:
        matrices = {s: b and _with_frames(b, members, s) for s, b in matrices.items()}
    val, test = matrices["val"], matrices["test"]
    assert val is not None
    at = np.flatnonzero(val.labelled_N)
    if not len(at):
        raise UsageError("members: none of the validation clips has a label, so there is nothing to fit on")
    more = [name for name in ("neighbours", "frame_statistics") if getattr(cfg, name)]
    if more and cfg.stacker in BLENDS:
        raise UsageError(
            f"stacker={cfg.stacker} uses only the members' predictions: {more[0]}=true needs one of "
            f"{', '.join(STACKERS)}"
        )
    plan = stack.make_plan(cfg.stacker, cfg.calibration, len(at), bool(more), cfg.seed)
    if template is not None:
        _check_template(template, test)
    with log_time("stacking"):
        nested = stack.predict_nested(val, at, plan)
        final = stack.fit(val.rows(at), val.targets_NC[at], val.groups_N[at], plan)
    log.info(f"stacker {final.stacker}, calibration {final.calibration}")
    probs = {"val": final(val.rows(np.arange(len(val.clips))))}
    probs["val"][at] = nested.probs_NC  # labelled clips: by fits that did not see them
    if test is not None:
        probs["test"] = final(test.rows(np.arange(len(test.clips))))
    scores: dict[str, float] = {}
    out.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:  # an interrupted run leaves no old result; some files are not always written
        (out / name).unlink(missing_ok=True)
    for split, matrix in matrices.items():
        if matrix is None:
            continue
        table = make_predictions(matrix, probs[split])
        predictions.write(table, out / f"predictions_{split}.parquet")
        if (labelled := matrix.labelled_N).any():
            found = compute_scores(
                probs[split][labelled], matrix.targets_NC[labelled], matrix.classes, matrix.task
            )
            found["unreadable"] = float(matrix.unanswered_labelled)
            scores |= {f"{split}/{k}": v for k, v in found.items()}
            if matrix.unanswered_labelled:
                log.warning(f"{split}: {describe_unscored(matrix.unanswered_labelled)}")
            log.info(
                f"{split}: log loss {found['log_loss']:.4f}, "
                f"accuracy {found.get('accuracy', float('nan')):.4f}"
            )
        if split == "test" and template is not None:
            lead = max(members, key=lambda m: len(m.classes))
            write_submission(table, template, out / "submission.csv", compute_priors(lead.clips))
    alone = {s: _calibrate(val, at, plan, None if s == "val" else b) for s, b in matrices.items() if b}
    compared = stack.make_comparison_plan(plan, final.stacker, len(at))
    evaluations = _evaluate(
        matrices,
        probs,
        at,
        compared,
        same=compared == plan,
        neighbours=cfg.neighbours,
        calibrated=alone,
    )
    _log_gain(evaluations, val.names, final, nested, alone["val"] is not None)
    write_json(out / "metrics.json", scores)
    if cfg.report:
        with log_time("report"):
            write_ensemble_report(
                out / "report.html",
                evaluations=evaluations,
                matrices=matrices,
                probs=probs,
                stack=final,
                nested=nested,
                members=members,
                calibrated=alone,
                neighbours=cfg.neighbours,
                whole_paths=cfg.report_paths,
            )
    summary = _summarise(members, final, nested, evaluations)
    write_json(out / "stack.json", {"fingerprint": fingerprint, **summary})


def _calibrate(
    val: PredictionMatrix, at: np.ndarray, plan: stack.Plan, matrix: PredictionMatrix | None
) -> list[np.ndarray] | None:
    """Return the members' calibrated predictions; None where the ensemble is a plain mean."""
    if plan.stackers == ("mean",) and plan.calibrations == ("none",):
        return None
    return stack.calibrate_members(val, at, plan, matrix)


def _log_gain(
    evaluations: Sequence[Evaluation],
    names: tuple[str, ...],
    final: stack.Stack,
    nested: stack.NestedPredictions,
    calibrated: bool,
) -> None:
    """Log the gain over the best member, and warn where the ensemble is a single member."""
    if not evaluations or len(names) < 2:
        return
    first = evaluations[0]
    gain, how = first.gain["log_loss"], "calibrated in the same way" if calibrated else "not calibrated"
    log.info(
        f"{first.split}: gain over the best member ({first.best}, {how}): {format_gain(gain.value)} of log "
        f"loss, above 0 is better; 95 % interval {format_gain(gain.low)} to {format_gain(gain.high)}"
    )
    if final.alone is not None:
        log.warning(
            f"all the weight is on {names[final.alone]}: this stack is that model calibrated, and the "
            "other members add nothing"
        )
    elif first.split == "val" and nested.alone is not None:
        log.warning(
            f"val: all the weight is on {names[nested.alone]} in each of the {len(nested.stacks)} fits that "
            "give the validation scores; the fit to all validation clips uses several members"
        )


def _evaluate(
    matrices: Mapping[str, PredictionMatrix | None],
    probs: Mapping[str, np.ndarray],
    at: np.ndarray,
    plan: stack.Plan,
    *,
    same: bool,
    neighbours: bool,
    calibrated: Mapping[str, list[np.ndarray] | None],
) -> list[Evaluation]:
    """Evaluate each split that has labels; on the first one, also the contribution of each member.

    Args:
        matrices: of each split.
        probs: the ensemble's predictions for each split.
        at: the validation clips with a label.
        plan: by which the ensemble of some members is fitted.
        same: whether the ensemble of all members was fitted by this plan.
        neighbours: whether the predictions for neighbouring clips are used.
        calibrated: the members' calibrated predictions for each split.
    """
    val = matrices["val"]
    assert val is not None
    found: list[Evaluation] = []
    for split in ("test", "val"):
        matrix = matrices[split]
        if matrix is None:
            continue

        def predict(members: list[int], matrix: PredictionMatrix = matrix, split: str = split) -> np.ndarray:
            if same and len(members) == len(val.names):
                return probs[split]
            fitted_on, asked = (
                _with_neighbours(m.of(members)) if neighbours else m.of(members) for m in (val, matrix)
            )
            if split == "val":
                predicted = probs["val"].copy()
                title = "stacking without each member" if len(members) < len(val.names) else "nested stacking"
                predicted[at] = stack.predict_nested(fitted_on, at, plan, title).probs_NC
                return predicted
            fitted = stack.fit(fitted_on.rows(at), fitted_on.targets_NC[at], fitted_on.groups_N[at], plan)
            return fitted(asked.rows(np.arange(len(asked.clips))))

        without = None if found or len(val.names) < 2 else predict
        evaluation = evaluate(matrix, probs[split], split, without, calibrated[split])
        found += [] if evaluation is None else [evaluation]
    return found


def _with_neighbours(matrix: PredictionMatrix) -> PredictionMatrix:
    """Return the matrix with what its members predicted for the clips before and after at the same site."""
    return replace(matrix, extra_NF=stacking_features.build_neighbour_features(matrix))


def _with_frames(matrix: PredictionMatrix, members: Sequence[Member], split: str) -> PredictionMatrix:
    """Return the matrix with statistics of each member's predictions for single frames."""
    clips = matrix.clips.table["clip"].to_list()
    own = [
        compute_member_statistics(m, split, clips, matrix.classes, matrix.probs_MNC[i])
        for i, m in enumerate(members)
    ]
    return replace(matrix, own_MNF=tuple(own))


def _check_template(template: Template, test: PredictionMatrix | None) -> None:
    if test is None:
        raise UsageError("template: the members have predicted no test clips")
    template.check_classes(test.classes)
    if lost := set(template.names) - set(test.requested):
        raise UsageError(
            f"template={template.file}: the members have not predicted {len(lost)} of its "
            f"{count(len(template.names), 'clip')}, as {min(lost)!r}"
        )


def _summarise(
    members: Sequence[Member],
    final: stack.Stack,
    nested: stack.NestedPredictions,
    evaluations: Sequence[Evaluation],
) -> dict[str, object]:
    def name(alone: int | None) -> str | None:
        return None if alone is None else members[alone].name

    return {
        "members": [{"name": m.name, "runs": [str(r) for r in m.runs]} for m in members],
        "stacker": final.stacker,
        "calibration": final.calibration,
        "about": final.about,
        "alone": name(final.alone),
        "nested": [
            {
                "stacker": part.stacker,
                "calibration": part.calibration,
                "about": part.about,
                "alone": name(part.alone),
            }
            for part in nested.stacks
        ],
        "held_back_log_loss": final.losses,
        "judged": {e.split: _to_json(e) for e in evaluations},
    }


def _to_json(evaluation: Evaluation) -> dict[str, object]:
    """Return an evaluation under the names and in the form that `stack.json` has had from the start."""
    fields = asdict(evaluation)
    fields["not_judged"] = fields.pop("unscored")
    fields["classes"] = [astuple(c) for c in evaluation.classes]
    return fields


def _fingerprint(cfg: EnsembleStackConfig, members: Sequence[Member]) -> str:
    """Return a hash of the members' predictions and of the settings that affect the result."""
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
