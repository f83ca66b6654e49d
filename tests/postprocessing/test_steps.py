"""From probabilities to decisions: the order of the steps, and that each says what it did."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.data.predictions import ClipPrediction
from jungle.errors import UserError
from jungle.metrics.calibration import Calibration
from jungle.metrics.thresholds import Thresholds
from jungle.postprocessing import ModelFacts, Steps, apply_steps
from jungle.postprocessing.steps import COLUMNS, write_decisions

CLASSES = ("blank", "hog", "lion", "leopard")
MODEL = ModelFacts("exclusive", CLASSES)
TREE = "child,parent\nlion,cats\nleopard,cats\ncats,meat\nhog,grass\nmeat,mammals\ngrass,mammals\n"


def table(*rows: list[float] | None, **facts: list[object]) -> pl.DataFrame:
    found = [
        ClipPrediction.failure("cut off") if r is None else ClipPrediction(probs=np.array(r, np.float32))
        for r in rows
    ]
    made = predictions.make_table([f"c{i}.mp4" for i in range(len(rows))], found, CLASSES)
    return made.with_columns(pl.Series(k, v) for k, v in facts.items())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    file = tmp_path / "tree.csv"
    file.write_text(TREE)
    return file


def test_without_anything_the_most_probable_class_is_the_decision() -> None:
    found = apply_steps(table([0.1, 0.6, 0.2, 0.1], None, [0.5, 0.2, 0.2, 0.1]), MODEL, Steps())
    assert found["decision"].to_list() == ["hog", None, "blank"]
    assert found["probability"].to_list() == pytest.approx([0.6, None, 0.5])
    assert found.columns == [*COLUMNS, *(f"p_{c}" for c in CLASSES)]
    failed = found.row(1, named=True)
    assert {k for k, v in failed.items() if v is not None} == {"clip", "status"}


def test_each_step_has_its_column_and_raw_probabilities_stay(tree: Path, tmp_path: Path) -> None:
    said = table([0.05, 0.45, 0.3, 0.2])
    before = said.clone()
    allow = tmp_path / "species.txt"
    allow.write_text("# of the reserve\nlion\nleopard\n")
    model = ModelFacts("exclusive", CLASSES, Calibration("temperature", "exclusive", temperature=0.5))
    found = apply_steps(said, model, Steps(allow=allow, taxonomy=tree))
    assert said.equals(before)
    row = found.row(0, named=True)
    squares = np.array([0.05, 0.45, 0.3, 0.2]) ** 2
    squares /= squares.sum()
    left = squares * [1, 0, 1, 1]
    left /= left.sum()
    assert (row["raw"], row["calibrated"], row["allowed"]) == ("hog", "hog", "lion")
    assert row["raw_probability"] == pytest.approx(0.45)
    assert row["calibrated_probability"] == pytest.approx(squares[1], abs=1e-5)
    assert row["removed_probability"] == pytest.approx(squares[1], abs=1e-5)
    assert row["allowed_probability"] == pytest.approx(left[2], abs=1e-5)
    assert row["decision"] == "lion"  # above 0.65 without its family
    assert row["rolled_up"] is None
    assert [row[f"p_{c}"] for c in CLASSES] == pytest.approx(left.tolist(), abs=1e-5)


def test_sums_climb_to_the_first_name_that_is_likely_enough(tree: Path) -> None:
    said = table([0.1, 0.1, 0.4, 0.4], [0.1, 0.4, 0.3, 0.2], [0.5, 0.1, 0.2, 0.2], [0.1, 0.8, 0.05, 0.05])
    found = apply_steps(said, MODEL, Steps(taxonomy=tree))
    assert found["decision"].to_list() == ["cats", "mammals", "unsure", "hog"]
    assert found["rolled_up"].to_list() == ["cats", "mammals", None, None]
    assert found["probability"].to_list() == pytest.approx([0.8, 0.9, 0.5, 0.8])
    assert found["threshold"].to_list() == pytest.approx([0.65] * 4)
    higher = apply_steps(said, MODEL, Steps(taxonomy=tree, rollup=0.85))
    assert higher["decision"].to_list() == ["mammals", "mammals", "unsure", "mammals"]


def test_blank_is_decided_by_its_threshold_alone() -> None:
    model = ModelFacts("exclusive", CLASSES, thresholds=Thresholds(0.8, ("blank",), {"hog": 0.6}))
    said = table(
        [0.9, 0.1, 0, 0], [0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.4, 0], [0, 0.7, 0.3, 0], [0, 0, 0.4, 0.6]
    )
    found = apply_steps(said, model, Steps())
    assert found["decision"].to_list() == ["blank", "unsure", "unsure", "hog", "leopard"]
    assert found["threshold"].to_list() == [0.8, 0.8, 0.6, 0.6, None]


def test_thresholds_of_other_probabilities_are_not_used(caplog) -> None:
    model = ModelFacts("exclusive", CLASSES, thresholds=Thresholds(0.5, ("blank",), calibrated=True))
    found = apply_steps(table([0.6, 0.4, 0, 0]), model, Steps())
    assert found["threshold"].to_list() == [None]
    assert "they are of calibrated probabilities" in caplog.text


def test_a_clip_of_several_classes_names_the_others() -> None:
    model = ModelFacts("multilabel", CLASSES, thresholds=Thresholds(0.9, (), {}))
    said = table([0, 0.9, 0.7, 0.2], [0, 0.3, 0.05, 0.05], [0, 0.01, 0.02, 0.03])
    found = apply_steps(said, model, Steps())
    assert found["decision"].to_list() == ["hog", "unsure", "blank"]
    assert found["also"].to_list() == ["lion", None, None]


def test_a_list_by_site_or_region(tmp_path: Path) -> None:
    said = table([0.1, 0.5, 0.4, 0], [0.1, 0.5, 0.4, 0], site=["north", "South 1"])
    allow = tmp_path / "species.csv"
    allow.write_text("species,site\nlion,north\nhog,south 01\nleopard,\n")
    found = apply_steps(said, MODEL, Steps(allow=allow))
    assert found["decision"].to_list() == ["lion", "hog"]
    allow.write_text("species,region\nlion,savanna\nhog,forest\n")
    sites = tmp_path / "sites.csv"
    sites.write_text("site,region\nnorth,savanna\nsouth 1,forest\n")
    assert apply_steps(said, MODEL, Steps(allow=allow, sites=sites))["decision"].to_list() == ["lion", "hog"]
    with pytest.raises(UserError, match=r"2 clips have none; give sites="):
        apply_steps(said, MODEL, Steps(allow=allow))
    sites.write_text("site,region\nnorth,savanna\n")
    with pytest.raises(UserError, match="site South 1 has clips, but no region"):
        apply_steps(said, MODEL, Steps(allow=allow, sites=sites))
    allow.write_text("species,site\nlion,north\n")
    with pytest.raises(UserError, match=r"site South 1 has clips, but no species\. Nearest: north"):
        apply_steps(said, MODEL, Steps(allow=allow))


def test_a_family_in_a_list_stands_for_its_species(tree: Path, tmp_path: Path) -> None:
    allow = tmp_path / "species.txt"
    allow.write_text("Cats\n")
    found = apply_steps(table([0.1, 0.5, 0.3, 0.1]), MODEL, Steps(allow=allow, taxonomy=tree))
    assert found["allowed"].to_list() == ["lion"]
    assert found["p_hog"].to_list() == [0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lino\n", r"no class is named lino\. Nearest: lion"),
        ("blank\n", "names no class of an animal"),
        ("", "names no class of an animal"),
    ],
)
def test_a_list_with_unknown_names_is_refused(text: str, said: str, tmp_path: Path) -> None:
    allow = tmp_path / "species.txt"
    allow.write_text(text)
    with pytest.raises(UserError, match=said):
        apply_steps(table([0.1, 0.5, 0.3, 0.1]), MODEL, Steps(allow=allow))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("child,parent\nlion,cats\ncats,felids\nfelids,cats\n", "a loop: cats -> felids -> cats"),
        ("child,parent\nlion,cats\nlion,dogs\n", "lion has two parents, cats and dogs"),
        ("child,parent\nwolf,dogs\n", r"none of the classes is in it"),
        ("a,b\nwolf,dogs\n", "neither columns child,parent"),
    ],
)
def test_a_tree_that_is_none_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "tree.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        apply_steps(table([0.1, 0.5, 0.3, 0.1]), MODEL, Steps(taxonomy=file))


@pytest.mark.parametrize(
    "text",
    [
        "species,genus,family\nlion,Panthera,Felidae\nleopard,Panthera,Felidae\nhog,Sus,Suidae\n",
        "family,genus,species\nFelidae,Panthera,lion\nFelidae,Panthera,leopard\nSuidae,Sus,hog\n",
        "label,group,all\nlion,Panthera,Felidae\nleopard,Panthera,Felidae\nhog,Sus,Suidae\n",
    ],
)
def test_a_tree_of_ranks_is_read_from_either_end(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tree.csv"
    file.write_text(text)
    found = apply_steps(table([0.1, 0.1, 0.4, 0.4]), MODEL, Steps(taxonomy=file))
    assert found["decision"].to_list() == ["Panthera"]


def test_decisions_are_written_for_programs_and_people(tmp_path: Path) -> None:
    found = apply_steps(table(None), MODEL, Steps())
    write_decisions(found, tmp_path)
    assert pl.read_csv(tmp_path / "decisions.csv").columns == list(COLUMNS)
    assert pl.read_parquet(tmp_path / "decisions.parquet").equals(found)
