import json

import numpy as np
import pytest
import torch

from jungle.bench import gpu
from jungle.bench.gpu import bench_gpu
from jungle.errors import UserError
from jungle.video.decoders import torchcodec
from jungle.video.transcode.writer import write_clip


def has_torchcodec() -> bool:
    try:
        torchcodec.load()
    except UserError:
        return False
    return True


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    images = [np.full((160, 192, 3), 3 * n, np.uint8) for n in range(60)]
    write_clip(folder / "a.mp4", images, options={"g": "20"})
    write_clip(folder / "b.avi", images, codec="mjpeg", pix_fmt="yuvj420p")
    return [folder / "a.mp4", folder / "b.avi"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_it_needs(tmp_path):
    with pytest.raises(UserError, match=r"needs an NVIDIA GPU with NVDEC.*jungle doctor"):
        bench_gpu(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not has_torchcodec(), reason="torchcodec finds no FFmpeg libraries")
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda:0",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
            ],
        ),
    ],
)
def test_frames_are_compared_and_speeds_measured(clips, tmp_path, capsys, device):
    found = bench_gpu(tmp_path, clips, clips=6, workers=1, device=device, frames=4, size=(64, 64))
    assert json.loads((tmp_path / "gpu.json").read_text()) == found
    first, second = found["frames"]
    assert first["decoder"] == ("torchcodec" if device == "cpu" else "torchcodec-cuda")
    assert (second["decoder"], second["on_cpu"]) == ("pyav", "mjpeg video")
    assert first["right"]
    assert second["off"] == 0
    for row in found["speed"]:
        assert row["clips_s"] > 0
        assert row["clips_s_model"] > 0
        assert 0 <= row["idle"] <= 1
    assert "GPU, torchcodec" in capsys.readouterr().out


@pytest.mark.skipif(not has_torchcodec(), reason="torchcodec finds no FFmpeg libraries")
def test_a_wrong_frame_is_an_error(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "measure_difference", lambda a, b: 40.0)
    with pytest.raises(UserError, match=r"2 clips off by more than 3 levels: a\.mp4, b\.avi"):
        bench_gpu(tmp_path, clips, clips=2, workers=1, device="cpu", frames=4, size=(64, 64))
    assert not json.loads((tmp_path / "gpu.json").read_text())["frames"][0]["right"]
