"""Configs of every verb except `train`."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from jungle.config.export import ExportFormat
from jungle.config.groups import DecoderName, Paths, check_decoder
from jungle.config.train import ClipsConfig
from jungle.config.values import Fraction, RunPath, Section, make_list


class PreviewConfig(ClipsConfig):
    """The whole of `configs/preview.yaml`."""

    out: Path
    clips: Annotated[int, Field(ge=1, le=100)]
    epochs: Annotated[int, Field(ge=1, le=20)]

    @model_validator(mode="after")
    def _shown(self) -> "PreviewConfig":
        if self.data.pseudo is not None:
            raise ValueError("data.pseudo: preview shows labelled clips; leave it out")
        return self


class DecoderAgain(Section):
    """Library and device that decode video for a trained model."""

    name: DecoderName | None
    device: Literal["auto", "cpu", "gpu", "cuda"]
    crop_bottom: float | None

    @model_validator(mode="after")
    def _together(self) -> "DecoderAgain":
        check_decoder(self.name, self.device)
        if self.crop_bottom is not None:
            raise ValueError("crop_bottom is the model's own, as it was trained: leave it out")
        return self


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(
            f"device={device} is not valid. Valid: auto, cpu, cuda, or one GPU of several: cuda:1."
        )
    return device


class PredictConfig(Section):
    """The whole of `configs/predict.yaml`."""

    paths: Paths
    ckpt: Annotated[list[RunPath], BeforeValidator(make_list), Field(min_length=1)]
    videos: str | list[str] | None
    limit: PositiveInt | None = None
    template: Path | None
    sites: Path | None = None
    metadata: Path | None
    micro: Path | None = None
    out: Path | None
    device: Annotated[str, AfterValidator(_known_device)]
    workers: NonNegativeInt | None
    batch_size: PositiveInt
    timeout_s: Annotated[float, Field(gt=0)]
    decoder: DecoderAgain
    flush_s: Annotated[float, Field(gt=0)]
    retry_failed: bool
    dry_run: bool = False
    watch: bool = False
    watch_s: Annotated[float, Field(gt=0)] = 60
    overwrite: bool
    export: Annotated[list[ExportFormat], BeforeValidator(make_list)] = Field(default_factory=list)
    report: bool
    report_paths: bool = False

    @model_validator(mode="after")
    def _watched(self) -> "PredictConfig":
        if not self.watch:
            return self
        if self.videos is None:
            raise ValueError("watch=true: it follows a folder; give videos=<folder>")
        for name in ("template", "limit"):
            if getattr(self, name) is not None:
                raise ValueError(f"watch=true: it takes every clip that comes; leave out {name}")
        if self.dry_run:
            raise ValueError("watch=true: nothing is predicted with dry_run=true; leave one out")
        return self


Share = Annotated[float, Field(gt=0, lt=1)]


class DecisionSteps(Section):
    """Steps from probabilities to decisions, as `jungle.postprocessing.Steps` takes them."""

    calibrated: bool
    allow: Path | None
    sites: Path | None
    taxonomy: Path | None
    rollup: Share
    threshold: Annotated[float, Field(ge=0, le=1)] | None

    @model_validator(mode="after")
    def _sites_of_a_list(self) -> "DecisionSteps":
        if self.sites is not None and self.allow is None:
            raise ValueError("sites is for a species list by place: give allow=<list>, or leave it out")
        return self

    def pick_steps(self) -> dict[str, Any]:
        """Return the settings of the steps alone."""
        return {name: getattr(self, name) for name in DecisionSteps.model_fields}


class DecideConfig(DecisionSteps):
    """The whole of `configs/decide.yaml`."""

    source: Path = Field(alias="from")
    ckpt: RunPath | None
    out: Path | None


class LabelledConfig(Section):
    """A checkpoint, and labelled clips that its model did not train on."""

    ckpt: RunPath
    source: Path | None = Field(alias="from")
    labels: Path | None
    split: Literal["val", "test"]

    @model_validator(mode="after")
    def _both(self) -> "LabelledConfig":
        if (self.source is None) != (self.labels is None):
            raise ValueError("from=<prediction folder> and labels=<table> go together: give both, or neither")
        return self


class CalibrateConfig(LabelledConfig):
    """The whole of `configs/calibrate.yaml`."""

    method: Literal["auto", "none", "temperature", "platt", "isotonic"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    out: Path | None


class ThresholdsConfig(LabelledConfig):
    """The whole of `configs/thresholds.yaml`."""

    max_missed: Fraction | None
    precision: Share | None
    recall: Share | None
    store: bool
    out: Path | None

    @model_validator(mode="after")
    def _one_aim(self) -> "ThresholdsConfig":
        if self.precision is not None and self.recall is not None:
            raise ValueError("precision and recall each choose the thresholds of classes: give one of them")
        if self.max_missed is None and self.precision is None and self.recall is None:
            raise ValueError("nothing to choose: give max_missed, precision or recall")
        return self


class DownloadConfig(Section):
    """The whole of `configs/download.yaml`."""

    out: Path
    micro: bool


class IndexConfig(Section):
    """The whole of `configs/index.yaml`."""

    videos: str | list[str]
    out: Path
    workers: PositiveInt | None
    timeout_s: Annotated[float, Field(gt=0)]
    name_pattern: str | None
    file_time: bool


class ShrinkConfig(Section):
    """The whole of `configs/shrink.yaml`."""

    videos: Path
    out: Path
    shrink: str
    codec: Literal["mjpeg", "h264"]
    workers: PositiveInt | None
    timeout_s: Annotated[float, Field(gt=0)]
