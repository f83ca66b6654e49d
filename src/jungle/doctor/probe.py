"""Code that runs in another process, because the answer may be a crash or never come."""

import json
import os
import subprocess
import sys
from typing import Any

TIMEOUT_S = 120.0  # torch takes 40 s from a cold disk on a busy machine
ANSWER = "jungle-doctor:"
# The clip is written on the spot, so that it is the decoder that is tested and no file of the user's.
DECODE = """
import pathlib, tempfile
import numpy as np
from jungle.errors import UserError
from jungle.video import ClipSpec, Frames
from jungle.video.reader import read_clip
from jungle.video.transcode.writer import write_clip
def read(name, device):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "clip.mp4"
        write_clip(path, [np.full((256, 256, 3), 30 + 8 * i, np.uint8) for i in range(24)], fps=12)
        try:
            clip = read_clip(path, ClipSpec(Frames(count=4), decoder=name, device=device))
        except UserError as e:
            return dict(error=str(e))
    wanted = 30 + 8 * np.rint(clip.times * 12)
    off = float(np.abs(clip.frames.mean((1, 2, 3)) - wanted).max())
    return dict(decoder=clip.decoder, frames=len(clip.frames), off=off, on_cpu=clip.on_cpu)
"""
DECODE_GPU = f"""
import torch
from jungle.video.decoders.decord import has_cuda
{DECODE}
answer = dict(gpu=torch.cuda.is_available(), decord=has_cuda())
names = ["torchcodec", *(["decord"] if has_cuda() else [])] if answer["gpu"] else []
answer["found"] = {{name: read(name, "cuda") for name in names}}
"""
TORCH = """
import torch
from jungle.errors import shorten_error
answer = dict(version=torch.__version__, cuda=torch.version.cuda, gpus=[], broken="", nms="", torchvision="")
try:
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            answer["gpus"].append([about.name, about.total_memory])
            torch.ones(8, device=f"cuda:{i}").sum().item()
except Exception as e:
    answer["broken"] = shorten_error(e, 200)
try:
    import torchvision
    answer["torchvision"] = torchvision.__version__
    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
except Exception as e:
    answer["nms"] = shorten_error(e, 200)
"""


class Died(Exception):
    """A process that gave no answer; `str()` says why in one line."""


class Late(Exception):
    """A process that gave no answer in time, which on a busy machine says nothing about what was tried."""


def ask(code: str, timeout_s: float | None = None) -> dict[str, Any]:  # each code has an answer of its own
    """Run `code`, which sets a dict named `answer`, in another process; return the dict.

    Raises:
        Late: it took longer than `timeout_s` (`TIMEOUT_S`).
        Died: it crashed or raised.
    """
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    lines = f"import json\n{code}\nprint('\\n{ANSWER}' + json.dumps(answer), flush=True)\n"
    path = os.pathsep.join(p for p in sys.path if p)
    try:
        done = subprocess.run(
            [sys.executable, "-c", lines],
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Late(f"could not be checked within {timeout_s:g} s; is the machine busy?") from None
    out, err = (b.decode("utf-8", "replace") for b in (done.stdout, done.stderr))
    if answers := [line for line in out.splitlines() if line.startswith(ANSWER)]:
        return json.loads(answers[-1].removeprefix(ANSWER))
    if done.returncode < 0:
        raise Died(f"it crashed (signal {-done.returncode})")
    said = [line.strip() for line in err.splitlines() if line.strip()]
    raise Died(to_printable(said[-1])[:200] if said else f"it ended with code {done.returncode}")


def to_printable(text: str) -> str:
    """Replace control characters, which could move the cursor of a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
