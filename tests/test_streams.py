"""Standard streams that are closed, full, broken or not UTF-8, and names that would steer a terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jungle import streams
from jungle.console import log, print_result
from jungle.errors import UserError
from jungle.names import MOST, check_class_names, escape, find_class_fault, show
from tests.conftest import ROOT, write_video


def shell(line: str, *args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash, `$@` being python and arguments."""
    words = ["bash", "-c", line, "_", sys.executable, *args]
    return subprocess.run(words, capture_output=True, timeout=100, env={**os.environ, **env}, cwd=ROOT)


CLOSED = ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-")
READ = """
import sys
from jungle.video.workers.decode_pool import DecodePool, Job
from jungle.video.types import ClipSpec
with DecodePool(ClipSpec(size=(48, 64)), workers=1, timeout_s=60) as pool:
    [(_, clip)] = pool.map([Job("a", sys.argv[1])], ahead=1)
open(sys.argv[2], "w").write(str(clip.frames.shape))
"""


@pytest.mark.parametrize("closed", CLOSED)
def test_clips_are_read_whatever_is_closed(tmp_path: Path, closed: str) -> None:
    write_video(tmp_path / "a.mp4", None, seed=0)
    done = shell(f'exec "$@" {closed}', "-c", READ, str(tmp_path / "a.mp4"), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "(12, 48, 64, 3)"


PREPARED = """
import os, socket, subprocess, sys
from jungle import streams
streams.prepare()
a, b = socket.socketpair()
assert min(a.fileno(), b.fileno()) > 2
print("to stdout"), print("to stderr", file=sys.stderr), sys.stdin.read()
inherited = subprocess.run([sys.executable, "-c", "import os; [os.fstat(n) for n in range(3)]"])
open(sys.argv[1], "w").write(f"{inherited.returncode}")
streams.finish()
"""


@pytest.mark.parametrize("closed", CLOSED)
def test_what_is_closed_leads_nowhere(tmp_path: Path, closed: str) -> None:
    script = tmp_path / "a.py"
    script.write_text(PREPARED)
    redirect = closed if "<" in closed else f"{closed} < /dev/null"
    done = shell(f'exec "$@" {redirect}', str(script), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "0"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('"$@" --help >&-', 0),
        ('"$@" --help >&- 2>&-', 0),
        ('"$@" nosuch 2>&-', 2),
        ('"$@" nosuch 2> /dev/full', 2),
        ('"$@" --help > /dev/full', 1),
        ('"$@" --help | true; exit ${PIPESTATUS[0]}', 0),
        ('"$@" nosuch 2>&1 | true; exit ${PIPESTATUS[0]}', 2),
        ('"$@" predict --help | head -1 > /dev/null; exit ${PIPESTATUS[0]}', 0),
    ],
)
def test_doors_end_with_their_code(line: str, code: int) -> None:
    done = shell(line, "-m", "jungle")
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_terminal_that_is_not_utf8(env: dict[str, str]) -> None:
    done = shell('"$@"', "-m", "jungle", "ü\u4e2d", **env)
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\\u4e2d" in done.stderr


def test_results_and_log_lines_steer_no_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    monkeypatch.setattr(logging, "raiseExceptions", False)  # of handlers that other tests left behind
    handler = logging.StreamHandler(sys.stderr)
    log.addHandler(handler)
    try:
        log.warning("a \x1b[31m%s\nb\x9b\u202e", "\x07")
    finally:
        log.removeHandler(handler)
    print_result("out: \x1b]0;x\x07")
    said = capfd.readouterr()
    assert said.err == "a \\x1b[31m\\x07\nb\\x9b\\u202e\n"
    assert said.out == "out: \\x1b]0;x\\x07\n"


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("a\nb", "a\\nb"),
        ("a\u200bb", "a\\u200bb"),
        ("caf\udcc3\udca9", "café"),
        ("a\udcff", "a\\xff"),
        ("a\ud800", "a\\ud800"),
        ("é 中 🦁", "é 中 🦁"),
    ],
)
def test_a_name_is_shown_on_one_line(name: str, seen: str) -> None:
    assert show(name) == escape(name) == seen


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "\u3000",
            "a\n",
            "a\0b",
            "a\x1b[0m",
            "a\x7f",
            "a\x9b",
            "a\ud800",
            "a\u200bb",
            "\ufeffa",
            "a\u202eb",
        ),
        *(
            "a\u2066b",
            "lion\u200d",
            "\u200dlion",
            "li\u200don",
            "a\u00ad",
            "a\u2028b",
            "\ue000",
            "x" * (MOST + 1),
        ),
        *("clip", "path", "split", "site", "time", "weight", "status", "reason", "times", "attention"),
        *("top_class", "top_probability", "key", " a", "a ", 5, None, 1.5),
    ],
)
def test_what_cannot_name_a_class(name: object) -> None:
    assert find_class_fault(name)
    with pytest.raises(UserError, match="a class cannot be named") as refused:
        check_class_names(["lion", name])
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "name",
    [
        "lion",
        "Panthera leo",
        "a/b",
        "=cmd",
        "<b>",
        "é",
        "中",
        "🦁",
        "آهو\u200cها",
        "ശ്രീ\u200dമ",
        "x" * MOST,
        "Key",
        "a,b",
    ],
)
def test_what_may_name_a_class(name: str) -> None:
    assert find_class_fault(name) is None


def test_all_names_that_are_wrong_are_said_at_once() -> None:
    with pytest.raises(UserError) as refused:
        check_class_names(["key", "a\n", *[f"{i}\t" for i in range(9)]], "Do this.")
    assert all(part in str(refused.value) for part in ("'key'", "'a\\n'", "and 6 more", "Do this."))


def test_numbers_of_streams_are_left_free() -> None:
    read, write = os.pipe()
    assert streams.move_above_streams(read) == read
    os.close(read)
    os.close(write)
