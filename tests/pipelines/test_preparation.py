"""What a recipe makes before its stages, and what its plan says of that."""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from jungle.cli import overrides
from jungle.cli.entry import main
from jungle.config.folder import config_dir
from jungle.data.content_key import Content
from jungle.features.store import FeatureStore
from jungle.features.wanted import Wanted
from jungle.pipelines.preparation import Preparations
from tests.forked import Forked
from tests.pipelines.conftest import Staged


def configs_of(tmp_path: Path, *more: str) -> list:
    args = [f"paths.cache={tmp_path / 'cache'}", f"paths.runs={tmp_path / 'runs'}", *more]
    return [
        overrides.compose("train", [*args, f"model=efficientnet_lite{n}_frozen"], config_dir())
        for n in (0, 1)
    ]


def test_steps_are_what_training_runs_have_in_common(tmp_path) -> None:
    lite0, lite1 = configs_of(tmp_path)
    assert Preparations(tmp_path, [lite0, lite0]).steps == ()
    assert Preparations(tmp_path, [lite0, lite1]).steps == ("features",)
    assert Preparations(tmp_path, configs_of(tmp_path, "data.metadata=index")).steps == (
        "metadata",
        "features",
    )


def test_a_clip_is_done_when_every_store_has_it_or_knows_that_it_fails(tmp_path) -> None:
    made = Preparations(tmp_path, configs_of(tmp_path))
    assert made.done("features") is None
    made.begin([Wanted(Content(f"key{i}", f"key{i}, damaged"), f"{i}.mp4", f"{i}.mp4") for i in range(4)])
    assert made.done("features") == (0, 4)
    stores = [FeatureStore.open(tmp_path / "cache", name, {"backbone": name}) for name in ("a", "b")]
    made.into([s.folder for s in stores])
    assert made.rate("features") is None

    def stopped() -> None:
        with made.measured("features"):
            for store, keys in zip(stores, (("key0", "key1", "key2"), ("key1", "key3", "key2")), strict=True):
                with store.writer() as writer:
                    for key in keys[:-1]:
                        writer.add(key, key, np.ones((2, 8), np.float32), np.arange(2.0))
                    writer.fail(f"{keys[-1]}, damaged", keys[-1], "cut off")
            time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert made.done("features") == (2, 4)
    rate = made.rate("features")
    assert rate is not None
    assert 0 < rate < 2 / 0.05
    other = Preparations(tmp_path, configs_of(tmp_path, "data.limit=3"))
    assert other.done("features") is None  # other clips, another note


def args_of(tmp_path: Path) -> list[str]:
    return [
        *("experiment=primatrix/third_place", "scale=tiny"),
        *(f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}"),
        *("trainer=cpu", "data.workers=1"),
    ]


def rows_of(said: str) -> dict[str, str]:
    return {line.split()[0]: line for line in said.splitlines() if line.strip()}


@pytest.mark.slow
def test_the_steps_run_alone_and_the_plan_says_how_far_they_are(
    tmp_path, sample_40: Path, staged: Staged
) -> None:
    shutil.copytree(sample_40, tmp_path / "cache" / "sample_40")

    def said(word: str) -> str:
        done = staged([*args_of(tmp_path), word])
        assert done.returncode == 0, done.stderr
        return done.stderr

    def plan() -> dict[str, str]:
        return rows_of(said("plan=true"))

    rows = plan()
    assert "not started" in rows["metadata"]
    assert "one decoding for all frozen backbones" in rows["features"]
    said("stage=metadata")
    rows = plan()
    assert re.search(r"40 of 40 clips\s+-$", rows["metadata"].rstrip())
    assert re.search(r"0 of 40 clips\s+not measured", rows["features"])

    run = Forked("train", [*args_of(tmp_path), "stage=features"], tmp_path)
    stores = tmp_path / "cache" / "features"
    late = time.monotonic() + 120
    while not any(stores.glob("*/spec.json")) and run.poll() is None and time.monotonic() < late:
        time.sleep(0.02)
    run.terminate()
    run.wait(60)
    part = plan()["features"]
    said("stage=features")
    whole = plan()
    assert re.search(r"40 of 40 clips\s+-$", whole["features"].rstrip())
    assert "0 of 1" in whole["attention_resnet"]  # no model was trained
    (note,) = (tmp_path / "runs" / "recipes" / "primatrix_third_place").glob("inputs-*.json")
    assert json.loads(note.read_text())["rates"].keys() == {"metadata", "features"}
    assert re.search(r"\d+ of 40 clips", part)


def test_a_step_that_a_recipe_lacks_is_no_stage(tmp_path, capsys) -> None:
    for name, step in (("first_place", "features"), ("best", "metadata")):
        words = [f"experiment=primatrix/{name}", f"stage={step}", f"paths.runs={tmp_path}"]
        assert main(["train", *words]) == 2
        assert f"stage={step}: no such stage" in capsys.readouterr().err
