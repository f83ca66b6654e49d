"""`jungle bench plan`: its sums, a small run of it, and that the page shows what the JSON beside it says."""

import json
from pathlib import Path

import pytest
from tests.conftest import ROOT

from jungle.bench import plan
from jungle.cli import main

TINY = ("model=frozen", "model.backbone=test_resnet", "model.size=64x96", "frames.count=2")


def test_each_stage_is_measured_and_the_hours_follow(survey: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(plan, "BACKBONES", {"tiny": TINY})
    clip = next((survey / "clips").glob("*.mp4"))
    found = plan.bench_plan(
        tmp_path,
        [clip],
        clips=3600,
        trained=600,
        seconds=0.2,
        steps=3,
        device="cpu",
        heads=["tiny"],
        stackers=["nn", "loglinear"],
    )
    (backbone,), (head,) = found["backbones"], found["level_1"]
    dim = backbone["numbers"]
    assert backbone["disk_gb"] == pytest.approx(3600 * 2 * dim * 2e-9)
    assert backbone["hours"] == pytest.approx(2 / backbone["frames_s"])
    assert found["hours"]["decode"] == pytest.approx(1 / found["decode_clips_s"])
    assert found["hours"]["features"] == max(backbone["hours"], found["hours"]["decode"])
    assert head["epoch_minutes"] == pytest.approx(600 / head["clips_s"] / 60)
    assert head["peak_mb"] > 100  # torch alone takes more
    assert [r["stacker"] for r in found["level_2"]] == ["nn", "loglinear"]
    assert all(r["seconds"] > 0 for r in found["level_2"])
    assert json.loads((tmp_path / "plan.json").read_text()) == found
    assert "| tiny | 2, 64x96 |" in (tmp_path / "plan.md").read_text()


def test_the_four_backbones_are_the_third_places() -> None:
    wide = [plan._config(list(s))[1] for s in plan.BACKBONES.values()]
    assert [len(s.taps) for s in wide] == [4, 3, 3, 3]
    assert [plan._config(list(s))[0].frames.count for s in plan.BACKBONES.values()] == [45, 45, 45, 30]


def test_a_wrong_option_is_refused(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "plan", "--clips", "many"])
    assert ended.value.code == 2
    assert "--clips" in capsys.readouterr().err


def test_the_page_shows_what_was_measured() -> None:
    kept = json.loads((ROOT / "docs" / "bench" / "plan.json").read_text())
    page = (ROOT / "docs" / "scale.md").read_text()
    lost = [line for line in plan.markdown(kept).splitlines() if line and line not in page]
    assert not lost
    assert max(r["peak_mb"] for r in kept["level_1"] + kept["level_2"]) < 24_000
    assert kept["trained"] == 200_000
    assert kept["clips"] == 291_615
