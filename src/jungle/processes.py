"""Commands of this program as processes of their own: a trial of a sweep, a stage of a recipe."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from jungle import runs
from jungle.errors import Stopped

GRACE_S = 120  # for one that was told to stop: it has a step to finish and a checkpoint to write


def run(words: Sequence[str]) -> int:
    """Run `jungle <words>` and return its exit code; what tells this process to stop tells that one too.

    Raises:
        Stopped: it was told to stop, and not through this process.
    """
    env = {**os.environ, runs.STARTER: str(os.getpid())}  # it ends with what started it
    process = subprocess.Popen([sys.executable, "-m", "jungle", *words], env=env)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    if code in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        raise Stopped(code - 128)
    return code
