"""Worker processes that may hang, crash or run out of memory without taking the run with them.

Each worker is a fresh interpreter that imports only what its task needs: no fork (decoders deadlock after
one), no second run of the user's script (what `multiprocessing` does with `__main__`), no torch. It talks
over a socket pair. What comes back is JSON and raw arrays and never a pickle: a worker reads untrusted files,
so it is not trusted.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

Answer = tuple[dict[str, Any], list[np.ndarray]]
"""What a task gives: facts that JSON can hold, and arrays."""
Task = Callable[[Any], Answer]

START_S = 120.0  # a worker that has not said hello by then never will; a cold disk takes 20 s
GRACE_S = 10.0  # over its time limit, before a worker that should have ended itself is killed
MAX_HEADER = 64 << 20
_BOOT = """import sys
sys.path[:] = {path!r}
from jungle.video.processes import serve
serve({fd}, {parent}, {memory})
"""


class TaskFailed(Exception):
    """The task gave no answer; `str()` is one line that says why."""


class TaskRefused(Exception):
    """The task cannot work at all on this machine, whatever it is given."""


class Worker:
    """One process that does one task at a time. Not for more than one thread at once.

    Args:
        task: picklable by reference; called in the worker as `task(job)`.
        memory_bytes: of private memory that the worker may take.
    """

    def __init__(self, task: Task, memory_bytes: int) -> None:
        self._task = pickle.dumps(task)
        self._memory = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.starts = 0
        """Processes started so far: each over the first stands for a hang or a death."""

    @property
    def pid(self) -> int:
        """Of the process; 0 where none runs."""
        return self._process.pid if self._process is not None else 0

    def do(self, job: Any, timeout_s: float) -> Answer:
        """Have one job done; a worker that hangs or dies is replaced at the next call.

        Raises:
            TaskFailed: the task took too long or its process died.
            TaskRefused: the task cannot be set up.
        """
        if self._process is None:
            self._start()
        assert self._socket is not None
        try:
            self._socket.settimeout(timeout_s + GRACE_S)
            _send(self._socket, pickle.dumps((job, timeout_s)))
            header, arrays = _receive(self._socket)
        except (OSError, EOFError, ValueError) as error:
            late = isinstance(error, TimeoutError)
            raise TaskFailed(self._end(timeout_s, late)) from None
        if "failed" in header:
            raise TaskFailed(str(header["failed"]))
        return header, arrays

    def _start(self) -> None:
        self.starts += 1
        ours, theirs = socket.socketpair()
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
                env=environment,
            )
        self._socket = ours
        try:
            ours.settimeout(START_S)
            ours.sendall(struct.pack("<Q", len(self._task)) + self._task)
            header, _ = _receive(ours)
        except (OSError, EOFError, ValueError):
            raise TaskRefused(f"a worker process did not start: {self._end(START_S, False)}") from None
        if "refused" in header:
            self.close()
            raise TaskRefused(str(header["refused"]))

    def _end(self, timeout_s: float, late: bool) -> str:
        """Make sure that the process is gone and say why it went."""
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
            return "its process was killed, most likely for want of memory"
        if code is not None and code < 0:
            return f"its process crashed ({signal.Signals(-code).name})"
        return f"its process ended with code {code}"

    def abort(self) -> None:
        """Kill the process from another thread: a `do` that waits for it fails at once."""
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


def serve(fd: int, parent: int, memory_bytes: int) -> None:
    """The life of a worker: take the task, then answer jobs until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    connection = socket.socket(fileno=fd)
    try:
        task = _load(connection)
    except EOFError:
        return
    if task is None:
        return
    # Decoders print bytes of broken files; from here on nobody listens.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _limit_memory(memory_bytes)
    while True:
        try:
            job, timeout_s = pickle.loads(_receive_bytes(connection))
        except EOFError:
            return
        # The default action of the alarm ends the process even where the decoder never comes back to Python.
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            header, arrays = task(job)
        except Exception as error:
            header, arrays = {"failed": f"{type(error).__name__}: {error}"[:300]}, []
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            _answer(connection, header, arrays)
        except OSError:
            return


def _load(connection: socket.socket) -> Task | None:
    """Unpickle the task and let it prepare itself: `task.prepare()` may say why it can never work."""
    from jungle.errors import UserError

    data = _receive_bytes(connection)
    try:
        task = pickle.loads(data)
        prepare = getattr(task, "prepare", None)
        if prepare is not None:
            prepare()
    except UserError as error:
        _answer(connection, {"refused": str(error)}, [])
        return None
    _answer(connection, {}, [])
    return task


def _die_with(parent: int) -> None:
    import time

    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _limit_memory(limit: int) -> None:
    try:
        import resource

        # Private writable memory; not the address space, of which libraries reserve far more than they use.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    except (ImportError, ValueError, OSError):
        pass  # no such limit on this system: the time limit remains


def _answer(connection: socket.socket, header: dict[str, Any], arrays: list[np.ndarray]) -> None:
    arrays = [np.ascontiguousarray(a) for a in arrays]
    forms = [(a.dtype.str, a.shape) for a in arrays]
    _send(connection, json.dumps([header, forms]).encode())
    for array in arrays:
        if array.size:
            connection.sendall(_bytes_of(array))


def _receive(connection: socket.socket) -> Answer:
    header, forms = json.loads(_receive_bytes(connection, MAX_HEADER))
    arrays = []
    for dtype, shape in forms:
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise ValueError("arrays of objects do not pass")
        array = np.empty(shape, kind)
        if array.size:
            _fill(connection, _bytes_of(array))
        arrays.append(array)
    return header, arrays


def _bytes_of(array: np.ndarray) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(struct.pack("<Q", len(data)) + data)


def _receive_bytes(connection: socket.socket, limit: int = 1 << 40) -> bytes:
    size = bytearray(8)
    _fill(connection, memoryview(size))
    length = struct.unpack("<Q", size)[0]
    if length > limit:
        raise ValueError("message too long")
    data = bytearray(length)
    _fill(connection, memoryview(data))
    return bytes(data)


def _fill(connection: socket.socket, view: memoryview) -> None:
    while len(view):
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
