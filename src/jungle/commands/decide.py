"""`jungle decide`: decisions from the probabilities of an earlier prediction."""

import dataclasses

from jungle import runs
from jungle.config import DecideConfig, parse_config
from jungle.console import log, print_result
from jungle.data import predictions
from jungle.errors import UsageError
from jungle.metrics.logits import adds_to_one
from jungle.models.description import read_description
from jungle.postprocessing import ModelFacts, Steps, apply_steps
from jungle.postprocessing.labelled import read_predictions
from jungle.postprocessing.steps import describe_decisions, write_decisions


def main(raw: object) -> None:
    """Decide as a composed config says; the predictions stay as they are.

    Raises:
        UserError: the checkpoint has other classes, or a list or tree cannot be used.
    """
    cfg = parse_config(DecideConfig, raw)
    table = read_predictions(cfg.source)
    classes = predictions.get_classes(table)
    if cfg.ckpt is None:
        probs_NC = predictions.get_probabilities(predictions.select_read(table))
        model = ModelFacts("exclusive" if adds_to_one(probs_NC) else "multilabel", classes)
    else:
        file = runs.resolve_checkpoint(cfg.ckpt)
        known = read_description(file)
        if set(known.classes) != set(classes):
            raise UsageError(f"ckpt={file}: its classes differ from those of from={cfg.source}")
        model = ModelFacts(*(getattr(known, f.name) for f in dataclasses.fields(ModelFacts)))
    decisions = apply_steps(table, model, Steps(**cfg.pick_steps()))
    out = cfg.out or (cfg.source if cfg.source.is_dir() else cfg.source.parent)
    out.mkdir(parents=True, exist_ok=True)
    write_decisions(decisions, out)
    log.info(describe_decisions(decisions))
    print_result(f"decisions: {out / 'decisions.csv'}")
