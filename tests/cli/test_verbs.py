import subprocess
import sys

import polars as pl
import pytest

from jungle.cli.entry import main


def test_index_lists_every_file_and_says_what_is_wrong(survey, tmp_path, capsys) -> None:
    out = tmp_path / "index.parquet"
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "good.mp4").write_bytes((survey / "clips" / "lion_01.mp4").read_bytes())
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    assert main(["index", f"videos={tmp_path / 'clips'}", f"out={out}", "workers=1"]) == 0
    table = pl.read_parquet(out)
    assert table["clip"].to_list() == ["bad.mp4", "good.mp4"]
    assert table["status"].to_list() == ["failed", "ok"]
    assert table["frames"].to_list()[1] == 12
    said = capsys.readouterr()
    assert f"index: {out}" in said.out
    assert "2 clips, 2 seconds; 0 by infrared, 0 that begin like another, 0 damaged, 1 unreadable" in said.err
    assert main(["index", f"videos={tmp_path / 'clips'}", f"out={tmp_path / 'index.csv'}"]) == 2
    assert "ends in .parquet" in capsys.readouterr().err


def test_shrink_copies_a_data_set(survey, tmp_path, capsys) -> None:
    out = tmp_path / "small"
    assert main(["shrink", f"videos={survey}", f"out={out}", "shrink=32x32@2fps", "workers=1"]) == 0
    before, after = (sum(f.stat().st_size for f in (d / "clips").iterdir()) / 1e6 for d in (survey, out))
    assert f"36 clips, {before:.1f} MB became {after:.1f} MB" in capsys.readouterr().err
    assert len(list((out / "clips").glob("*.*"))) == 36
    assert (out / "labels.csv").read_text() == (survey / "labels.csv").read_text()


@pytest.mark.parametrize("verb", ["index", "shrink", "download"])
def test_every_verb_names_the_nearest_word(verb: str, capsys) -> None:
    assert main([verb, "workerz=1" if verb != "download" else "mcro=1"]) == 2
    assert "Nearest" in capsys.readouterr().err


def test_help_lists_the_verbs(capsys) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(
        verb in shown for verb in ("train", "predict", "index", "shrink", "doctor", "download", "bench")
    )
    assert main([]) == 2
    assert main(["trian"]) == 2
    assert "train" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", [["train", "paths.runs=file", "logger=none"], ["index", "videos=.", "out=file/index.parquet"]]
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, verb: list[str]) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "a.mp4").write_bytes(b"")
    code = "import sys; from jungle.cli.entry import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *verb], cwd=tmp_path, text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "file" in done.stderr.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "mine"
