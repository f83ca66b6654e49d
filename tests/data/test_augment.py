import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.augment import Augmentation
from jungle.data.clip_reader import VideoReader
from jungle.data.loader import Sample
from jungle.errors import UsageError
from jungle.video import ClipSpec, Frames

ONE_OF_EACH = {
    "crop": 0.3,
    "flip": 1.0,
    "colour": 0.3,
    "infrared": 1.0,
    "noise": 0.1,
    "blur": 2.0,
    "cutout": 0.4,
}
ALL = Augmentation(**ONE_OF_EACH)


def film(frames: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (frames, 45, 80, 3), np.uint8)


def often(what: Augmentation, times: int = 20) -> list[bool]:
    frames = film()
    return [not np.array_equal(what.frames(frames, str(i)), frames) for i in range(times)]


def test_every_setting_is_tried() -> None:
    assert set(ONE_OF_EACH) == {f.name for f in fields(Augmentation)}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_each_setting_does_something_alone(name: str) -> None:
    what = replace(Augmentation(), **{name: ONE_OF_EACH[name]})
    assert what
    assert any(often(what))
    out = what.frames(film(), "0")
    assert out.shape == film().shape
    assert out.dtype == np.uint8


def test_nothing_is_nothing() -> None:
    assert not Augmentation()
    assert not any(often(Augmentation()))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_all_frames_of_a_clip_get_the_same(name: str) -> None:
    still = np.repeat(film(1), 5, axis=0)
    what = replace(Augmentation(), **{name: ONE_OF_EACH[name]})
    for seed in map(str, range(10)):
        out = what.frames(still, seed)
        assert (out == out[:1]).all()
    assert (ALL.frames(still[:1], "3") == ALL.frames(still, "3")[:1]).all()  # however many there are


def test_what_is_drawn_hangs_on_the_seed_alone() -> None:
    outs = [ALL.frames(film(), seed) for seed in ("1:7", "2:7", "1:8", "1:7")]
    assert np.array_equal(outs[0], outs[3])
    assert not np.array_equal(outs[0], outs[1])
    assert not np.array_equal(outs[0], outs[2])


def test_flip_infrared_and_cutout_look_as_they_should() -> None:
    frames = film()
    assert np.array_equal(Augmentation(flip=1.0).frames(frames, "0"), frames[:, :, ::-1])
    grey = Augmentation(infrared=1.0).frames(frames, "0")
    assert np.array_equal(grey[..., 0], grey[..., 1])
    assert np.array_equal(grey[..., 0], grey[..., 2])
    flipped = [np.array_equal(Augmentation(flip=0.5).frames(frames, str(i)), frames) for i in range(60)]
    assert 15 < sum(flipped) < 45


def test_workers_do_without_torch_and_ask_nothing_of_the_network() -> None:
    code = (
        "import sys, socket, numpy as np\n"
        "def no(*a): raise AssertionError('network')\n"
        "socket.getaddrinfo = socket.socket.connect = no\n"
        "from jungle.data.augment import Augmentation\n"
        "Augmentation(crop=0.5).frames(np.zeros((2, 32, 32, 3), np.uint8), '0')\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
    )
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def read(survey, numbers, epoch: int = 0, workers: int = 1, transform=ALL) -> dict[int, list[np.ndarray]]:
    paths = sorted(map(str, (survey / "clips").glob("lion_*.mp4")))[:3]
    reader = VideoReader(
        paths, ClipSpec(Frames(count=3), size=(32, 48)), workers, 60, 5, 0, transform=transform
    )
    found: dict[int, list[np.ndarray]] = {}
    try:
        for n, sample in reader(numbers, epoch):
            assert isinstance(sample, Sample)
            found.setdefault(n, []).append(sample.values)
    finally:
        reader.close()
    return found


def test_a_reader_augments_by_seed_epoch_clip_and_turn(survey) -> None:
    plain = read(survey, [0, 1], transform=None)
    first = read(survey, [0, 1, 0])
    assert not np.array_equal(first[0][0], plain[0][0])
    assert not np.array_equal(first[0][0], first[0][1])  # a clip drawn twice in an epoch
    again = read(survey, [1, 2, 0], workers=2)  # another order, another number of workers
    assert np.array_equal(first[0][0], again[0][0])
    assert np.array_equal(first[1][0], again[1][0])
    assert not np.array_equal(read(survey, [0], epoch=1)[0][0], first[0][0])


def videos(survey, *more: str):
    from jungle.training import clips as training_clips
    from jungle.training import datamodules

    args = ["data=csv", f"data.root={survey}", f"data.labels={survey / 'labels.csv'}", "frames.count=2"]
    args += ["data.workers=1", "model=finetune", *more]
    cfg = overrides.compose("train", args, config_dir())
    clips, _ = training_clips.load(cfg)
    spec = ClipSpec(Frames(count=2), size=(32, 48))
    return datamodules.build_video_datamodule(cfg, clips, spec, spec)


def test_only_training_is_augmented(survey) -> None:
    def first(data, train: bool) -> np.ndarray:
        read = data.read_train if train else data.read_eval
        return next(read([0], 0))[1].values

    plain, strong = videos(survey), videos(survey, "augment=strong")
    try:
        assert np.array_equal(first(plain, True), first(plain, False))
        assert np.array_equal(first(strong, False), first(plain, False))
        assert not np.array_equal(first(strong, True), first(plain, True))
    finally:
        for data in (plain, strong):
            data.read_train.close()
            data.read_eval.close()


def test_presets_grow_and_frozen_features_are_not_augmented() -> None:
    presets = {
        name: overrides.compose("train", ["model=finetune", f"augment={name}"], config_dir()).augment
        for name in ("none", "light", "camera_trap", "strong")
    }
    assert not Augmentation(**presets["none"].picture())
    crops = [p.crop for p in presets.values()]
    assert crops == sorted(crops, reverse=True)
    assert len(set(crops)) == 4
    with pytest.raises(UsageError, match="frozen features are computed once"):
        overrides.compose("train", ["augment=light"], config_dir())
    with pytest.raises(UsageError, match="frozen features are computed once"):
        overrides.compose("train", ["augment.cutmix=1"], config_dir())
    assert overrides.compose("train", ["augment.mixup=0.2"], config_dir()).augment.mixup == 0.2
