"""Load checkpoints: files of plain types and tensors, sufficient to predict; no code of theirs is run."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from jungle.data import predictions
from jungle.errors import UserError
from jungle.metrics.calibration import Calibration
from jungle.metrics.thresholds import Thresholds
from jungle.models.archives import check_plain, one_line, one_name
from jungle.models.backbones.concat import backbone_from, backbones_of
from jungle.models.checkpoint_metadata import CheckpointMetadata
from jungle.models.description import ANSWERS, read_answers, read_description
from jungle.models.losses import TASKS
from jungle.models.module import ClipClassifier
from jungle.models.tensors import check_weights, load_archive, save_archive
from jungle.models.training_plan import Training
from jungle.names import escape
from jungle.video import ClipSpec

BUFFERS = 512 << 20  # bytes of buffers that a model may compute in addition to its weights
MOST_SHIFT = 100.0  # of a logit: a sampler that draws one clip 10^43 times as often
MOST_RATIO = 1e12  # of a class's share among the clips as drawn and as they are
CLIP_BYTES = 2 << 30  # of one clip's frames: a decoding process has no more memory


@dataclass(frozen=True)
class Loaded:
    """A trained model and the spec of its clips."""

    model: ClipClassifier
    clip_spec: ClipSpec
    priors: dict[str, float]
    """The share of each class in the training clips: the answer for a clip that cannot be read."""
    weights_hash: str
    identity: str
    """Hash of weights and description: equal ones give equal probabilities before calibration."""
    file: Path = Path()
    """The file, for messages."""
    calibration: Calibration | None = None
    """Of its probabilities, where `jungle calibrate` or the training run has stored one."""
    thresholds: Thresholds | None = None
    """Of decisions, where `jungle thresholds` has stored some."""


def load_checkpoint(path: str | Path) -> Loaded:
    """Load `best.ckpt` or `last.ckpt` on the CPU, in eval mode.

    Raises:
        UserError: there is no such file, it is not a checkpoint of this program, it would have to run code,
            or it would take far more time or memory than its size.
    """
    path = Path(path)
    if not os.path.isfile(path):
        what = "not a file" if os.path.exists(path) else "no such file"
        raise UserError(f"ckpt={path}: {what}; a training run prints where its best checkpoint is")
    try:
        saved = load_archive(path)
    except UserError as e:
        raise UserError(
            f"ckpt={path}: not a checkpoint: {e}. Give the best.ckpt or last.ckpt of a training run"
        ) from None
    about = saved.get("jungle") if isinstance(saved, dict) else None
    if not isinstance(about, dict):
        raise UserError(
            f"ckpt={path}: not a checkpoint of this program (it has no 'jungle' entry). "
            "Give the best.ckpt or last.ckpt of a training run"
        )
    version = about.get("version")
    if type(version) is not int or version != 1:
        raise UserError(
            f"ckpt={path}: version {str(version)[:40]!r} of the checkpoint form; this program reads 1"
        )
    try:
        check_plain(about, "its description")
        state = check_weights(saved.get("state_dict"), path.stat().st_size)
        model, spec, priors = _build(about, state, _training(saved))
        answers = read_answers(about, model.classes)
        identity = _hash(about, state)
        weights_hash = str(about["weights_hash"])
    except UserError as e:
        raise UserError(f"ckpt={path}: {escape(str(e))}") from None
    except KeyError as e:
        raise UserError(f"ckpt={path}: its description lacks {one_line(e)}") from None
    except Exception as e:
        raise UserError(f"ckpt={path}: its description does not fit its weights ({one_line(e)})") from None
    return Loaded(model.eval(), spec, priors, weights_hash, identity, path, *answers)


def store_answers(
    path: Path, answers: Mapping[str, dict[str, object] | None], out: Path | None = None
) -> None:
    """Write a checkpoint again with a calibration or thresholds; all else in it stays as it is.

    Args:
        path: the checkpoint.
        answers: `calibration`, `thresholds` or both; None removes one.
        out: another file to write; None = the same one, in one step.

    Raises:
        UserError: the file is no checkpoint, or an answer is not valid.
        OSError: it cannot be written; the old file stays.
    """
    known = read_description(path)
    saved = load_archive(path)
    kept = {k: v for k, v in saved["jungle"].items() if k not in answers}
    about = kept | {k: v for k, v in answers.items() if v is not None}
    read_answers(about, known.classes)
    save_archive({**saved, "jungle": about}, out or path)


def _training(saved: dict[str, Any]) -> Training | None:
    """Return the training settings; None in older checkpoints."""
    known = saved.get("hyper_parameters")
    if not isinstance(known, dict) or "training" not in known:
        return None
    check_plain(known["training"], "its training settings")
    return Training.from_dict(known["training"])


def _build(
    about: dict[str, Any], state: dict[str, torch.Tensor], training: Training | None
) -> tuple[ClipClassifier, ClipSpec, dict[str, float]]:
    if not isinstance(about["classes"], (list, tuple)):
        raise UserError("its classes are no list of names")
    classes = predictions.check_classes(tuple(about["classes"]))
    spec = ClipSpec.from_dict(about["clip"])
    priors = {c: float(about["priors"][c]) for c in classes}
    task, mode = str(about["task"]), str(about["mode"])
    if task not in TASKS or mode not in ("frozen", "finetune"):
        raise UserError(f"task {task[:40]}, mode {mode[:40]}: this program knows no such model")
    if not all(0 <= p <= 1 for p in priors.values()):
        raise UserError("the share of a class lies outside 0 to 1")
    if not all(abs(v) < MOST_SHIFT for v in dict(about.get("prior_shift", {})).values()):
        raise UserError("its prior_shift holds what no share of clips gives")
    ratios = about.get("draw_ratios")
    if ratios is not None:
        if set(ratios["classes"]) != set(classes):
            raise UserError("its draw_ratios are of other classes than the model")
        if not all(1 / MOST_RATIO < r < MOST_RATIO for r in (*ratios["classes"].values(), ratios["none"])):
            raise UserError("its draw_ratios hold what no share of clips gives")
    if spec.size is not None and tuple(about["backbone"]["size"]) != spec.size:
        raise UserError("its backbone is for frames of another size than its clips have")
    most = spec.most_bytes
    if spec.size is not None and most is not None and most > CLIP_BYTES:
        raise UserError(
            f"the frames of one clip would take {most / 1e9:.0f} GB ({spec.frames.count} of "
            f"{spec.size[0]}x{spec.size[1]}); at most {CLIP_BYTES / 1e9:.0f} can be held"
        )
    head = dict(about["head"])
    # Each layer has weights of its own; without this check a short description builds layers for hours.
    if not 0 <= int(head.get("layers", 0)) <= len(state):
        raise UserError(f"its head has {head['layers']} layers, and there are weights for fewer")
    own = cast(CheckpointMetadata, {k: about[k] for k in CheckpointMetadata.__annotations__ if k in about})

    def build(dims: list[int] | None = None) -> ClipClassifier:
        backbone = backbone_from(about["backbone"], dims)
        return ClipClassifier(backbone, dict(head), classes, task, mode, own, training)

    with torch.device("meta"):  # takes no memory: the described model may be too large for any machine
        claimed = build()
    wanted = claimed.state_dict()
    if {k: v.shape for k, v in wanted.items()} != {k: v.shape for k, v in state.items()}:
        raise UserError("its description is of a model of another shape than its weights")
    if odd := [k for k, v in wanted.items() if v.is_floating_point() != state[k].is_floating_point()]:
        raise UserError(
            f"its weights {one_name(odd[0])} are {state[odd[0]].dtype}, not {wanted[odd[0]].dtype}"
        )
    if sum(b.nbytes for b in claimed.buffers()) > BUFFERS + sum(v.nbytes for v in state.values()):
        raise UserError("its model would take far more memory than its weights do")
    if bad := [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]:
        raise UserError(f"its weights {one_name(bad[0])} are not finite numbers: its training had failed")
    model = build([part.dim for part in backbones_of(claimed.backbone)])
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


def _hash(about: dict[str, object], state: dict[str, torch.Tensor]) -> str:
    """Return a hash of all that affects a probability; the file also holds folder names and the time."""
    known = {k: v for k, v in about.items() if k not in ANSWERS}
    digest = hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=8)
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
