"""Checkpoints: one file, enough to predict. Plain types and tensors only; loading one runs no code of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jungle.data import predictions
from jungle.errors import UserError
from jungle.models.joined import backbone_from
from jungle.models.losses import TASKS
from jungle.models.module import ClipClassifier
from jungle.video import ClipSpec


@dataclass(frozen=True)
class Loaded:
    """A model as it was trained, and how clips become its frames."""

    model: ClipClassifier
    clip_spec: ClipSpec
    priors: dict[str, float]
    """The share of each class in the training clips: what a clip that cannot be read is given."""
    weights_hash: str
    identity: str
    """Hash of weights and description: two checkpoints of one identity give the same answers."""
    file: Path = Path()
    """Where it was loaded from, for messages."""


def load_checkpoint(path: str | Path) -> Loaded:
    """Load `best.ckpt` or `last.ckpt` on the CPU, in eval mode.

    Raises:
        UserError: no such file, not a checkpoint of this program, or one that would have to run code to load.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"ckpt={path}: no such file; a training run prints where its best checkpoint is")
    try:
        # mmap: a file that claims more than it holds is refused instead of being read into memory.
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as e:
        why = str(e).splitlines()[0][:160] if str(e) else type(e).__name__
        raise UserError(f"ckpt={path}: cannot be read as a checkpoint ({why})") from None
    about = saved.get("jungle") if isinstance(saved, dict) else None
    if not isinstance(about, dict):
        raise UserError(f"ckpt={path}: not a checkpoint of this program (it has no 'jungle' entry)")
    if about.get("version") != 1:
        raise UserError(
            f"ckpt={path}: version {about.get('version')} of the checkpoint form; this program reads 1"
        )
    try:
        identity = _hash(about, saved["state_dict"])
        model, spec, priors = _build(about, saved["state_dict"])
        weights_hash = str(about["weights_hash"])
    except UserError as e:
        raise UserError(f"ckpt={path}: {e}") from None
    except Exception as e:
        why = str(e).splitlines()[0][:160] if str(e) else type(e).__name__
        raise UserError(f"ckpt={path}: its description does not fit its weights ({why})") from None
    return Loaded(model.eval(), spec, priors, weights_hash, identity, path)


def _build(
    about: dict[str, Any], state: dict[str, torch.Tensor]
) -> tuple[ClipClassifier, ClipSpec, dict[str, float]]:
    classes = predictions.check_classes(tuple(str(c) for c in about["classes"]))
    spec = ClipSpec.from_dict(about["clip"])
    priors = {c: float(about["priors"][c]) for c in classes}
    task, mode = str(about["task"]), str(about["mode"])
    if task not in TASKS or mode not in ("frozen", "finetune"):
        raise UserError(f"task {task}, mode {mode}: this program knows no such model")
    if not all(0 <= p <= 1 for p in priors.values()):
        raise UserError("the share of a class lies outside 0 to 1")
    if spec.size is not None and tuple(about["backbone"]["size"]) != spec.size:
        raise UserError("its backbone is for frames of another size than its clips have")
    own = {
        k: about[k]
        for k in ("clip", "priors", "weights_hash", "feature_dtype", "prior_shift", "metadata")
        if k in about
    }

    def build() -> ClipClassifier:
        return ClipClassifier(backbone_from(about["backbone"]), dict(about["head"]), classes, task, mode, own)

    with torch.device("meta"):  # takes no memory: a description may claim a model that no machine can hold
        wanted = {k: v.shape for k, v in build().state_dict().items()}
    if wanted != {k: v.shape for k, v in state.items()}:
        raise UserError("its description is of a model of another shape than its weights")
    model = build()
    model.load_state_dict(state)
    _check_numbers(model, own.get("prior_shift"))
    return model, spec, priors


def _check_numbers(model: ClipClassifier, shift: dict[str, float] | None) -> None:
    """Refuse a model whose answers cannot be numbers.

    Raises:
        UserError: weights, statistics of BatchNorm or `prior_shift` are nan or infinite.
    """
    running = {n: b for n, b in model.named_buffers() if n.endswith(("running_mean", "running_var"))}
    for name, values in (*model.named_parameters(), *running.items()):
        if not torch.isfinite(values).all():
            raise UserError(f"its weights {name} are not all numbers (nan or infinity); train it again")
    if shift is None:
        return
    if set(shift) != set(model.classes):
        raise UserError("its prior_shift is of other classes than the model")
    if not torch.isfinite(model.prior_shift_C).all():
        raise UserError("its prior_shift is not all numbers (nan or infinity)")


def _hash(about: dict[str, Any], state: dict[str, torch.Tensor]) -> str:
    """Hash of all that shapes an answer; not of the file, which also holds folder names and the time."""
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=8)
    for name in sorted(state):
        digest.update(name.encode())
        if state[name].nbytes > state[name].untyped_storage().nbytes():  # a stride of 0 claims any size
            raise UserError(f"its weights {name} claim to be larger than the file")
        digest.update(state[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
