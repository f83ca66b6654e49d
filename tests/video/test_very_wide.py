"""A picture that is all width, or all height, is read, indexed and made smaller like any other."""

from pathlib import Path

import numpy as np
import pytest

from jungle.video import ClipError, ClipSpec, Frames, read_clip
from jungle.video.indexing.inspect_file import inspect
from jungle.video.transcode.clip import shrink_clip
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip


@pytest.mark.parametrize(("height", "width"), [(2, 60000), (60000, 2)])
def test_a_line_of_pixels_is_a_clip(height: int, width: int, tmp_path: Path) -> None:
    path = tmp_path / "clips" / "line.avi"
    path.parent.mkdir()
    frames = [np.full((height, width, 3), 40 + 50 * t, np.uint8) for t in range(4)]
    write_clip(path, frames, fps=5, codec="mjpeg", pix_fmt="yuvj420p")
    clip = read_clip(path, ClipSpec(Frames("uniform", 2), (18, 32)))
    assert (clip.status, clip.height, clip.width) == ("ok", height, width)
    np.testing.assert_allclose(clip.frames.mean((1, 2, 3)), [90, 190], atol=4)
    row, _ = inspect((path.name, str(path)))
    assert (row["status"], row["height"], row["width"], row["frames"]) == ("ok", height, width, 4)
    assert shrink_clip(path, tmp_path / "mjpeg.avi", Shrink())["status"] == "ok"
    with pytest.raises(ClipError, match=f"h264 cannot hold frames of {width}x{height} pixels"):
        shrink_clip(path, tmp_path / "h264.avi", Shrink(codec="h264"))
