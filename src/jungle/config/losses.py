"""Losses, one class of settings each; their values are in `configs/loss/*.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from jungle.config.values import Fraction, Section

# The losses that fit one task only; the others fit both.
TASK_OF = {"bce": "multilabel", "ce": "exclusive", "asymmetric": "multilabel"}


class _Loss(Section):
    """Settings of every loss."""

    label_smoothing: Fraction
    class_weights: Literal["none", "sqrt", "balanced"]


class CrossEntropy(_Loss):
    """Of the task."""

    name: Literal["auto", "bce", "ce"]


class Focal(_Loss):
    """Cross-entropy that leaves easy clips alone."""

    name: Literal["focal"]
    gamma: Annotated[float, Field(ge=0, le=10)]


class Asymmetric(_Loss):
    """Cross-entropy that leaves easy absences alone."""

    name: Literal["asymmetric"]
    gamma_positive: Annotated[float, Field(ge=0, le=10)]
    gamma_negative: Annotated[float, Field(ge=0, le=10)]
    margin: Fraction


Loss = Annotated[CrossEntropy | Focal | Asymmetric, Field(discriminator="name")]
