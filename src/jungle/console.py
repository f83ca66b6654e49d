"""Console output: log lines and progress on stderr, results on stdout."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from jungle import streams
from jungle.names import escape

T = TypeVar("T")
log = logging.getLogger("jungle")


def _clean(record: logging.LogRecord) -> bool:
    """Escape control characters: names of clips and folders are other people's text."""
    record.msg, record.args = escape(record.getMessage(), kept="\n\t"), None
    return True


log.addFilter(_clean)


class Progress:
    """A progress bar where stderr is a terminal, else a line every `every_s` seconds."""

    def __init__(self, what: str, total: int | None, every_s: float = 15.0, done: int = 0) -> None:
        self.what, self.total, self.every_s, self.done = what, total, every_s, done
        self._resumed = done
        self._began = self._said = time.monotonic()
        self._bar = None

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more items as done; `note` is shown beside the bar."""
        self.done += n
        if self._bar is not None:
            self._bar.update(self._task, advance=n, note=note)
        elif time.monotonic() - self._said >= self.every_s:
            self._said = time.monotonic()
            self._say(note)

    def skip(self, n: int) -> None:
        """Count `n` items that were done before: they say nothing about the rate."""
        self.done += n
        self._resumed += n
        if self._bar is not None:
            self._bar.update(self._task, advance=n)

    def _say(self, note: str = "") -> None:
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (self.done - self._resumed) / seconds
        left = f", about {(self.total - self.done) / rate:.0f} s left" if self.total and rate > 0 else ""
        of = f" of {self.total}" if self.total is not None else ""
        log.info(f"{self.what}: {self.done}{of} ({rate:.1f}/s{left}){' ' + note if note else ''}")

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from rich import progress as rich_progress
            from rich.console import Console

            self._bar = rich_progress.Progress(
                rich_progress.TextColumn("{task.description}"),
                rich_progress.BarColumn(),
                rich_progress.MofNCompleteColumn(),
                rich_progress.TimeElapsedColumn(),
                rich_progress.TimeRemainingColumn(),
                rich_progress.TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.done, note="")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._say()


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` under a progress bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(what, total) as bar:
        for item in items:
            yield item
            bar.advance()


@contextmanager
def log_time(what: str) -> Iterator[None]:
    """Log how long a block took."""
    began = time.monotonic()
    yield
    log.info(f"{what}: {time.monotonic() - began:.1f} s")


@contextmanager
def mute_log() -> Iterator[None]:
    """Log nothing within the block: for work that will be done, and reported, again."""
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def speak() -> None:
    """Log to stderr, for verbs without a config: the others are told by Hydra where to."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)


def print_result(text: str) -> None:
    """Print one line of the verb's result on stdout, where scripts read it."""
    streams.say(escape(text, kept="\n\t"))
