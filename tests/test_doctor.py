import functools
import json
import shutil
from collections import namedtuple

import pytest

from jungle import doctor
from jungle.doctor import checks, probe
from jungle.doctor.checks import bad, good, run_check, warning
from jungle.doctor.probe import Died, ask
from jungle.errors import UsageError

Usage = namedtuple("Usage", "total used free")


def states(rows):
    return {row.check: row.state for row in (rows if isinstance(rows, list) else [rows])}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.abort()", "crashed"),
        ("raise OSError('Could not load libtorchcodec')", "Could not load libtorchcodec"),
        ("import sys; sys.exit(7)", "code 7"),
    ],
)
def test_a_child_that_crashes_hangs_or_raises_is_a_reason(code, reason):
    with pytest.raises(Died, match=reason):
        ask(code, timeout_s=3)


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (checks.check_torch, "torch"),
        (functools.partial(checks.check_decoder, "pyav"), "pyav"),
        (checks.check_gpu_decoding, "GPU decoding"),
    ],
)
def test_a_machine_too_busy_to_answer_is_not_called_broken(check, name, monkeypatch):
    monkeypatch.setattr(checks, "ask", lambda _code: ask("import time; time.sleep(30)", timeout_s=0.2))
    (row,) = run_check(name, check)
    assert (row.check, row.state) == (name, "warning")
    assert row.found == "could not be checked within 0.2 s; is the machine busy?"
    assert "install" not in row.fix


def test_a_child_may_print_what_it_likes():
    assert ask("print('noise', end=''); answer = dict(a=1)") == {"a": 1}


def test_an_error_inside_a_check_is_a_row():
    def broken():
        raise RuntimeError("line one\nline two")

    (row,) = run_check("broken", broken)
    assert (row.check, row.state) == ("broken", "bad")
    assert "line one" in row.found
    assert "line two" not in row.found


@pytest.mark.parametrize("name", ["decord", "pyav"])
def test_a_decoder_is_tried_on_a_clip(name):
    row = checks.check_decoder(name)
    assert row.state == "good", row
    assert "reads" in row.found


@pytest.mark.parametrize(
    "said",
    [
        {"decoder": "pyav", "frames": 4, "off": 50.0},
        {"decoder": "pyav", "frames": 3, "off": 0.0},
        {"decoder": "decord", "frames": 4, "off": 0.0},
        {"error": "PyAV is not installed"},
        Died("it crashed (signal 11)"),
    ],
)
def test_a_decoder_that_does_not_decode_is_not_good(said, monkeypatch):
    def answer(_code):
        if isinstance(said, Died):
            raise said
        return {"decoder": "pyav", **said}

    monkeypatch.setattr(checks, "ask", answer)
    row = checks.check_decoder("pyav")
    assert row.state == "bad"
    assert row.fix


def test_a_run_needs_neither_torchcodec_nor_decord(monkeypatch):
    def die(_code):
        raise Died("Could not load libtorchcodec")

    monkeypatch.setattr(checks, "ask", die)
    assert states(checks.check_decoder("torchcodec")) == {"torchcodec": "warning"}
    assert states(checks.check_decoder("decord")) == {"decord": "warning"}
    assert states(checks.check_decoder("pyav")) == {"pyav": "bad"}


def gpu_answer(decoder, off=0.0, on_cpu=""):
    return {"decoder": decoder, "frames": 4, "off": off, "on_cpu": on_cpu}


@pytest.mark.parametrize(
    ("said", "state", "found"),
    [
        ({}, "good", "none, as there is no GPU; decord is built without CUDA"),
        (
            {"gpu": True, "found": {"torchcodec": gpu_answer("torchcodec-cuda", 0.5)}},
            "good",
            "torchcodec decoder.device",
        ),
        (
            {"gpu": True, "found": {"torchcodec": gpu_answer("torchcodec-cuda", 90.0)}},
            "warning",
            "90 levels off",
        ),
        (
            {"gpu": True, "found": {"torchcodec": gpu_answer("pyav", 0.0, "no NVDEC library")}},
            "warning",
            "no NVDEC library",
        ),
        (
            {"gpu": True, "found": {"torchcodec": {"error": "finds no FFmpeg libraries"}}},
            "warning",
            "finds no FFmpeg libraries",
        ),
        (
            {
                "gpu": True,
                "decord": True,
                "found": {"torchcodec": gpu_answer("torchcodec-cuda"), "decord": gpu_answer("decord-cuda")},
            },
            "good",
            "decoder=decord decoder.device=cuda works; decord is built with CUDA",
        ),
    ],
)
def test_gpu_decoding_is_good_only_where_it_gives_the_frames(said, state, found, monkeypatch):
    monkeypatch.setattr(checks, "ask", lambda _code: {"gpu": False, "decord": False, "found": {}, **said})
    row = checks.check_gpu_decoding()
    assert (row.check, row.state) == ("GPU decoding", state)
    assert found in row.found


def test_gpu_decoding_that_crashes_is_a_row(monkeypatch):
    def die(_code):
        raise Died("it crashed (signal 11)")

    monkeypatch.setattr(checks, "ask", die)
    assert "crashed" in checks.check_gpu_decoding().found


@pytest.mark.slow
def test_gpu_decoding_is_tried_in_earnest():
    row = checks.check_gpu_decoding()
    assert "could not be tried" not in row.found
    assert row.state == "good" or row.fix


TORCH = {"version": "2.15.0", "cuda": "13.2", "gpus": [], "broken": "", "torchvision": "0.29.2", "nms": ""}


@pytest.mark.parametrize(
    ("said", "driver", "expected"),
    [
        ({}, False, {"torch": "good", "torchvision": "good", "GPU": "good"}),
        ({"gpus": [["H100", 80 << 30]]}, True, {"torch": "good", "torchvision": "good", "GPU": "good"}),
        ({}, True, {"torch": "good", "torchvision": "good", "GPU": "warning"}),
        ({"cuda": None}, True, {"torch": "good", "torchvision": "good", "GPU": "warning"}),
        ({"broken": "out of memory"}, True, {"torch": "good", "torchvision": "good", "GPU": "bad"}),
        (
            {"nms": "operator torchvision::nms does not exist"},
            False,
            {"torch": "good", "torchvision": "bad", "GPU": "good"},
        ),
    ],
)
def test_torch_its_torchvision_and_its_gpus(said, driver, expected, monkeypatch):
    monkeypatch.setattr(checks, "ask", lambda _code: {**TORCH, **said})
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/nvidia-smi" if driver else None)
    monkeypatch.setattr(checks, "DRIVER", checks.Path("/nowhere"))
    assert states(checks.check_torch()) == expected


def test_a_torchvision_of_another_build_is_found(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text(
        "__version__ = '2.15.0'\n"
        "class version: cuda = None\n"
        "class cuda: is_available = staticmethod(lambda: False)\n"
        "def tensor(values): return values\n"
    )
    (tmp_path / "torchvision.py").write_text(
        "__version__ = '0.29.2'\n"
        "class ops:\n"
        "    def nms(*_): raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = checks.check_torch()
    assert states(rows)["torchvision"] == "bad"
    assert "nms does not exist" in rows[1].found


def test_torch_that_cannot_be_imported_is_bad(monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT_S", 30)
    monkeypatch.setattr(checks, "TORCH", "raise ImportError('libcudart.so.13: cannot open')")
    (row,) = checks.check_torch()
    assert row.state == "bad"
    assert "libcudart" in row.found


def test_the_lock_is_compared_with_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "requirements.txt"
    numpy = checks.get_version("numpy")
    file.write_text(f"# the lock\nnumpy=={numpy}\nnosuchthing==1.0 ; sys_platform == 'plan9'\n-e .\n")
    assert states(checks.check_packages()) == {"packages": "good"}
    file.write_text(f"numpy=={numpy}\npolars==0.0.1\n")
    (row,) = checks.check_packages()
    assert row.state == "warning"
    assert "polars" in row.found
    file.write_text("no-such-package-at-all==1.0\n")
    assert "missing" in checks.check_packages()[0].found
    monkeypatch.setattr(checks, "MALWARE", {"numpy": (numpy,)})
    assert checks.check_packages()[0].state == "bad"


@pytest.mark.parametrize(("size", "state"), [(64 << 20, "warning"), (8 << 30, "good")])
def test_small_shared_memory_names_the_option(size, state, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(size, 0, size))
    row = checks.check_shared_memory(tmp_path)
    assert row.state == state
    assert ("--shm-size" in row.fix) == (state == "warning")


@pytest.mark.parametrize(("free", "state"), [(100 << 20, "bad"), (5 << 30, "warning"), (50 << 30, "good")])
def test_room_on_disk(free, state, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free, 0, free))
    assert checks.check_room("paths.cache", tmp_path / "not" / "yet" / "there").state == state


def test_a_folder_that_is_a_file_is_bad(tmp_path):
    file = tmp_path / "runs"
    file.write_text("")
    assert states(checks.check_room("paths.runs", file)) == {"disk, runs": "bad"}


def test_weights_of_the_packages_are_at_hand():
    assert checks.check_weights()[0].state == "good"


def test_weights_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(checks, "bundled_weights", lambda _name: None)
    row = checks.check_weights()[0]
    assert row.state == "bad"
    assert "tf_efficientnet_lite0" in row.found


def test_the_key_is_never_shown(monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "secret0123456789")
    row = checks.check_wandb()
    assert row.state == "good"
    doctor.show([row])
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "code", "summary"),
    [
        ([good("a", "fine")], 0, "no problems"),
        ([good("a", "fine"), warning("b", "so so", "do this")], 0, "1 to check"),
        ([bad("c", "[red]broken[/red]", "do that"), warning("b", "so so", "do this")], 1, "1 broken"),
    ],
)
def test_the_exit_code_says_whether_something_is_bad(rows, code, summary, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda _places: rows)
    assert doctor.main([]) == code
    text = capsys.readouterr().out
    assert summary in text
    for row in rows:
        assert row.found in text
        assert row.fix in text
    assert doctor.main(["--json"]) == code
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == [row.state for row in rows]


def test_words_that_are_not_known_are_refused():
    with pytest.raises(UsageError, match="--json"):
        doctor.main(["--jsn"])


@pytest.mark.slow
def test_this_machine_has_a_row_for_everything(tmp_path, capsys):
    code = doctor.main(["--json", f"paths.cache={tmp_path}"])
    rows = json.loads(capsys.readouterr().out)
    assert code == int(any(row["state"] == "bad" for row in rows))
    wanted = {
        "Python",
        "torch",
        "GPU",
        "decord",
        "torchcodec",
        "pyav",
        "GPU decoding",
        "FFmpeg",
        "weights",
        "/dev/shm",
        "W&B",
    }
    assert wanted <= {row["check"] for row in rows}
    assert all(row["fix"] for row in rows if row["state"] != "good")
