"""Main function of a worker process: receive a task, answer jobs, end with the parent."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from jungle.errors import UserError
from jungle.system import end_with
from jungle.video.workers.protocol import Answer, receive_bytes, send_answer

J = TypeVar("J")
Task = Callable[[J], Answer]
"""Answers one job; its method `prepare`, if any, is called once before the first job."""


def serve(fd: int, parent: int, memory_bytes: int) -> None:
    """Receive the task, then answer jobs until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # these are for the parent, which then ends its workers
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    connection = socket.socket(fileno=fd)
    try:
        task = _load(connection)
    except EOFError:
        return
    if task is None:
        return
    # Decoders print bytes of broken files: discard them.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _limit_memory(memory_bytes)
    while True:
        try:
            job, timeout_s = pickle.loads(receive_bytes(connection))
        except EOFError:
            return
        # The alarm's default action ends the process even if the decoder never returns to Python.
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            header, arrays = task(job)
        except Exception as error:
            header, arrays = {"failed": f"{type(error).__name__}: {error}"[:300]}, []
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            send_answer(connection, header, arrays)
        except OSError:
            return


def _load(connection: socket.socket) -> Task[object] | None:
    """Unpickle the task and call its `prepare`, which may raise why it can never work here."""
    data = receive_bytes(connection)
    try:
        task = pickle.loads(data)
        prepare = getattr(task, "prepare", None)
        if prepare is not None:
            prepare()
    except UserError as error:
        send_answer(connection, {"refused": str(error)}, [])
        return None
    send_answer(connection, {}, [])
    return task


def _limit_memory(limit: int) -> None:
    try:
        # Private writable memory; not the address space, of which libraries reserve far more than they use.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    except (ValueError, OSError):
        pass  # no such limit on this system: the time limit remains
