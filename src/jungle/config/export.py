"""Configs of exports: of `jungle export`, and the settings that other verbs share with it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from jungle.config.groups import Paths
from jungle.config.values import Section, make_list

ExportFormat = Literal["wide", "long", "events", "zamba", "megadetector", "camtrap_dp", "folders"]


class ExportOptions(Section):
    """What an export needs to know besides the predictions."""

    task: Literal["auto", "exclusive", "multilabel"]
    threshold: Annotated[float, Field(ge=0, le=1)]
    decisions: Path | None
    gap_min: Annotated[float, Field(ge=0, le=1_000_000)]
    videos: str | list[str] | None
    sites: Path | None
    index: Path | None
    names: Path | None
    deployments: Path | None
    timezone: str | None
    project: Path | None
    media_url: str | None
    links: Literal["auto", "symbolic", "hard", "copy"]
    workers: PositiveInt | None
    timeout_s: Annotated[float, Field(gt=0)]


class ExportConfig(ExportOptions):
    """The whole of `configs/export.yaml`."""

    source: Path = Field(alias="from")
    paths: Paths
    formats: Annotated[list[ExportFormat], BeforeValidator(make_list), Field(min_length=1)]
    out: Path | None

    @model_validator(mode="after")
    def _once(self) -> "ExportConfig":
        if len(set(self.formats)) < len(self.formats):
            twice = next(f for i, f in enumerate(self.formats) if f in self.formats[:i])
            raise ValueError(f"formats: {twice} is in it twice: keep one")
        return self
