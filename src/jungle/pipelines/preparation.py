"""Preparations of a recipe: metadata of its clips' files, and features of its frozen backbones.

Both are stored in `paths.cache`, where every training run finds them. A note of the clips and feature stores
in the recipe's folder tells the plan how much is done and how long the rest takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from jungle.config import TrainConfig
from jungle.config.recipe import STEPS
from jungle.data.content_key import Content
from jungle.data.file_index import INDEX
from jungle.errors import UserError
from jungle.features import index
from jungle.features.fingerprint import compute_fingerprint
from jungle.features.wanted import Wanted
from jungle.files import read_json, write_json
from jungle.parquet import read_parquet, write_parquet
from jungle.video.indexing.index import list_indexed, to_text

NOTED = ("key", "if_damaged", "path")
"""Columns of the note of clips; a note without all of them, from an earlier version, is ignored."""


class Preparations:
    """Steps before a recipe's training runs, common to all of them.

    Args:
        root: the recipe's folder.
        configs: of its training runs.
    """

    def __init__(self, root: Path, configs: Sequence[TrainConfig]) -> None:
        seeing = select_frozen(configs)
        self.frozen = list(seeing.values())
        """One config for each kind of features."""
        self.indexed = next((c for c in configs if c.data.metadata == "index"), None)
        """A config that needs metadata of the files."""
        wanted = {"metadata": self.indexed is not None, "features": len(seeing) > 1}
        self.steps = tuple(step for step in STEPS if wanted[step])
        first = configs[0]
        of_clips = first.data.model_dump(mode="json", include={"format", "root", "labels", "limit"})
        name = f"inputs-{compute_fingerprint({'features': sorted(seeing), 'clips': of_clips})[:8]}"
        self._clips, self._note = root / f"{name}.parquet", root / f"{name}.json"
        self._cache = first.paths.cache

    def begin(self, clips: Sequence[Wanted]) -> None:
        """Note the clips whose files can be read."""
        paths = [to_text(str(Path(c.path).absolute())) for c in clips]
        keys = [(c.content.key, c.content.if_damaged) for c in clips]
        columns = [*zip(*keys, strict=True), paths] if clips else [[]] * len(NOTED)
        write_parquet(pl.DataFrame(columns, schema=dict.fromkeys(NOTED, pl.String)), self._clips)

    def into(self, stores: Sequence[Path]) -> None:
        """Note the folders of the feature stores."""
        write_json(self._note, {**read_json(self._note), "stores": [str(s.absolute()) for s in stores]})

    @contextmanager
    def measured(self, step: str) -> Iterator[None]:
        """Note the clips per second of a block, even if it is interrupted."""
        before, began = self.done(step), time.monotonic()
        try:
            yield
        finally:
            after, seconds = self.done(step), time.monotonic() - began
            if before and after and after[0] > before[0]:
                note = read_json(self._note)
                rates = {**note.get("rates", {}), step: (after[0] - before[0]) / seconds}
                write_json(self._note, {**note, "rates": rates})

    def done(self, step: str) -> tuple[int, int] | None:
        """Return how many clips a step has done, and how many there are; None if it never started.

        A clip that is known to be unreadable counts as done.

        Raises:
            UserError: a feature store, or the index of files, is damaged.
        """
        if not self._clips.is_file():
            return None
        try:
            clips = read_parquet(self._clips, list(NOTED))
        except UserError:
            return None
        if step == "metadata":
            known = list_indexed(self._cache / INDEX)
            return int(clips["path"].is_in(known.implode()).sum()), len(clips)

        stores = [Path(s) for s in read_json(self._note).get("stores", [])]
        if not stores or not all(s.is_dir() for s in stores):
            return 0, len(clips)
        contents = [Content(*keys) for keys in clips.select(NOTED[:2]).iter_rows()]
        there = np.logical_and.reduce([index.load(s).find_contents(contents) >= 0 for s in stores])
        return int(there.sum()), len(clips)

    def rate(self, step: str) -> float | None:
        """Return the clips per second that were measured last."""
        return read_json(self._note).get("rates", {}).get(step)


def select_frozen(configs: Sequence[TrainConfig]) -> dict[str, TrainConfig]:
    """Return one config per kind of features, by the fingerprint of the settings that determine them."""
    return {
        compute_fingerprint(c.model_dump(mode="json", include={"model", "frames", "decoder"})): c
        for c in configs
        if c.model.mode == "frozen"
    }
