import cv2
import numpy as np
import pytest
import torch

from jungle.video import ClipError, ClipSpec
from jungle.video.decoders.resize import Scaler
from jungle.video.decoders.resize_torch import TorchScaler, compute_weights

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")],
    ),
]


def picture(blur: float) -> np.ndarray:
    """Noise: grey where every pixel counts, coloured where it is blurred (swscale halves RGB's colour)."""
    noise = np.random.default_rng(0).integers(0, 256, (180, 320, 3 if blur else 1), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), blur) if blur else np.repeat(noise, 3, axis=2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(90, 160), (56, 72), (224, 224), (360, 640), (100, 500), (180, 320)])
@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic", "nearest"])
def test_a_picture_is_resized_as_on_the_cpu(interpolation, size, device):
    for blur in (0, 3) if interpolation != "nearest" else (0,):
        image = picture(blur)
        spec = ClipSpec(size=size, interpolation=interpolation)
        here = Scaler(spec).from_rgb(image).astype(int)
        there = TorchScaler(spec)(torch.from_numpy(image).to(device))
        assert (there.dtype, there.device.type, tuple(there.shape)) == (torch.uint8, device, (*size, 3))
        off = np.abs(there.cpu().numpy() - here)
        assert off.mean() < 0.2
        assert (off[4:-4, 4:-4] > 1).mean() < 0.001  # swscale's weights have 14 bits


@pytest.mark.parametrize("crop", [30, 0.25])
def test_the_bottom_is_cut_off_before(crop):
    spec = ClipSpec(size=(40, 60), crop_bottom=crop)
    there = TorchScaler(spec)(torch.from_numpy(picture(3)))
    off = np.abs(there.numpy() - Scaler(spec).from_rgb(picture(3)).astype(int))
    assert off.mean() < 0.2
    with pytest.raises(ClipError, match="crop_bottom cuts 200 px"):
        TorchScaler(ClipSpec(crop_bottom=200))(torch.zeros(180, 320, 3, dtype=torch.uint8))


def test_a_clip_whose_pictures_change_in_size_keeps_the_first_ones():
    scaler = TorchScaler(ClipSpec())
    assert scaler(torch.zeros(20, 30, 3, dtype=torch.uint8)).shape == (20, 30, 3)
    assert scaler(torch.zeros(40, 30, 3, dtype=torch.uint8)).shape == (20, 30, 3)


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic", "nearest"])
def test_weights_add_up_to_one(interpolation):
    for old, new in ((7, 3), (3, 7), (1, 4), (4, 1), (1080, 224)):
        shares = compute_weights(old, new, interpolation)
        assert shares.shape == (new, old)
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
