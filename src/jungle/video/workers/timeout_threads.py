"""Threads for work that may hang: what takes too long is given up, and another thread takes its place.

A thread cannot be killed, so one that hangs stays behind; after a few the work is stopped with a sentence.
They are daemons: the process can end whatever they do.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

MOST_HUNG = 3
LOOK_S = 0.5  # between looks at the clock


class GivenUp(Exception):
    """Work that took too long; `str()` is one line that says so."""


class Task:
    """One piece of work, queued, running or done."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.began: float | None = None
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class HardyThreads:
    """Threads that call `work(item)`, in the order asked.

    Args:
        work: called in a thread of its own.
        threads: how many at once.
        timeout_s: seconds one call may take.
    """

    def __init__(self, work: Callable[[Any], Any], *, threads: int, timeout_s: float) -> None:
        self.timeout_s, self.hung = timeout_s, 0
        self._work = work
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: set[Task] = set()
        self._threads = threads
        self._closed = False
        for _ in range(threads):
            self._start()

    def submit(self, item: Any) -> Task:
        """Queue one piece of work."""
        task = Task(item)
        self._queue.put(task)
        return task

    def wait(self, task: Task) -> Any:
        """Wait for the result of a task, and meanwhile give up whatever has run for too long.

        Raises:
            GivenUp: it has taken too long, or the threads are closed.
            BaseException: what the work raised.
        """
        while not task.done.wait(min(LOOK_S, self.timeout_s)):
            self._give_up_the_late()
            if self._closed:
                raise GivenUp("stopped")
        if task.error is not None:
            raise task.error
        return task.value

    def close(self) -> None:
        """Start nothing more; threads end with what they are doing."""
        self._closed = True
        for _ in range(self._threads + self.hung):
            self._queue.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._serve, daemon=True, name="gpu-decoding").start()

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None and not self._closed:
            with self._lock:
                task.began = time.monotonic()
                self._running.add(task)
            value, error = None, None
            try:
                value = self._work(task.item)
            except BaseException as e:
                error = e
            with self._lock:
                if task not in self._running:
                    return  # given up long ago, another thread has taken this one's place
                self._running.remove(task)
                task.value, task.error = value, error
            task.done.set()

    def _give_up_the_late(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [t for t in self._running if t.began is not None and now - t.began > self.timeout_s]
            for task in late:
                self._running.remove(task)
                self.hung += 1
                task.error = GivenUp(f"no answer within {self.timeout_s:g} s")
        for task in late:
            task.done.set()
            self._start()
