"""The check of decoding on a GPU, with torchcodec and with decord, on a clip written on the spot."""

from jungle.doctor.child import Died, ask
from jungle.doctor.rows import Row, good, warning

DECODE = """
import pathlib, tempfile
import torch
from jungle.errors import UserError
from jungle.video import ClipSpec, Frames
from jungle.video.decoders import decord as decode_decord
from jungle.video.workers.device_trial import frame_difference
from jungle.video.reader import read_clip
answer = dict(gpu=torch.cuda.is_available(), decord=decode_decord.has_cuda(), found={}, error="")
if answer["gpu"]:
    import numpy as np
    from jungle.video.transcode.writer import write_clip
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "clip.mp4"
        write_clip(path, [np.full((256, 256, 3), 30 + 8 * i, np.uint8) for i in range(24)], fps=12)
        frames = Frames(count=4)
        right = read_clip(path, ClipSpec(frames))
        for name in ("torchcodec", *(["decord"] if answer["decord"] else [])):
            try:
                clip = read_clip(path, ClipSpec(frames, decoder=name, device="cuda"))
            except UserError as e:
                answer["error"] = str(e)
                continue
            answer["found"][name] = [clip.decoder, clip.on_cpu, frame_difference(right, clip)]
"""
MOST_OFF = 3.0  # levels of 255


def gpu_decoding() -> Row:
    """Which decoders can decode on the GPU here."""
    name = "GPU decoding"
    fix = "decoder.device=cpu, the default where no GPU can decode; docs/gpu-decoding.md says what is needed"
    try:
        said = ask(DECODE)
    except Died as e:
        return warning(name, f"it could not be tried: {e}", fix)
    built = "decord is built with CUDA" if said["decord"] else "decord is built without CUDA"
    if not said["gpu"]:
        return good(name, f"none, for want of a GPU; {built}")
    works = [d for d, (who, _, off) in said["found"].items() if who == f"{d}-cuda" and off <= MOST_OFF]
    faults = [
        f"{d}: {why or f'frames are {off:.0f} levels off'}"
        for d, (_, why, off) in said["found"].items()
        if d not in works
    ]
    faults += [said["error"]] if said["error"] else []
    found = "; ".join([*(f"decoder={d} decoder.device=cuda works" for d in works), *faults, built])
    return good(name, found) if "torchcodec" in works else warning(name, found, fix)
