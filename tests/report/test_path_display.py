"""A page can be sent: it says no absolute path unless that is asked for."""

import re
from pathlib import Path

import polars as pl
import pytest

from jungle.report import write_report
from jungle.report.path_display import PathDisplay, find_roots
from tests.report.report_cases import CLASSES, said

ROOTS = ("/home/anna/My Clips/kruger", "/home/anna/work")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/anna/My Clips/kruger/cam1/a.mp4", "cam1/a.mp4"),
        ("/home/anna/My Clips/kruger", "kruger"),
        ("/home/anna/work/runs/train/1/best.ckpt", "runs/train/1/best.ckpt"),
        ("/scratch/x/cache", "cache"),
        ("/scratch/x/cache/", "cache"),
        ("/data", "data"),
        (r"C:\Users\Anna\clips\a.mp4", "a.mp4"),
        ("D:/clips/a.mp4", "a.mp4"),
        (r"\\server\share\a.mp4", "a.mp4"),
        ("cache/sample", "cache/sample"),
        ("../clips", "../clips"),
        ("/home/anna/My Clips/kruger2/a.mp4", "a.mp4"),
        ("/", "/"),
    ],
)
def test_a_path_is_below_a_known_folder_or_a_name(path: str, shown: str) -> None:
    assert PathDisplay(ROOTS).shorten(path) == shown
    assert PathDisplay(ROOTS).shorten_all(path) == shown
    assert PathDisplay(ROOTS, whole=True).shorten(path) == path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/anna/My Clips/kruger/a b.mp4: 0 bytes", "a b.mp4: 0 bytes"),
        ("cannot read /scratch/x/a.mp4 (moov atom not found)", "cannot read a.mp4 (moov atom not found)"),
        ("'/mnt/disk/a.mp4' and /mnt/disk/b.mp4", "'a.mp4' and b.mp4"),
        (r"no such file: C:\Users\Anna\a.mp4", "no such file: a.mp4"),
    ],
)
def test_paths_in_a_sentence(text: str, shown: str) -> None:
    assert PathDisplay(ROOTS).shorten_all(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "and/or 1/2 1 / 2 2026/11/28",
        "https://example.org/a/b",
        "</style><b>",
        "data:image/jpeg;base64,/9j/4AAQ/abc",
        "cam1/IMG_0001.MP4",
        "small cat/dog (other)",
        "~/clips/a.mp4",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert PathDisplay(ROOTS).shorten_all(text) == text


def test_clips_that_are_whole_paths_are_told_apart_by_what_is_below_their_folder() -> None:
    clips = ["/mnt/card/cam1/1.mp4", "/mnt/card/cam2/1.mp4"]
    paths = PathDisplay(find_roots([None], clips))
    assert [paths.shorten(c) for c in clips] == ["cam1/1.mp4", "cam2/1.mp4"]


@pytest.mark.parametrize("whole", [False, True])
def test_a_page_says_no_absolute_path_unless_asked(tmp_path: Path, whole: bool) -> None:
    names = ["/mnt/card/cam1/1.avi", "/mnt/card/cam2/1.avi"]
    clips = pl.DataFrame({"clip": names, "path": names})
    page = write_report(
        tmp_path,
        title="What is in the clips",
        predictions={"predict": said([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]], names=names)},
        classes=CLASSES,
        task="exclusive",
        clips=clips,
        failures=[("/mnt/card/cam3/2.avi", "/mnt/card/cam3/2.avi: 0 bytes")],
        config_summary={
            "ckpt": ["/home/anna/runs/a/best.ckpt", "/home/anna/runs/b/best.ckpt"],
            "out": str(tmp_path / "out"),
            "paths": {"cache": "/scratch/anna/cache", "runs": "runs"},
            "videos": "/mnt/card",
        },
        whole_paths=whole,
    ).read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<(?!/?style).*?>", " ", page).split())
    secrets = ("/mnt/card", "/home/anna", "/scratch", str(tmp_path))
    assert [s for s in secrets if s in page] == (list(secrets) if whole else [])
    if not whole:
        assert "cam1/1.avi" in words
        assert "cam2/1.avi" in words
        assert "ckpt best.ckpt, best.ckpt" in words
        assert "paths.runs runs" in words
