import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError, UserError
from jungle.training import fit
from jungle.training.tuning import batch_size, lr_finder, search
from jungle.video import ClipSpec, Frames
from tests.conftest import survey_args


def composed(*settings: str) -> Any:
    return overrides.compose("train", list(settings), config_dir())


def tuning(survey: Path, folder: Path) -> list[str]:
    return [
        *survey_args(survey),
        "model=finetune",
        "model.backbone=test_efficientnet",
        "model.pretrained=false",
        "model.size=64x96",
        "frames=random",
        "frames.count=2",
        "augment.mixup=0.2",
        "data.batch_size=4",
        "trainer.max_epochs=1",
        f"paths.runs={folder / 'runs'}",
        f"paths.cache={folder / 'cache'}",
    ]


def test_a_run_that_searched_is_the_run_with_the_number_found(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, (searched, told) = tuning(survey, tmp_path), (tmp_path / "searched", tmp_path / "told")
    monkeypatch.setattr(lr_finder, "STEPS", 60)
    for folder in (searched, told):
        folder.mkdir()
        (folder / "config.yaml").write_text("optim: {lr: auto, name: adamw}\n")
    cfg = composed(*settings, "optim.lr=auto")
    fit.fit(cfg, searched)
    found = json.loads((searched / "found.json").read_text())["optim.lr"]
    assert lr_finder.LOW < found < lr_finder.HIGH
    assert yaml.safe_load((searched / "config.yaml").read_text()) == {"optim": {"lr": found, "name": "adamw"}}
    assert (searched / "lr_find.png").stat().st_size > 5000
    assert json.loads((searched / "run.json").read_text())["fingerprint"] == cfg.fingerprint()

    fit.fit(composed(*settings, f"optim.lr={found}"), told)
    assert not (told / "lr_find.png").exists()
    ours, theirs = (
        torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (searched, told)
    )
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)

    def never(*_: Any) -> float:
        raise AssertionError("a run that goes on searches again")

    monkeypatch.setattr(lr_finder, "find", never)
    again = search.resolve_learning_rate(cfg, searched, lambda _: None, None)  # type: ignore[arg-type,return-value]
    assert again.lr == found
    assert again.searched == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["optim.lr=auto", "trainer=ddp_sim"], "one device"),
        (["data.batch_size=auto", "model=finetune", "trainer=cpu"], "needs a GPU"),
    ],
)
def test_where_a_search_cannot_be_a_line_says_what_to_give(
    settings: list[str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says) as error:
        search.check(composed(*settings), tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "found.json").write_text('{"optim.lr": 0.001, "data.batch_size": 8}')
    search.check(composed(*settings), tmp_path)  # what was found is not looked for


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["data.batch_size=auto"], "stored features"),
        (["optim.lr=auto", "optim.backbone_lr=1e-4"], "backbone_lr"),
        (["optim.lr=atuo"], "optim.lr=atuo"),
        (["trainer.compile=true"], "trainer.compile"),
        (["trainer.compile=true", "model=finetune", "model.taps=[blocks.2]"], "model.taps"),
    ],
)
def test_what_cannot_go_together_is_refused(settings: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        composed(*settings)


def test_the_largest_power_of_two_is_found() -> None:
    for limit, most, found in ((5, 100, 4), (8, 100, 8), (1, 100, 1), (0, 100, 0), (99, 20, 16), (99, 0, 1)):
        tried: list[int] = []

        def fits(size: int, limit: int = limit, tried: list[int] = tried) -> bool:
            tried.append(size)
            return size <= limit

        assert batch_size.find_largest(fits, most) == found
        assert max(tried) <= max(most, 1)


def card(monkeypatch: pytest.MonkeyPatch, gib: float = 10, taken: float = 1) -> None:
    """Stand in for a GPU's memory figures."""
    monkeypatch.setattr(batch_size, "_free", lambda device: int(gib * 2**30))
    monkeypatch.setattr(batch_size, "_taken", lambda device: int(taken * 2**30))
    monkeypatch.setattr(batch_size, "_empty", lambda device: None)


def test_a_full_card_ends_the_search_and_another_error_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def wrong() -> None:
        raise RuntimeError("shapes differ")

    card(monkeypatch)
    assert batch_size.fits_memory("cuda:0", lambda: None)
    assert not batch_size.fits_memory("cuda:0", full)
    with pytest.raises(RuntimeError, match="shapes differ"):
        batch_size.fits_memory("cuda:0", wrong)
    card(monkeypatch, taken=9.5)
    assert not batch_size.fits_memory("cuda:0", lambda: None)


def small(cfg: Any) -> Any:
    from jungle.models.backbones.backbone import Backbone
    from jungle.models.module import ClipClassifier
    from jungle.training import build

    return ClipClassifier(
        Backbone(build.make_backbone_spec(cfg)),
        {"name": "mean", "hidden": 8, "dropout": 0.0},
        ("a", "b"),
        "exclusive",
        "finetune",
    )


def test_trials_take_whole_steps_until_the_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = composed(
        "model=finetune",
        "model.backbone=test_efficientnet",
        "model.pretrained=false",
        "model.size=32x32",
        "data.batch_size=auto",
        "trainer=cpu",
    )
    specs = (ClipSpec(Frames("uniform", 2), (32, 32)), ClipSpec(Frames("uniform", 5), (32, 32)))
    seen: list[tuple[int, int, bool]] = []

    def made(asked: Any) -> Any:
        model = small(asked)

        def look(_: Any, args: Any) -> None:
            mask_BT = args[0]["mask_BT"]
            seen.append((*mask_BT.shape, model.training))
            if mask_BT.numel() > 20:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        model.register_forward_pre_hook(look)
        return model

    card(monkeypatch)
    assert batch_size.find(cfg, made, specs, clips=200) == 4
    assert seen[:3] == [(1, 2, True), (1, 2, True), (1, 5, False)]
    assert seen[-1] == (8, 5, False)  # evaluation needed more than there is
    assert batch_size.find(cfg, made, specs, clips=25) == 2  # an epoch keeps ten steps
    monkeypatch.setattr(batch_size, "SHARE", 0.0)
    with pytest.raises(UserError, match="one clip does not fit"):
        batch_size.find(cfg, made, specs, clips=200)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_filled_and_not_over_filled() -> None:
    cfg = composed(
        "model=finetune",
        "model.backbone=resnet50",
        "model.pretrained=false",
        "model.size=224",
        "frames.count=16",
    )
    spec = ClipSpec(Frames("uniform", 16), (224, 224))
    torch.cuda.set_per_process_memory_fraction(0.5)
    try:
        found = batch_size.find(cfg, small, (spec, spec), clips=1_000_000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found >= 8
    batch_size.run_trial(cfg, small(cfg), (spec, spec), found, "cuda:0")
