"""docs/export.md: each of its commands is run as it stands, on the files that it shows."""

import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from jungle.cli import overrides
from jungle.cli.entry import main
from jungle.config.folder import config_dir
from tests.conftest import ROOT
from tests.export.folder import make_folder
from tests.export.test_camtrap_dp import profile_faults, validate

PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line
]
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run every command of the page, in the folder of a survey and its prediction; return the folder."""
    root = tmp_path_factory.mktemp("docs")
    make_folder(root).rename(root / "results")
    assert FILES.keys() == {"sites.csv", "deployments.csv", "project.yaml", "names.csv"}
    for name, text in FILES.items():
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for line in COMMANDS:
            program, *words = shlex.split(line)
            if program == "python":
                overrides.compose("predict", words[1:], config_dir())
            else:
                assert program == "jungle"
                assert main([*words, "workers=1"]) == 0, line
        exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], {})
    return root


def test_the_page_has_a_command_for_each_purpose() -> None:
    text = " ".join(COMMANDS)
    for word in ("events", "megadetector", "camtrap_dp", "folders", "predict.py"):
        assert word in text
    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert table == ["wide", "long", "events", "zamba", "megadetector", "camtrap_dp", "folders"]


def test_events(folder: Path) -> None:
    assert pl.read_csv(folder / "results" / "events.csv")["seen"].to_list() == ["lion (1)", None, "hog (1)"]


def test_timelapse(folder: Path) -> None:
    content = json.loads((folder / "clips" / "megadetector.json").read_text())
    for image in content["images"]:
        assert (folder / "clips" / image["file"]).is_file()  # found from where the file lies


def test_camtrap_dp(folder: Path) -> None:
    package = folder / "results" / "camtrap_dp"
    assert (validate(package), profile_faults(package)) == ([], [])
    observations = pl.read_csv(package / "observations.csv", infer_schema=False)
    assert set(observations["scientificName"].drop_nulls()) == {"Panthera leo", "Sus scrofa"}


def test_folders(folder: Path) -> None:
    placed = folder / "results" / "by_species" / "lion" / "north_a.mp4"
    assert placed.samefile(folder / "clips" / "north" / "a.mp4")


def test_from_python(folder: Path) -> None:
    assert {p.name for p in (folder / "tables").iterdir()} == {"wide.csv", "zamba.csv"}
