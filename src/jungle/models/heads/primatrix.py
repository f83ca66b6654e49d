"""The two heads of the third place of Pri-matrix Factorization (2017), layer for layer.

The originals took 45 or 30 frames, the last one repeated in a short clip. Here any number is possible, and
padded frames are left out of every mean, maximum and statistic; `frames` selects the original behaviour.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from jungle.models.heads.attention import AttentionPool, masked_softmax
from jungle.models.heads.head import Answer
from jungle.models.heads.metadata import MetadataBranch
from jungle.models.heads.norm import BatchNorm
from jungle.models.heads.sequence import GruMix
from jungle.models.heads.statistics import span

POOL_DROPOUT = 0.25  # the GRU model's, of what it pools and of its metadata before they are joined
KERAS_MOMENTUM, KERAS_EPS = 0.01, 1e-3  # Keras 2 counts momentum the other way: 0.99
FIRST_LAYOUT = 1
"""Layout of version 0.1: max - min after norm and GRUs, no BatchNorm in the GRU model's dense layers."""


class PrimatrixHead(nn.Module):
    """BatchNorm; an attention-weighted mean and max - min of the frames; two dense layers; the classes.

    With `units`, two GRUs process the frames first, and the mean is that of their states joined with the
    features. Max - min is that of the input features in both models.

    Args:
        dim: width of a frame's feature.
        classes: how many there are.
        score: of a frame, `tanh` or `linear`: see `AttentionPool`.
        hidden: width of each of the two dense layers; 0 for none.
        dropout: after each dense layer, and before them where there are no GRUs.
        units: width of each GRU; 0 for none.
        mix_dropout: before, between and after the GRUs.
        frames: None takes any number and ignores padding. A number copies the original exactly: so many
            frames, the last one repeated in a shorter clip; a bias of the score for each; the second GRU
            runs from the first frame to the last, and the first one's states are joined with the features in
            reverse order, as Keras returns those of `go_backwards`; BatchNorm and initial weights of Keras.
        layout: 2, or `FIRST_LAYOUT` for a checkpoint of version 0.1.
        branch: for the metadata of clips; None for none.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        score: str,
        hidden: int,
        dropout: float,
        units: int = 0,
        mix_dropout: float = 0.0,
        frames: int | None = None,
        layout: int = 2,
        branch: MetadataBranch | None = None,
    ) -> None:
        super().__init__()
        if layout not in (FIRST_LAYOUT, 2):
            raise ValueError(f"a head of the unknown layout {layout}")
        self.frames, self.is_first_layout = frames, layout == FIRST_LAYOUT
        self.norm = BatchNorm(dim)
        mixed = KerasGrus if frames else GruMix
        self.mix = mixed(dim, units, bidirectional=False, mix_dropout=mix_dropout) if units else None
        width = dim + (2 * units if units else 0)
        self.look: AttentionPool | PlacedPool
        if frames and score == "tanh":
            self.look = PlacedPool(width, frames)
        else:
            self.look = AttentionPool(width, score, span=False)
        self.drop = nn.Dropout(POOL_DROPOUT if units else 0.0)
        self.branch = branch
        joined = width + (width if self.is_first_layout else dim) + (branch.width if branch else 0)
        layers: list[nn.Module] = [BatchNorm(joined)]
        if not units:
            layers.append(nn.Dropout(dropout))
        for before in (joined, hidden) if hidden else ():
            norm = [] if units and self.is_first_layout else [BatchNorm(hidden)]
            layers += [nn.Linear(before, hidden), *norm, nn.ReLU(), nn.Dropout(dropout)]
        self.classify = nn.Sequential(*layers, nn.Linear(hidden or joined, classes))
        if frames:
            _as_keras(self)

    @property
    def starts_from_priors(self) -> bool:
        """Whether the last bias begins at the class shares; theirs began at 0."""
        return self.frames is None

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor, facts_BF: Tensor | None = None
    ) -> Answer:
        """Answer for each clip: one frame at least, the real ones before the padded ones.

        Raises:
            ValueError: a clip has more frames than `frames`.
        """
        given_BT = mask_BT
        if self.frames is not None:
            x_BTD, mask_BT = repeated(x_BTD, mask_BT, self.frames)
        # Statistics of frames that exist, by their places: by the mask a step takes a quarter longer.
        real_N = mask_BT.flatten().nonzero()[:, 0]
        real_ND = self.norm(x_BTD.flatten(0, 1).index_select(0, real_N))
        normed_MD = real_ND.new_zeros(mask_BT.numel(), real_ND.shape[1]).index_copy(0, real_N, real_ND)
        normed_BTD = normed_MD.view(*mask_BT.shape, -1)
        if self.mix is None:
            seen_BTE = normed_BTD
        elif self.is_first_layout:
            states = self.mix(normed_BTD, mask_BT, times_BT).to(normed_BTD.dtype)
            seen_BTE = torch.cat([states, normed_BTD], dim=2)
        else:
            dropped_BTD = self.mix.drop(normed_BTD)
            states = self.mix.states(dropped_BTD, mask_BT).to(normed_BTD.dtype)
            seen_BTE = torch.cat([states, dropped_BTD], dim=2)
        seen_BE, attention_BT = self.look(seen_BTE, mask_BT, times_BT)
        moved_BD = span(seen_BTE if self.is_first_layout else x_BTD, mask_BT)
        parts = [self.drop(seen_BE), self.drop(moved_BD)]
        if self.branch is not None:
            assert facts_BF is not None
            known_BM = self.branch(facts_BF)
            parts.append(known_BM if self.is_first_layout else self.drop(known_BM))
        if self.frames is not None:
            attention_BT = unrepeated(attention_BT, given_BT)
        return Answer(self.classify(torch.cat(parts, dim=1)), attention_BT)


class KerasGrus(GruMix):
    """Two GRUs as Keras runs them with `go_backwards=True`, which gives the states in the order it ran.

    So the first goes from the last frame to the first and its states lie turned round; the second turns them
    again and goes from the first frame to the last.
    """

    def states(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the states of both after dropout, `[B, T, 2 units]`, of frames that all exist."""
        first_BTU = self.drop(self.first(x_BTD.flip(1))[0])
        second_BTU = self.drop(self.second(first_BTU.flip(1))[0])
        return torch.cat([first_BTU, second_BTU], dim=2)


class PlacedPool(nn.Module):
    """A mean with weights softmax(tanh(w . x + b_t)): a bias for each place in the clip.

    Args:
        dim: width of a frame's feature.
        frames: how many places there are, of which a clip fills all.
    """

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(dim, 1, bias=False)
        self.bias_T = nn.Parameter(torch.zeros(frames))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Pool to `[B, D]`; the weights come with it."""
        score_BT1 = (self.weigh(x_BTD).squeeze(2) + self.bias_T).tanh().unsqueeze(2)
        attention_BT = masked_softmax(score_BT1, mask_BT).squeeze(2)
        return torch.einsum("bt,btd->bd", attention_BT.to(x_BTD.dtype), x_BTD), attention_BT


def repeated(x_BTD: Tensor, mask_BT: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return each clip with so many frames, its last one repeated, and a mask that leaves none out.

    Raises:
        ValueError: a clip has more frames.
    """
    if bool(mask_BT[:, frames:].any()):
        raise ValueError(f"the head has places for {frames} frames, a clip has {int(mask_BT.sum(1).max())}")
    at_T = torch.arange(frames, device=x_BTD.device)
    at_BT = torch.minimum(at_T, mask_BT.sum(1, keepdim=True) - 1)
    found_BTD = x_BTD.gather(1, at_BT.unsqueeze(2).expand(-1, -1, x_BTD.shape[2]))
    return found_BTD, torch.ones_like(at_BT, dtype=torch.bool)


def unrepeated(attention_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the weights of the frames that exist: the last one has those of its repetitions too."""
    last_B1 = mask_BT.sum(1, keepdim=True) - 1
    at_BT = torch.minimum(torch.arange(attention_BT.shape[1], device=mask_BT.device), last_B1)
    return attention_BT.new_zeros(mask_BT.shape).scatter_add(1, at_BT, attention_BT)


def _as_keras(head: PrimatrixHead) -> None:
    """Give a head the BatchNorm settings and the initial weights of Keras 2.0."""
    draw: dict[type[nn.Module], Callable[[nn.Module], None]] = {nn.Linear: _dense, nn.GRU: _gru}
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum, module.eps = KERAS_MOMENTUM, KERAS_EPS
        elif type(module) in draw:
            draw[type(module)](module)
    # Their two scores are layers of their own: of a vector Keras takes the root of its length for both sides.
    if isinstance(head.look, PlacedPool):
        weigh, bound = head.look.weigh, (3 / head.look.weigh.in_features**0.5) ** 0.5
    else:
        weigh, bound = head.look.score, 0.05
    assert isinstance(weigh, nn.Linear)
    nn.init.uniform_(weigh.weight, -bound, bound)


def _dense(layer: nn.Module) -> None:
    assert isinstance(layer, nn.Linear)
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _gru(layer: nn.Module) -> None:
    assert isinstance(layer, nn.GRU)
    weights = dict(layer.named_parameters())
    nn.init.xavier_uniform_(weights["weight_ih_l0"])
    nn.init.orthogonal_(weights["weight_hh_l0"])
    nn.init.zeros_(weights["bias_ih_l0"])
    nn.init.zeros_(weights["bias_hh_l0"])
