import copy
from pathlib import Path

import pytest
import torch

from jungle.errors import UserError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint
from jungle.models.compilation import check_compiler, explained
from jungle.models.inference import predict_batches
from jungle.models.module import ClipClassifier
from jungle.video import ClipSpec, Frames
from tests.models.test_module import CLASSES, HEAD, batch

TINY = BackboneSpec("test_efficientnet", pretrained=False, size=(32, 32))


def made() -> ClipClassifier:
    torch.manual_seed(0)
    clip = ClipSpec(Frames("uniform", 3), (32, 32)).to_dict()
    about = {"clip": clip, "priors": dict.fromkeys(CLASSES, 0.3), "weights_hash": "0"}
    return ClipClassifier(Backbone(TINY), HEAD, CLASSES, "multilabel", "finetune", about)


def test_a_compiled_model_saves_what_loads_without_it(tmp_path: Path) -> None:
    plain, compiled = made(), made()
    compiled.backbone.compile_model(backend="eager")
    compiled.train()(batch())  # moves the statistics of its norms
    torch.save({"state_dict": compiled.state_dict(), "jungle": compiled.describe()}, tmp_path / "best.ckpt")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    loaded = load_checkpoint(tmp_path / "best.ckpt").model
    assert torch.equal(loaded(batch()).logits_BC, compiled.eval()(batch()).logits_BC)


def test_it_is_compiled_in_training_and_evaluation_and_a_copy_is_not() -> None:
    calls: list[bool] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        def run(*args: torch.Tensor) -> object:
            calls.append(torch.is_grad_enabled())
            return graph.forward(*args)

        return run

    torch._dynamo.reset()
    model = made()
    model.backbone.model.compile(backend=backend)
    model.train()
    model(batch()).logits_BC.sum().backward()
    assert calls == [True]
    with torch.inference_mode():
        model.eval()(batch())
    assert calls[0] is True
    assert False in calls
    seen = len(calls)
    copy.deepcopy(model)(batch())
    assert len(calls) == seen


def test_clips_side_by_side_get_the_answers_of_the_plain_model() -> None:
    plain, compiled = made().eval(), made().eval()
    compiled.backbone.compile_model(backend="aot_eager")
    whole = {**batch(), "number_B": torch.arange(2), "status": ["ok"] * 2, "reason": [""] * 2}
    batches = [whole, {**batch(5), **{k: whole[k] for k in ("number_B", "status", "reason")}}]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows = [
            [r.probs for r in predict_batches(model, batches, "cpu", "float32")]
            for model in (plain, compiled)
        ]
    finally:
        torch.set_num_threads(threads)
    assert len(rows[0]) == 4
    for own, others in zip(*rows, strict=True):
        assert own == pytest.approx(others, abs=1e-6)


def test_without_a_compiler_a_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor import config

    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", ("/nowhere/g++",))
    with pytest.raises(UserError, match=r"trainer\.compile=true.*apt install g\+\+") as error:
        check_compiler("cpu")
    assert "\n" not in str(error.value)
    with pytest.raises(RuntimeError, match="mine"), explained():
        raise RuntimeError("mine")
