"""A process that renders the clips it is told to: a JSON line says of which sample, then a number a clip.

It is started by `python -m` rather than by multiprocessing, so that the caller's script is not run again; and
it ends when its standard input does, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jungle.files import replace_atomically
from jungle.sample.plan import HEIGHT, WIDTH, Shot, plan
from jungle.system import keep_memory
from jungle.video.transcode.muxing import write_jpegs, write_planes

T = TypeVar("T")
JPEG = 60  # quality of Motion JPEG, as OpenCV counts it


def render(root: Path, shot: Shot, seed: int) -> Callable[[], None]:
    """Render one clip beside its name in `root/raw`; return what puts it there.

    That waits for the disk, and another thread may do it.
    """
    from jungle.sample.film import frames

    with ExitStack() as unfinished:
        part = unfinished.enter_context(replace_atomically(root / "raw" / shot.filename))
        _write(part, shot, frames(shot, seed))
        return unfinished.pop_all().close


def _write(path: Path, shot: Shot, pictures: Iterable[np.ndarray]) -> None:
    """Write one clip. OpenCV converts and compresses, twice as fast as FFmpeg."""
    size = HEIGHT, WIDTH
    if shot.codec == "h264":
        options = {"threads": "1", "crf": "27", "preset": "ultrafast", "g": str(2 * shot.fps), "bf": "0"}
        write_planes(path, _turn(pictures, _planes), size, shot.fps, options)
    else:
        write_jpegs(path, _turn(pictures, _jpeg), size, shot.fps)


def _turn(pictures: Iterable[np.ndarray], turn: Callable[[np.ndarray], T]) -> Iterator[T]:
    """Each picture as `turn` makes it; one that comes again (the same array) is not made again."""
    last: tuple[np.ndarray, T] | None = None
    for picture in pictures:
        if last is None or picture is not last[0]:
            last = picture, turn(picture)
        yield last[1]


def _planes(picture: np.ndarray) -> Any:
    """The planes of full-range 4:2:0, one below the other."""
    import cv2

    y, cr, cb = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))
    half = (cv2.resize(c, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA) for c in (cb, cr))
    return np.concatenate([y.ravel(), *(c.ravel() for c in half)]).reshape(-1, WIDTH)


def _jpeg(picture: np.ndarray) -> bytes:
    import cv2

    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1].tobytes()


def main() -> None:
    """Render what is asked for until standard input ends; print the number of each finished clip."""
    keep_memory()
    order = json.loads(sys.stdin.readline())
    shots = {shot.index: shot for shot in plan(order["clips"], order["sites"], order["seed"])}
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            asked.put(int(line))
        os._exit(0)  # the parent is gone or done: not even the clip at hand is wanted

    threading.Thread(target=listen, daemon=True).start()
    rendered: queue.Queue[tuple[int, Callable[[], None]]] = queue.Queue()

    def put_away() -> None:
        try:
            while True:
                index, finish = rendered.get()
                finish()
                print(index, flush=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=put_away, daemon=True).start()
    while True:
        index = asked.get()
        rendered.put((index, render(Path(order["root"]), shots[index], order["seed"])))


if __name__ == "__main__":
    main()
