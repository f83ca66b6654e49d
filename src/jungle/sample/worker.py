"""A process that renders clips: a JSON line names the sample and its clips, and it prints the number of each.

It is started by `python -m` rather than by multiprocessing, so that the caller's script is not run again; and
it ends when its standard input does, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from jungle.files import replace_atomically
from jungle.sample.film import frames
from jungle.sample.plan import HEIGHT, WIDTH, Shot, plan
from jungle.system import keep_memory
from jungle.video.transcode.writer import write_jpegs, write_planes

T = TypeVar("T")
JPEG = 60  # quality of Motion JPEG, as OpenCV counts it


def render(root: Path, shot: Shot, seed: int) -> Callable[[], None]:
    """Render one clip into `root/raw` under another name; return what renames it.

    That waits for the disk, and another thread may do it. OpenCV converts and compresses: it is faster.
    """
    with ExitStack() as unfinished:
        part = unfinished.enter_context(replace_atomically(root / "raw" / shot.filename))
        pictures, size = frames(shot, seed), (HEIGHT, WIDTH)
        if shot.codec == "h264":
            options = {"threads": "1", "crf": "27", "preset": "ultrafast", "g": str(2 * shot.fps), "bf": "0"}
            write_planes(part, _convert_each(pictures, _split_planes), size, shot.fps, options)
        else:
            write_jpegs(part, _convert_each(pictures, _compress), size, shot.fps)
        return unfinished.pop_all().close


def _convert_each(pictures: Iterable[np.ndarray], convert: Callable[[np.ndarray], T]) -> Iterator[T]:
    """Convert each picture; one that comes again (the same array) is not converted again."""
    last: tuple[np.ndarray, T] | None = None
    for picture in pictures:
        if last is None or picture is not last[0]:
            last = picture, convert(picture)
        yield last[1]


def _split_planes(picture: np.ndarray) -> np.ndarray:
    """Return the planes of full-range 4:2:0, one below the other."""
    y, cr, cb = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))
    half = (cv2.resize(c, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA) for c in (cb, cr))
    return np.concatenate([y.ravel(), *(c.ravel() for c in half)]).reshape(-1, WIDTH)


def _compress(picture: np.ndarray) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1].tobytes()


def main() -> None:
    """Render the clips that standard input names; end with it."""
    keep_memory()
    order = json.loads(sys.stdin.readline())
    shots = plan(order["clips"], order["sites"], order["seed"])

    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)  # without finishing the current clip: nobody waits for it

    def finish(index: int, rename: Callable[[], None]) -> None:
        rename()
        os.write(1, f"{index}\n".encode())  # in one piece: they share the pipe

    threading.Thread(target=end_with_parent, daemon=True).start()
    with ThreadPoolExecutor(1) as disk:
        for written in [
            disk.submit(finish, i, render(Path(order["root"]), shots[i], order["seed"]))
            for i in order["indices"]
        ]:
            written.result()


if __name__ == "__main__":
    main()
