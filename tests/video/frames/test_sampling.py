import numpy as np
import pytest

from jungle.errors import UsageError
from jungle.video import ClipSpec, Frames
from jungle.video.frames.motion import pick_moving
from jungle.video.frames.sampling import pick, pick_uniform

KINDS = [Frames("uniform", 16), Frames("random", 16), Frames("early_bias", 16), Frames("fps", 16, 2.0)]
KINDS += [Frames("fps_start", 16, 2.0)]


def times_of(total, fps=24.0):
    return np.arange(total) / fps, np.arange(total) % 30 == 0


@pytest.mark.parametrize("frames", [*KINDS, Frames("keyframe", 16)], ids=lambda f: f.kind)
@pytest.mark.parametrize("total", [1, 2, 6, 15, 16, 17, 31, 360, 10_000])
def test_picks_are_ascending_distinct_and_within_the_clip(frames, total):
    picks = pick(frames, *times_of(total), seed=3)
    assert (np.diff(picks) > 0).all()
    assert picks[0] >= 0
    assert picks[-1] < total
    assert len(picks) <= frames.count


@pytest.mark.parametrize("kind", ["uniform", "random", "early_bias"])
def test_short_clip_gives_what_it_has(kind):
    assert pick(Frames(kind, 16), *times_of(6)).tolist() == [0, 1, 2, 3, 4, 5]


def test_uniform_takes_the_middle_of_equal_parts():
    assert pick_uniform(100, 4).tolist() == [12, 37, 62, 87]


def test_random_has_one_frame_per_segment_and_follows_its_seed():
    frames, clip = Frames("random", 10), times_of(100)
    assert (pick(frames, *clip, seed=1) // 10).tolist() == list(range(10))
    assert pick(frames, *clip, seed=1).tolist() == pick(frames, *clip, seed=1).tolist()
    assert pick(frames, *clip, seed=1).tolist() != pick(frames, *clip, seed=2).tolist()
    # Written down once: a change here changes the frames that every stored run was trained on.
    assert pick(frames, *clip, seed=7).tolist() == [3, 11, 26, 30, 45, 53, 60, 75, 80, 94]


def test_early_bias_is_the_first_places_list_at_its_own_length():
    expected = [2, 8, 12, 18, *(24 + 12 * i for i in range(28))]
    assert pick(Frames("early_bias", 32), *times_of(360)).tolist() == expected
    half = pick(Frames("early_bias", 32), *times_of(720))
    assert half.tolist() == [2 * n for n in expected]


def test_fps_gives_the_competitions_30_frames_of_15_seconds():
    picks = pick(Frames("fps", 100, 2.0), *times_of(360))
    assert len(picks) == 30
    assert np.unique(np.diff(picks)).tolist() == [12]


@pytest.mark.parametrize(("fps", "count", "step"), [(3.0, 45, 8), (2.0, 30, 12)])
def test_a_rate_from_the_start_is_the_third_places(fps, count, step):
    """At 0, 1/3, 2/3 ... seconds, of the first 15 seconds alone."""
    wanted = [step * i for i in range(count)]
    assert pick(Frames("fps_start", count, fps), *times_of(360)).tolist() == wanted
    assert pick(Frames("fps_start", count, fps), *times_of(480)).tolist() == wanted  # of 20 seconds
    assert pick(Frames("fps_start", count, fps), *times_of(100)).tolist() == [w for w in wanted if w < 100]
    assert pick(Frames("fps", count, fps), *times_of(480)).tolist()[-1] > wanted[-1]  # spread over the clip


def test_a_rate_is_of_kinds_that_take_one():
    with pytest.raises(UsageError, match="kind 'fps_start' needs a rate"):
        Frames("fps_start", 16)
    with pytest.raises(UsageError, match="only kinds fps and fps_start"):
        Frames("uniform", 16, 2.0)


def test_fps_is_the_same_where_times_are_rounded_to_milliseconds():
    times, key = times_of(360)
    exact = pick(Frames("fps", 100, 6.0), times, key)
    assert exact.tolist() == pick(Frames("fps", 100, 6.0), np.round(times, 3), key).tolist()
    assert np.unique(np.diff(exact)).tolist() == [4]


def test_fps_over_its_cap_still_covers_the_clip():
    picks = pick(Frames("fps", 10, 10.0), *times_of(2400))
    assert len(picks) == 10
    assert picks[0] < 200
    assert picks[-1] > 2200


def test_fps_above_the_clips_own_rate_repeats_nothing():
    assert pick(Frames("fps", 1000, 60.0), *times_of(50)).tolist() == list(range(50))


def test_fps_follows_true_times():
    times = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    assert pick(Frames("fps", 100, 2.0), times, times == 0).tolist() == [2, 5]


def test_keyframe_takes_key_frames_only():
    picks = pick(Frames("keyframe", 4), *times_of(360))
    assert len(picks) == 4
    assert (picks % 30 == 0).all()


def test_random_frames_are_drawn_by_what_is_likely_and_never_twice():
    times, key = times_of(100, fps=10)
    frames = Frames("random", 8, likely=((2.0, 0.05), (4.0, 0.05), (4.1, 1.0), (6.0, 1.0), (6.1, 0.05)))
    drawn = [pick(frames, times, key, seed) for seed in range(300)]
    assert all(len(set(d)) == 8 and (np.diff(d) > 0).all() for d in drawn)
    assert drawn[7].tolist() == pick(frames, times, key, 7).tolist()
    assert len({tuple(d) for d in drawn}) == 300
    counts = np.bincount(np.concatenate(drawn), minlength=100)
    inside = np.zeros(100, bool)
    inside[41:61] = True
    assert 8 < counts[inside].mean() / counts[~inside].mean() < 20  # 20 but for not being put back
    even = Frames("random", 1, likely=((0.0, 1.0), (1.0, 3.0)))
    first = np.bincount([pick(even, *times_of(2, fps=1), s)[0] for s in range(4000)]) / 4000
    np.testing.assert_allclose(first, [0.25, 0.75], atol=0.03)
    assert pick(Frames("random", 8, likely=((0.0, 1.0),)), *times_of(5)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_opening_has_the_first_frame_before_key_frames(count):
    picks = pick(Frames("opening", count), *times_of(360))
    assert (len(picks), picks.dtype, picks[0]) == (count, np.int64, 0)
    assert (picks % 30 == 0).all()
    times, key = times_of(360)
    assert 0 in pick(Frames("opening", count), times, np.roll(key, 3), 0)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "unifrom"}, "uniform"),
        ({"count": 0}, "count"),
        ({"kind": "fps"}, "rate above 0"),
        ({"kind": "fps", "fps": float("nan")}, "rate above 0"),
        ({"kind": "random", "fps": 2.0}, "only kinds fps"),
    ],
)
def test_wrong_frames_are_refused_with_the_fix(values, says):
    with pytest.raises(UsageError, match=says):
        Frames(**values)


def test_spec_survives_plain_types():
    spec = ClipSpec(Frames("fps", 45, 3.0), (404, 720), 0.1, "pyav", "bilinear")
    assert ClipSpec.from_dict(spec.to_dict()) == spec
    assert hash(spec) == hash(ClipSpec.from_dict(spec.to_dict()))


@pytest.mark.parametrize(
    "values",
    [{"size": (0, 5)}, {"size": (5,)}, {"crop_bottom": -1}, {"decoder": "ffmpeg"}, {"interpolation": "x"}],
)
def test_wrong_spec_is_refused(values):
    with pytest.raises(UsageError):
        ClipSpec(**values)


def thumbnails(total, there=()):
    """A still scene with noise and a slow change of light; a small bright animal on the frames `there`."""
    draw = np.random.default_rng(0)
    scene = draw.integers(40, 160, (36, 64, 3))
    images = scene + np.linspace(0, 30, total)[:, None, None, None] + draw.normal(0, 1.5, (total, 36, 64, 3))
    for n in there:
        images[n, 12:18, (n * 3) % 50 : (n * 3) % 50 + 9] += 70
    return images.clip(0, 255).astype(np.uint8)


def test_motion_takes_the_frames_with_the_animal():
    numbers = np.arange(40) * 5
    there = [7, 8, 9, 10, 30, 31]
    assert pick_moving(numbers, thumbnails(40, there), 200, 6).tolist() == [n * 5 for n in there]


def test_motion_of_a_blank_clip_is_uniform():
    picks = pick_moving(np.arange(40) * 5, thumbnails(40), 200, 6)
    assert picks.tolist() == pick_uniform(200, 6).tolist()
