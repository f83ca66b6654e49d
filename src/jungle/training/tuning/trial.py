"""What a trial trains."""

from collections.abc import Callable

from jungle.config import TrainConfig
from jungle.models.module import ClipClassifier

ModelFactory = Callable[[TrainConfig], ClipClassifier]
"""Builds the model that a config asks for, with weights of its own."""
