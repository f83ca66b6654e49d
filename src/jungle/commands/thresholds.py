"""`jungle thresholds`: choose from which probability on a clip is decided, and say what that costs."""

from jungle import runs
from jungle.config import ThresholdsConfig, parse_config
from jungle.console import log, print_result
from jungle.data.spreadsheets import write_csv
from jungle.models.checkpoint import store_answers
from jungle.models.description import read_description
from jungle.postprocessing.labelled import find_run, load_labelled
from jungle.postprocessing.thresholds import (
    fit_blank_threshold,
    fit_class_thresholds,
    join_thresholds,
    tabulate_curve,
)
from jungle.report.charts import draw_file, make_blank_curve


def main(raw: object) -> None:
    """Choose thresholds as a composed config says.

    Raises:
        UserError: there are no such labelled clips, or a file cannot be used.
    """
    cfg = parse_config(ThresholdsConfig, raw)
    file = runs.resolve_checkpoint(cfg.ckpt)
    known = read_description(file)
    labelled = load_labelled(file, known.classes, source=cfg.source, labels=cfg.labels, split=cfg.split)
    probs_NC = labelled.probs_NC if known.calibration is None else known.calibration(labelled.probs_NC)
    out = cfg.out or cfg.source or find_run(file)
    out.mkdir(parents=True, exist_ok=True)
    blank = classes = None
    if cfg.max_missed is not None:
        blank = fit_blank_threshold(labelled, probs_NC, known.task, cfg.max_missed)
        curve = tabulate_curve(blank.curve)
        write_csv(curve, out / "blank_removal.csv", float_precision=6)
        write_csv(blank.sites, out / "blank_removal_sites.csv", float_precision=6)
        draw_file(make_blank_curve(blank.curve, blank.point), out / "blank_removal.svg")
        print_result(blank.describe())
        print_result(f"curve: {out / 'blank_removal.csv'}")
        print_result(f"sites: {out / 'blank_removal_sites.csv'}")
    if cfg.precision is not None or cfg.recall is not None:
        classes = fit_class_thresholds(
            labelled, probs_NC, known.task, precision=cfg.precision, recall=cfg.recall
        )
        for line in classes.describe():
            log.warning(line)
        write_csv(classes.tabulate(), out / "thresholds.csv", float_precision=6)
        print_result(f"thresholds: {out / 'thresholds.csv'}")
    if cfg.store:
        chosen = join_thresholds(
            blank, classes, calibrated=known.calibration is not None, before=known.thresholds
        )
        store_answers(file, {"thresholds": chosen.to_dict()})
        print_result(f"checkpoint with thresholds: {file}")
