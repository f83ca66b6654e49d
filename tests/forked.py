"""Commands forked from a process that has the large libraries: importing is most of a short one's time."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a short command imports on its way, but nothing that imports polars: it starts threads, and a process
# with threads is not to be forked.
PRELOAD = [
    "jungle.models.large_libraries",
    "jungle.cli.entry",
    "jungle.cli.overrides",
    "jungle.data.clip_reader",
    "jungle.features.extract",
    "jungle.models.backbones.concat",
    "jungle.models.losses",
    "jungle.models.mixup",
    "jungle.models.training_plan",
    "jungle.training.hardware",
    "hydra._internal.core_plugins.basic_launcher",
    "jinja2",
]


class Forked:
    """`python <door>.py <args>`, or `python -m jungle <args>`, in a process group of its own.

    Has what tests use of `subprocess.Popen`.
    """

    def __init__(
        self,
        door: str,
        args: Sequence[str],
        cwd: Path,
        *,
        env: dict[str, str] | None = None,
        out: str = os.devnull,
        err: str = os.devnull,
    ) -> None:
        script = ["-m", door] if door == "jungle" else [str(ROOT / f"{door}.py")]
        self.args = [sys.executable, *script, *args]
        context = get_context()
        given = (door, list(args), str(cwd), {**os.environ, **(env or {})}, out, err)
        self._process = context.Process(target=_become, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def kill_group(self) -> None:
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


def get_context() -> ForkServerContext:
    """Return what starts processes that have the large libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _become(door: str, args: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for path, to in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), to)
    script = str(ROOT / f"{door}.py")
    sys.path[0], sys.argv = str(ROOT), [script, *args]
    try:
        if door == "jungle":
            runpy.run_module(door, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # as a process does that was not forked
