"""A process that has imported the large libraries and forks for each command: importing is most of its time.

Reads a JSON line a command (`door`, `args`, `cwd`, `env`, `out`, `err`); answers with the child's number, and
with its exit code.
"""

import json
import os
import runpy
import sys
from pathlib import Path

import pytorch_lightning
import torch
import torchmetrics

from jungle.lean import without

with without("wandb"):
    import timm

ROOT = Path(__file__).resolve().parents[1]
assert all((pytorch_lightning, torch, torchmetrics, timm))
assert len(os.listdir("/proc/self/task")) == 1, "threads do not outlive a fork"


def become(door: str, args: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    """Turn into `python <door>.py <args>`, or `python -m jungle <args>`."""
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for path, to in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), to)
    script = str(ROOT / f"{door}.py")
    sys.path[0], sys.argv = str(ROOT), [script, *args]
    if door == "jungle":
        runpy.run_module(door, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        become(**json.loads(line))
        sys.exit()
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
