"""`experiment=primatrix/third_place`: the nine models of the third place, as its authors published them."""

from pathlib import Path

import pytest

from jungle.cli.entry import main
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.models.plateau import KERAS, Plateau
from jungle.pipelines import recipe, recipe_files
from jungle.pipelines.stages import Job, compose_recipe
from jungle.training.pseudo_label_rounds import Rounds

NAME = "primatrix/third_place"
FILE = config_dir() / "experiment" / f"{NAME}.yaml"
RESNET, INCEPTION, MIXED = "resnet152.tv_in1k", "inception_v4.tf_in1k", "inception_resnet_v2.tf_in1k"
NASNET = "nasnetalarge.tf_in1k"
NINE = {
    # backbones, head, score, batch, of it in a round labelled and not, frames, their rate
    "attention_resnet": ([RESNET], "attention", "tanh", 64, (44, 20), 45, 3),
    "attention_inception": ([INCEPTION], "attention", "tanh", 64, (44, 20), 45, 3),
    "attention_inception_resnet": ([MIXED], "attention", "tanh", 64, (44, 20), 45, 3),
    "attention_nasnet": ([NASNET], "attention", "tanh", 48, (36, 12), 30, 2),
    "gru_resnet": ([RESNET], "gru", "linear", 64, (44, 20), 45, 3),
    "gru_inception": ([INCEPTION], "gru", "linear", 64, (44, 20), 45, 3),
    "gru_inception_resnet": ([MIXED], "gru", "linear", 64, (44, 20), 45, 3),
    "attention_joined": ([RESNET, INCEPTION, MIXED], "attention", "tanh", 48, (32, 16), 45, 3),
    "blank_joined": ([RESNET, INCEPTION, MIXED], "attention", "tanh", 48, (32, 16), 45, 3),
}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[Job]]:
    """The commands of its stages, improved, and of some of them original: composing takes a while."""
    given, whole = [f"paths.runs={tmp_path_factory.mktemp('runs')}"], recipe_files.read_recipe(FILE)
    some = [s for s in whole.stages if s.name in ("attention_nasnet", "gru_inception", "blank_joined")]
    letter = whole.model_copy(update={"stages": some})
    return {
        o: compose_recipe(r, NAME, given, tiny=False, configs=config_dir(), original=o)[0]
        for o, r in ((False, whole), (True, letter))
    }


@pytest.mark.parametrize("original", [False, True])
def test_the_nine_models_are_theirs(jobs: dict[bool, list[Job]], original: bool) -> None:
    trained = {j.stage.name: j.config for j in jobs[original] if j.config is not None}
    assert list(trained) == (list(NINE) if not original else [n for n in NINE if n in trained])
    for name, (backbones, head, score, batch, parts, frames, rate) in NINE.items():
        if name not in trained:
            continue
        cfg = trained[name]
        assert [cfg.model.backbone, *(a.backbone for a in cfg.model.also)] == backbones, name
        assert cfg.head.name == f"primatrix_{head}" + ("_original" if original else "")
        assert (cfg.head.score, cfg.head.hidden) == (score, 1024)
        assert cfg.head.dropout == (0.3 if head == "gru" else 0.25)
        soft = round(batch * cfg.data.pseudo_share)
        assert (cfg.batch_size, (batch - soft, soft)) == (batch, parts), name
        assert (cfg.frames.count, cfg.frames.fps) == (frames, rate)
        assert cfg.frames.kind == ("fps_start" if original else "fps")
        assert cfg.data.only == (["blank"] if name == "blank_joined" else None)
        assert (cfg.epochs_before_rounds, cfg.callbacks.patience, cfg.pseudo_rounds) == (15, 3, 5)
        assert cfg.trainer.gradient_clip_val is None
        assert (cfg.lr, cfg.optim.weight_decay, cfg.optim.schedule) == (1e-3, 0, "plateau")
        falls = cfg.optim.plateau
        assert falls is not None
        assert Plateau(**falls.model_dump()) == KERAS
    assert [len([j for j in jobs[original] if j.stage.name == n]) for n in trained] == [5] * len(trained)


def test_the_stack_joins_all_nine_and_clips(jobs: dict[bool, list[Job]]) -> None:
    stack = jobs[False][-1]
    assert stack.stage.members == list(NINE)
    assert {"stacker=nn", "calibration=clip"} <= set(stack.args)


def test_improved_and_original_share_no_folder(jobs: dict[bool, list[Job]]) -> None:
    assert not {j.folder for j in jobs[False]} & {j.folder for j in jobs[True]}


def test_fidelity_is_of_recipes_that_know_an_original(tmp_path: Path, capsys) -> None:
    where = [f"paths.runs={tmp_path}"]
    assert main(["train", "experiment=primatrix/best", "fidelity=original", *where]) == 2
    assert "experiment=primatrix/best has no original settings" in capsys.readouterr().err
    assert main(["train", f"experiment={NAME}", "fidelity=exact", *where]) == 2
    assert "fidelity is improved or original" in capsys.readouterr().err
    with pytest.raises(UsageError, match="has no original settings"):
        recipe.find_preparations(
            ["experiment=primatrix/best", "fidelity=original", *where],
            config_dir() / "experiment" / "primatrix" / "best.yaml",
            config_dir(),
        )


def test_its_rounds_are_made_of_its_settings(jobs: dict[bool, list[Job]], tmp_path: Path) -> None:
    from jungle.training.callbacks import build_callbacks

    made = [c for c in build_callbacks(jobs[False][0].config, tmp_path) if isinstance(c, Rounds)]
    assert [(r.epochs, r.rounds, r.part, r.patience, r.share) for r in made] == [(15, 5, None, 3, 0.3125)]


def test_the_plan_shows_the_settings_of_its_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    assert main(["train", f"experiment={NAME}", "scale=tiny", "plan=true", *folders]) == 0
    (stack,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stack ")]
    assert "stacker=nn calibration=none" in stack
