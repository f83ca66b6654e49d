import json
from pathlib import Path

import pytest
import torch

from jungle.bench.cli import main
from jungle.bench.throughput import ThroughputCounter, count_flops_per_clip, peak_tflops
from jungle.bench.train import bench_train
from jungle.errors import UsageError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.module import ClipClassifier
from tests.conftest import survey_args


def settings(survey: Path, tmp_path: Path, mode: str) -> list[str]:
    return [
        *survey_args(survey),
        f"model={mode}",
        "model.backbone=test_efficientnet",
        "model.pretrained=false",
        "model.size=64x96",
        "data.batch_size=4",
        f"paths.cache={tmp_path / 'cache'}",
        f"paths.runs={tmp_path / 'runs'}",
    ]


def test_fine_tuning_is_measured_with_clips_with_noise_and_without_a_model(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", *settings(survey, tmp_path, "finetune"), "--out", str(tmp_path), "--steps", "7"]
    assert main([*asked, "--warmup", "2"]) == 0
    found = json.loads((tmp_path / "train.json").read_text())
    real, noise, loader = found["rows"]
    assert (real["what"], noise["what"]) == ("real clips", "synthetic clips")
    for row in (real, noise, loader):
        assert row["clips"] == 28  # of 24 in an epoch: the second one is in it
        assert row["clips_s"] == pytest.approx(28 / row["seconds"])
    assert found["ratio"] == pytest.approx(real["clips_s"] / noise["clips_s"])
    assert found["batch"] == {"clips": 4, "frames": 4, "height": 64, "width": 96}
    assert "share_of_peak" not in real or torch.cuda.is_available()
    table = (tmp_path / "train.md").read_text()
    assert f"| real clips | {real['clips_s']:.4g} |" in table
    assert table.strip() in capsys.readouterr().out


def test_a_head_is_measured_beside_an_epoch_that_decodes(survey: Path, tmp_path: Path) -> None:
    found = bench_train(tmp_path, settings(survey, tmp_path, "frozen"), steps=2, warmup=1)
    head, decoding = found["rows"]
    assert head["clips"] == 20 * decoding["clips"] == 20 * 2 * 4
    assert found["ratio"] == head["clips_s"] / decoding["clips_s"]
    assert found["ratio"] > 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["optim.lr=auto"], "optim.lr=auto: bench train measures one setting"),
        (["trainer=ddp_sim"], "one device"),
        (["model=finetun"], "Nearest: finetune"),
    ],
)
def test_settings_that_cannot_be_measured_are_refused(asked: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        bench_train(tmp_path, asked)
    with pytest.raises(UsageError, match="give 1 or more of each"):
        bench_train(tmp_path, [], steps=0)


def test_the_warm_up_is_not_counted() -> None:
    clock = ThroughputCounter(2)
    for step in range(1, 6):
        clock.count(range(3), step)
    row = clock.row("steps")
    assert row["clips"] == 9
    assert row["seconds"] > 0


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("NVIDIA A100-PCIE-40GB", 312.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA A10G", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Tesla T4", None),
    ],
)
def test_the_peak_is_of_this_card_or_unknown(name: str, peak: float | None) -> None:
    assert peak_tflops(name) == peak


def test_operations_are_those_of_the_layers_forward_and_backward() -> None:
    backbone = Backbone(BackboneSpec("resnet18", pretrained=False, size=(64, 64)))
    model = ClipClassifier(
        backbone, {"name": "mean", "hidden": 8, "dropout": 0.0}, ("a", "b"), "exclusive", "finetune"
    )
    mask_BT = torch.ones(1, 2, dtype=torch.bool)
    batch = {
        "frames_BTHWC": torch.zeros(1, 2, 64, 64, 3, dtype=torch.uint8),
        "mask_BT": mask_BT,
        "times_BT": torch.zeros(1, 2),
    }
    # 1.814e9 multiplications of 224x224 (He et al. 2016), the classifier's 0.5e6 aside; two operations each.
    # Backward twice that, but for the first layer, which hands no gradient on.
    frame = 2 * 1.814e9 * (64 / 224) ** 2
    first = 2 * 32 * 32 * 64 * 3 * 49
    assert count_flops_per_clip(model, batch) == pytest.approx(2 * (3 * frame - first), rel=0.02)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("backbone", ["resnet50", "nasnetalarge"])
def test_on_a_gpu_the_share_of_its_peak_is_told(backbone: str, survey: Path, tmp_path: Path) -> None:
    asked = [
        *survey_args(survey),
        "trainer=gpu",
        "model=finetune",
        f"model.backbone={backbone}",
        "model.pretrained=false",
        f"model.size={331 if backbone == 'nasnetalarge' else 224}",
        "frames.count=16",
        "data.batch_size=4",
        "data.workers=null",
    ]
    found = bench_train(tmp_path, asked, steps=10, warmup=5)
    real, noise, _ = found["rows"]
    assert found["flops_a_clip"] > 16 * 20e9
    for row in (real, noise):
        assert row["tflops"] == pytest.approx(row["clips_s"] * found["flops_a_clip"] / 1e12)
        if found["peak_tflops"] is not None:
            assert 0 < row["share_of_peak"] < 1
    assert 0 < found["ratio"] < 1.2
