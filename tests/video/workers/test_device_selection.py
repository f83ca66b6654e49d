import json
from dataclasses import replace

import pytest
import torch

from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.errors import UsageError, UserError
from jungle.video import ClipSpec
from jungle.video.workers import device_selection, device_trial
from jungle.video.workers.device_trial import Verdict
from tests.conftest import Command, survey_args

SPEC = ClipSpec(size=(48, 64))
CUDA = replace(SPEC, decoder="torchcodec", device="cuda")
MACHINE = {"device": "cuda:0", "workers": 1, "timeout_s": 5.0}


def chosen(monkeypatch, gpu: bool) -> list:
    """Have a trial come out as told; return the list that its calls go into."""
    calls = []

    def choose(*args, **options):
        calls.append((args, options))
        return Verdict(gpu, "a trial's sentence")

    monkeypatch.setattr(device_trial, "compare_devices", choose)
    return calls


def test_without_a_gpu_auto_is_the_cpu_and_tries_nothing(monkeypatch):
    calls = chosen(monkeypatch, True)
    for decoder in ("auto", "decord", "pyav", "torchcodec"):
        spec = replace(SPEC, decoder=decoder)
        assert device_selection.select_device(spec, "auto", ["a"], **{**MACHINE, "device": "cpu"}) == spec
    # Trained on frames of a GPU, used where there is none.
    assert device_selection.select_device(CUDA, "auto", ["a"], **{**MACHINE, "device": "cpu"}) == SPEC
    assert not calls


@pytest.mark.parametrize("gpu", [True, False])
def test_with_a_gpu_auto_is_what_a_trial_finds(monkeypatch, caplog, gpu):
    calls = chosen(monkeypatch, gpu)
    with caplog.at_level("INFO", "jungle"):
        assert device_selection.select_device(SPEC, "auto", ["a", "b"], **MACHINE) == (CUDA if gpu else SPEC)
    assert calls == [((SPEC, CUDA, ["a", "b"]), MACHINE)]
    assert "a trial's sentence" in caplog.text


def test_what_cannot_decode_on_a_gpu_is_not_tried(monkeypatch):
    calls = chosen(monkeypatch, True)
    for decoder in ("pyav", "decord"):
        spec = replace(SPEC, decoder=decoder)
        assert device_selection.select_device(spec, "auto", ["a"], **MACHINE) == spec
    assert not calls


def test_features_at_hand_decide_before_a_trial(monkeypatch):
    calls = chosen(monkeypatch, False)
    assert device_selection.select_device(SPEC, "auto", ["a"], **MACHINE, stored=lambda s: s == CUDA) == CUDA
    assert device_selection.select_device(SPEC, "auto", ["a"], **MACHINE, stored=lambda s: s == SPEC) == SPEC
    assert not calls


def test_a_run_that_goes_on_decodes_where_it_did(monkeypatch, tmp_path):
    calls = chosen(monkeypatch, True)
    assert device_selection.select_device(SPEC, "auto", ["a"], **MACHINE, folder=tmp_path) == CUDA
    assert json.loads((tmp_path / "decoding.json").read_text()) == {"gpu": True, "why": "a trial's sentence"}
    chosen(monkeypatch, False)
    assert device_selection.select_device(SPEC, "auto", ["a"], **MACHINE, folder=tmp_path) == CUDA
    assert len(calls) == 1


def test_other_processes_of_a_run_wait_for_the_first(monkeypatch, tmp_path):
    import threading

    calls = chosen(monkeypatch, False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    later = threading.Timer(0.7, lambda: (tmp_path / "decoding.json").write_text('{"gpu": true}'))
    later.start()
    assert device_selection.select_device(SPEC, "auto", ["a"], **MACHINE, folder=tmp_path) == CUDA
    assert not calls
    (tmp_path / "decoding.json").unlink()
    monkeypatch.setattr(device_selection, "WAIT_S", 0.1)
    with pytest.raises(UserError, match="first process"):
        device_selection.select_device(SPEC, "auto", ["a"], **MACHINE, folder=tmp_path)


def test_what_is_asked_for_is_done_or_refused(monkeypatch):
    calls = chosen(monkeypatch, True)
    monkeypatch.setattr(device_selection.torchcodec, "load", lambda: None)
    for word in ("gpu", "cuda"):
        assert device_selection.select_device(SPEC, word, ["a"], **MACHINE) == CUDA
        with pytest.raises(UsageError, match="no GPU can be used"):
            device_selection.select_device(SPEC, word, ["a"], **{**MACHINE, "device": "cpu"})
        with pytest.raises(UsageError, match="CPU-only"):
            device_selection.select_device(replace(SPEC, decoder="decord"), word, ["a"], **MACHINE)
    assert device_selection.select_device(SPEC, "cpu", ["a"], **MACHINE) == SPEC
    assert not calls


def test_configs_name_the_device_and_refuse_what_can_never_work():
    for name in ("auto", "decord", "torchcodec", "pyav"):
        cfg = compose("train", [f"decoder={name}"], config_dir())
        assert (cfg.decoder.name, cfg.decoder.device, cfg.decoder.crop_bottom) == (name, "auto", None)
    assert compose("train", [], config_dir()).decoder.name == "auto"
    predict = ["ckpt=a.ckpt"]
    assert compose("predict", predict, config_dir()).decoder.name is None
    cfg = compose("predict", [*predict, "decoder=torchcodec", "decoder.device=cuda"], config_dir())
    assert (cfg.decoder.name, cfg.decoder.device) == ("torchcodec", "cuda")
    assert compose("predict", [*predict, "decoder.device=cpu"], config_dir()).decoder.device == "cpu"
    for verb, words, said in (
        ("train", ["decoder.device=tpu"], "Valid: auto, cpu, cuda, gpu|Nearest"),
        ("train", ["decoder=pyav", "decoder.device=cuda"], "decoder=torchcodec decoder.device=cuda"),
        ("predict", [*predict, "decoder=pyav", "decoder.device=gpu"], "decoder=torchcodec"),
        ("predict", [*predict, "decoder.crop_bottom=50"], "as it was trained"),
        ("predict", [*predict, "decoder=decrod"], "decord"),
    ):
        with pytest.raises(UsageError, match=said):
            compose(verb, words, config_dir())


def test_a_gpu_asked_for_in_vain_is_one_line_before_any_clip_is_read(survey, command: Command):
    done = command("train", *survey_args(survey), "decoder=decord", "decoder.device=gpu")
    assert done.returncode == 2
    assert "36 clips" not in done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert "CPU-only" in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    "model", [[], ["model=finetune", "model.backbone=resnet18", "model.pretrained=false"]]
)
def test_a_model_is_trained_and_used_on_frames_of_the_gpu(survey, command: Command, tmp_path, model):
    gpu = ["decoder=torchcodec", "decoder.device=cuda"]
    args = [a for a in survey_args(survey) if a != "trainer=cpu"]
    done = command("train", *args, "trainer=gpu", *model, *gpu, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "on the GPU" in done.stderr
    best = done.stdout.strip().splitlines()[-1].removeprefix("best checkpoint: ")
    for device_words in (gpu, ["decoder.device=cpu", "device=cpu"]):
        used = command(
            "predict", f"ckpt={best}", f"videos={survey}", "out=out", "overwrite=true", *device_words
        )
        assert used.returncode == 0, used.stderr[-3000:]
