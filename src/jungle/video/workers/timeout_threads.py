"""Threads for work that may hang: a call that takes too long is given up, and its thread replaced.

A thread cannot be killed, so one that hangs stays; after `MOST_HUNG` of them the caller stops. The threads
are daemons, so the process can always end.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

MOST_HUNG = 3
POLL_S = 0.5  # between two looks at the clock
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


class GivenUp(Exception):
    """Work that took too long; `str()` is one line that says so."""


@dataclass(eq=False)
class Call(Generic[I, R]):
    """One call, queued, running or done."""

    item: I
    result: Future[R] = field(default_factory=Future)
    began: float = 0.0
    """`time.monotonic` when a thread took it."""


class TimeoutThreads(Generic[I, R]):
    """Threads that call `work(item)`, in the order submitted.

    Args:
        work: called in one of the threads.
        threads: how many calls run at once.
        timeout_s: seconds one call may take.
    """

    def __init__(self, work: Callable[[I], R], *, threads: int, timeout_s: float) -> None:
        self.timeout_s, self.hung = timeout_s, 0
        self._work = work
        self._queue: queue.SimpleQueue[Call[I, R] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: set[Call[I, R]] = set()
        self._threads = threads
        self._closed = False
        for _ in range(threads):
            self._start()

    def submit(self, item: I) -> Call[I, R]:
        """Queue one call."""
        call: Call[I, R] = Call(item)
        self._queue.put(call)
        return call

    def wait(self, call: Call[I, R]) -> R:
        """Wait for the result of a call, and meanwhile give up all calls that have run for too long.

        Raises:
            GivenUp: it has taken too long, or the threads are closed.
            BaseException: what the work raised.
        """
        while not wait([call.result], min(POLL_S, self.timeout_s)).done:
            self._give_up_late_calls()
            if self._closed:
                raise GivenUp("stopped")
        return call.result.result()

    def close(self) -> None:
        """Start no more calls; threads end after the calls that they are in."""
        self._closed = True
        for _ in range(self._threads + self.hung):
            self._queue.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._serve, daemon=True, name="gpu-decoding").start()

    def _serve(self) -> None:
        while (call := self._queue.get()) is not None and not self._closed:
            with self._lock:
                call.began = time.monotonic()
                self._running.add(call)
            try:
                finish = partial(call.result.set_result, self._work(call.item))
            except BaseException as error:
                finish = partial(call.result.set_exception, error)
            with self._lock:
                if call not in self._running:
                    return  # given up before; another thread has taken this one's place
                self._running.remove(call)
            finish()

    def _give_up_late_calls(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [call for call in self._running if now - call.began > self.timeout_s]
            self._running.difference_update(late)
            self.hung += len(late)
        for call in late:
            call.result.set_exception(GivenUp(f"no answer within {self.timeout_s:g} s"))
            self._start()
