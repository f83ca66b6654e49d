"""Heads, one class of settings each; their values are in `configs/head/*.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from jungle.config.values import Fraction, Section


class _Head(Section):
    """Settings of every head."""

    hidden: NonNegativeInt
    dropout: Fraction


class PlainHead(_Head):
    """A statistic over frames."""

    name: Literal["mean", "max", "maxmin"]


class LseHead(_Head):
    """Log-sum-exp."""

    name: Literal["lse"]
    sharpness: Annotated[float, Field(gt=0, le=100)]


class AttentionHead(_Head):
    """A mean with learnt weights."""

    name: Literal["attention"]
    score: Literal["mlp", "tanh", "linear"]
    span: bool


class GatedAttentionHead(_Head):
    """A mean with learnt weights, gated."""

    name: Literal["gated_attention"]
    span: bool


class MultiQueryHead(_Head):
    """Several means with learnt weights."""

    name: Literal["multi_query"]
    queries: PositiveInt
    span: bool


class GruHead(_Head):
    """Two GRUs."""

    name: Literal["gru"]
    units: PositiveInt
    bidirectional: bool
    mix_dropout: Fraction


class TcnHead(_Head):
    """Dilated convolutions over time."""

    name: Literal["tcn"]
    units: PositiveInt
    layers: PositiveInt
    mix_dropout: Fraction


class TransformerHead(_Head):
    """A transformer over frames."""

    name: Literal["transformer"]
    units: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    mix_dropout: Fraction

    @model_validator(mode="after")
    def _divisible(self) -> "TransformerHead":
        if self.units % (2 * self.heads):
            raise ValueError(f"units={self.units} is not a multiple of 2 x heads={self.heads}")
        return self


class FlattenHead(_Head):
    """All frames end to end."""

    name: Literal["flatten"]
    frames: PositiveInt
    width: PositiveInt


class LinearHead(Section):
    """One layer over each frame."""

    name: Literal["linear"]
    dropout: Fraction
    zero: bool


class _PrimatrixHead(_Head):
    """The third place's."""

    score: Literal["tanh", "linear"]
    layout: Literal[2] = 2
    """Of its layers, for checkpoints: those of version 0.1 had another."""


class _GruSettings(Section):
    units: PositiveInt
    mix_dropout: Fraction


class _OriginalSettings(Section):
    frames: PositiveInt


class PrimatrixAttentionHead(_PrimatrixHead):
    """The third place's attention model."""

    name: Literal["primatrix_attention"]


class PrimatrixGruHead(_PrimatrixHead, _GruSettings):
    """The third place's GRU model."""

    name: Literal["primatrix_gru"]


class PrimatrixAttentionOriginalHead(_PrimatrixHead, _OriginalSettings):
    """The third place's attention model with its original details."""

    name: Literal["primatrix_attention_original"]


class PrimatrixGruOriginalHead(_PrimatrixHead, _GruSettings, _OriginalSettings):
    """The third place's GRU model with its original details."""

    name: Literal["primatrix_gru_original"]


Head = Annotated[
    PlainHead
    | LseHead
    | AttentionHead
    | GatedAttentionHead
    | MultiQueryHead
    | GruHead
    | TcnHead
    | TransformerHead
    | FlattenHead
    | LinearHead
    | PrimatrixAttentionHead
    | PrimatrixGruHead
    | PrimatrixAttentionOriginalHead
    | PrimatrixGruOriginalHead,
    Field(discriminator="name"),
]
