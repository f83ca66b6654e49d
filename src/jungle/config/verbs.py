"""The configs of every verb but `train`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt

from jungle.config.groups import Paths
from jungle.config.train import ClipsConfig
from jungle.config.values import Section


class PreviewConfig(ClipsConfig):
    """The whole of `configs/preview.yaml`."""

    out: Path
    clips: Annotated[int, Field(ge=1, le=100)]
    epochs: Annotated[int, Field(ge=1, le=20)]


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
