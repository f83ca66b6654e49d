import numpy as np
import pytest

from jungle.errors import UsageError
from jungle.video import ClipSpec, Frames, read_clip
from jungle.video.frames.motion_crop import compute_median, compute_wide_size, find_motion_box
from jungle.video.full_clip import read_whole
from jungle.video.transcode.writer import write_clip

HEIGHT, WIDTH = 144, 256
SIZE = (64, 64)


def scene() -> np.ndarray:
    """Grass in grey and green, the same in each frame."""
    rng = np.random.default_rng(3)
    grass = rng.integers(60, 120, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
    return grass.astype(np.uint8)


def write(path, draw, frames: int = 48):
    """A clip of `frames` pictures of the scene, each changed by `draw(picture, number)`."""

    def pictures():
        for n in range(frames):
            image = scene()
            draw(image, n)
            yield image

    write_clip(path, pictures(), options={"g": "12", "crf": "10"})
    return path


def walks(image: np.ndarray, n: int) -> None:
    """A red animal of 24 x 24 pixels crosses from left to right, 5 pixels a frame."""
    image[80:104, 5 * n : 5 * n + 24] = (230, 20, 20)


def redness(picture: np.ndarray) -> float:
    """The share of a picture that is the animal's."""
    red = picture.astype(int)
    return float(((red[..., 0] > 150) & (red[..., 1] < 90)).mean())


@pytest.fixture(scope="module")
def walking(tmp_path_factory):
    return write(tmp_path_factory.mktemp("focus") / "walking.mp4", walks)


@pytest.mark.parametrize("kind", ["uniform", "random", "early_bias", "motion"])
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_an_animal_fills_the_picture_wherever_it_walks(walking, kind, decoder) -> None:
    frames = Frames(kind, 8)
    whole = read_clip(walking, ClipSpec(frames, SIZE, decoder=decoder), seed=5)
    cut = read_clip(walking, ClipSpec(frames, SIZE, decoder=decoder, focus="motion"), seed=5)
    assert cut.frames.shape == (8, *SIZE, 3)
    np.testing.assert_array_equal(cut.times, whole.times)
    assert (cut.width, cut.height, cut.status) == (WIDTH, HEIGHT, "ok")
    for before, after in zip(whole.frames, cut.frames, strict=True):
        assert redness(before) < 0.03
        assert redness(after) > 0.15


def test_few_frames_are_cut_like_many(walking) -> None:
    """What is cut hangs on the clip, not on which of its frames were asked for."""
    two = read_clip(walking, ClipSpec(Frames("uniform", 2), SIZE, focus="motion"))
    assert all(redness(f) > 0.15 for f in two.frames)


def test_a_frame_without_motion_is_whole(tmp_path) -> None:
    def comes_late(image: np.ndarray, n: int) -> None:
        if n >= 40:
            walks(image, n - 20)

    path = write(tmp_path / "late.mp4", comes_late)
    whole = read_clip(path, ClipSpec(Frames("uniform", 12), SIZE, interpolation="area"))
    cut = read_clip(path, ClipSpec(Frames("uniform", 12), SIZE, focus="motion"))
    off = np.abs(whole.frames.astype(int) - cut.frames.astype(int)).mean((1, 2, 3))
    assert (off[:9] < 3).all()  # two ways to shrink the same picture
    assert [redness(f) > 0.15 for f in cut.frames] == [False] * 10 + [True] * 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda image, n: image.__setitem__((slice(134, 144), slice(100 + n, 110 + n)), 255),  # a clock
        lambda image, n: image.__iadd__(np.uint8(n)),  # a lamp that warms up
        lambda image, n: None,
    ],
    ids=["clock", "lamp", "nothing"],
)
def test_what_is_no_animal_moves_nothing(tmp_path, draw) -> None:
    path = write(tmp_path / "still.mp4", draw)
    whole = read_clip(path, ClipSpec(Frames("uniform", 8), SIZE))
    cut = read_clip(path, ClipSpec(Frames("uniform", 8), SIZE, focus="motion"))
    assert np.abs(whole.frames.astype(int) - cut.frames.astype(int)).mean() < 3


def test_the_info_bar_may_be_cut_first(walking) -> None:
    spec = ClipSpec(Frames("uniform", 8), SIZE, crop_bottom=0.6, focus="motion")
    assert all(redness(f) < 0.01 for f in read_clip(walking, spec).frames)  # the animal was in what is gone


def test_a_box_is_of_the_shape_asked_for_and_inside() -> None:
    excess = np.zeros((90, 160), np.float32)
    excess[60:80, 150:160] = 50
    top, left, rows, columns = find_motion_box(excess, 180, 320, 1.0)
    assert rows == columns
    assert top + rows <= 180
    assert left + columns == 320
    assert left <= 300
    assert top <= 120
    assert find_motion_box(np.zeros((90, 160), np.float32), 180, 320, 1.0) == (0, 0, 180, 320)
    excess[:] = 50
    assert (
        find_motion_box(excess, 180, 320, 1.0) == (0, 70, 180, 180)
        or find_motion_box(excess, 180, 320, 1.0)[2] == 180
    )


def test_frames_are_decoded_no_larger_than_a_cut_needs() -> None:
    assert compute_wide_size(ClipSpec(size=(192, 256), focus="motion"), 2160, 3840) == (576, 1024)
    assert compute_wide_size(ClipSpec(size=(192, 256), focus="motion"), 180, 320) == (180, 320)


def test_a_cache_of_whole_clips_gives_the_same(walking) -> None:
    spec = ClipSpec(Frames("random", 5), SIZE, focus="motion")
    every = read_whole(walking, spec, 1 << 30)
    drawn = read_clip(walking, spec, seed=9)
    at = np.searchsorted(every.times, drawn.times)
    np.testing.assert_array_equal(every.frames[at], drawn.frames)


def test_a_spec_keeps_its_focus_and_an_old_one_is_whole() -> None:
    spec = ClipSpec(size=SIZE, focus="motion")
    assert ClipSpec.from_dict(spec.to_dict()) == spec
    assert "focus" not in ClipSpec(size=SIZE).to_dict()  # stores and checkpoints made before stay valid
    with pytest.raises(UsageError, match="on the CPU"):
        ClipSpec(size=SIZE, decoder="torchcodec", device="cuda", focus="motion")
    with pytest.raises(UsageError, match="Nearest: motion"):
        ClipSpec(size=SIZE, focus="motoin")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 10, 16, 45])
def test_the_median_is_the_median(count: int) -> None:
    arrays = np.random.default_rng(count).integers(-200, 200, (count, 7, 5)).astype(np.int16)
    np.testing.assert_array_equal(compute_median(list(arrays)), np.sort(arrays, axis=0)[count // 2])
