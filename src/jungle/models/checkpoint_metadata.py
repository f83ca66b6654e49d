"""What a checkpoint says of its training, in addition to the model: plain values that travel with it."""

from typing import Any, TypedDict


class DrawRatios(TypedDict):
    """How the sampler of training clips changed the shares of classes.

    `classes`: by class, its share as drawn over its share; `none`: the same for clips without any class.
    """

    classes: dict[str, float]
    none: float


class CheckpointMetadata(TypedDict, total=False):
    """What `ClipClassifier.describe` adds to the model's own description.

    - `clip`: how clips become frames in evaluation (`ClipSpec.to_dict`)
    - `priors`: share of each class in the training clips
    - `weights_hash`: of the backbone
    - `feature_dtype`: what a frozen backbone computes features in
    - `prior_shift`: what the sampler of training clips adds to the logit of each class, on average
    - `draw_ratios`: the same for sigmoids, exactly
    - `metadata`: mean and spread of the training clips' metadata, for a head that takes them
    - `calibration`: of its probabilities (`jungle.metrics.calibration.Calibration.to_dict`)
    - `thresholds`: of decisions (`jungle.metrics.thresholds.Thresholds.to_dict`)
    """

    clip: dict[str, Any]
    priors: dict[str, float]
    weights_hash: str
    feature_dtype: str
    prior_shift: dict[str, float]
    draw_ratios: DrawRatios
    metadata: dict[str, Any]
    calibration: dict[str, Any]
    thresholds: dict[str, Any]
