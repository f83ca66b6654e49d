"""`jungle extract`: one decoding for several backbones, into the stores that training reads."""

import pytest

from jungle.cli.entry import main
from jungle.features.store import FeatureStore
from jungle.video.decoders import pyav
from tests.conftest import survey_args


def args_of(survey, tmp_path) -> list[str]:
    return [
        *survey_args(survey),
        "data.workers=0",
        f"paths.runs={tmp_path / 'runs'}",
        f"paths.cache={tmp_path / 'cache'}",
        f"paths.features={tmp_path / 'features'}",
        "model.pretrained=false",
    ]


def stores(tmp_path) -> dict[str, int]:
    import json

    found = {}
    for folder in sorted((tmp_path / "features").iterdir()):
        about = json.loads((folder / "spec.json").read_text())
        found[about["name"]] = len(FeatureStore.open(tmp_path / "features", about["name"], about["spec"]))
    return found


def test_training_finds_what_was_extracted_from_one_decoding(survey, tmp_path, monkeypatch, capfd) -> None:
    passes = []
    decode = pyav.decode
    monkeypatch.setattr(pyav, "decode", lambda *args: passes.append(args[0]) or decode(*args))
    args = args_of(survey, tmp_path)
    assert main(["extract", "model=frozen", "model.backbone=test_resnet,test_efficientnet", *args]) == 0
    said = capfd.readouterr()
    held = stores(tmp_path)
    assert set(held) == {"test_resnet", "test_efficientnet"}
    clips = held["test_resnet"]
    assert clips == held["test_efficientnet"] > 10
    assert len(passes) == clips
    assert said.out.count("features: ") == 2
    assert main(["extract", "model=frozen", "model.backbone=test_resnet,test_efficientnet", *args]) == 0
    assert len(passes) == clips  # nothing is made again
    run = [f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=1"]
    assert main(["train", "model=frozen", "model.backbone=test_resnet", *args, *run]) == 0
    assert len(passes) == clips  # training reads what was extracted


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["model=finetune"], "is fine-tuned"),
        (["model=frozen", "data.limit=1,2"], "one call reads one set of clips"),
        (["model=frzen"], "Nearest: frozen"),
        (["model=frozen", "model.also=[{backbone: resnet81}]"], "Nearest: resnet18"),
        (["experiment=primatrix/lst"], "no such recipe"),
        (["model.size=range(64,96"], "a size is"),
        (["experiment=primatrix/best", "stage=lite0"], "has only these stages: features"),
        (["experiment=primatrix/best", "plan=true"], "use jungle train, which shows the plan"),
        (["experiment=primatrix/first_place"], "no frozen backbone"),
    ],
)
def test_what_cannot_be_is_one_line(survey, tmp_path, capfd, args, says) -> None:
    assert main(["extract", *args_of(survey, tmp_path), *args]) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert says in said[-1]
    assert not (tmp_path / "features").exists()


def test_help_says_how(capfd) -> None:
    assert main(["extract", "--help"]) == 0
    assert "each clip decoded once" in capfd.readouterr().out


def test_joined_backbones_read_the_stores_of_their_parts(survey, tmp_path) -> None:
    """One store a backbone, whoever reads it; and from the checkpoint alone the clips are read anew."""
    import polars as pl
    import torch

    args = [*args_of(survey, tmp_path), "model=frozen", "trainer.max_epochs=1"]
    run = tmp_path / "run"
    joined = ["model.backbone=test_resnet", "model.also=[{backbone: test_efficientnet}]"]
    assert main(["train", *args, *joined, f"hydra.run.dir={run}"]) == 0
    assert set(stores(tmp_path)) == {"test_resnet", "test_efficientnet"}
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["jungle"]
    assert [saved["backbone"]["name"], *(a["name"] for a in saved["backbone"]["also"])] == [
        "test_resnet",
        "test_efficientnet",
    ]
    answers = []
    for name, features in (("stored", tmp_path / "features"), ("anew", tmp_path / "elsewhere")):
        out = tmp_path / name
        told = [f"ckpt={run}", f"videos={survey}", f"out={out}", f"paths.features={features}", "workers=0"]
        assert main(["predict", *told, "device=cpu", "report=false"]) == 0
        answers.append(pl.read_parquet(out / "predictions.parquet").sort("clip"))
    classes = [c for c in answers[0].columns if answers[0][c].dtype == pl.Float32]
    off = (answers[0].select(classes).to_numpy() - answers[1].select(classes).to_numpy()).max()
    assert abs(off) < 1e-3
    own = pl.read_parquet(run / "predictions_test.parquet").sort("clip")
    both = own.join(answers[1], on="clip", suffix="_anew")
    assert len(both) == len(own)
    for c in classes:
        assert float((both[c] - both[f"{c}_anew"]).abs().max()) < 1e-3
