"""Inputs of a training run other than its settings: labels, splits, sites, contents of clips and other files.

Two commands with the same settings are the same run only if these are the same too. They are written into the
run's folder before training begins, and compared before a stopped run is resumed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from jungle.config import TrainConfig, check
from jungle.console import mute_log
from jungle.data.clips import Clips
from jungle.data.content_key import Content, read_content_keys
from jungle.data.formats.times import read_times
from jungle.ensemble.members import find_runs
from jungle.errors import UserError, shorten_error
from jungle.files import read_json, write_json
from jungle.names import show
from jungle.parquet import read_parquet, write_parquet
from jungle.plain import read_settings
from jungle.prediction import metadata
from jungle.runs import CLIP_FILES
from jungle.training import clips as training_clips

CLIPS, FILES, DIGESTS = "clips.parquet", CLIP_FILES, "inputs.json"
STAMP = ("size", "modified_ns", "changed_ns")
DAMAGED = "damaged"  # runs of earlier versions lack this column
SCHEMA = {"clip": pl.String, **dict.fromkeys(STAMP, pl.Int64), "key": pl.String, DAMAGED: pl.Boolean}
THREADS = 16
COPIES = "the folder of data.micro"  # as messages name it
NOW = "\x1fnow"  # suffix of the later table's columns; no class name has this character
ANSWERS = ("predictions_val.parquet", "predictions_test.parquet", "frames_val.parquet", "frames_test.parquet")


@dataclass(frozen=True)
class RunInputs:
    """What a training run learns from, other than its settings.

    Attributes:
        clips: the clips with their labels, splits and sites, in training order.
        files: a row per clip: size in bytes, times of modification and of change in ns, content key (null
            where it cannot be read), and whether it is damaged: the run could not read all of it (null where
            that is not known). None for a run of version 0.1, which did not keep them.
        digests: a hash of the content of each file that a setting names, by the setting.
    """

    clips: Clips
    files: pl.DataFrame | None
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def gather(cls, cfg: TrainConfig, clips: Clips, before: RunInputs | None = None) -> RunInputs:
        """Return the inputs as they are now.

        Args:
            cfg: the run's settings.
            clips: as `training_clips.load` gave them.
            before: inputs gathered earlier: a file whose size and times are the same is not read again.
        """
        known = None if before is None else before.files
        digests = {name: _hash_files(files) for name, files in _list_files(cfg).items()}
        if (folder := metadata.micro_folder(cfg.data)) is not None:
            digests[COPIES] = _hash_sizes(folder, clips)
        return cls(clips, _read_files(clips, known), digests)

    @classmethod
    def load(cls, folder: Path) -> RunInputs | None:
        """Return the inputs that a run started with; None where training never began.

        Raises:
            UserError: the files are damaged, or one of them is missing.
        """
        if not (folder / CLIPS).is_file():
            if any((folder / "checkpoints").glob("*.ckpt")):
                raise UserError(f"it has checkpoints, but no {CLIPS} that says what they were trained on")
            return None
        for name, other in ((FILES, DIGESTS), (DIGESTS, FILES)):
            if (folder / name).is_file() and not (folder / other).is_file():
                raise UserError(f"its input files are damaged ({other} is missing)")
        clips, files = Clips.read(folder / CLIPS), None
        if (folder / FILES).is_file():
            try:
                read = read_parquet(folder / FILES)
                if DAMAGED not in read.columns:
                    read = read.with_columns(pl.lit(None).alias(DAMAGED))
                files = read.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
            except (pl.exceptions.PolarsError, UserError) as e:
                why = (str(e).splitlines() or [type(e).__name__])[0][:160]
                raise UserError(f"its input files are damaged ({why})") from None
        digests = {str(k): str(v) for k, v in read_json(folder / DIGESTS).items()}
        return cls(clips, files, digests)

    def save(self, folder: Path) -> None:
        """Write the inputs into the run's folder."""
        write_json(folder / DIGESTS, self.digests)
        if self.files is not None:
            write_parquet(self.files, folder / FILES)
        self.clips.write(folder / CLIPS)  # last: where it exists, the others do

    def note_damaged(self, folder: Path, numbers: Collection[int]) -> None:
        """Record in the run's folder which clips are damaged: a repaired file may have the same content key.

        Args:
            folder: of the run, where the inputs were saved.
            numbers: of the clips; those recorded before the run was resumed stay.
        """
        if self.files is not None and numbers:
            found = pl.Series(DAMAGED, [n in numbers for n in range(len(self.files))])
            damaged = found | self.files[DAMAGED].fill_null(False)
            write_parquet(self.files.with_columns(damaged), folder / FILES)

    @cached_property
    def digest(self) -> str:
        """Hash of all inputs; it does not depend on the folder of the clips."""
        digest = hashlib.blake2b(digest_size=8)
        table = self.clips.table.drop("path")
        digest.update(repr((self.clips.classes, table.columns, sorted(self.digests.items()))).encode())
        for row in table.iter_rows():
            digest.update(repr(row).encode("utf-8", "surrogateescape"))
        if self.files is not None:
            digest.update("".join(k or "-" for k in self.files["key"]).encode())
        return digest.hexdigest()

    @property
    def contents(self) -> list[Content | None]:
        """Contents of the clips' files, in their order; None where one cannot be read."""
        if self.files is None:
            return [None] * len(self.clips)
        rows = self.files.select("key", *STAMP[1:]).iter_rows()
        return [None if key is None else Content.of(key, *written) for key, *written in rows]

    def changes_since(self, before: RunInputs) -> list[str]:
        """Return a sentence for each kind of input that has changed; empty where nothing has."""
        found = _class_changes(before.clips.classes, self.clips.classes)
        found += _clip_changes(before.clips, self.clips)
        if before.files is not None and self.files is not None:
            found += _content_changes(before, self)
        if before.files is not None:  # version 0.1 kept no digests either
            both = sorted(before.digests.keys() & self.digests.keys())
            found += [f"{n} has other content" for n in both if before.digests[n] != self.digests[n]]
        return found


def gather_current(cfg: TrainConfig, before: RunInputs | None = None) -> RunInputs:
    """Load what a config names and return the inputs of a run that would start now.

    Raises:
        UserError: the labels are wrong, or a file cannot be read.
    """
    clips, _ = training_clips.load(cfg)
    return RunInputs.gather(cfg, clips, before)


class Comparison:
    """Comparison of earlier runs' inputs with those of now, which are loaded once, when first needed."""

    def __init__(self, cfg: TrainConfig) -> None:
        self._cfg = cfg
        self._now: RunInputs | None = None

    def changes_in(self, folder: Path) -> list[str]:
        """Return what has changed since the run in `folder` began; empty if nothing has.

        A run whose training never began has no inputs that could have changed.

        Raises:
            UserError: the labels are wrong, or a file cannot be read.
        """
        try:
            before = RunInputs.load(folder)
        except UserError as e:
            return [str(e)]
        if before is None:
            return []
        if self._now is None:
            with mute_log():  # training logs the same again
                self._now = gather_current(self._cfg, before)
        return self._now.changes_since(before)


class Comparisons:
    """Comparison of runs that have different settings with what these settings lead to now."""

    def __init__(self) -> None:
        self._by_settings: dict[str, Comparison] = {}

    def changes_in(self, folder: Path, cfg: TrainConfig | None = None) -> list[str]:
        """Return what has changed since the run in `folder` began; empty if nothing has.

        Args:
            folder: of the run.
            cfg: its settings; None takes those of the `config.yaml` in the folder.
        """
        if cfg is None:
            file = folder / "config.yaml"
            if not file.is_file():
                return []
            try:
                cfg = check(TrainConfig, read_settings(file))
            except UserError as e:
                return [f"{file} cannot be read ({shorten_error(e, 120)})"]
        key = cfg.model_dump_json(include={"data", "model", "frames", "seed", "paths"})
        return self._by_settings.setdefault(key, Comparison(cfg)).changes_in(folder)


def _class_changes(before: Sequence[str], now: Sequence[str]) -> list[str]:
    if tuple(before) == tuple(now):
        return []
    gone, new = [c for c in before if c not in now], [c for c in now if c not in before]
    said = [
        f"{', '.join(map(show, names[:3]))} {what}" for names, what in ((gone, "gone"), (new, "new")) if names
    ]
    return [f"classes differ ({'; '.join(said) or 'another order'})"]


def _clip_changes(before: Clips, now: Clips) -> list[str]:
    old, new = before.table.drop("path"), now.table.drop("path")
    if "time" in old.columns and "time" in new.columns and old["time"].dtype == pl.String:
        old = old.with_columns(read_times(old["time"]))  # earlier versions read fewer ways to write a time
    found = []
    for what, table, other in (("added", new, old), ("removed", old, new)):
        if len(alone := table.join(other, on="clip", how="anti")["clip"]):
            found.append(_list_clips(f"clips were {what}", alone.to_list()))
    both = old.join(new, on="clip", how="inner", suffix=NOW, maintain_order="left")
    classes = [c for c in before.classes if c in now.classes]
    labels = pl.any_horizontal(pl.lit(False), *(pl.col(c).ne_missing(pl.col(f"{c}{NOW}")) for c in classes))
    # A clip of a class that was renamed or removed differs too, though no common column shows it.
    lost = [c for c in before.classes if c not in classes]
    fresh = [c for c in now.classes if c not in classes]
    labels |= pl.any_horizontal(pl.lit(False), *((pl.col(c) == 1).fill_null(False) for c in (*lost, *fresh)))
    if len(moved := both.filter(labels)):
        first = moved.row(0, named=True)
        was = [c for c in before.classes if first[c] == 1]
        is_now = [c for c in now.classes if first[f"{c}{NOW}" if c in classes else c] == 1]
        example = f"{show(first['clip'])}: {_join_labels(was)}, now {_join_labels(is_now)}"
        found.append(f"labels of clips changed: {len(moved)} ({example})")
    for name in ("split", "site", "time", "weight"):
        here, there = name in old.columns, name in new.columns
        if here != there:
            found.append(f"the column {name} is {'gone' if here else 'new'}")
        elif here:
            differs = pl.col(name).cast(pl.String).ne_missing(pl.col(f"{name}{NOW}").cast(pl.String))
            if len(moved := both.filter(differs)):
                found.append(_list_clips(f"{name}s of clips changed", moved["clip"].to_list()))
    if not found and old["clip"].to_list() != new["clip"].to_list():
        found.append("clips stand in another order")
    return found


def _content_changes(before: RunInputs, now: RunInputs) -> list[str]:
    """Describe the clips whose files have other content, or were damaged and written since."""
    old, new = (
        given.files.join(given.clips.table.select("clip", "path"), on="clip", how="left")
        for given in (before, now)
        if given.files is not None
    )
    both = old.join(new, on="clip", how="inner", suffix=NOW, maintain_order="left")
    other = both.filter(pl.col("key").ne_missing(pl.col(f"key{NOW}")))["clip"].to_list()
    # A copy in another folder has another time without being repaired.
    written = pl.col("modified_ns") != pl.col(f"modified_ns{NOW}")
    same = pl.col("path").eq(pl.col(f"path{NOW}")) & ~pl.col("clip").is_in(other)
    repaired = both.filter(pl.col(DAMAGED) & written & same)["clip"].to_list()
    return [
        _list_clips(what, clips)
        for what, clips in (
            ("files of clips were replaced", other),
            ("files of clips that could not be read in full were written since", repaired),
        )
        if clips
    ]


def _join_labels(names: Sequence[str]) -> str:
    return " and ".join(map(show, names)) or "none"


def _list_clips(what: str, clips: Sequence[str]) -> str:
    more = ", ..." if len(clips) > 2 else ""
    return f"{what}: {len(clips)} ({', '.join(map(show, clips[:2]))}{more})"


def _read_files(clips: Clips, known: pl.DataFrame | None) -> pl.DataFrame:
    """Return a row of `SCHEMA` per clip; unchanged files keep the content key that `known` has."""
    names, paths = clips.table["clip"].to_list(), clips.table["path"].to_list()
    with ThreadPoolExecutor(THREADS) as pool:
        stamps = list(pool.map(_read_stamp, paths, chunksize=64))
    kept: dict[tuple[object, ...], tuple[str, bool | None]] = {}
    if known is not None:
        kept = {row[:-2]: row[-2:] for row in known.iter_rows() if row[1] is not None and row[-2] is not None}
    before = [kept.get((name, *stamp), (None, None)) for name, stamp in zip(names, stamps, strict=True)]
    keys, damaged = [key for key, _ in before], [was for _, was in before]
    todo = [i for i, key in enumerate(keys) if key is None]
    for i, key in zip(todo, read_content_keys([paths[i] for i in todo]), strict=True):
        keys[i] = key if isinstance(key, str) else None
    columns = list(zip(*stamps, strict=True)) or [()] * len(STAMP)
    return pl.DataFrame(
        {"clip": names, **dict(zip(STAMP, columns, strict=True)), "key": keys, DAMAGED: damaged},
        schema=SCHEMA,
        strict=False,
    )


def _read_stamp(path: str) -> tuple[int | None, ...]:
    """Return a file's size and times. Every write sets the time of change, even one that backdates a file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return (None,) * len(STAMP)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _list_files(cfg: TrainConfig) -> dict[str, list[Path]]:
    """Return the files that settings name and whose content shapes what is learnt, by the setting.

    Tables of labels and sites are not among them: their content is in the clips.
    """
    data, model = cfg.data, cfg.model
    found: dict[str, Path | None] = {
        "data.pseudo": data.pseudo if isinstance(data.pseudo, Path) else None,
        "data.metadata": data.metadata if isinstance(data.metadata, Path) else None,
        "model.weights": model.weights,
        "model.warm_start": model.warm_start,
        **{f"model.also[{i}].weights": also.weights for i, also in enumerate(model.also)},
    }
    files = {name: [file] for name, file in found.items() if file is not None}
    if cfg.frames.weights is not None:
        folders = cfg.frames.weights if isinstance(cfg.frames.weights, list) else [cfg.frames.weights]
        try:
            runs = find_runs(folders, "frames.weights")
        except UserError:  # training reports it
            runs = []
        files["frames.weights"] = [run / name for run in runs for name in ANSWERS if (run / name).is_file()]
    return files


def _hash_sizes(folder: Path, clips: Clips) -> str:
    """Hash the sizes of the clips' small copies: a model sees nothing else of them."""
    files = [folder / Path(clip).name for clip in clips.table["clip"]]
    with ThreadPoolExecutor(THREADS) as pool:
        sizes = list(pool.map(lambda file: _read_stamp(str(file))[0], files, chunksize=64))
    return hashlib.blake2b(repr(sizes).encode(), digest_size=16).hexdigest()


def _hash_files(files: Sequence[Path]) -> str:
    """Hash the contents of files; an unreadable file has a hash of its own."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        try:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, hashlib.blake2b).digest())
        except OSError:
            digest.update(b"cannot be read")
    return digest.hexdigest()
