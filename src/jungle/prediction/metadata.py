"""Metadata of clips for models that use them, from an index of their files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from jungle.config import TrainConfig
from jungle.config.groups import Data
from jungle.console import log, log_time
from jungle.data.clips import Clips
from jungle.data.file_index import read_file_index
from jungle.data.index_lookup import lookup_rows
from jungle.data.metadata import FACTS, MICRO, SEEN_OF, compute_facts
from jungle.errors import UsageError
from jungle.files import describe_absent

COLUMNS = {**dict.fromkeys(SEEN_OF, pl.Float64()), "time": pl.Datetime("us")}  # of an index


def read_training_metadata(cfg: TrainConfig, clips: Clips, workers: int) -> np.ndarray | None:
    """Return the metadata of all clips, if the config uses them; `workers` processes read the files."""
    asked = cfg.data.metadata
    if asked is None:
        return None
    names, how = clips.table["clip"].to_list(), (workers, cfg.data.timeout_s)
    index = None if asked == "index" else Path(asked)
    found = read_clip_metadata(
        names, clips.table["path"].to_list(), index, cfg.paths.cache, "data.metadata", *how
    )
    folder = micro_folder(cfg.data)
    return found if folder is None else add_micro(found, names, folder, cfg.paths.cache, "data.micro", *how)


def micro_folder(data: Data) -> Path | None:
    """Return the folder of small copies of the clips, if the config uses it and metadata.

    Raises:
        UsageError: there is no such folder.
    """
    if data.micro is None or data.metadata is None:
        return None
    folder = data.micro
    if folder == "auto":
        if len(data.roots) != 1 or not (data.roots[0].absolute().parent / "micro").is_dir():
            return None
        folder = data.roots[0].absolute().parent / "micro"
    return find_inner(Path(folder), "data.micro")


def find_inner(folder: Path, setting: str) -> Path:
    """Return the folder of the copies: it may be a subfolder, as in the archive.

    Raises:
        UsageError: there is none.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{setting}={folder}: {describe_absent(folder, 'folder')} It holds small copies of the clips."
        )
    return folder / "micro" if (folder / "micro").is_dir() else folder


def add_micro(
    facts_NF: np.ndarray,
    names: Sequence[str],
    folder: Path | None,
    cache: Path,
    setting: str,
    workers: int,
    timeout_s: float,
) -> np.ndarray:
    """Return metadata with the columns `MICRO` added, matched by file name; nan where there is no copy.

    Args:
        facts_NF: what is known of the clips themselves.
        names: of the clips.
        folder: of their copies; None: there are none.
        cache: as `read_clip_metadata` takes it.
        setting: which names the folder, for messages.
        workers: as `read_clip_metadata` takes them.
        timeout_s: likewise.

    Raises:
        UsageError: no clip has a copy in the folder.
    """
    if folder is None:
        unknown_NM = np.full((len(names), len(MICRO)), np.nan, np.float32)
        return np.concatenate([facts_NF[:, : len(FACTS)], unknown_NM], axis=1)
    files = [folder / Path(name).name for name in names]
    there = sum(file.is_file() for file in files)
    if not there:
        raise UsageError(
            f"{setting}={folder}: none of the clips has a copy of its name there, as {files[0].name}; give "
            "the folder of the copies, or leave it out"
        )
    log.info(f"metadata: sizes of {there} of {len(names)} small copies in {folder}")
    copies_NF = _looked_into([str(f) for f in files], cache, max(workers, 1), timeout_s)
    at = [FACTS.index("size"), FACTS.index("bit_rate")]
    return np.concatenate([facts_NF[:, : len(FACTS)], copies_NF[:, at]], axis=1)


def read_clip_metadata(
    names: Sequence[str],
    paths: Sequence[str | None],
    index: Path | None,
    cache: Path,
    setting: str,
    workers: int,
    timeout_s: float,
) -> np.ndarray:
    """Return the metadata of clips, float32 `[N, F]` in their order; all nan where nothing is known.

    Args:
        names: of the clips, as an index has them.
        paths: of their files; None or a file that is not there: nothing is known.
        index: what `jungle index` wrote, matched by name; None: the files are looked into, those that are
            new or have changed since the last time.
        cache: folder that keeps what was found in files.
        setting: which setting names the index, for messages.
        workers: processes that look into files.
        timeout_s: seconds that a file may take.

    Raises:
        UserError: the index cannot be read, or is of other clips.
    """
    if index is None:
        return _looked_into(paths, cache, max(workers, 1), timeout_s)

    return compute_facts(lookup_rows(names, index, COLUMNS, setting, "what it tells is unknown of them"))


def _looked_into(paths: Sequence[str | None], cache: Path, workers: int, timeout_s: float) -> np.ndarray:
    """Read metadata from one index of all files so far; concurrent processes wait for each other."""
    with log_time("metadata"):
        return compute_facts(read_file_index(paths, cache, workers, timeout_s))
