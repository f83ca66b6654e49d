"""Groups of a training config, one class each; their values are in `configs/<group>/*.yaml`."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jungle.backbone_names import check_backbone
from jungle.config.values import (
    Fraction,
    RunPath,
    Section,
    Size,
    check_timezone,
    make_list,
    parse_pairs,
)
from jungle.plain import find_repeated

PART = re.compile(r"all|head|last_[1-9]\d*")
DecoderName = Literal["auto", "decord", "torchcodec", "pyav"]


OWNERS = {
    "labels": ("csv", "megadetector", "primatrix", "primatrix_micro"),
    "template": ("primatrix", "primatrix_micro"),
    "test_labels": ("primatrix", "primatrix_micro"),
    "filepath_column": ("csv",),
    "label_column": ("csv",),
    "min_confidence": ("megadetector",),
    "timezone": ("camtrap_dp",),
}
"""Settings of `data` that only some of its formats read; the others read every one."""
SEVERAL = {
    "labels": ("csv", "megadetector"),
    "root": ("csv", "folders", "camtrap_dp", "megadetector"),
}
"""Settings of `data` that may be a list, and the formats that read one."""


def _plan(value: Any) -> Any:
    """Return a plan by epoch; a part of the backbone alone is trained from the first epoch on."""
    return {0: value} if isinstance(value, str) else value


def _list_paths(value: Path | list[Path] | None) -> list[Path]:
    return value if isinstance(value, list) else [] if value is None else [value]


class Paths(Section):
    """Folders of runs, caches and stores."""

    runs: Path
    cache: Path
    features: Path


class Data(Section):
    """Clips, their labels and their splits."""

    format: Literal["sample", "csv", "folders", "camtrap_dp", "megadetector", "primatrix", "primatrix_micro"]
    root: Path | list[Path] | None
    labels: Path | list[Path] | None
    template: Path | None
    test_labels: Path | None
    sites: Path | None
    classes: list[str] | None
    only: Annotated[list[str], Field(min_length=1)] | None
    filepath_column: str | None
    label_column: str | None
    rename: Annotated[dict[str, str] | Path | None, BeforeValidator(parse_pairs)] = None
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    timezone: Annotated[str, AfterValidator(check_timezone)] | None = None
    missing: Literal["error", "skip"]
    duplicates: Path | None
    metadata: Literal["index"] | Path | None
    micro: Literal["auto"] | Path | None = None
    val_fraction: Fraction
    test_fraction: Fraction
    folds: Annotated[int, Field(ge=2)] | None
    fold: NonNegativeInt | None
    limit: PositiveInt | None
    batch_size: PositiveInt | Literal["auto"] | None
    workers: NonNegativeInt | None
    timeout_s: Annotated[float, Field(gt=0)]
    cache: Literal["none", "ram", "disk"]
    cache_gb: Annotated[float, Field(ge=0.1)] | None
    pseudo: Literal["self"] | Path | None
    pseudo_share: Annotated[float, Field(ge=0.001, le=0.999)]
    pseudo_weight: Annotated[float, Field(gt=0)]
    pseudo_rounds: PositiveInt | None
    pseudo_part: Annotated[float, Field(gt=0, le=1)] | None
    sample_clips: PositiveInt = 240

    @property
    def roots(self) -> list[Path]:
        """Folders of the clips, in the order given."""
        return _list_paths(self.root)

    @property
    def tables(self) -> list[Path]:
        """Files of labels, in the order given."""
        return _list_paths(self.labels)

    @field_validator("root", "labels")
    @classmethod
    def _check_each_once(cls, value: Path | list[Path] | None, info: ValidationInfo) -> object:
        """Return a list of one path as that path; refuse an empty list, and a path that is named twice."""
        if not isinstance(value, list):
            return value
        if not value:
            raise ValueError(f"an empty list: name a {'folder' if info.field_name == 'root' else 'table'}")
        whole = [Path(os.path.abspath(path)) for path in value]
        for i, path in enumerate(whole):
            if path in whole[:i]:
                raise ValueError(f"{value[i]} is named twice: remove one")
            inner = next(
                (j for j, other in enumerate(whole) if other != path and other.is_relative_to(path)), i
            )
            if inner != i:
                raise ValueError(f"{value[inner]} lies in {value[i]}, which is named too: remove one")
        return value[0] if len(value) == 1 else value

    @model_validator(mode="after")
    def _read_by_the_format(self) -> "Data":
        for name, formats in SEVERAL.items():
            if isinstance(getattr(self, name), list) and self.format not in formats:
                raise ValueError(f"data.{name} is a list, and data={self.format} reads one: name one")
        for name, owners in OWNERS.items():
            if getattr(self, name) is not None and self.format not in owners:
                said = f"data.{name} belongs to data={owners[0]}"
                if self.format == "sample":  # the default: the format was forgotten
                    raise ValueError(f"{said}: add data={owners[0]}")
                raise ValueError(
                    f"{said}, and data={self.format} does not read it: give that, or leave data.{name} out"
                )
        return self

    @model_validator(mode="after")
    def _together(self) -> "Data":
        if (self.folds is None) != (self.fold is None):
            raise ValueError("folds and fold go together: data.folds=5 data.fold=0")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: the last is {self.folds - 1}")
        if self.pseudo is None and (self.pseudo_share, self.pseudo_weight) != (0.3125, 1):
            raise ValueError(
                "pseudo_share and pseudo_weight are of soft labels: add data.pseudo=<table of clip and a "
                "probability a class>"
            )
        if self.pseudo != "self" and (self.pseudo_rounds or self.pseudo_part):
            raise ValueError(
                "pseudo_rounds and pseudo_part are of data.pseudo=self: add it, or leave them out"
            )
        if isinstance(self.micro, Path) and self.metadata is None:
            raise ValueError("micro is part of what data.metadata tells of clips: add data.metadata=index")
        if self.cache == "none" and self.cache_gb is not None:
            raise ValueError("cache_gb is the room of a frame cache: add data.cache=ram or data.cache=disk")
        table = {"csv": "data.labels=<table>", "megadetector": "data.labels=<MegaDetector's .json>"}
        labels = table.get(self.format, "") if self.labels is None else ""
        root = {
            "csv": "data.root=<folder of the clips>",
            "folders": "data.root=<folder with one folder a class>",
            "camtrap_dp": "data.root=<folder of the package>",
            "megadetector": "data.root=<folder that its file names are relative to>",
        }
        lacking = [labels, root.get(self.format, "") if self.root is None else ""]
        if any(lacking):
            raise ValueError(f"data={self.format} needs {' and '.join(filter(None, lacking))}")
        return self


class Decoder(Section):
    """Library and device that decode video."""

    name: DecoderName
    device: Literal["auto", "cpu", "gpu", "cuda"]
    crop_bottom: Annotated[float, Field(ge=0)] | None

    @model_validator(mode="after")
    def _together(self) -> "Decoder":
        check_decoder(self.name, self.device)
        return self


def check_decoder(name: str | None, device: str) -> None:
    """Refuse a combination of decoder and device that works on no machine.

    Raises:
        ValueError: with what to type instead.
    """
    if name == "pyav" and device in ("gpu", "cuda"):
        raise ValueError(
            f"pyav decodes on the CPU only: decoder=torchcodec decoder.device={device}, or leave it out"
        )


class FramesChoice(Section):
    """Frames of a clip that the model sees."""

    kind: Literal["uniform", "fps", "fps_start", "random", "early_bias", "keyframe", "motion"]
    count: Annotated[int, Field(ge=1, le=1024)]
    fps: Annotated[float, Field(gt=0)] | None
    eval_count: Annotated[int, Field(ge=1, le=1024)] | None = None
    eval_kind: Literal["uniform", "early_bias", "keyframe", "motion"] = "uniform"
    """Of validation and prediction, where training draws at random."""
    val_count: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Frames of a validation clip at the end of each epoch; None = as many as in the end."""
    first_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds at the start of a clip from which training draws; None = all of it."""
    weights: RunPath | list[RunPath] | None = None
    """Runs whose answers to single frames say which of them are drawn more often."""
    focus: Literal["whole", "motion"]

    @model_validator(mode="after")
    def _together(self) -> "FramesChoice":
        if (self.kind in ("fps", "fps_start")) != (self.fps is not None):
            raise ValueError("frames=fps and frames=fps_start need frames.fps, the other kinds leave it null")
        if self.kind != "random" and (self.first_s or self.val_count):
            raise ValueError(
                "first_s and val_count are of frames=random, whose training sees other frames than its "
                "evaluation: add that, or leave them out"
            )
        return self


class Augment(Section):
    """Augmentation of training clips."""

    crop: Annotated[float, Field(ge=0.05, le=1)]
    flip: Annotated[float, Field(ge=0, le=1)]
    colour: Fraction
    infrared: Annotated[float, Field(ge=0, le=1)]
    noise: Fraction
    blur: Annotated[float, Field(ge=0, le=50)]
    cutout: Fraction
    mixup: Annotated[float, Field(ge=0, le=10)]
    cutmix: Annotated[float, Field(ge=0, le=10)]

    def picture(self) -> dict[str, float]:
        """Return the settings of `Augmentation`: what changes the frames of single clips."""
        return self.model_dump(exclude={"mixup", "cutmix"})


class Also(Section):
    """Another backbone for the same frames."""

    backbone: str
    weights: Path | None = None
    taps: list[str] = Field([])
    pool: Literal["mean", "max", "gem"] = "mean"

    @model_validator(mode="after")
    def _known(self) -> "Also":
        check_backbone(self.backbone)
        return self


class Model(Section):
    """Backbone, frozen or fine-tuned."""

    mode: Literal["frozen", "finetune"]
    backbone: str
    pretrained: bool
    weights: Path | None
    size: Size
    taps: list[str]
    pool: Literal["mean", "max", "gem"]
    also: list[Also] = Field([])
    unfreeze: Annotated[dict[NonNegativeInt, str], BeforeValidator(_plan)] = Field({0: "all"})
    norm_stats: Literal["move", "keep"] = "move"
    grad_checkpointing: bool = False
    warm_start: RunPath | None = None

    @model_validator(mode="after")
    def _known(self) -> "Model":
        check_backbone(self.backbone)
        if self.also and self.mode != "frozen":
            raise ValueError("model.also joins frozen backbones: leave it out to fine-tune one")
        if self.pool != "mean" and not self.taps:
            raise ValueError(f"pool={self.pool} is of what model.taps names: name some, or leave it out")
        wrong = [part for part in self.unfreeze.values() if not PART.fullmatch(part)]
        if wrong or 0 not in self.unfreeze:
            raise ValueError(
                f"unfreeze={wrong[0] if wrong else self.unfreeze}: all, head, last_<n>, or the epochs from "
                "which each holds, from 0 on: {0: head, 2: last_3, 5: all}"
            )
        return self


class TrainerChoice(Section):
    """Devices, precision, epochs."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda"]
    devices: int | list[NonNegativeInt]
    num_nodes: PositiveInt
    strategy: Literal["auto", "ddp"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    max_epochs: PositiveInt | None
    max_steps: int
    accumulate_grad_batches: PositiveInt
    gradient_clip_val: Annotated[float, Field(gt=0)] | None
    compile: bool
    deterministic: bool
    log_every_n_steps: PositiveInt
    enable_progress_bar: bool
    fast_dev_run: bool

    @model_validator(mode="after")
    def _some(self) -> "TrainerChoice":
        if self.devices in (0, []) or (isinstance(self.devices, int) and self.devices < -1):
            raise ValueError("devices is a number from 1, -1 for all, or a list as in [0,2]")
        if isinstance(self.devices, list) and (again := find_repeated(self.devices)) is not None:
            raise ValueError(f"devices names {again} twice; remove one")
        return self


class Callbacks(Section):
    """Score that selects the best epoch, and early stopping."""

    monitor: Literal["val/log_loss", "val/accuracy", "val/top3", "val/macro_f1", "val/map", "train/loss"]
    mode: Literal["min", "max"]
    patience: PositiveInt | None

    @model_validator(mode="after")
    def _right_way_round(self) -> "Callbacks":
        better = "min" if self.monitor.endswith("loss") else "max"
        if self.mode != better:
            raise ValueError(f"{self.monitor} is better the other way: callbacks.mode={better}")
        return self


class Checkpoint(Section):
    """Interval of checkpoints within an epoch; every epoch's end has one."""

    every_n_minutes: Annotated[float, Field(gt=0)] | None


Label = Annotated[str, Field(min_length=1, max_length=128)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]
OF_WANDB = {"entity": None, "group": None, "job_type": None, "tags": [], "checkpoint": False, "mode": "auto"}
"""Settings that are W&B's alone, and what they are where nobody gave them."""


class Logger(Section):
    """Logger of scores and pictures."""

    name: Literal["wandb", "tensorboard", "csv", "none"]
    project: Label | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    entity: Label | None = None
    group: Label | None = None
    job_type: Label | None = None
    tags: Annotated[list[Tag], BeforeValidator(make_list)] = Field([])
    clips: Annotated[int, Field(ge=0, le=200)] = 0
    checkpoint: bool = False

    @model_validator(mode="after")
    def _acts(self) -> "Logger":
        if self.name == "wandb":
            return self
        given = {
            name: getattr(self, name) for name, usual in OF_WANDB.items() if getattr(self, name) != usual
        }
        if self.project not in (None, "jungle"):  # that was every logger's once
            given["project"] = self.project
        for name, value in given.items():
            raise ValueError(f"logger.{name}={value} is for W&B alone: add logger=wandb, or leave it out")
        if self.clips and self.name != "tensorboard":
            raise ValueError(
                f"logger.clips={self.clips}: pictures go to W&B and TensorBoard: add logger=wandb, or leave "
                "it out"
            )
        return self
