"""What is known of clips besides their pictures: never matched by position, never measured on other clips."""

import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data.metadata import FACTS, Metadata, compute_facts
from jungle.errors import UsageError
from jungle.models.heads.metadata import MetadataBranch
from jungle.prediction import metadata
from jungle.video.indexing.index import SCHEMA, index_clips


def rows(**columns: list) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    return pl.DataFrame({name: columns.get(name, [None] * n) for name in SCHEMA}, schema=SCHEMA)


def column(known: Metadata, facts_NF: np.ndarray, name: str) -> list[float]:
    seen = MetadataBranch(known).measured(torch.from_numpy(facts_NF))
    assert seen.shape == (len(facts_NF), len(known.columns))
    return [round(v, 4) for v in seen[:, known.columns.index(name)].tolist()]


def shaped(sizes: list[int], width: int) -> pl.DataFrame:
    return rows(size=sizes, width=[width] * len(sizes), height=[width // 2] * len(sizes))


def test_an_unknown_fact_is_zero_and_said_to_be_unknown() -> None:
    table = rows(
        fps=[10.0, 30.0, None],
        time=[datetime(2020, 1, 1, 6), datetime(2020, 7, 1, 18), None],
        size=[0, 1000, 3000],
    )
    found = compute_facts(table)
    assert found.dtype == np.float32
    assert found[0, FACTS.index("hour_sin")] == pytest.approx(1)
    assert found[1, FACTS.index("hour_sin")] == pytest.approx(-1)
    assert np.isnan(found[0, FACTS.index("size")])  # of an empty file there is no logarithm
    known = Metadata.fit(found)
    assert column(known, found, "fps") == [-1, 1, 0]
    assert column(known, found, "no_fps") == [0, 0, 1]
    assert column(known, found, "no_size") == [1, 0, 0]
    assert column(known, found, "no_brightness") == [1, 1, 1]
    assert column(known, found, "brightness") == [0, 0, 0]


def test_sizes_are_measured_among_clips_of_the_same_shape() -> None:
    small, large = [100, 200] * 3, [10_000, 20_000] * 3
    found = compute_facts(pl.concat([shaped(small, 320), shaped(large, 1280)]))
    known = Metadata.fit(found)
    assert column(known, found, "size_in_shape") == [-1, 1] * 6
    assert column(known, found, "width_320") == [1] * 6 + [0] * 6
    other = compute_facts(shaped([500], 640))
    assert column(known, other, "no_size_in_shape") == [1]
    assert column(known, other, "width_320") == column(known, other, "height_640") == [0]


def test_a_fact_that_is_far_off_says_no_more_than_eight_deviations() -> None:
    known = Metadata.fit(compute_facts(rows(fps=[10.0, 30.0])))
    assert column(known, compute_facts(rows(fps=[1e9])), "fps") == [8]


def test_what_was_measured_survives_a_checkpoint_and_is_checked() -> None:
    known = Metadata.fit(compute_facts(shaped([100, 200, 300, 400, 500], 320)))
    assert Metadata.from_dict(known.to_dict()) == known
    for spoilt in (
        {"mean": [0.0]},
        {"std": [0.0] * len(FACTS)},
        {"shapes": [[1, 2, 3]]},
        {"widths": [0.0] * 99},
    ):
        with pytest.raises(ValueError, match="metadata"):
            Metadata.from_dict({**known.to_dict(), **spoilt})


def test_clips_are_matched_by_file_whatever_their_order(survey: Path, tmp_path: Path) -> None:
    paths = sorted(str(p) for p in (survey / "clips").glob("*.mp4"))[:6]
    names = [Path(p).name for p in paths]
    looked = metadata.read_clip_metadata(names, paths, None, tmp_path, "metadata", 1, 60)
    assert len(set(looked[:, FACTS.index("size")])) > 1
    back = metadata.read_clip_metadata(names[::-1], [*paths[:0:-1], None], None, tmp_path, "metadata", 1, 60)
    np.testing.assert_array_equal(back[:5], looked[:0:-1])
    assert np.isnan(back[5]).all()
    index = tmp_path / "mine.parquet"
    index_clips(paths[1:][::-1], index, root=survey / "clips")
    given = metadata.read_clip_metadata(names, paths, index, tmp_path, "metadata", 1, 60)
    np.testing.assert_array_equal(given[1:], looked[1:])
    assert np.isnan(given[0]).all()
    with pytest.raises(UsageError, match=r"metadata=.*none of the clips"):
        metadata.read_clip_metadata(["other.mp4"], paths[:1], index, tmp_path, "metadata", 1, 60)
    assert len(pl.read_parquet(tmp_path / "index.parquet")) == 6  # the second call kept all rows


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8_is_known_as_any_other(survey: Path, tmp_path: Path) -> None:
    odd = os.path.join(os.fsencode(tmp_path), b"clip_\xff.mp4")
    shutil.copy(next((survey / "clips").glob("*.mp4")), odd)
    found = metadata.read_clip_metadata(
        ["a.mp4"], [os.fsdecode(odd)], None, tmp_path / "cache", "metadata", 0, 60
    )
    assert np.isfinite(found[0, FACTS.index("size")])
