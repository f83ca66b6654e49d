"""Pictures of shapes that no camera has: read as they are, or refused in words."""

import av
import numpy as np
import pytest
from av.error import ArgumentError

from jungle.video import ClipError, ClipSpec, Frames, read_clip
from jungle.video.decoders.resize import Scaler
from jungle.video.indexing.inspect_file import inspect
from jungle.video.transcode.clip import shrink_clip
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip

SHAPES = [(2, 60_000), (60_000, 2), (1, 1), (3, 5), (16, 16_000)]


@pytest.fixture(scope="module")
def strip(tmp_path_factory):
    """A function from (height, width) to a clip whose red grows rightwards, whose green downwards."""
    folder = tmp_path_factory.mktemp("strips")

    def of(height, width):
        path = folder / f"{height}x{width}.avi"
        if not path.exists():
            image = np.zeros((height, width, 3), np.uint8)
            image[..., 0] = np.linspace(0, 250, width)
            image[..., 1] = np.linspace(0, 200, height)[:, None]
            write_clip(path, [image] * 6, codec="mjpeg", pix_fmt="yuvj444p", fps=4)
        return path

    return of


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_resized(strip, shape, interpolation):
    height, width = shape
    for size in ((64, 64), (36, 64), (224, 224)):
        clip = read_clip(strip(*shape), ClipSpec(Frames("uniform", 2), size, interpolation=interpolation))
        assert (clip.status, clip.height, clip.width) == ("ok", height, width)
        across, down = clip.frames[0, ..., 0].mean(0), clip.frames[0, ..., 1].mean(1)
        if width > 16:
            assert across[-1] - across[0] > 200
            assert (np.diff(across.astype(int)) >= -12).all()
        if height > 16:
            assert down[-1] - down[0] > 150


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_looked_at_and_copied(strip, tmp_path, shape):
    path = strip(*shape)
    row, _ = inspect(("a", str(path)))
    assert (row["status"], row["height"], row["width"]) == ("ok", *shape)
    for spec in (
        ClipSpec(Frames("motion", 2), (32, 32)),
        ClipSpec(Frames("uniform", 9), (32, 32), focus="motion"),
    ):
        assert read_clip(path, spec).frames.shape[1:] == (32, 32, 3)
    for text in ("64x64@2fps", "224", "@2fps"):
        copied = shrink_clip(path, tmp_path / "a.avi", Shrink.parse(text))
        assert copied["status"] == "ok"


def test_a_shape_that_an_encoder_refuses_is_refused_in_words(strip, tmp_path):
    with pytest.raises(ClipError, match="h264 cannot hold frames of 60000x2 pixels"):
        shrink_clip(strip(2, 60_000), tmp_path / "a.avi", Shrink.parse("@2fps", "h264"))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_converted_is_refused_in_words():
    class Refusing:
        def reformat(self, *_args, **_kwargs):
            raise ArgumentError(22, "Invalid argument")

    scaler = Scaler(ClipSpec(size=(32, 32)))
    scaler._reformatter = Refusing()
    with pytest.raises(ClipError, match="frames of 5x3 pixels, yuv444p, cannot be converted to RGB"):
        scaler(av.VideoFrame(5, 3, "yuv444p"))
