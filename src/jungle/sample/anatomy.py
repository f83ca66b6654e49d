"""How limbs are placed: feet that stay where they stand, knees that follow, necks, tails and heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Joints = dict[str, np.ndarray]


@dataclass(frozen=True)
class Moment:
    """The state of an animal in one frame."""

    phase: float
    """Strides walked so far."""
    walking: float
    """0 stands, 1 walks at its full pace."""
    time: float
    """Seconds, for what moves at its own pace: tails, ears, breath."""
    lowered: float = 0.0
    """0 the head is carried as in walking, 1 it is down at the ground: grazing, sniffing, pecking."""
    turned: float = 0.0
    """Radians by which the head looks to the animal's left."""


@dataclass(frozen=True)
class Leg:
    """A leg of three segments, told from the body down. Lengths in metres."""

    x: float
    y: float
    z: float
    upper: float
    lower: float
    foot: float
    bend: int
    """1: the middle joint points ahead (a knee); -1: it points back (an elbow)."""
    offset: float
    """When in the stride this foot lands, 0..1."""
    rake: float = 0.0
    """Radians by which the foot segment leans: above 0 the ankle stands behind the toes."""
    stand: float = 0.0
    """Where the foot rests against the joint above it, metres ahead."""


def footfall(phase: float, duty: float) -> tuple[float, float]:
    """Where a foot is: -0.5..0.5 of its step behind or ahead, and 0..1 of its swing (0 while it stands)."""
    p = phase % 1.0
    if p < duty:
        return 0.5 - p / duty, 0.0
    q = (p - duty) / (1 - duty)
    return -0.5 + q * q * (3 - 2 * q), q


def bend(
    hip: np.ndarray, ankle: np.ndarray, upper: float, lower: float, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """The middle joint between hip and ankle, and the ankle drawn in where it is out of reach."""
    reach = ankle - hip
    far = float(np.linalg.norm(reach)) or 1e-6
    longest = (upper + lower) * 0.995
    if far > longest:
        reach = reach * (longest / far)
        far = longest
    far = max(far, abs(upper - lower) * 1.02 + 1e-4)
    along = (upper**2 - lower**2 + far**2) / (2 * far)
    out = max(upper**2 - along**2, 0.0) ** 0.5
    way = reach / far
    normal = np.array([-way[1], way[0], 0.0]) * side
    return hip + way * along + normal * out, hip + reach


def place_leg(
    joints: Joints, name: str, leg: Leg, moment: Moment, stride: float, duty: float, lift: float
) -> None:
    """Add `<name>0..3`: hip, knee, ankle, toes. `stride` is the way of one whole cycle in metres."""
    ahead, swing = footfall(moment.phase + leg.offset, duty)
    arc = np.sin(np.pi * swing) * moment.walking
    hip = np.array([leg.x, leg.y, leg.z])
    toe = hip * (1, 0, 1) + (leg.stand + ahead * stride * duty * moment.walking, lift * arc, 0.0)
    lean = leg.rake + (0.9 if leg.bend > 0 else -1.1) * arc * np.sign(leg.foot)
    ankle = toe + leg.foot * np.array([-np.sin(lean), np.cos(lean), 0.0])
    knee, ankle = bend(hip, ankle, leg.upper, leg.lower, leg.bend)
    joints.update({f"{name}0": hip, f"{name}1": knee, f"{name}2": ankle, f"{name}3": toe})


def carried(at: np.ndarray, pitch: float, turn: float) -> Callable[[float, float, float], np.ndarray]:
    """The frame of a head: a function from (ahead, up, left) in metres to a joint.

    `pitch` is the angle of the nose above the horizon, `turn` the angle to the animal's left.
    """
    cp, sp, ct, st = np.cos(pitch), np.sin(pitch), np.cos(turn), np.sin(turn)
    ahead = np.array([cp * ct, sp, cp * st])
    up = np.array([-sp * ct, cp, -sp * st])
    left = np.array([-st, 0.0, ct])
    return lambda x, y, z: at + x * ahead + y * up + z * left


def chain(
    joints: Joints, name: str, start: np.ndarray, angles: list[float], length: float, sway: list[float]
) -> None:
    """Add `<name>0..n`: a tail or trunk of equal links, each at its own angle above the horizon (ahead)."""
    joints[f"{name}0"] = start
    for i, (angle, side) in enumerate(zip(angles, sway, strict=True)):
        step = np.array([np.cos(angle) * np.cos(side), np.sin(angle) * np.cos(side), np.sin(side)])
        start = start + length * step
        joints[f"{name}{i + 1}"] = start


def vec(x: float, y: float, z: float = 0.0) -> np.ndarray:
    """A point ahead, up and to the left."""
    return np.array([x, y, z])


def mix(a: float, b: float, t: float) -> float:
    """From `a` to `b`."""
    return a + (b - a) * t
