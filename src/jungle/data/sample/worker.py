"""A process that renders the clips it is told to: one JSON line says what, then one number a line says which.

It is started by `python -m` rather than by multiprocessing, so that the caller's script is not run again; and it
ends when its standard input does, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jungle.data.sample.plan import HEIGHT, WIDTH, Shot, plan


def render(root: Path, shot: Shot, seed: int) -> Path:
    """Render one clip into `root/raw`, beside its name and renamed."""
    from jungle.data.sample.film import frames
    from jungle.files import replacing

    path = root / "raw" / shot.filename
    with replacing(path) as part:
        if shot.codec == "h264":
            _encode(part, shot, frames(shot, seed), "libx264", {"crf": "26", "preset": "veryfast", "g": str(2 * shot.fps), "bf": "0"})
        else:
            _encode(part, shot, frames(shot, seed), "mjpeg", {"qmin": "5", "qmax": "5"})
    return path


def _encode(path: Path, shot: Shot, pictures: Iterable[np.ndarray], codec: str, options: dict[str, str]) -> None:
    """Write full-range 4:2:0 video. The conversion is OpenCV's: PyAV's own starts a pool of threads a frame."""
    import av
    import cv2

    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=shot.fps, options={"threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for i, picture in enumerate(pictures):
            y, cr, cb = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))
            half = [cv2.resize(c, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA) for c in (cb, cr)]
            planes = np.concatenate([y.ravel(), half[0].ravel(), half[1].ravel()]).reshape(HEIGHT * 3 // 2, WIDTH)
            frame = av.VideoFrame.from_ndarray(planes, format="yuvj420p")
            frame.pts, frame.time_base = i, 1 / stream.average_rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def main() -> None:
    """Render until standard input ends; print the number of each finished clip."""
    order = json.loads(sys.stdin.readline())
    shots = {shot.index: shot for shot in plan(order["clips"], order["sites"], order["seed"])}
    for line in sys.stdin:
        render(Path(order["root"]), shots[int(line)], order["seed"])
        print(int(line), flush=True)


if __name__ == "__main__":
    main()
