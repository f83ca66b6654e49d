"""`jungle calibrate`: fit a calibration to labelled clips and store it in the checkpoint."""

from jungle import runs
from jungle.config import CalibrateConfig, parse_config
from jungle.console import log, print_result
from jungle.models.checkpoint import store_answers
from jungle.models.description import read_description
from jungle.postprocessing.calibration import METHODS, fit_calibration
from jungle.postprocessing.labelled import load_labelled


def main(raw: object) -> None:
    """Calibrate as a composed config says.

    Raises:
        UserError: there are too few labelled clips, or a file cannot be used.
    """
    cfg = parse_config(CalibrateConfig, raw)
    file = runs.resolve_checkpoint(cfg.ckpt)
    known = read_description(file)
    labelled = load_labelled(file, known.classes, source=cfg.source, labels=cfg.labels, split=cfg.split)
    fitted = fit_calibration(
        labelled, known.task, METHODS if cfg.method == "auto" else (cfg.method,), cfg.seed
    )
    log.info(fitted.describe())
    for line in fitted.format_scores():
        log.info(line)
    out = cfg.out or file
    out.parent.mkdir(parents=True, exist_ok=True)
    store_answers(file, {"calibration": fitted.to_dict(), "thresholds": None}, out)
    if known.thresholds is not None:
        log.warning(
            f"{out}: its thresholds are removed, they were of other probabilities: run jungle thresholds"
        )
    print_result(f"calibrated checkpoint: {out}")
