"""Settings of an export, and what an exporter takes and returns."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from jungle import __version__

Links = Literal["auto", "symbolic", "hard", "copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """Settings of an export; the keys of `configs/export.yaml` mean the same.

    Attributes:
        formats: words of `jungle.export.EXPORTERS`.
        out: folder for the files.
        task: `auto` finds out whether the classes exclude each other.
        threshold: probability from which a class counts as seen, where there is no decision.
        decisions: table of decisions; None: there is none.
        gap_min: minutes between two clips of one event, at most.
        videos: the clips' folder, glob or list, for predictions that do not know where their clips are.
        sites: table of the clips' sites and times.
        index: table of `jungle index`; None: the clips' files are looked into where it is needed.
        names: table of two columns, a class and its scientific name.
        deployments: table of deployments, with the columns of Camtrap DP.
        timezone: zone of the cameras' clocks, such as `Europe/Berlin` or `+02:00`.
        project: YAML file that describes the project of a Camtrap DP.
        media_url: address before the names of the clips, where they are online.
        links: how the clips come into the folders of species.
        model: name, version and checkpoint of the classifier.
        cache: folder that keeps what was found in the clips' files.
        workers: processes that look into the clips' files.
        timeout_s: seconds that a file may take.
    """

    formats: tuple[str, ...]
    out: Path
    task: Literal["auto", "exclusive", "multilabel"] = "auto"
    threshold: float = 0.5
    decisions: Path | None = None
    gap_min: float = 30
    videos: str | list[str] | None = None
    sites: Path | None = None
    index: Path | None = None
    names: Path | None = None
    deployments: Path | None = None
    timezone: str | None = None
    project: Path | None = None
    media_url: str | None = None
    links: Links = "auto"
    model: str = "jungle"
    cache: Path = Path("cache")
    workers: int = 1
    timeout_s: float = 120


@dataclass(frozen=True, slots=True)
class Results:
    """Predictions as exporters take them.

    Attributes:
        table: of predictions, with the columns path, site, time (Datetime), duration (seconds) and fps, null
            where unknown.
        classes: columns of probabilities.
        task: `exclusive` or `multilabel`.
        seen: what counts in each clip: row (of the table), name and probability, by row.
    """

    table: pl.DataFrame
    classes: tuple[str, ...]
    task: str
    seen: pl.DataFrame


def accept(settings: ExportSettings) -> None:
    """Accept any settings."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A format: how it is written, what it needs to know of each clip, and which settings it refuses.

    Attributes:
        write: writes the files and returns them.
        needs: columns of `Results.table` that are looked for in the clips' files where they are unknown.
        check: raises `UsageError` where settings are missing or wrong, before anything is done.
    """

    write: Callable[[Results, ExportSettings], list[Path]]
    needs: frozenset[str] = frozenset()
    check: Callable[[ExportSettings], object] = accept


def describe_model(identities: object) -> str:
    """Return name, version and checkpoints of the classifier, as in `jungle 0.2.0, checkpoint 1a2b3c4d`."""
    known = identities if isinstance(identities, list) else []
    names = [str(name)[:8] for name in known]
    plural = "s" if len(names) > 1 else ""
    return f"jungle {__version__}" + (f", checkpoint{plural} {' and '.join(names)}" if names else "")
