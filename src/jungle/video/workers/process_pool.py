"""Worker processes that may hang, crash or run out of memory without taking the run with them.

Each worker is a fresh interpreter that imports only what its task needs: no fork (decoders deadlock after
one), no second run of the user's script (what `multiprocessing` does with `__main__`), no torch.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from jungle import streams
from jungle.errors import UserError
from jungle.video.workers.protocol import Answer, receive_answer, send
from jungle.video.workers.worker_main import Task

START_S = 120.0  # for a worker to start; a cold disk takes 20 s
GRACE_S = 10.0  # over its time limit, before a worker that should have ended itself is killed
J = TypeVar("J")  # a job
R = TypeVar("R")
_BOOT = """import sys
sys.path[:] = {path!r}
from jungle.video.workers.worker_main import serve
serve({fd}, {parent}, {memory})
"""


class TaskFailed(Exception):
    """The task returned no answer; `str()` is one line that says why."""


class TaskRefused(Exception):
    """The task cannot work on this machine, whatever the job."""


class Worker(Generic[J]):
    """One process that does one job at a time. Use it from one thread at a time.

    Args:
        task: picklable by reference; called in the worker as `task(job)`.
        memory_bytes: of private memory that the worker may take.
    """

    def __init__(self, task: Task[J], memory_bytes: int) -> None:
        self._task = pickle.dumps(task)
        self._memory = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.starts = 0
        """Processes started so far: each one after the first replaced one that hung or died."""

    @property
    def pid(self) -> int:
        """Process id; 0 if none runs."""
        return self._process.pid if self._process is not None else 0

    def do(self, job: J, timeout_s: float) -> Answer:
        """Run one job; a worker that hangs or dies is replaced at the next call.

        Raises:
            TaskFailed: the task took too long or its process died.
            TaskRefused: the task cannot be set up.
        """
        if self._process is None:
            self._start()
        assert self._socket is not None
        try:
            self._socket.settimeout(timeout_s + GRACE_S)
            send(self._socket, pickle.dumps((job, timeout_s)))
            header, arrays = receive_answer(self._socket)
        except (OSError, EOFError, ValueError) as error:
            late = isinstance(error, TimeoutError)
            raise TaskFailed(self._end(timeout_s, late)) from None
        if "failed" in header:
            raise TaskFailed(str(header["failed"]))
        return header, arrays

    def _start(self) -> None:
        self.starts += 1
        ours, theirs = (
            socket.socket(fileno=streams.move_above_streams(end.detach())) for end in socket.socketpair()
        )
        boot = _BOOT.format(
            path=[p or os.getcwd() for p in sys.path],
            fd=theirs.fileno(),
            parent=os.getpid(),
            memory=self._memory,
        )
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if streams.is_open(2) else subprocess.DEVNULL,
                env=environment,
            )
        self._socket = ours
        try:
            ours.settimeout(START_S)
            send(ours, self._task)
            header, _ = receive_answer(ours)
        except (OSError, EOFError, ValueError):
            raise TaskRefused(f"a worker process did not start: {self._end(START_S, False)}") from None
        if "refused" in header:
            self.close()
            raise TaskRefused(str(header["refused"]))

    def _end(self, timeout_s: float, late: bool) -> str:
        """Make sure that the process is gone, and return why it ended."""
        process = self._process
        assert process is not None
        if not late:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                late = True
        code = process.poll()
        self.close()
        if late or code == -signal.SIGALRM:
            return f"no answer within {timeout_s:g} s"
        if code == -signal.SIGKILL:
            return "its process was killed, most likely out of memory"
        if code is not None and code < 0:
            return f"its process crashed ({signal.Signals(-code).name})"
        return f"its process ended with code {code}"

    def abort(self) -> None:
        """Kill the process from another thread: a waiting `do` fails at once."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class WorkerPool(Generic[J]):
    """Threads of this process, each with one worker process.

    Args:
        task: called in the workers, picklable by reference; see `jungle.video.workers.worker_main`.
        workers: processes.
        timeout_s: seconds a job may take.
        memory_gb: private memory that each worker may take.
    """

    def __init__(self, task: Task[J], *, workers: int, timeout_s: float, memory_gb: float) -> None:
        self.timeout_s = timeout_s
        self._task, self._memory = task, int(memory_gb * (1 << 30))
        self._threads = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="clips")
        self._own = threading.local()
        self.workers: list[Worker[J]] = []
        self._closed = False

    def submit(self, job: J) -> Future[Answer]:
        """Queue one job; the future raises `TaskFailed` or `TaskRefused`."""
        return self._threads.submit(self._do, job)

    def submit_then(self, job: J, then: Callable[[Answer], R]) -> Future[R]:
        """Queue one job, with `then` called on its answer as soon as it is there; see `submit`."""
        return self._threads.submit(lambda: then(self._do(job)))

    def _do(self, job: J) -> Answer:
        if self._closed:
            raise TaskFailed("the pool is closed")
        worker = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = Worker(self._task, self._memory)
            self.workers.append(worker)
        return worker.do(job, self.timeout_s)

    def map(self, jobs: Iterable[J], ahead: int) -> Iterator[tuple[J, Answer | TaskFailed]]:
        """Run jobs and yield their answers in order; for `ahead` see `run_in_order`.

        Raises:
            UserError: the task cannot work on this machine.
        """
        for job, future in run_in_order(jobs, ahead, self.submit):
            yield job, self.wait(future)

    def wait(self, future: Future[R]) -> R | TaskFailed:
        """Wait for a job; return its result or its `TaskFailed`.

        Raises:
            UserError: the task cannot work on this machine.
        """
        try:
            return future.result()
        except TaskRefused as error:
            raise UserError(str(error)) from None
        except TaskFailed as error:
            return error

    def __enter__(self) -> WorkerPool[J]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.abort()
        self._threads.shutdown(wait=True)
        for worker in self.workers:
            worker.close()


def run_in_order(
    jobs: Iterable[J], ahead: int, begin: Callable[[J], Future[R]]
) -> Iterator[tuple[J, Future[R]]]:
    """Start at most `ahead` jobs beyond the one just yielded; cancel them if the caller stops early."""
    queue: deque[tuple[J, Future[R]]] = deque()
    source = iter(jobs)
    try:
        while True:
            while len(queue) < max(1, ahead) and (job := next(source, None)) is not None:
                queue.append((job, begin(job)))
            if not queue:
                return
            yield queue.popleft()
    finally:
        for _, future in queue:
            future.cancel()
