"""Words of a command that were taken for something else, without a word said."""

import pytest

from jungle import overrides
from jungle.cli import config_dir
from jungle.errors import UsageError


@pytest.mark.parametrize(
    "word",
    ["seed=true", "data.limit=True", "trainer.max_epochs=false", "optim.lr=true", "trainer.devices=[true]"],
)
def test_a_switch_is_no_number(word: str) -> None:
    with pytest.raises(UsageError, match="number belongs there"):
        overrides.composed("train", [word], config_dir())


@pytest.mark.parametrize(("verb", "fix"), [("train", "-m"), ("index", "has no sweeps")])
def test_a_sweep_is_asked_for_in_one_way(verb: str, fix: str) -> None:
    with pytest.raises(UsageError, match=f"hydra.mode=MULTIRUN: .*{fix}"):
        overrides.prepare(verb, ["hydra.mode=MULTIRUN"], config_dir())
