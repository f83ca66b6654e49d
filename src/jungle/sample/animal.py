"""An individual: its body parts, its coat and its way of moving."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jungle.sample.anatomy import Joints, Moment
from jungle.sample.body import Material, Part

EYE = Material(back=(0.03, 0.02, 0.02), belly=(0.03, 0.02, 0.02), grain=0, gloss=0.8, infrared=60.0)


@dataclass(frozen=True)
class Quills:
    """Stiff hairs, drawn as lines in bands of two colours."""

    joints: list[str]
    """The joint each grows by."""
    roots: np.ndarray
    """float32 `[N, 3]`: from that joint to the root, metres."""
    tips: np.ndarray


@dataclass
class Animal:
    """One animal of one species, in metres, standing at the origin and looking along x."""

    species: str
    materials: list[Material]
    parts: list[Part]
    pose: Callable[[Moment], Joints]
    coat: np.ndarray
    speed: float
    """Metres a second at a walk."""
    stride: float
    """Metres of a whole cycle of all legs."""
    height: float
    length: float
    quills: Quills | None = None


def limb(name: str, radii: tuple[float, ...], material: int, shag: float = 0.0, u: float = 0.0) -> list[Part]:
    """Parts along the joints `<name>0`, `<name>1`, ...; one radius a joint."""
    return [
        Part(f"{name}{i}", f"{name}{i + 1}", radii[i], radii[i + 1], material, u=u + 0.3 * i, shag=shag)
        for i in range(len(radii) - 1)
    ]


def spine(names: tuple[str, ...], radii: tuple[float, ...], material: int, shag: float = 0.0) -> list[Part]:
    """Parts from joint to joint along the trunk; one radius a joint."""
    return [
        Part(a, b, radii[i], radii[i + 1], material, u=0.35 * i, shag=shag)
        for i, (a, b) in enumerate(itertools.pairwise(names))
    ]


def dye(
    colour: tuple[float, float, float], rng: np.random.Generator, spread: float = 0.08
) -> tuple[float, float, float]:
    """A colour a little lighter or darker, as individuals differ."""
    k = float(rng.uniform(1 - spread, 1 + spread))
    return (colour[0] * k, colour[1] * k, colour[2] * k)


def scale(animal: Animal, k: float) -> Animal:
    """The same animal, `k` times as large: small ones take shorter steps."""
    pose, quills = animal.pose, animal.quills
    return replace(
        animal,
        parts=[replace(p, ra=p.ra * k, rb=p.rb * k, shag=p.shag * k) for p in animal.parts],
        pose=lambda moment: {name: at * k for name, at in pose(moment).items()},
        quills=quills and Quills(quills.joints, quills.roots * k, quills.tips * k),
        speed=animal.speed * k,
        stride=animal.stride * k,
        height=animal.height * k,
        length=animal.length * k,
    )
