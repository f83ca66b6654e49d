"""Predictions of the clips of a request that have no row yet, some thousand clips at a time.

Files are looked into shortly before their clips are predicted, so the first answers of a million clips come
as soon as those of ten. A clip whose content was predicted under another name gets that answer.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

from jungle.config import PredictConfig
from jungle.console import Progress, log
from jungle.data.content_key import Content, read_contents
from jungle.data.metadata import MICRO
from jungle.data.predictions import FAILED, ClipPrediction
from jungle.devices import resolve_device
from jungle.errors import UserError
from jungle.models.checkpoint import Loaded
from jungle.names import show
from jungle.prediction import metadata
from jungle.prediction.disk import Disk
from jungle.prediction.predictor import Predictor, resolve_clip_spec
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import Rows
from jungle.system import share_of_cores
from jungle.video import ClipSpec
from jungle.wording import tally

FLUSH_ROWS = 512
WINDOW = 4096  # clips whose files are looked into at once
SHOWN = 4  # classes in the line of progress


@dataclass(frozen=True)
class Window:
    """Some clips of a request, by number.

    Attributes:
        contents: of those whose file can be read.
        keys: those under which their rows are kept: metadata change an answer as the file does.
        errors: why the others have no content.
    """

    numbers: range
    contents: dict[int, Content]
    keys: dict[int, Content]
    errors: dict[int, str]


def fill_rows(
    cfg: PredictConfig, loaded: Sequence[Loaded], requests: Sequence[ClipRequest], rows: Rows
) -> None:
    """Predict the clips that `rows` does not have.

    Args:
        cfg: the settings of the command.
        loaded: models; on the CPU their BatchNorm is folded.
        requests: all clips.
        rows: gets the predictions.

    Raises:
        UserError: the GPU's memory is full, or a model's answer or feature store is damaged.
    """
    facts_NF = read_facts(cfg, loaded, requests)
    with _Filling(cfg, loaded, requests, rows, facts_NF) as filling:
        try:
            for window in read_windows(requests, facts_NF, cfg.batch_size, filling.disk):
                filling.fill(window)
        except torch.cuda.OutOfMemoryError:
            raise UserError(
                f"the GPU's memory is full at batch_size={cfg.batch_size}: give a smaller one"
            ) from None


class _Filling:
    """Work of `fill_rows`, and what it has counted."""

    def __init__(
        self,
        cfg: PredictConfig,
        loaded: Sequence[Loaded],
        requests: Sequence[ClipRequest],
        rows: Rows,
        facts_NF: np.ndarray | None,
    ) -> None:
        self.cfg, self.loaded, self.requests, self.rows, self.facts_NF = cfg, loaded, requests, rows, facts_NF
        self.device = resolve_device(cfg.device)
        self._predictor: Predictor | None = None
        self._flushed = time.monotonic()
        self._before: Counter[str] = Counter()  # clips with a row from before, by status
        self._changed = 0
        self._top: Counter[str] = Counter()
        self._bar: Progress | None = None  # shown once there is something to do
        self.disk = Disk(r.path for r in requests if r.path)

    def __enter__(self) -> "_Filling":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.rows.flush()
        finally:
            if self._predictor is not None:
                self._predictor.close()
            if self._bar is not None:
                self._bar.__exit__(*error)

    def fill(self, window: Window) -> None:
        """Predict the clips of a window that have no row yet."""
        for n, error in window.errors.items():
            self._add(n, "", ClipPrediction.failure(error))
        todo, copies, again = self._choose(window)
        if window.numbers.stop == len(self.requests):
            self._log_done()
        self._predict(window, todo, again)
        if copies:
            self.rows.flush()
        # Of clips with one content the first may not have been read in full: others may be sound.
        self._predict(window, [n for n in copies if not self._copy(n, window.keys[n])])

    def _choose(self, window: Window) -> tuple[list[int], list[int], list[int]]:
        """Return the clips to predict, those to copy from others, and those to predict again.

        On the CPU each clip is answered alone. On a GPU the last bit of an answer may depend on its batch,
        which is fixed by the clips' numbers: an unfinished batch is repeated.
        """
        todo, copies, done = [], [], []
        seen: set[str] = set()
        for n, key in window.keys.items():
            clip = self.requests[n].clip
            is_copy = key.key in seen or self.rows.has_copy(clip, key)
            seen.add(key.key)
            if (status := self.rows.find(clip, key)) is not None:
                self._before[status] += 1
                if self._bar is not None:
                    self._bar.skip(1)
                if not is_copy:
                    done.append(n)
                continue
            self._changed += self.rows.is_damaged(clip)
            (copies if is_copy else todo).append(n)
        batches = set() if self.device == "cpu" else {n // self.cfg.batch_size for n in todo}
        return todo, copies, [n for n in done if n // self.cfg.batch_size in batches]

    def _log_done(self) -> None:
        """Log how many clips have a row from before, and how many of these failed then."""
        if self._changed:
            log.info(
                f"{tally(self._changed, 'clips')} could not be read in full before and may have been "
                "repaired since: predicted again"
            )
        if done := self._before.total():
            failed = self._before[FAILED]
            again = (
                f", {failed} of them could not be read (retry_failed=true tries them again)" if failed else ""
            )
            log.info(f"{done} of {len(self.requests)} clips were done before{again}")

    def _predict(
        self, window: Window, todo: Sequence[int], again: Sequence[int] = (), is_second: bool = False
    ) -> None:
        """Predict clips, and `again` those of their batches that have a row.

        Those that the disk was away for are tried a second time, or until it stays.
        """
        if not todo:
            return
        paths = {n: str(Path(self.requests[n].path or "").absolute()) for n in (*todo, *again)}
        if self._predictor is None:
            self._predictor = self._make_predictor([paths[n] for n in todo])
        repeated, away = set(again), []
        for row in self._predictor.predict(sorted(paths), paths, window.contents, self.facts_NF):
            if self.disk.was_away(paths[row.number], row, may_be_back=not is_second):
                away.append(row.number)
                continue
            self._add(row.number, window.keys[row.number].key_of(row.status), row, row.number in repeated)
        if away:
            self.rows.flush()
            self.disk.wait()
            self._predict(window, away, is_second=True)

    def _make_predictor(self, files: list[str]) -> Predictor:
        """Group the models by how clips become frames; a trial chooses the decoder's device."""
        by_trained: dict[ClipSpec, list[Loaded]] = {}
        for model in self.loaded:
            if self.device == "cpu":
                model.model.backbone = model.model.backbone.folded()
            by_trained.setdefault(model.clip_spec, []).append(model)
        groups: dict[ClipSpec, list[Loaded]] = {}
        for trained, members in by_trained.items():
            spec = resolve_clip_spec(self.cfg, trained, members, files, self.device, self.rows.private)
            groups.setdefault(spec, []).extend(members)
        return Predictor(self.cfg, groups, self.rows.classes, self.device)

    def _copy(self, n: int, key: Content) -> bool:
        """Give a clip the answer to another one of the same content; return whether there is one."""
        clip = self.requests[n].clip
        found = self.rows.find_copy(clip, key)
        if found is not None:
            self._add(n, key.key, found, is_copied=True)
        return found is not None

    def _add(
        self, n: int, key: str, row: ClipPrediction, is_repeated: bool = False, is_copied: bool = False
    ) -> None:
        self.rows.add(self.requests[n].clip, key, row, is_copied)
        if self.rows.waiting >= FLUSH_ROWS or time.monotonic() - self._flushed > self.cfg.flush_s:
            self.rows.flush()
            self._flushed = time.monotonic()
        if is_repeated:
            return
        what = "not read"
        if row.probs is not None:
            what = self.rows.classes[int(row.probs.argmax())]
        self._top[what] += 1
        if self._bar is None:
            self._bar = Progress("predicting", len(self.requests), done=self._before.total()).__enter__()
        tops = ", ".join(f"{show(name, 20)} {count}" for name, count in self._top.most_common(SHOWN))
        self._bar.advance(note=tops)


def read_windows(
    requests: Sequence[ClipRequest], facts_NF: np.ndarray | None, batch_size: int, disk: Disk
) -> Iterator[Window]:
    """Yield the clips in windows of whole batches, the next one read while the last one is worked on."""
    size = max(WINDOW // batch_size, 1) * batch_size
    ranges = [range(at, min(at + size, len(requests))) for at in range(0, len(requests), size)]
    read = partial(_read_window, requests, facts_NF, disk)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(read, ranges[0]) if ranges else None
        for i in range(len(ranges)):
            assert following is not None
            window = following.result()
            following = pool.submit(read, ranges[i + 1]) if i + 1 < len(ranges) else None
            yield window


def _read_window(
    requests: Sequence[ClipRequest], facts_NF: np.ndarray | None, disk: Disk, numbers: range
) -> Window:
    contents, errors = _read_some(requests, numbers)
    while errors:  # once more, or as long as the disk is away: a clip on it has not failed
        was_away = disk.is_away()
        disk.wait()
        found, errors = _read_some(requests, list(errors))
        contents |= found
        if not was_away:
            break
    contents = {n: contents[n] for n in numbers if n in contents}
    keys = contents
    if facts_NF is not None:
        digests = {n: blake2b(facts_NF[n].tobytes(), digest_size=8).hexdigest() for n in contents}
        keys = {n: content.with_facts(digests[n]) for n, content in contents.items()}
    return Window(numbers, contents, keys, errors)


def _read_some(
    requests: Sequence[ClipRequest], numbers: Sequence[int]
) -> tuple[dict[int, Content], dict[int, str]]:
    """Return the content of each file, and why there is none of the others."""
    contents: dict[int, Content] = {}
    errors: dict[int, str] = {}
    for n, found in zip(numbers, read_contents([requests[n].path or "" for n in numbers]), strict=True):
        if requests[n].path is None:
            errors[n] = "no such file"
        elif isinstance(found, OSError):
            errors[n] = str(found)
        else:
            contents[n] = found
    return contents, errors


def needs_micro(loaded: Loaded) -> bool:
    """Tell whether a model was trained with the sizes of small copies of the clips."""
    return bool(loaded.model.metadata) and MICRO[0] in loaded.model.metadata.names


def read_facts(
    cfg: PredictConfig, loaded: Sequence[Loaded], requests: Sequence[ClipRequest]
) -> np.ndarray | None:
    """Return the metadata of every clip, float32 `[N, F]`; None where no model uses them."""
    if not any(m.model.metadata for m in loaded):
        return None
    names, paths = [r.clip for r in requests], [r.path for r in requests]
    how = (share_of_cores() if cfg.workers is None else cfg.workers, cfg.timeout_s)
    cache = cfg.paths.cache
    facts_NF = metadata.read_clip_metadata(names, paths, cfg.metadata, cache, "metadata", *how)
    if any(map(needs_micro, loaded)):
        folder = None if cfg.micro is None else metadata.find_inner(cfg.micro, "micro")
        if folder is None:
            log.warning(
                "a model of ckpt was trained with the sizes of small copies of the clips, which are "
                "unknown now: give micro=<their folder>"
            )
        facts_NF = metadata.add_micro(facts_NF, names, folder, cache, "micro", *how)
    return facts_NF
