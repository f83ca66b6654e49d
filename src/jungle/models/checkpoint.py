"""Checkpoints: one file, enough to predict. Plain types and tensors only; loading one runs no code of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jungle.errors import UserError
from jungle.models.backbone import Backbone
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
        model, spec, priors = _build(about, saved["state_dict"])
    except UserError:
        raise
    except Exception as e:
        why = str(e).splitlines()[0][:160] if str(e) else type(e).__name__
        raise UserError(f"ckpt={path}: its description does not fit its weights ({why})") from None
    return Loaded(model.eval(), spec, priors, str(about["weights_hash"]), _hash(about, saved["state_dict"]))


def _build(
    about: dict[str, Any], state: dict[str, torch.Tensor]
) -> tuple[ClipClassifier, ClipSpec, dict[str, float]]:
    classes = tuple(str(c) for c in about["classes"])
    own = {
        k: about[k] for k in ("clip", "priors", "weights_hash", "feature_dtype", "prior_shift") if k in about
    }
    model = ClipClassifier(
        Backbone.from_dict(about["backbone"]),
        about["head"],
        classes,
        str(about["task"]),
        str(about["mode"]),
        own,
    )
    model.load_state_dict(state)
    spec = ClipSpec.from_dict(about["clip"])
    priors = {c: float(about["priors"][c]) for c in classes}
    return model, spec, priors


def _hash(about: dict[str, Any], state: dict[str, torch.Tensor]) -> str:
    """Hash of all that shapes an answer; not of the file, which also holds folder names and the time."""
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=8)
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
