"""Clips to predict: `videos=`, a template's, or the test clips of the checkpoint's own run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import polars as pl

from jungle.config import PredictConfig
from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats import find_clips
from jungle.data.formats import sites as sites_table
from jungle.data.paths import Matches, match_clips, name_clips
from jungle.data.validation_report import Problems
from jungle.errors import UsageError
from jungle.names import show
from jungle.wording import tally


class Template(Protocol):
    """The rows of a submission format: its file, and the names of its clips."""

    @property
    def file(self) -> Path:
        """The file that was read."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of clips, in its order."""
        ...


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip to predict: its name in the results and its path; None where no file was found."""

    clip: str
    path: str | None
    site: str | None = None
    time: datetime | None = None
    """Of recording, by the camera's clock, where a table tells it."""


def find_requests(cfg: PredictConfig, template: Template | None) -> list[ClipRequest]:
    """Return the clips to predict, in order; with a template, its rows and only those.

    Raises:
        UserError: nothing is there to predict, or the table of sites is of other clips.
    """
    found = _find(cfg, template)
    if cfg.limit is not None:
        found = [found[n] for n in sorted({*np.linspace(0, len(found) - 1, cfg.limit).astype(int).tolist()})]
    if cfg.sites is not None:
        videos = [cfg.videos] if isinstance(cfg.videos, str) else cfg.videos or []
        folders = [Path(v) for v in videos if Path(v).is_dir()]
        found = join_sites(found, cfg.sites, folders or [cfg.sites.parent])
    return found


def _find(cfg: PredictConfig, template: Template | None) -> list[ClipRequest]:
    if cfg.videos is not None:
        found = [ClipRequest(f.clip, f.path) for f in find_clips(cfg.videos)]
        return found if template is None else match_template(template, found)
    run, table = _read_run(cfg.ckpt[0])
    if table is None:
        raise UsageError(
            "which clips? Give videos=<folder, glob, list or video> (ckpt is outside its run's folder)"
        )
    every = [ClipRequest(c, p) for c, p in table.select("clip", "path").iter_rows()]
    if template is not None:
        return _check_on_disk(match_template(template, every), run)
    test = table.filter(pl.col("split") == "test") if "split" in table.columns else table.clear()
    if not len(test):
        raise UsageError(
            f"which clips? The run {run} had no test clips; give videos=<folder, glob, list or video>"
        )
    found = [ClipRequest(c, p) for c, p in test.select("clip", "path").iter_rows()]
    return _check_on_disk(_with_places(found, test), run)


def join_sites(requests: list[ClipRequest], sites: Path, roots: Sequence[Path]) -> list[ClipRequest]:
    """Return the requests with site and time from a table, matched by clip.

    Args:
        requests: all clips.
        sites: a table `filename,site[,time]`.
        roots: the folders that its names may be relative to.

    Raises:
        UserError: the table cannot be read, or matches no clip.
    """
    names = {"clip": [r.clip for r in requests], "path": [r.path or "" for r in requests]}
    problems = Problems()
    joined = sites_table.join_sites(Clips(pl.DataFrame(names), ()), sites, roots, problems)
    problems.raise_if_any(sites)
    return _with_places(requests, joined.table)


def _with_places(requests: list[ClipRequest], table: pl.DataFrame) -> list[ClipRequest]:
    """Return the requests with the site and time of each row of a table of as many rows."""
    nothing = [None] * len(table)
    sites = table["site"].to_list() if "site" in table.columns else nothing
    times = table["time"].to_list() if "time" in table.columns else nothing
    return [
        replace(r, site=site, time=time if isinstance(time, datetime) else None)
        for r, site, time in zip(requests, sites, times, strict=True)
    ]


def _read_run(ckpt: Path) -> tuple[Path, pl.DataFrame | None]:
    """Return the run folder of a checkpoint, or of a folder, and its clips table or None."""
    run = ckpt if ckpt.is_dir() else ckpt.resolve().parent.parent
    file = run / "clips.parquet"
    return run, Clips.read(file).table if file.is_file() else None


def _check_on_disk(requests: list[ClipRequest], run: Path) -> list[ClipRequest]:
    """Return the clips of a run, after checking that at least one is still where it was.

    Raises:
        UsageError: none is: the run, or its clips, were moved.
    """
    if requests and not any(a.path and Path(a.path).exists() for a in requests):
        raise UsageError(
            f"which clips? None of the {len(requests)} clips of {run} is where it was ({requests[0].path}): "
            "give videos=<their folder>"
        )
    return requests


def match_template(template: Template, found: list[ClipRequest]) -> list[ClipRequest]:
    """Return each row of the template with its file: by whole name, else by a unique file name.

    Names are read as those of tables and lists are: case and accents are forgiven where one clip alone fits.

    Raises:
        UsageError: none of its clips is among the videos, or a row fits several.
    """
    whole = {a.clip: a for a in found}
    last: dict[str, list[ClipRequest]] = {}
    for ask in found:
        last.setdefault(PurePosixPath(ask.clip).name, []).append(ask)
    files = {name: requests[0] for name, requests in last.items() if len(requests) == 1}
    plain = name_clips(pl.Series(template.names, dtype=pl.String), Path("/")).clip.to_list()
    plain = [p if p is not None else n for n, p in zip(template.names, plain, strict=True)]
    by_name = match_clips(plain, list(whole))
    # Where folders of some rows are those of the videos, a row of another folder is another clip; but names
    # of a whole disk are of another machine, and say nothing of it.
    folders = any("/" in p for p in by_name.known)
    loose = {
        p
        for n, p in zip(template.names, plain, strict=True)
        if p not in by_name.known
        and not (folders and "/" in p and not n.startswith(("/", "\\\\")) and n[1:2] != ":")
    }
    left = [PurePosixPath(p).name for p in plain if p in loose]
    by_file = match_clips(left, list(files)) if left else Matches({}, {}, ())
    several = dict(by_name.ambiguous)
    for p in loose:
        if len(alike := last.get(PurePosixPath(p).name, [])) > 1:
            several[p] = tuple(a.clip for a in alike)
    unsure = {n: several[p] for n, p in zip(template.names, plain, strict=True) if p in several}
    if unsure:
        name, fit = next(iter(unsure.items()))
        raise UsageError(
            f"template={template.file}: {tally(len(unsure), 'names fit')} several videos, "
            f"as {show(name)} ({' or '.join(map(show, fit))}): write each as the video is named"
        )
    requests: list[ClipRequest] = []
    other: list[tuple[str, str]] = []
    for name, p in zip(template.names, plain, strict=True):
        last_part = PurePosixPath(p).name
        hit = whole[by_name.known[p]] if p in by_name.known else None
        if hit is None and p in loose and last_part in by_file.known:
            hit = files[by_file.known[last_part]]
        if hit is not None and hit.clip not in (name, p) and hit.clip != name:
            other.append((name, hit.clip))
        requests.append(ClipRequest(name, hit.path if hit else None))
    if requests and all(a.path is None for a in requests):
        raise UsageError(
            f"template={template.file}: none of its {len(requests)} clips is among the videos (it "
            f"names {requests[0].clip}, the videos are like {found[0].clip if found else 'none'}); "
            "videos=<their folder>"
        )
    if other:
        log.warning(
            f"template={template.file}: {tally(len(other), 'rows are')} matched with another name: "
            f"{show(other[0][0])} with {show(other[0][1])}"
        )
    first: dict[str, str] = {}
    for ask in requests:
        if ask.path is not None and first.setdefault(ask.path, ask.clip) != ask.clip:
            raise UsageError(
                f"template={template.file}: rows {show(first[ask.path])} and {show(ask.clip)} are both the "
                f"video {show(ask.path)}: write each row as its video is named"
            )
    return requests
