"""Words of a command that were taken for something else, without a word said."""

import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError


@pytest.mark.parametrize(
    "word",
    ["seed=true", "data.limit=True", "trainer.max_epochs=false", "optim.lr=true", "trainer.devices=[true]"],
)
def test_a_switch_is_no_number(word: str) -> None:
    with pytest.raises(UsageError, match=r"give a .*number"):
        overrides.compose("train", [word], config_dir())


@pytest.mark.parametrize(("verb", "fix"), [("train", "-m"), ("index", "has no sweeps")])
def test_a_sweep_is_asked_for_in_one_way(verb: str, fix: str) -> None:
    with pytest.raises(UsageError, match=f"hydra.mode=MULTIRUN: .*{fix}"):
        overrides.prepare(verb, ["hydra.mode=MULTIRUN"], config_dir())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("device=gpu", "device=gpu is not valid. Valid: auto, cpu, cuda"),
        ("ckpt=[]", "ckpt=[]: give at least one"),
        ("data.root=x", "there is no setting named data.root"),  # and no group to add that has it
    ],
)
def test_what_predict_does_not_take(word: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        overrides.compose("predict", ["ckpt=a.ckpt", word], config_dir())
    assert said in str(error.value)


@pytest.mark.parametrize(
    "words", [["--run", "--cfg=job"], ["--run", "-m", "seed=1"], ["--resolve"], ["-p", "x"]]
)
def test_options_that_exclude_or_need_one_another(words: list[str]) -> None:
    with pytest.raises(UsageError, match="leave"):
        overrides.prepare("train", words, config_dir())
