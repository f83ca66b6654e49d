"""Questions put to another process, because the answer may be a crash or never come."""

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

TIMEOUT_S = 120.0  # torch takes 40 s from a cold disk on a busy machine
ANSWER = "jungle-doctor:"


class Died(Exception):
    """A child process gave no answer; `str()` says why in one line."""


class Late(Exception):
    """A child process gave no answer in time, which on a busy machine says nothing of what was asked."""


def ask(code: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Run `code`, which sets a dict named `answer`, in another process; return the dict.

    Raises:
        Late: it took too long.
        Died: it crashed or raised.
    """
    lines = f"import json\n{textwrap.dedent(code)}\nprint('\\n{ANSWER}' + json.dumps(answer), flush=True)\n"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PYTHONWARNINGS": "ignore",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", lines],
            capture_output=True,
            timeout=timeout_s,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Late(f"could not be checked within {timeout_s:g} s; is the machine busy?") from None
    out, err = (b.decode("utf-8", "replace") for b in (done.stdout, done.stderr))
    answers = [line for line in out.splitlines() if line.startswith(ANSWER)]
    if answers:
        return json.loads(answers[-1].removeprefix(ANSWER))
    if done.returncode < 0:
        raise Died(f"it crashed (signal {-done.returncode})")
    said = [line.strip() for line in err.splitlines() if line.strip()]
    raise Died(printable(said[-1])[:200] if said else f"it ended with code {done.returncode}")


def printable(text: str) -> str:
    """Text without control characters, which could move the cursor of a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
