"""What may stand in a composed config: types, ranges and choices, checked in the first second of a run.

The defaults live in `configs/`, one comment each; here is only what a value may be. No value names a Python
object to be built, so a config from a stranger cannot run code.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from jungle.errors import UsageError, nearest
from jungle.models.names import check_backbone

Fraction = Annotated[float, Field(ge=0, lt=1)]


def parse_size(value: Any) -> tuple[int, int] | None:
    """Turn `180x320`, `224` or `[180, 320]` into (height, width); null stays null."""
    if value is None:
        return None
    parts = value if isinstance(value, list | tuple) else str(value).lower().split("x")
    try:
        sides = [int(p) for p in parts]
    except ValueError:
        sides = []
    if len(sides) == 1:
        sides *= 2
    if len(sides) != 2 or not all(16 <= s <= 4096 for s in sides):
        raise ValueError("a size is HEIGHTxWIDTH or one number, each side from 16 to 4096, as in 180x320")
    return sides[0], sides[1]


Size = Annotated[tuple[int, int] | None, BeforeValidator(parse_size)]


class Section(BaseModel):
    """One group of a config: unknown keys are refused, values are what they say."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Paths(Section):
    """Where runs, caches and stores lie."""

    runs: Path
    cache: Path
    features: Path


class Data(Section):
    """Which clips, which labels, which of them for what."""

    format: Literal["sample", "csv", "folders", "primatrix", "primatrix_micro"]
    root: Path | None
    labels: Path | None
    template: Path | None
    test_labels: Path | None
    sites: Path | None
    classes: list[str] | None
    filepath_column: str | None
    label_column: str | None
    missing: Literal["error", "skip"]
    val_fraction: Fraction
    test_fraction: Fraction
    folds: Annotated[int, Field(ge=2)] | None
    fold: NonNegativeInt | None
    limit: PositiveInt | None
    batch_size: PositiveInt | None
    workers: NonNegativeInt | None
    timeout_s: Annotated[float, Field(gt=0)]
    sample_clips: PositiveInt = 240

    @model_validator(mode="after")
    def _together(self) -> "Data":
        if (self.folds is None) != (self.fold is None):
            raise ValueError("folds and fold go together: data.folds=5 data.fold=0")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: the last is {self.folds - 1}")
        if self.format == "csv" and (self.labels is None or self.root is None):
            raise ValueError("data=csv needs data.labels=<table> and data.root=<folder of the clips>")
        if self.format == "folders" and self.root is None:
            raise ValueError("data=folders needs data.root=<folder with one folder a class>")
        return self


class Decoder(Section):
    """Which library reads video."""

    name: Literal["decord", "torchcodec", "pyav", "auto"]
    crop_bottom: Annotated[float, Field(ge=0)]


class FramesChoice(Section):
    """Which frames of a clip are seen."""

    kind: Literal["uniform", "fps", "random", "early_bias", "keyframe", "motion"]
    count: Annotated[int, Field(ge=1, le=1024)]
    fps: Annotated[float, Field(gt=0)] | None

    @model_validator(mode="after")
    def _together(self) -> "FramesChoice":
        if (self.kind == "fps") != (self.fps is not None):
            raise ValueError("frames=fps needs frames.fps, the other kinds leave it null")
        return self


class Model(Section):
    """Which backbone, frozen or fine-tuned."""

    mode: Literal["frozen", "finetune"]
    backbone: str
    pretrained: bool
    weights: Path | None
    size: Size
    taps: list[str]

    @model_validator(mode="after")
    def _known(self) -> "Model":
        check_backbone(self.backbone)
        return self


class Head(Section):
    """How frame features become one answer."""

    name: Literal["mean", "max", "attention"]
    hidden: NonNegativeInt
    dropout: Fraction


class Loss(Section):
    """What a wrong answer costs."""

    name: Literal["auto", "bce", "ce"]
    label_smoothing: Fraction


class Optim(Section):
    """How weights are moved."""

    name: Literal["adamw", "sgd"]
    lr: Annotated[float, Field(gt=0)] | None
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "constant"]
    warmup: Fraction


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
    deterministic: bool
    log_every_n_steps: PositiveInt
    enable_progress_bar: bool
    fast_dev_run: bool

    @model_validator(mode="after")
    def _some(self) -> "TrainerChoice":
        if self.devices in (0, []) or (isinstance(self.devices, int) and self.devices < -1):
            raise ValueError("devices is a number from 1, -1 for all, or a list as in [0,2]")
        return self


class Callbacks(Section):
    """What is best, and when to stop."""

    monitor: str
    mode: Literal["min", "max"]
    patience: PositiveInt | None


class Logger(Section):
    """Where the numbers go."""

    name: Literal["wandb", "tensorboard", "csv", "none"]
    project: str
    mode: Literal["auto", "online", "offline"]


class TrainConfig(Section):
    """The whole of `configs/train.yaml`."""

    paths: Paths
    data: Data
    decoder: Decoder
    frames: FramesChoice
    model: Model
    head: Head
    loss: Loss
    optim: Optim
    trainer: TrainerChoice
    callbacks: Callbacks
    logger: Logger
    experiment: Any = None
    task: Literal["auto", "multilabel", "exclusive"]
    seed: NonNegativeInt
    name: str | None
    resume: str
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)]
    report: bool

    @model_validator(mode="after")
    def _together(self) -> "TrainConfig":
        if self.model.mode == "frozen" and self.frames.kind == "random":
            raise ValueError(
                "frames=random draws anew each epoch, frozen features are made once: use another"
            )
        if self.task != "auto" and self.loss.name != "auto":
            fits = {"multilabel": "bce", "exclusive": "ce"}[self.task]
            if self.loss.name != fits:
                raise ValueError(f"task={self.task} needs loss={fits} (or loss=auto)")
        return self

    def by_mode(self, frozen: Any, finetune: Any) -> Any:
        """Return the first for a frozen backbone, the second for a fine-tuned one."""
        return frozen if self.model.mode == "frozen" else finetune

    @property
    def batch_size(self) -> int:
        """Clips a step, on each device."""
        return self.data.batch_size or self.by_mode(16, 8)

    @property
    def max_epochs(self) -> int:
        """Most passes over the training clips."""
        return self.trainer.max_epochs or self.by_mode(30, 10)

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.optim.lr or (1e-2 if self.optim.name == "sgd" else 3e-4)

    def fingerprint(self) -> str:
        """Hash of all that shapes the result: equal for the same command given again."""
        plain = self.model_dump(mode="json", exclude={"resume", "report", "paths"})
        return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()


class PredictConfig(Section):
    """The whole of `configs/predict.yaml`."""

    paths: Paths
    ckpt: Annotated[
        list[Path], BeforeValidator(lambda v: v if isinstance(v, list) else [v]), Field(min_length=1)
    ]
    videos: str | list[str] | None
    template: Path | None
    out: Path | None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    workers: NonNegativeInt | None
    batch_size: PositiveInt
    timeout_s: Annotated[float, Field(gt=0)]
    decoder: Literal["decord", "torchcodec", "pyav", "auto"] | None
    flush_s: Annotated[float, Field(gt=0)]
    retry_failed: bool
    overwrite: bool
    report: bool


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


# verb -> what its composed config may be
CONFIGS: dict[str, type[Section]] = {
    "train": TrainConfig,
    "predict": PredictConfig,
    "download": DownloadConfig,
    "index": IndexConfig,
    "shrink": ShrinkConfig,
}


def check(kind: type[Section], plain: dict[str, Any]) -> Any:
    """Make a typed config of a plain dict.

    Raises:
        UsageError: every wrong value in one line, with what is valid there.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(plain)
    except ValidationError as e:
        lines = {_where(err): _explain(err) for err in reversed(e.errors())}
        raise UsageError("; ".join(lines.values())) from None


def _where(err: Any) -> str:
    """Return the key that an error speaks of, without the names of a union's members."""
    parts = [str(part) for part in err["loc"]]
    return ".".join(p for p in parts if p not in ("int", "str") and "[" not in p and "-" not in p)


def _explain(err: Any) -> str:
    where = _where(err)
    if err["type"] == "literal_error":
        choices = [c.strip("' ") for c in err["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where}={err['input']} is not valid.{nearest(str(err['input']), choices)}"
    if err["type"] == "value_error":
        return f"{where + ': ' if where else ''}{err['ctx']['error']}"
    return f"{where}={err['input']}: {err['msg'][0].lower()}{err['msg'][1:]}"
