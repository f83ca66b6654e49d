"""A process that renders the clips it is told to: one JSON line says what, then one number a line says which.

It is started by `python -m` rather than by multiprocessing, so that the caller's script is not run again; and it
ends when its standard input does, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jungle.data.sample.plan import Shot, plan


def render(root: Path, shot: Shot, seed: int) -> Path:
    """Render one clip into `root/raw`, beside its name and renamed."""
    from jungle.data.sample.film import frames
    from jungle.files import replacing
    from jungle.video.write import write_clip

    path = root / "raw" / shot.filename
    with replacing(path) as part:
        if shot.codec == "h264":
            options = {"crf": "25", "preset": "veryfast", "g": str(2 * shot.fps), "bf": "0"}
            write_clip(part, frames(shot, seed), shot.fps, "libx264", "yuvj420p", options)
        else:
            write_clip(part, frames(shot, seed), shot.fps, "mjpeg", "yuvj420p", {"q:v": "6"})
    return path


def main() -> None:
    """Render until standard input ends; print the number of each finished clip."""
    order = json.loads(sys.stdin.readline())
    shots = {shot.index: shot for shot in plan(order["clips"], order["sites"], order["seed"])}
    for line in sys.stdin:
        render(Path(order["root"]), shots[int(line)], order["seed"])
        print(int(line), flush=True)


if __name__ == "__main__":
    main()
