import pytest
import torch

from jungle.cli.entry import main
from jungle.devices import resolve_device
from jungle.errors import UsageError


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (2, "cuda:2", "has 2 GPUs"),
        (0, "cuda", "no GPU can be used here"),
        (0, "cuda:0", "no GPU can be used here"),
        (2, "gpu0", "auto, cpu, cuda"),
        (2, "cuda:-1", "auto, cpu, cuda"),
    ],
)
def test_a_device_is_one_that_is_there(gpus, asked, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if " " not in found:
        assert resolve_device(asked) == found
        return
    with pytest.raises(UsageError, match=found):
        resolve_device(asked, "--device ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_bench_plan_without_the_gpu_asked_for_is_one_line(tmp_path, capsys):
    assert main(["bench", "plan", f"--out={tmp_path}", "--device=cuda:0"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.splitlines()[-1].startswith("error: --device cuda:0: no GPU can be used here")
    assert "Traceback" not in said
