"""`~` in a path that is typed as `key=~/x`: the shell leaves it, the program takes it for the home folder."""

from pathlib import Path

import pytest

from jungle.config.compose import compose
from jungle.errors import UsageError
from tests.conftest import ROOT


def test_the_home_folder_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cfg = compose("predict", ["ckpt=[~/a.ckpt,b.ckpt]", "out=~/results"], ROOT / "configs")
    assert [str(p) for p in cfg.ckpt] == [str(tmp_path / "a.ckpt"), "b.ckpt"]
    assert cfg.out == tmp_path / "results"
    train = compose("train", ["data=csv", "data.root=~/clips", "data.labels=~/l.csv"], ROOT / "configs")
    assert (train.data.root, train.data.labels) == (tmp_path / "clips", tmp_path / "l.csv")
    (tmp_path / "~x").mkdir()  # a folder of just that name
    assert compose("predict", ["ckpt=a", "out=~x"], ROOT / "configs").out == Path("~x")
    with pytest.raises(UsageError, match="there is no user nobody-here"):
        compose("predict", ["ckpt=a", "out=~nobody-here/x"], ROOT / "configs")
