"""How an animal is built and moves: a species as data, one individual of it, and its joints in a frame.

A joint is metres ahead, up and to the left of the ground below the body. A name with `~` stands for both
sides: `l` and `r` take its place, the right side mirrored and half a stride later.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from jungle.sample.foliage import Colour, pick_colour

T = TypeVar("T")
Joints = dict[str, np.ndarray]
Point = tuple[float, float, float]
SIDES = {"l": (1, 0.5), "r": (-1, 0.0)}  # the sign of the third coordinate, and the delay in strides


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of an animal in one frame."""

    phase: float
    """Strides walked so far."""
    walking: float
    """0 stands, 1 walks at its full pace."""
    time: float
    """Seconds, for what moves at its own pace: tails and ears."""
    lowered: float
    """0 carries its head as in walking, 1 has it at the ground: grazing, sniffing, pecking."""
    turned: float
    """Radians by which the head looks to the animal's left."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg of three segments: joints `<name>0` (hip) to `<name>3` (sole), toes `<name>4` and up."""

    hip: Point
    segments: tuple[float, float, float]
    """Lengths from the hip down, metres."""
    bend: int
    """1: the middle joint points ahead (a knee); -1: it points back (an elbow)."""
    offset: float = 0.0
    """When in the stride the right foot lands, 0..1."""
    rake: float = 0.0
    """Radians by which the foot leans: above 0 the ankle stands behind the sole."""
    stand: float = 0.0
    """Metres by which the foot rests ahead of the hip."""
    toes: tuple[Point, ...] = ()
    """From the sole."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Links in a row, joints `<name>0` and up: a tail, a trunk, an arm."""

    base: str
    """`head`, or `body`."""
    start: Point
    angles: tuple[float, ...]
    """Radians of each link above the horizon ahead."""
    lengths: tuple[float, ...]
    wag: float = 0.0
    """Radians by which the last link swings sideways; those before it swing less."""
    swing: float = 0.0
    """Radians by which the last link swings fore and aft."""
    rate: float = 0.0
    """Radians of the swing a second; 0: it swings with the stride."""
    curl: float = 0.0
    """Radians by which the last link bends while the head is lowered."""


@dataclass(frozen=True, slots=True)
class Hide:
    """The colours of a part as a species has them: one of several, or another hide's, darker or lighter."""

    back: tuple[Colour, ...] | str
    """Colours that individuals may have, or the name of an earlier hide."""
    belly: Colour | float = 1.0
    """A colour, or a factor of the back's."""
    spread: float = 0.0
    """How far individuals differ in brightness, as a fraction."""
    factor: float = 1.0
    """Brightness as a factor of the other hide's."""
    mark: Colour = (0.0, 0.0, 0.0)
    marked: float = 0.0
    """How strongly the coat's pattern shows, 0..1."""
    grain: float = 0.05
    """How strongly single hairs or wrinkles show."""
    gloss: float = 0.0
    infrared: float = 1.0
    """Brightness under infrared light, as a factor of that by day."""


@dataclass(frozen=True, slots=True)
class Flesh:
    """Round cones along a row of joints; a ball around a single one."""

    joints: str
    radii: tuple[float, ...]
    """Metres, one a joint."""
    hide: str
    shag: float = 0.0
    """How ragged the outline is, metres."""


@dataclass(frozen=True, slots=True)
class Species:
    """An animal as data; lengths in metres, for an individual of size 1."""

    size: tuple[float, float]
    """Smallest and largest individual."""
    speed: float
    """Metres a second at a walk."""
    stride: float
    """Metres of a whole cycle of all legs."""
    duty: float
    """Part of the stride for which a foot stands."""
    lift: float
    """How high a foot rises."""
    height: float
    length: float
    seen: tuple[float, float]
    """Height in the frame, pixels: farthest and nearest. Small species are seen when near."""
    bob: float
    """How far the body rises and falls in a step."""
    sway: float
    """How far it swings sideways in a stride."""
    spine: dict[str, tuple[float, ...]]
    """Joints of the body: ahead, up, left; then how they take part in `bob` (1) and in `sway` (0)."""
    carried: Point
    """The head in walking: ahead, up, and the nose's pitch in radians."""
    lowered: Point
    """The head at the ground."""
    nod: float
    """How far the head goes fore and aft in a step."""
    head: dict[str, tuple[float, ...]]
    """Joints of the head from its middle: ahead, up, left; then how far ears swing."""
    throat: str
    """The joint of the body at which the neck begins; `nape` is halfway to the head."""
    legs: dict[str, Leg]
    hides: dict[str, Hide]
    flesh: tuple[Flesh, ...]
    coat: Callable[[np.random.Generator], np.ndarray]
    chains: dict[str, Chain] | None = None
    extras: tuple[tuple[float, tuple[Flesh, ...], tuple[Flesh, ...]], ...] = ()
    """A chance, what an individual then has, and what it has otherwise."""
    quills: tuple[tuple[str, int, float, float, float], ...] = ()
    """Tufts: joint, number, radius of the body, longest quill, lean in radians."""


@dataclass(frozen=True, slots=True)
class Material:
    """The colours of one individual's part, RGB in 0..1 as under white light; the rest as in `Hide`."""

    back: Colour
    belly: Colour
    mark: Colour
    marked: float
    grain: float
    gloss: float
    infrared: float


@dataclass(frozen=True, slots=True)
class Part:
    """A cone with rounded ends between two joints."""

    a: str
    b: str
    ra: float
    """Radius at `a`, metres."""
    rb: float
    material: int
    u: float
    """Where on the coat the part begins, metres along it."""
    shag: float


@dataclass(frozen=True, slots=True)
class Quills:
    """Stiff hairs, drawn as lines in bands of two colours."""

    joints: list[str]
    """The joint that each grows by."""
    roots: np.ndarray
    """float32 `[N, 3]`: from that joint to the root, metres."""
    tips: np.ndarray


@dataclass(frozen=True, slots=True)
class Animal:
    """One individual, in metres, standing at the origin and looking along x."""

    species: Species
    scale: float
    materials: list[Material]
    parts: list[Part]
    coat: np.ndarray
    quills: Quills | None

    def pose(self, moment: Moment) -> Joints:
        """Place its joints."""
        return {name: at * self.scale for name, at in _pose(self.species, moment).items()}


def make_animal(species: Species, rng: np.random.Generator) -> Animal:
    """Draw an individual of a species."""
    scale = float(rng.uniform(*species.size))
    materials: dict[str, Material] = {}
    for name, hide in species.hides.items():
        if isinstance(hide.back, str):
            back, dye = materials[hide.back].back, hide.factor
        else:
            back, dye = (
                hide.back[int(rng.integers(len(hide.back)))],
                rng.uniform(1 - hide.spread, 1 + hide.spread),
            )
        back = pick_colour(c * dye for c in back)
        belly = (
            hide.belly if isinstance(hide.belly, tuple) else pick_colour(c * float(hide.belly) for c in back)
        )
        materials[name] = Material(back, belly, hide.mark, hide.marked, hide.grain, hide.gloss, hide.infrared)
    flesh = [*species.flesh]
    for chance, those, else_these in species.extras:
        flesh += those if rng.random() < chance else else_these
    order = list(materials)
    parts = [part for row in flesh for part in _parts(row, scale, order.index(row.hide))]
    quills = _grow_quills(species.quills, scale, rng) if species.quills else None
    return Animal(species, scale, list(materials.values()), parts, species.coat(rng), quills)


def _parts(flesh: Flesh, scale: float, material: int) -> Iterator[Part]:
    for side in SIDES if "~" in flesh.joints else ("",):
        ends = list(zip(flesh.joints.replace("~", side).split(), flesh.radii, strict=True))
        for i, ((a, ra), (b, rb)) in enumerate(itertools.pairwise(ends) if len(ends) > 1 else [ends * 2]):
            yield Part(a, b, ra * scale, rb * scale, material, 0.3 * i, flesh.shag * scale)


def _grow_quills(
    tufts: tuple[tuple[str, int, float, float, float], ...], scale: float, rng: np.random.Generator
) -> Quills:
    names: list[str] = []
    roots, tips = [], []
    for joint, n, radius, longest, lean in tufts:
        around = rng.uniform(-1.75, 1.75, n)
        root = np.stack([rng.uniform(-0.12, 0.1, n), radius * np.cos(around), radius * np.sin(around)], 1)
        angle = lean + rng.normal(0, 0.14, n)
        way = np.stack([np.cos(angle), np.sin(angle) * np.cos(around) + 0.1, np.sin(around) * 0.55], 1)
        size = longest * rng.uniform(0.65, 1.05, n) * (1 - 0.3 * np.abs(around) / 1.75)
        names += [joint] * n
        roots.append(root)
        tips.append(root + way * (size / np.linalg.norm(way, axis=1))[:, None])
    return Quills(names, np.concatenate(roots) * scale, np.concatenate(tips) * scale)


def _pose(species: Species, m: Moment) -> Joints:
    step = np.sin(4 * np.pi * m.phase) * m.walking
    bob, sway = species.bob * step, species.sway * np.sin(2 * np.pi * m.phase) * m.walking
    joints: Joints = {}
    for name, sign, _, (x, y, *rest) in _both_sides(species.spine):
        z, up, aside = *rest, *(0.0, 1.0, 0.0)[len(rest) :]
        joints[name] = np.array([x, y + up * bob, z * sign + aside * sway])
    x, y, pitch = np.array(species.carried) * (1 - m.lowered) + np.array(species.lowered) * m.lowered
    middle = np.array([x + species.nod * step, y + bob, 0.0])
    on_head = _carry(middle, pitch, m.turned)
    for name, sign, _, (x, y, z, *flap) in _both_sides(species.head):
        joints[name] = on_head(x, y, (z + sum(flap) * np.sin(1.9 * m.time)) * sign)
    joints["nape"] = (joints[species.throat] + middle) / 2
    for name, sign, late, leg in _both_sides(species.legs):
        _place_leg(
            joints, name, replace(leg, hip=(*leg.hip[:2], leg.hip[2] * sign)), m, species, leg.offset + late
        )
    for name, sign, late, chain in _both_sides(species.chains or {}):
        x, y, z = chain.start
        start = on_head(x, y, z * sign) if chain.base == "head" else np.array([x, y + bob, z * sign])
        beat = (
            np.sin(chain.rate * m.time)
            if chain.rate
            else np.sin(2 * np.pi * (m.phase + late + 0.1)) * m.walking
        )
        joints[f"{name}0"] = start
        for i, (angle, length) in enumerate(zip(chain.angles, chain.lengths, strict=True), 1):
            share = i / len(chain.angles)
            angle += (chain.swing * beat + chain.curl * m.lowered) * share
            side = chain.wag * beat * share
            ahead = np.array([np.cos(angle) * np.cos(side), np.sin(angle) * np.cos(side), np.sin(side)])
            joints[f"{name}{i}"] = start = start + length * ahead
    return joints


def _both_sides(named: dict[str, T]) -> Iterator[tuple[str, int, float, T]]:
    """Yield each entry, or both its sides: name, sign of the third coordinate, delay in strides, value."""
    for name, value in named.items():
        if "~" not in name:
            yield name, 1, 0.0, value
        else:
            yield from ((name.replace("~", side), *rest, value) for side, rest in SIDES.items())


def _place_leg(joints: Joints, name: str, leg: Leg, m: Moment, species: Species, offset: float) -> None:
    """Add a leg's joints: the foot stays where it stands until it swings ahead, and the knee follows."""
    upper, lower, foot = leg.segments
    ahead, swing = _footfall(m.phase + offset, species.duty)
    arc = np.sin(np.pi * swing) * m.walking
    hip = np.array(leg.hip)
    rest = leg.stand + ahead * species.stride * species.duty * m.walking
    sole = hip * (1, 0, 1) + (rest, species.lift * arc, 0.0)
    lean = leg.rake + (0.9 if leg.bend > 0 else -1.1) * arc
    ankle = sole + foot * np.array([-np.sin(lean), np.cos(lean), 0.0])
    reach = ankle - hip
    far = float(np.linalg.norm(reach)) or 1e-6
    if far > (longest := (upper + lower) * 0.995):  # out of reach: the ankle is drawn in
        reach, far = reach * (longest / far), longest
    far = max(far, abs(upper - lower) * 1.02 + 1e-4)
    along = (upper**2 - lower**2 + far**2) / (2 * far)
    way = reach / far
    normal = np.array([-way[1], way[0], 0.0]) * leg.bend
    knee = hip + way * along + normal * max(upper**2 - along**2, 0.0) ** 0.5
    toes = [sole + toe for toe in leg.toes]
    joints.update({f"{name}{i}": at for i, at in enumerate([hip, knee, hip + reach, sole, *toes])})


def _footfall(phase: float, duty: float) -> tuple[float, float]:
    """Where a foot is: -0.5..0.5 of its step behind or ahead, and 0..1 of its swing (0 while it stands)."""
    p = phase % 1.0
    if p < duty:
        return 0.5 - p / duty, 0.0
    q = (p - duty) / (1 - duty)
    return -0.5 + q * q * (3 - 2 * q), q


def _carry(at: np.ndarray, pitch: float, turn: float) -> Callable[[float, float, float], np.ndarray]:
    """The frame of a head: a function from (ahead, up, left) in metres to a joint."""
    cp, sp, ct, st = np.cos(pitch), np.sin(pitch), np.cos(turn), np.sin(turn)
    axes = np.array([[cp * ct, sp, cp * st], [-sp * ct, cp, -sp * st], [-st, 0.0, ct]])
    return lambda x, y, z: at + np.array([x, y, z]) @ axes
