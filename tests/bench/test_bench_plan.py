"""`jungle bench plan`: its sums, a small run of it, and that the page shows what the JSON beside it says."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch

from jungle.bench import plan, plan_table, processes
from jungle.cli import overrides
from jungle.cli.entry import main
from jungle.config.folder import config_dir
from tests import forked
from tests.conftest import ROOT

TINY = ("model=frozen", "model.backbone=test_resnet", "model.size=64x96", "frames.count=2")


def test_each_stage_is_measured_and_the_hours_follow(survey: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(processes, "open_pool", lambda n: ProcessPoolExecutor(n, forked.get_context()))
    monkeypatch.setattr(plan, "BACKBONES", {"tiny": TINY})
    joined = "attention on three joined"
    monkeypatch.setattr(plan, "MODELS", {joined: (*TINY, *plan.ATTENTION)})
    clip = next((survey / "clips").glob("*.mp4"))
    found = plan.bench_plan(
        tmp_path,
        [clip],
        clips=3600,
        trained=600,
        seconds=0.2,
        steps=3,
        device="cpu",
        backbones=["tiny"],
        models=[joined],
        stackers=["nn", "loglinear"],
        at_once=3,
    )
    (backbone,), (head,) = found["backbones"], found["level_1"]
    dim = backbone["numbers"]
    assert backbone["disk_gb"] == pytest.approx(3600 * 2 * dim * 2e-9)
    assert backbone["hours"] == pytest.approx(2 / backbone["frames_s"])
    assert found["hours"]["decode"] == pytest.approx(1 / found["decode_clips_s"])
    assert found["hours"]["features"] == max(backbone["hours"], found["hours"]["decode"])
    assert found["together"]["clips"] == 3
    assert found["hours"]["features_together"] == pytest.approx(1 / found["together"]["clips_s"])
    assert found["together"]["peak_mb"] > 100
    assert not list(tmp_path.glob(".*"))  # copies and their features are gone
    assert head["epoch_minutes"] == pytest.approx(600 / head["clips_s"] / 60)
    assert found["hours"]["level_1"] == pytest.approx(2 * head["epoch_minutes"] / 60 * 22.5 * 5 * 0.8)
    assert "| **2 of nine**" in (tmp_path / "plan.md").read_text()
    assert head["peak_mb"] > 100  # torch alone takes more
    assert [r["stacker"] for r in found["level_2"]] == ["nn", "loglinear"]
    assert all(r["seconds"] > 0 for r in found["level_2"])
    assert json.loads((tmp_path / "plan.json").read_text()) == found
    assert "| tiny | 2, 64x96 |" in (tmp_path / "plan.md").read_text()


def test_the_four_backbones_are_the_third_places() -> None:
    wide = [plan._compose(list(s))[1] for s in plan.BACKBONES.values()]
    assert [len(s.taps) for s in wide] == [4, 3, 3, 3]
    assert [plan._compose(list(s))[0].frames.count for s in plan.BACKBONES.values()] == [45, 45, 45, 30]


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_outdoes_theirs_and_makes_all_features_in_four_hours(tmp_path: Path) -> None:
    """152 frames a second is what the third place's two GTX 1080 Ti did; four hours are for 16 cores."""
    found = plan.bench_plan(tmp_path, trained=20_000, steps=20, device="cuda:0", stackers=["loglinear"])
    assert min(b["frames_s"] for b in found["backbones"]) > plan_table.THEIRS
    assert found["together"]["gpu_mb"] > 0
    assert max(r["peak_mb"] for r in found["level_1"]) < 24_000
    if found["cores"] >= 16:
        assert found["hours"]["features_together"] < 4, plan_table.format_plan(found)


def test_level_one_is_the_third_places() -> None:
    """Four attention models, three GRUs and one of joined backbones; blank or not is of those again."""
    cfgs = [overrides.compose("train", [*s, *plan.LEARNING], config_dir()) for s in plan.MODELS.values()]
    assert [c.head.name for c in cfgs] == ["primatrix_attention"] * 4 + ["primatrix_gru"] * 3 + [
        "primatrix_attention"
    ]
    assert [len(c.model.also) for c in cfgs] == [0] * 7 + [2]
    assert [c.data.batch_size for c in cfgs] == [64, 64, 64, 48, 64, 64, 64, 48]
    assert [c.head.score for c in cfgs] == ["tanh"] * 4 + ["linear"] * 3 + ["tanh"]
    of_grus = [c.model.backbone.split(".")[0] for c in cfgs[4:7]]
    assert of_grus == ["resnet152", "inception_v4", "inception_resnet_v2"]
    assert plan_table.TWICE in plan.MODELS


def test_a_wrong_option_is_refused(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "plan", "--clips", "many"])
    assert ended.value.code == 2
    assert "--clips" in capsys.readouterr().err


def test_the_page_shows_what_was_measured() -> None:
    kept = json.loads((ROOT / "docs" / "bench" / "plan.json").read_text())
    page = (ROOT / "docs" / "scale.md").read_text()
    lost = [line for line in plan_table.format_plan(kept).splitlines() if line and line not in page]
    assert not lost
    assert max(r["peak_mb"] for r in [*kept["level_1"], *kept["level_2"], kept["together"]]) < 24_000
    assert kept["trained"] == 200_000
    assert kept["clips"] == 291_615
