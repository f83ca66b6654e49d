"""From a model's probabilities to answers: calibration, thresholds, species lists, taxonomy, events."""

from jungle.postprocessing.steps import ModelFacts, Steps, apply_steps

__all__ = ["ModelFacts", "Steps", "apply_steps"]
