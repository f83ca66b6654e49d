"""`jungle extract`: one decoding for several backbones, into the stores that training reads."""

import pytest

from jungle.cli import main
from jungle.features.store import FeatureStore
from jungle.video import decode_pyav
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
    decode = decode_pyav.decode
    monkeypatch.setattr(decode_pyav, "decode", lambda *args: passes.append(args[0]) or decode(*args))
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
        (["experiment=primatrix/lst"], "no such recipe"),
        (["model.size=range(64,96"], "a size is"),
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
