"""Training config: its groups, checks across groups, and defaults that depend on the mode."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from jungle.config.groups import (
    Augment,
    Callbacks,
    Checkpoint,
    Data,
    Decoder,
    FramesChoice,
    Logger,
    Model,
    Paths,
    TrainerChoice,
)
from jungle.config.heads import Head
from jungle.config.losses import TASK_OF, Loss
from jungle.config.optim import Optim
from jungle.config.values import Section
from jungle.plain import drop_empty


class ClipsConfig(Section):
    """Settings that select the clips and their frames."""

    paths: Paths
    data: Data
    decoder: Decoder
    frames: FramesChoice
    augment: Augment
    model: Model
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _place_of_the_sample(self) -> "ClipsConfig":
        if self.data.format == "sample" and self.data.root is None:
            # A folder for each size: one is no part of another, since sites and names are dealt again.
            clips, usual = self.data.sample_clips, type(self.data).model_fields["sample_clips"].default
            root = self.paths.cache / ("sample" if clips == usual else f"sample_{clips}")
            object.__setattr__(self, "data", self.data.model_copy(update={"root": root}))
        return self

    @model_validator(mode="after")
    def _cut_on_the_cpu(self) -> "ClipsConfig":
        if self.frames.focus != "whole" and self.decoder.device in ("gpu", "cuda"):
            raise ValueError("frames.focus=motion cuts frames on the CPU: decoder.device=cpu, or auto")
        return self


class TrainConfig(ClipsConfig):
    """The whole of `configs/train.yaml`."""

    head: Head
    loss: Loss
    optim: Optim
    trainer: TrainerChoice
    callbacks: Callbacks
    checkpoint: Checkpoint
    logger: Logger
    experiment: Any = None
    sweep: Any = None
    task: Literal["auto", "multilabel", "exclusive"]
    sampler: Literal["natural", "mixed", "balanced"]
    name: str | None
    resume: str
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)]
    calibrate: bool | Literal["auto"] = "auto"
    frame_answers: bool
    report: bool
    report_paths: bool = False

    @model_validator(mode="after")
    def _together(self) -> "TrainConfig":
        if self.model.mode == "frozen" and self.frames.kind == "random":
            raise ValueError(
                "frames=random draws new frames in each epoch, but frozen features are computed once: use "
                "another frames="
            )
        nothing = {k: float(k == "crop") for k in self.augment.picture()}
        if self.model.mode == "frozen" and (self.augment.cutmix or self.augment.picture() != nothing):
            raise ValueError(
                "augment changes frames, but frozen features are computed once: use augment=none (mixup "
                "may be on), or model=finetune"
            )
        if self.model.mode == "frozen" and (self.optim.layer_decay != 1 or self.optim.backbone_lr):
            raise ValueError(
                "optim.layer_decay and optim.backbone_lr need a backbone that is trained: leave them out, or "
                "use model=finetune"
            )
        if self.model.mode == "frozen" and self.data.batch_size == "auto":
            raise ValueError(
                "data.batch_size=auto fills a GPU, and stored features never do: give a number, or fine-tune"
            )
        if self.trainer.compile and (self.model.mode == "frozen" or self.model.taps):
            why = (
                "runs once over each clip" if self.model.mode == "frozen" else "with model.taps runs in parts"
            )
            raise ValueError(f"trainer.compile=true compiles the backbone, which {why}: leave it out")
        if self.model.mode == "frozen" and self.data.cache != "none":
            raise ValueError(
                "data.cache keeps decoded frames for the next epoch, frozen features are made once and kept: "
                "use data.cache=none, or fine-tune"
            )
        if self.decoder.device in ("gpu", "cuda") and self.data.cache != "none":
            raise ValueError("data.cache keeps what the CPU decodes: decoder.device=cpu, or data.cache=none")
        if self.data.pseudo == "self" and self.sampler != "natural":
            raise ValueError(
                f"data.pseudo=self with sampler={self.sampler}: the priors of its last epochs are others "
                "than those before, and could not be undone: use sampler=natural"
            )
        if self.task != "auto" and TASK_OF.get(self.loss.name, self.task) != self.task:
            raise ValueError(f"loss={self.loss.name} is of another task than task={self.task}: use loss=auto")
        return self

    def by_mode(self, frozen: Any, finetune: Any) -> Any:
        """Return the first for a frozen backbone, the second for a fine-tuned one."""
        return frozen if self.model.mode == "frozen" else finetune

    @property
    def batch_size(self) -> int:
        """Clips per step on each device."""
        asked = self.data.batch_size
        return asked if isinstance(asked, int) else self.by_mode(16, 8)

    @property
    def max_epochs(self) -> int:
        """Maximum number of epochs, rounds of `data.pseudo=self` included."""
        return self.epochs_before_rounds + self.pseudo_rounds

    @property
    def epochs_before_rounds(self) -> int:
        """Maximum number of epochs before the rounds of `data.pseudo=self`.

        Early stopping makes them fewer, and the rounds begin where it ends them.
        """
        return self.trainer.max_epochs or self.by_mode(30, 10)

    @property
    def pseudo_rounds(self) -> int:
        """Epochs after all others, each with soft labels of the model's own."""
        return (self.data.pseudo_rounds or 5) if self.data.pseudo == "self" else 0

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        asked = self.optim.lr
        return asked if isinstance(asked, float) else 1e-2 if self.optim.name == "sgd" else 3e-4

    @property
    def searched(self) -> list[str]:
        """Settings that are `auto`: until `training.tuning` has found them, they count as not given."""
        values = {"data.batch_size": self.data.batch_size, "optim.lr": self.optim.lr}
        return [name for name, value in values.items() if value == "auto"]

    def shaping(self) -> dict[str, Any]:
        """Return the settings that affect the result, as plain data.

        What is empty counts as not there, so that a setting which a later version brings changes nothing.
        Where the numbers go shapes nothing: it stands there as the recipes of version 0.1 had it.
        """
        return self._shaping({"name": "none", "project": "jungle", "mode": "auto"})

    def fingerprint(self) -> str:
        """Hash of all settings that affect the result."""
        return _hash(self.shaping())

    def is_of(self, fingerprint: str) -> bool:
        """Tell whether these settings have that fingerprint; one of version 0.1 includes the logger."""
        old = {"name": self.logger.name, "project": self.logger.project or "jungle", "mode": self.logger.mode}
        return fingerprint in (self.fingerprint(), _hash(self._shaping(old)))

    def _shaping(self, logger: dict[str, str]) -> dict[str, Any]:
        elsewhere = {"resume": True, "report": True, "report_paths": True, "paths": True, "checkpoint": True}
        elsewhere["calibrate"] = True  # fitted to the predictions afterwards
        plain = self.model_dump(mode="json", exclude={**elsewhere, "data": {"cache", "cache_gb"}})
        return drop_empty({**plain, "logger": logger})


def _hash(settings: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()
