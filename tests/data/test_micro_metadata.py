"""Sizes of the competition's 64x64 clips as metadata: matched by name, unknown where there is no copy."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from jungle.cli import overrides
from jungle.config import PredictConfig
from jungle.config.folder import config_dir
from jungle.data.clips import Clips
from jungle.data.metadata import FACTS, MICRO, Metadata
from jungle.errors import UsageError
from jungle.models.heads.metadata import MetadataBranch
from jungle.prediction import metadata as prediction_metadata
from jungle.prediction.fill import needs_micro


@pytest.fixture(scope="module")
def pair(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders raw and micro: five clips, and for four of them another clip as their copy."""
    root = tmp_path_factory.mktemp("pair")
    found = sorted((survey / "clips").glob("*.mp4"))
    (root / "raw" / "site").mkdir(parents=True)
    (root / "micro").mkdir()
    for i in range(5):
        shutil.copy(found[i], root / "raw" / "site" / f"{i}.mp4")
    for i in (3, 0, 2, 1):
        shutil.copy(found[10 + i], root / "micro" / f"{i}.mp4")
    return root


def of_training(root: Path, cache: Path, *more: str) -> np.ndarray | None:
    asked = ["data=primatrix", f"data.root={root / 'raw'}", "data.metadata=index", f"paths.cache={cache}"]
    cfg = overrides.compose("train", [*asked, "data.workers=1", *more], config_dir())
    names = [f"site/{i}.mp4" for i in range(5)]
    table = pl.DataFrame({"clip": names, "path": [str(root / "raw" / n) for n in names], "a": [1] * 5})
    return prediction_metadata.read_training_metadata(cfg, Clips(table, ("a",)), 1)


def test_copies_beside_the_clips_are_matched_by_name(pair: Path, tmp_path: Path) -> None:
    found = of_training(pair, tmp_path)
    assert found is not None
    assert found.shape == (5, len(FACTS) + len(MICRO))
    sizes = [np.log((pair / "micro" / f"{i}.mp4").stat().st_size) for i in range(4)]
    np.testing.assert_allclose(found[:4, len(FACTS)], sizes, rtol=1e-6)
    assert np.isfinite(found[:4, len(FACTS) + 1]).all()  # of the bit rate
    assert np.isnan(found[4, len(FACTS) :]).all()
    without = of_training(pair, tmp_path, "data.micro=null")
    assert without is not None
    np.testing.assert_array_equal(without, found[:, : len(FACTS)])
    given = of_training(pair, tmp_path, f"data.micro={pair / 'micro'}")
    np.testing.assert_array_equal(given, found)


def test_a_folder_without_copies_is_refused(pair: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data.micro=.*none of the clips has a copy"):
        of_training(pair, tmp_path, f"data.micro={pair / 'raw'}")
    with pytest.raises(UsageError, match=r"data.micro=.*no such folder"):
        of_training(pair, tmp_path, f"data.micro={pair / 'nowhere'}")
    with pytest.raises(UsageError, match=r"add data\.metadata=index"):
        overrides.compose("train", [f"data.micro={pair}"], config_dir())
    alone = tmp_path / "alone" / "raw"
    shutil.copytree(pair / "raw", alone)
    found = of_training(alone.parent, tmp_path)
    assert found is not None
    assert found.shape[1] == len(FACTS)  # auto, and nothing is there


def test_a_model_measures_them_and_older_models_leave_them_out() -> None:
    facts_NF = np.random.default_rng(0).normal(size=(20, len(FACTS) + 2)).astype(np.float32)
    known, older = Metadata.fit(facts_NF), Metadata.fit(facts_NF[:, : len(FACTS)])
    assert [c for c in known.columns if "micro" in c] == [*MICRO, *(f"no_{n}" for n in MICRO)]
    assert Metadata.from_dict(known.to_dict()) == known
    assert len(older.columns) == len(known.columns) - 4
    given = torch.from_numpy(facts_NF)
    given[3, -2:] = float("nan")
    seen = MetadataBranch(known).measured(given)
    at = known.columns.index("micro_size")
    torch.testing.assert_close(seen[4:, at], (given[4:, -2] - known.mean[-2]) / known.std[-2])
    assert seen[3, at] == 0
    assert seen[:, known.columns.index("no_micro_size")].tolist() == [0, 0, 0, 1, *[0] * 16]
    torch.testing.assert_close(
        MetadataBranch(older).measured(given), MetadataBranch(older).measured(given[:, :-2])
    )
    with pytest.raises(ValueError, match="other facts"):
        Metadata.from_dict({**known.to_dict(), "mean": [0.0] * 13, "std": [1.0] * 13})


def test_prediction_asks_for_the_copies_where_a_model_knows_them(tmp_path: Path) -> None:
    known = Metadata.fit(np.zeros((5, len(FACTS) + 2), np.float32))
    plain = Metadata.fit(np.zeros((5, len(FACTS)), np.float32))

    def loaded(metadata: Metadata | None) -> Any:
        return SimpleNamespace(model=SimpleNamespace(metadata=metadata))

    assert [needs_micro(loaded(m)) for m in (known, plain, None)] == [True, False, False]
    cfg = overrides.compose("predict", ["ckpt=a.ckpt", f"micro={tmp_path}"], config_dir())
    assert isinstance(cfg, PredictConfig)
    assert cfg.micro == tmp_path
    unknown = prediction_metadata.add_micro(
        np.ones((2, len(FACTS)), np.float32), ["a", "b"], None, tmp_path, "micro", 1, 9
    )
    assert unknown.shape == (2, len(FACTS) + 2)
    assert np.isnan(unknown[:, len(FACTS) :]).all()
