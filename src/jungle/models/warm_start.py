"""Start training from the weights of another run."""

from pathlib import Path

from jungle.errors import UserError
from jungle.models.backbones.concat import backbones_of
from jungle.models.backbones.timm_factory import Colour
from jungle.models.checkpoint import load_checkpoint
from jungle.models.module import ClipClassifier


def warm_start(model: ClipClassifier, file: Path) -> None:
    """Load the weights of a checkpoint into a model.

    If its clips were drawn in another way, the last bias is shifted by the mean effect on the logits.

    Raises:
        UserError: it cannot be read, or is of another backbone, head or classes.
    """
    other = load_checkpoint(file).model
    for what, own, its in (
        ("model.backbone", model.backbone.spec.name, other.backbone.spec.name),
        ("model.also", *([s.name for s in m.backbone.spec.also] for m in (model, other))),
        ("model.taps", list(model.backbone.spec.taps), list(other.backbone.spec.taps)),
        ("normalisation of frames", _normalisation(model), _normalisation(other)),
        ("head", model.head_values, other.head_values),
        ("data.metadata", _columns(model), _columns(other)),
        ("classes", list(model.classes), list(other.classes)),
        ("task", model.task, other.task),
    ):
        if own != its:
            raise UserError(f"model.warm_start={file}: its {what} is {its}, this run's {own}")
    model.load_state_dict(other.state_dict())
    model.move_priors(model.prior_shift_C - other.prior_shift_C)


def _normalisation(model: ClipClassifier) -> list[tuple[Colour, Colour]]:
    return [part.normalisation for part in backbones_of(model.backbone)]


def _columns(model: ClipClassifier) -> list[str]:
    return list(model.metadata.columns) if model.metadata else []
