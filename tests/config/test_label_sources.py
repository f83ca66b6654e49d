"""Settings of where labels come from: lists of tables and folders, pairs of names, confidences, zones."""

import re
import shlex
from pathlib import Path

import pytest

from jungle.config import TrainConfig
from jungle.config.compose import compose
from jungle.errors import UsageError
from tests.conftest import ROOT


def config(*words: str) -> TrainConfig:
    from jungle.cli import overrides

    return overrides.compose("train", list(words), ROOT / "configs")


CSV = ("data=csv", "data.root=clips")


def test_tables_and_folders_may_be_lists() -> None:
    data = config("data=csv", "data.labels=[old.csv,Größe, neu.csv]", "data.root=[a,'b, c']").data
    assert data.tables == [Path("old.csv"), Path("Größe"), Path("neu.csv")]
    assert data.roots == [Path("a"), Path("b, c")]
    one = config("data=csv", "data.labels=[old.csv]", "data.root=a")
    assert one.data.labels == Path("old.csv")
    assert one.fingerprint() == config("data=csv", "data.labels=old.csv", "data.root=a").fingerprint()


def test_the_order_of_tables_is_another_run() -> None:
    runs = {
        config(*CSV, f"data.labels={labels}").fingerprint()
        for labels in ("[a.csv,b.csv]", "[b.csv,a.csv]", "a.csv")
    }
    assert len(runs) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*CSV, "data.labels=[]"), "an empty list: name a table"),
        ((*CSV, "data.labels=[a.csv,./a.csv]"), "a.csv is named twice: remove one"),
        (
            ("data=csv", "data.labels=a.csv", "data.root=[x,x/y]"),
            "x/y lies in x, which is named too: remove one",
        ),
        (
            ("data=primatrix", "data.root=[a,b]"),
            "data.root is a list, and data=primatrix reads one: name one",
        ),
        (("data=primatrix", "data.labels=[a,b]"), "data.labels is a list, and data=primatrix reads one"),
        (("data=folders", "data.root=a", "data.labels=b.csv"), "data.labels belongs to data=csv"),
        (
            ("data=csv", "data.root=a", "data.labels=b.csv", "data.min_confidence=0.3"),
            "belongs to data=megadetector",
        ),
        (("data=csv", "data.root=a", "data.labels=b.csv", "data.timezone=UTC"), "belongs to data=camtrap_dp"),
        (("data=camtrap_dp", "data.root=a", "data.timezone=Europe/Pariss"), "Nearest: Europe/Paris"),
        (("data=camtrap_dp",), "data=camtrap_dp needs data.root=<folder of the package>"),
        (("data=megadetector", "data.root=a"), "data=megadetector needs data.labels=<MegaDetector's .json>"),
        (
            ("data=megadetector", "data.root=a", "data.labels=b", "data.min_confidence=2"),
            "less than or equal to 1",
        ),
    ],
)
def test_what_cannot_be_is_told(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as e:
        config(*words)
    assert said in str(e.value)


def test_the_commands_of_the_page_about_labels_are_valid() -> None:
    page = (ROOT / "docs" / "labels.md").read_text(encoding="utf-8")
    lines = [
        line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    assert len(lines) > 8
    for line in lines:
        *command, script = shlex.split(line)[:2]
        assert (command, script) == (["python"], "train.py"), line
        config(*shlex.split(line)[2:])


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("{hog: boar, wild boar: boar}", {"hog": "boar", "wild boar": "boar"}),
        ("{hog:boar,wild boar:boar}", {"hog": "boar", "wild boar": "boar"}),
        ("{blaireau européen: badger, Côte d'Or: x}", {"blaireau européen": "badger", "Côte d'Or": "x"}),
        ("{'bear, brown': bear, \"a: b\": c}", {"bear, brown": "bear", "a: b": "c"}),
        ("{1: one, true: yes, 2021: null}", {"1": "one", "true": "yes", "2021": "null"}),
        ("{other (small): other}", {"other (small)": "other"}),
        ("{${oc.env:HOME}: a}", None),
    ],
)
def test_pairs_of_names_are_read_as_they_are_written(text: str, pairs: dict[str, str] | None) -> None:
    words = (*CSV, "data.labels=a.csv", f"data.rename={text}")
    if pairs is None:
        with pytest.raises(UsageError):
            config(*words)
    else:
        assert config(*words).data.rename == pairs


def test_a_table_of_names_and_a_file_of_settings(tmp_path: Path) -> None:
    assert config(*CSV, "data.labels=a.csv", "data.rename=names.csv").data.rename == Path("names.csv")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndata: {rename: {wild boar: boar, 3: three}, labels: [a.csv, b.csv]}\n"
    )
    found = compose("train", [*CSV, "experiment=mine"], tmp_path_configs(tmp_path))
    assert found.data.rename == {"wild boar": "boar", "3": "three"}
    assert found.data.tables == [Path("a.csv"), Path("b.csv")]


def tmp_path_configs(tmp_path: Path) -> Path:
    """Return a copy of the program's configs with the experiment of a test."""
    import shutil

    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(tmp_path / "experiment" / "mine.yaml", tmp_path / "configs" / "experiment")
    return tmp_path / "configs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{hog}", "write old: new, with commas between pairs"),
        ("{hog: a: b}", "write old: new, with commas between pairs"),
        ("{}", "no pair in {}"),
        ("{hog: a, hog: b}", "hog"),
        ("hog: boar", "put braces around pairs, in quotes: data.rename='{hog: boar}'"),
    ],
)
def test_pairs_that_cannot_be_read_say_how_to_write_them(text: str, said: str) -> None:
    with pytest.raises(UsageError) as e:
        config(*CSV, "data.labels=a.csv", f"data.rename={text}")
    assert said in str(e.value)
