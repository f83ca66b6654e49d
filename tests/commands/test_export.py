"""`jungle export` as a user types it: on a prediction folder with real clips."""

import json
from pathlib import Path

import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.video.indexing.index import index_clips
from tests.export.folder import CLASSES, make_folder


@pytest.fixture(scope="module")
def survey_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    make_folder(root)
    return root


def run(root: Path, *words: str, out: Path | None = None) -> int:
    more = [] if out is None else [f"out={out}"]
    return main(
        ["export", f"from={root / 'out'}", f"paths.cache={root / 'cache'}", "workers=1", *words, *more]
    )


def test_every_format_in_one_call(survey_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = survey_out
    words = (
        "formats=[wide,long,events,zamba,megadetector,camtrap_dp,folders]",
        *(
            f"videos={root / 'clips'}",
            f"sites={root / 'sites.csv'}",
            f"deployments={root / 'deployments.csv'}",
        ),
        *(f"project={root / 'project.yaml'}", "timezone=Europe/Berlin"),
    )
    assert run(root, *words, out=tmp_path) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{word}: {tmp_path / name}"
        for word, name in {
            **{"wide": "wide.csv", "long": "long.csv", "events": "events.csv", "zamba": "zamba.csv"},
            **{"megadetector": "megadetector.json", "camtrap_dp": "camtrap_dp", "folders": "by_species"},
        }.items()
    ]
    image = json.loads((tmp_path / "megadetector.json").read_text())["images"][0]
    assert (image["frame_rate"], image["detections"][0]["frame_number"]) == (6.0, 8)  # looked into the files
    observations = pl.read_csv(tmp_path / "camtrap_dp" / "observations.csv", infer_schema=False)
    assert observations["classifiedBy"].drop_nulls()[0].endswith(", checkpoint 1a2b3c4d")
    assert (tmp_path / "by_species" / "lion" / "north_a.mp4").is_symlink()
    assert {p.name for p in (root / "out").iterdir()} == {"predictions.parquet", ".prediction.json"}


def test_without_out_it_is_written_beside_the_predictions(survey_out: Path) -> None:
    assert run(survey_out, "formats=wide") == 0
    assert pl.read_csv(survey_out / "out" / "wide.csv").columns[-3:] == list(CLASSES)
    (survey_out / "out" / "wide.csv").unlink()


def test_an_index_tells_rates_and_times(survey_out: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.parquet"
    clips = survey_out / "clips"
    index_clips([str(p) for p in clips.rglob("*.mp4")], index, root=clips)
    assert run(survey_out, "formats=megadetector", f"index={index}", out=tmp_path) == 0
    assert json.loads((tmp_path / "megadetector.json").read_text())["images"][0]["frame_rate"] == 6.0


def test_decisions_of_the_prediction_are_the_last_word(survey_out: Path, tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("clip,decision,probability\nnorth/a.mp4,unsure,0.8\nnorth/b.mp4,felidae,0.7\n")
    table = pl.read_csv(decisions)
    table.write_parquet(survey_out / "out" / "decisions.parquet")
    try:
        assert run(survey_out, "formats=wide", out=tmp_path) == 0
    finally:
        (survey_out / "out" / "decisions.parquet").unlink()
    assert pl.read_csv(tmp_path / "wide.csv")["seen"].to_list()[:3] == [None, "felidae", None]
    assert run(survey_out, "formats=wide", f"decisions={decisions}", out=tmp_path) == 0
    assert pl.read_csv(tmp_path / "wide.csv")["seen"].to_list()[:3] == [None, "felidae", None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["formats=timelapse"], "formats=timelapse is not valid. Valid: camtrap_dp, events, folders,"),
        (["formats=[wide,wide]"], "formats: wide is in it twice: keep one"),
        (["formats=camtrap"], "camtrap_dp"),
        (["formats=camtrap_dp"], "camtrap_dp needs deployments="),
        (["formats=wide", "from=nowhere"], "from=nowhere: no predictions.parquet there"),
        (["formats=wide", "gap=5"], "Nearest: gap_min"),
        (["formats=wide", "threshold=2"], "threshold=2"),
        (["formats=megadetector"], "the frame rate of 5 clips is unknown"),
        (["formats=folders"], "none of the 6 clips is on disk"),
        (["formats=wide", "videos=tests"], "tests"),
    ],
)
def test_one_line_says_what_is_wrong(
    survey_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str], said: str
) -> None:
    given = words if any(w.startswith("from=") for w in words) else [f"from={survey_out / 'out'}", *words]
    assert main(["export", *given, f"out={tmp_path}", f"paths.cache={tmp_path / 'cache'}"]) in (1, 2)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_a_table_of_sites_of_other_clips(
    survey_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sites = tmp_path / "sites.csv"
    sites.write_text("clip,site,time\nother.mp4,north,2024-05-01 10:00:00\n")
    assert run(survey_out, "formats=events", f"sites={sites}", out=tmp_path) == 1
    assert "none of its names is a clip" in capsys.readouterr().err
    sites.write_text("clip,site,time\nnorth/a.mp4,north,03/04/2024\n")
    assert run(survey_out, "formats=events", f"sites={sites}", out=tmp_path) == 2
    assert "'03/04/2024' is not a time that can be read in one way only" in capsys.readouterr().err


def test_it_needs_no_torch(survey_out: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from jungle.cli.entry import main; code = main(sys.argv[1:]); "
        "sys.exit(code or int('torch' in sys.modules) * 9)"
    )
    words = ["export", f"from={survey_out / 'out'}", "formats=[wide,events,zamba]", f"out={tmp_path}"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
