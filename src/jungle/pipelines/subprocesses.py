"""Commands of this program in separate processes: trials of a sweep, stages of a recipe.

Importing torch, Lightning and timm takes longer than some stages. On Linux a command is therefore forked from
a process that has imported them (the standard library's `forkserver`); elsewhere it imports them itself.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from jungle import system
from jungle.errors import Stopped

GRACE_S = 120  # after a signal to stop: time to finish a step and write a checkpoint


def run(words: Sequence[str]) -> int:
    """Run `jungle <words>` and return its exit code; if this process is stopped, stop that one too.

    Raises:
        Stopped: it was stopped, and not through this process.
    """
    code = _run_forked(words) if sys.platform == "linux" else _run_started(words)
    if code in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        raise Stopped(code - 128)
    return code


def _run_started(words: Sequence[str]) -> int:
    env = {**os.environ, system.STARTER: str(os.getpid())}  # it ends together with this process
    process = subprocess.Popen([sys.executable, "-m", "jungle", *words], env=env)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _run_forked(words: Sequence[str]) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jungle.models.large_libraries"])
    process = context.Process(target=_become, args=(list(words), dict(os.environ), os.getcwd()))
    process.start()
    try:
        process.join()
    except BaseException:
        process.terminate()
        process.join(GRACE_S)
        process.kill()
        raise
    return int(process.exitcode or 0)


def _become(words: list[str], env: dict[str, str], folder: str) -> None:
    """Turn this forked process into `python -m jungle <words>`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(env)
    os.environ[system.STARTER] = str(os.getppid())
    os.chdir(folder)
    sys.argv = [sys.argv[0], *words]
    try:
        runpy.run_module("jungle", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # including W&B's; before Python 3.13 a forked process ends without them


def _end_with_parent() -> None:
    """End this process when its starter ends; the process it was forked from would not end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
