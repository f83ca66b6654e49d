"""A timm model as an extractor of frame features, which takes uint8 frames and normalises them itself."""

import copy
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from jungle.backbone_names import check_backbone
from jungle.errors import UsageError, UserError, suggest
from jungle.models.backbones.fuse_batchnorm import BATCH_NORMS, BatchNorm, fold_norms
from jungle.models.backbones.timm_factory import BackboneSpec, Colour, created
from jungle.models.timm_library import group_parameters, resolve_model_data_config
from jungle.video.types import check_size

CPU_PIXELS = 240_000  # of all frames that go through a backbone at once on a CPU without gradients
TRIED = 512  # pixels of a side of the picture on which a folded model is tried


class Backbone(nn.Module):
    """A timm model that turns each frame into one feature vector.

    Attributes:
        dim: D, the width of a feature.
        size: (height, width) the frames are resized to.
        interpolation: how the model's own pictures were resized, `bilinear` or `bicubic`.
        normalisation: mean and standard deviation of colours from 0 to 1 by which frames are normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec, load: bool = True, dim: int | None = None) -> None:
        """Build the model; `load=False` leaves random weights for a state dict to replace.

        A known `dim` saves the computation of a frame.

        Raises:
            UsageError: timm has no such model, or the model has no module that is tapped.
            UserError: the weights cannot be loaded, or do not fit.
        """
        super().__init__()
        check_backbone(spec.name)
        self.spec = spec
        self.model = created(spec, load)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch documents it
        own = resolve_model_data_config(self.model)
        self.size: tuple[int, int] = spec.size or (own["input_size"][1], own["input_size"][2])
        self.interpolation = (
            own["interpolation"] if own["interpolation"] in ("bilinear", "bicubic") else "bicubic"
        )
        mean, std = spec.mean or own["mean"], spec.std or own["std"]
        self.normalisation: tuple[Colour, Colour] = _colour(mean), _colour(std)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)
        self.prefix = int(getattr(self.model, "num_prefix_tokens", 0))
        self._tapped: dict[tuple[int, str], Tensor] = {}  # by thread: clips may run in parallel
        self._momenta: list[
            tuple[BatchNorm, float]
        ] = []  # of BatchNorm layers that may run twice: `save_memory`
        self._hooks = self._hook(spec.taps)
        self.dim = self._measure() if dim is None else dim

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        """Turn uint8 RGB frames into features `x_ND`."""
        if frames_NHWC.device.type == "cpu" and not torch.is_grad_enabled():
            # A few frames at a time stay in the cache: 16 at once spend a third of the time on new memory.
            step = max(1, CPU_PIXELS // (frames_NHWC.shape[1] * frames_NHWC.shape[2]))
            return torch.cat([self._features(part) for part in frames_NHWC.split(step)])
        return self._features(frames_NHWC)

    def _features(self, frames_NHWC: Tensor) -> Tensor:
        # A permuted NHWC batch is channels_last already: no copy, and about twice as fast on CPU.
        x_NCHW = (frames_NHWC.permute(0, 3, 1, 2).float() - self.mean) / self.std
        with self._first_pass():
            if not self.spec.taps:
                return self.model(x_NCHW).float()
            self.model.forward_features(x_NCHW)
        here = threading.get_ident()
        return torch.cat([self._pooled(self._tapped.pop((here, name))) for name in self.spec.taps], dim=1)

    def _pooled(self, out: Tensor) -> Tensor:
        """Pool the output of a tap over space: maps NCHW, or NHWC in some models, or tokens NLC."""
        if out.ndim == 4:
            last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
            out = out.flatten(1, 2) if last else out.flatten(2).transpose(1, 2)
        elif out.ndim == 3 and out.shape[1] > self.prefix:
            out = out[:, self.prefix :]  # without class and register tokens
        return POOLS[self.spec.pool](out.float()) if out.ndim == 3 else out.float()

    def save_memory(self) -> None:
        """Compute activations a second time in the backward pass instead of keeping them.

        Only the first pass moves the statistics of BatchNorm: once a step, as without this.

        Raises:
            UserError: the model does not support it.
        """
        try:
            self.model.set_grad_checkpointing(True)
        except (AttributeError, AssertionError):
            raise UserError(
                f"model.grad_checkpointing: {self.spec.name} has none; a smaller data.batch_size saves memory"
            ) from None
        for module in self.model.modules():
            if isinstance(module, BATCH_NORMS) and module.momentum is not None:
                self._momenta.append((module, module.momentum))
                module.register_forward_pre_hook(_count_first_pass_only)
        self._follow(False)

    @contextmanager
    def _first_pass(self) -> Iterator[None]:
        """Let the statistics of BatchNorm move in this pass, and not in its repetition."""
        self._follow(True)
        try:
            yield
        finally:
            self._follow(False)

    def _follow(self, follows: bool) -> None:
        for norm, momentum in self._momenta:
            norm.momentum = momentum if follows else 0.0

    def compile_model(self, backend: str = "inductor") -> None:
        """Compile the model in place at its first call; its weights keep their names."""
        self.model.compile(backend=backend)

    def depth_of(self) -> dict[str, int]:
        """Return the layer of each weight, counted from the input, in timm's groups."""
        found = group_parameters(self.model, self.model.group_matcher(coarse=False), reverse=True)
        return {name: int(layer) for name, layer in found.items()}  # type: ignore[arg-type]  # reversed, numbers

    def folded(self) -> "Backbone":
        """Return a copy for inference that gives the same features faster on a CPU.

        Its BatchNorm layers are folded into its convolutions. The copy is tried on a picture of noise: if its
        features differ, or a tapped layer was folded, this backbone itself is returned.
        """
        twin = copy.deepcopy(self).eval()
        for hook in twin._hooks:
            hook.remove()  # they write to the original
        fold_norms(twin.model)
        if not set(self.spec.taps) <= set(dict(twin.model.named_modules())):
            return self
        twin._hooks = twin._hook(self.spec.taps)
        noise = torch.Generator().manual_seed(0)
        # A part of a large frame is enough; models with a fixed size have none of these layers.
        tried = tuple(min(side, TRIED) for side in self.size)
        frames_NHWC = torch.randint(0, 256, (1, *tried, 3), dtype=torch.uint8, generator=noise)
        was = self.training
        try:
            with torch.inference_mode():
                own, new = self.eval()(frames_NHWC), twin(frames_NHWC)
        except (RuntimeError, AssertionError):
            if tried == self.size:
                raise
            return self
        finally:
            self.train(was)
        return twin if bool((own - new).abs().max() <= 1e-3 * own.abs().max()) else self

    def weights_hash(self) -> str:
        """Return a hash of every weight and buffer: equal weights give equal features."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain types from which the same model can be built for its saved weights."""
        own = {k: v for k, v in asdict(self.spec).items() if k != "also"}
        mean, std = map(list, self.normalisation)
        size, taps = list(self.size), list(self.spec.taps)
        return {**own, "weights": None, "size": size, "taps": taps, "mean": mean, "std": std}

    @classmethod
    def from_dict(cls, values: dict[str, Any], dim: int | None = None) -> "Backbone":
        """Build the model of `to_dict` with random weights, for its state dict; see `__init__` for `dim`.

        Checkpoints of version 0.1 lack `pool`, `mean` and `std`: they used the mean and timm's normalisation.

        Raises:
            UsageError: the size of its frames is impossible, or timm has no such model.
            UserError: its normalisation is impossible.
        """
        size, taps = check_size(values["size"]), tuple(str(t) for t in values["taps"])
        mean, std = (None if values.get(k) is None else _colour(values[k]) for k in ("mean", "std"))
        if not all(abs(m) <= 1e3 for m in mean or ()) or not all(1e-3 <= s <= 1e3 for s in std or ()):
            raise UserError(f"its backbone normalises frames by mean {mean} and deviation {std}")
        pretrained, pool = bool(values.get("pretrained")), str(values.get("pool", "mean"))
        spec = BackboneSpec(str(values["name"]), pretrained, None, size, taps, pool, mean=mean, std=std)
        return cls(spec, load=False, dim=dim)

    def _hook(self, taps: tuple[str, ...]) -> list[RemovableHandle]:
        modules = dict(self.model.named_modules())
        if twice := next((name for i, name in enumerate(taps[: len(modules) + 1]) if name in taps[:i]), None):
            raise UsageError(f"model.taps: {twice} is named twice; name each module once")
        handles = []
        for name in taps:
            if name not in modules:
                raise UsageError(
                    f"model.taps: {self.spec.name} has no module {name}.{suggest(name, set(modules) - {''})}"
                )

            def keep(_module: nn.Module, _in: object, out: Tensor, name: str = name) -> None:
                self._tapped[threading.get_ident(), name] = out[0] if isinstance(out, tuple) else out

            handles.append(modules[name].register_forward_hook(keep))
        return handles

    def _measure(self) -> int:
        was = self.model.training
        self.model.eval()
        with torch.inference_mode():
            dim = self(torch.zeros(1, *self.size, 3, dtype=torch.uint8)).shape[1]
        self.model.train(was)
        return dim


def _count_first_pass_only(norm: nn.Module, _in: object) -> None:
    """Subtract in advance the batch that a BatchNorm layer counts in its second pass."""
    assert isinstance(norm, BATCH_NORMS)
    if norm.training and norm.momentum == 0.0 and norm.num_batches_tracked is not None:
        norm.num_batches_tracked -= 1


def _colour(values: Sequence[float]) -> Colour:
    red, green, blue = map(float, values)
    return red, green, blue


def _gem(x_NPC: Tensor) -> Tensor:
    return x_NPC.clamp(min=1e-6).pow(3).mean(1).pow(1 / 3)


# Pools of places `[N, places, C]`. `gem`: the generalised mean, p = 3, of values above 0, as in maps after a
# ReLU (Radenovic et al. 2018).
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x_NPC: x_NPC.mean(1),
    "max": lambda x_NPC: x_NPC.amax(1),
    "gem": _gem,
}
