"""Elephant, leopard, duiker and porcupine: four legs, four very different walks."""

from __future__ import annotations

import numpy as np

from jungle.data.sample import coats
from jungle.data.sample.anatomy import Joints, Leg, Moment, carried, chain, mix, place_leg
from jungle.data.sample.animal import EYE, Animal, Quills, dyed, limb, spine
from jungle.data.sample.body import Material, Part


def _vec(x: float, y: float, z: float = 0.0) -> np.ndarray:
    return np.array([x, y, z])


def elephant(rng: np.random.Generator) -> Animal:
    """Columns for legs, one foot off the ground at a time; ears and trunk never rest."""
    k = float(rng.uniform(0.8, 1.05))
    grey = dyed((0.36, 0.32, 0.29), rng, 0.15)
    dark = (grey[0] * 0.8, grey[1] * 0.8, grey[2] * 0.8)
    skin = Material(grey, dark, grain=0.17, infrared=1.3)
    ear = Material((grey[0] * 0.93, grey[1] * 0.9, grey[2] * 0.9), dark, grain=0.12, infrared=1.3)
    ivory = Material((0.86, 0.82, 0.7), (0.8, 0.75, 0.62), grain=0.02, gloss=0.1)
    nail = Material((0.45, 0.4, 0.35), (0.45, 0.4, 0.35), grain=0.05)
    legs = {
        "rh": Leg(-0.62, 1.35, -0.26, 0.62, 0.52, 0.24, 1, 0.0),
        "rf": Leg(0.66, 1.35, -0.28, 0.62, 0.55, 0.22, -1, 0.25),
        "lh": Leg(-0.62, 1.35, 0.26, 0.62, 0.52, 0.24, 1, 0.5),
        "lf": Leg(0.66, 1.35, 0.28, 0.62, 0.55, 0.22, -1, 0.75),
    }
    tusk = float(rng.uniform(0.2, 0.7))
    stride = 1.7

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.72, 0.16)
        bob = 0.02 * np.sin(4 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = _vec(-0.92, 1.5 + bob), _vec(-0.62, 1.6 + bob)
        j["belly"], j["chest"] = _vec(0.0, 1.42 + bob), _vec(0.62, 1.62 + bob)
        j["withers"] = _vec(0.85, 1.85 + bob)
        nod = 0.07 * np.sin(2 * np.pi * m.phase + 0.6)
        head = carried(_vec(1.3, 2.02 + bob - 0.25 * m.lowered), nod - 0.3 * m.lowered, m.turned)
        j["skull"], j["brow"], j["jaw"] = head(0, 0.05, 0), head(0.2, -0.08, 0), head(0.1, -0.4, 0)
        j["chin"] = head(0.2, -0.55, 0)
        flap = 0.45 + 0.35 * np.sin(1.9 * m.time)
        for side, z in (("l", 1), ("r", -1)):
            root = head(-0.08, 0.12, 0.24 * z)
            j[f"{side}ear"] = root
            for i, (back, up) in enumerate(((-0.28, 0.2), (-0.5, -0.04), (-0.46, -0.3), (-0.26, -0.55))):
                away = flap * (0.5 + 0.12 * i)
                j[f"{side}ear{i}"] = head(-0.08 + back * np.cos(away), 0.12 + up, (0.24 + 0.75 * np.sin(away) * -back) * z)
            j[f"{side}tusk0"], j[f"{side}tusk1"] = head(0.22, -0.42, 0.17 * z), head(0.32 + tusk, -0.62 - 0.15 * tusk, 0.24 * z)
            j[f"{side}eye"] = head(0.24, -0.06, 0.26 * z)
        swing = 0.28 * np.sin(2 * np.pi * m.phase * 0.5 + 1.0) + 0.12 * np.sin(1.3 * m.time)
        reach = m.lowered * 0.9
        angles = [-1.25, -1.5 + 0.3 * swing, -1.6 + 0.6 * swing, -1.65 + swing - 0.3 * reach, -1.5 + 1.5 * swing - 0.7 * reach,
                  -1.1 + 1.9 * swing - 1.6 * reach]  # fmt: skip
        chain(j, "trunk", head(0.3, -0.22, 0), angles, 0.27, [0.1 * swing * i for i in range(6)])
        wag = 0.5 * np.sin(2.3 * m.time)
        chain(j, "tail", _vec(-1.22, 1.62 + bob), [-2.0, -1.7, -1.6, -1.55], 0.25, [wag, wag, wag * 0.7, wag * 0.5])
        return j

    parts = spine(("rump", "hips", "belly", "chest", "withers"), (0.4, 0.52, 0.62, 0.52, 0.32), 0)
    parts += [Part("withers", "skull", 0.4, 0.36, 0), Part("skull", "brow", 0.36, 0.26, 0)]
    parts += [Part("brow", "jaw", 0.26, 0.22, 0), Part("jaw", "chin", 0.2, 0.09, 0)]
    parts += limb("trunk", (0.2, 0.17, 0.145, 0.12, 0.1, 0.08, 0.06), 0)
    parts += limb("tail", (0.07, 0.04, 0.03, 0.03, 0.05), 0)
    for side in "lr":
        parts += limb(f"{side}h", (0.36, 0.25, 0.17, 0.19), 0) + limb(f"{side}f", (0.33, 0.23, 0.17, 0.19), 0)
        parts += [Part(f"{side}h3", f"{side}h3", 0.2, 0.2, 3), Part(f"{side}f3", f"{side}f3", 0.2, 0.2, 3)]
        parts += [Part(f"{side}ear", f"{side}ear{i}", 0.1, r, 1, u=0.2 * i) for i, r in enumerate((0.14, 0.2, 0.2, 0.12))]
        parts += [Part(f"{side}tusk0", f"{side}tusk1", 0.055, 0.02, 2), Part(f"{side}eye", f"{side}eye", 0.035, 0.035, 4)]
    coat = coats.plain(coats.wrinkles(rng))
    return Animal("elephant", [skin, ear, ivory, nail, EYE], *_scaled(parts, pose, k), coat=coat, speed=0.95 * k, stride=stride * k,
                  height=2.4 * k, length=3.4 * k)  # fmt: skip


def leopard(rng: np.random.Generator) -> Animal:
    """Low, long and loose: shoulders roll, the tail hangs in a bow."""
    k = float(rng.uniform(0.9, 1.1))
    gold = dyed((0.72, 0.52, 0.27), rng)
    cream = (0.86, 0.79, 0.63)
    fur = Material(gold, cream, mark=(0.07, 0.05, 0.04), marked=1.0, grain=0.14, infrared=1.05)
    legs_fur = Material((gold[0] * 1.02, gold[1] * 1.05, gold[2] * 1.1), cream, mark=(0.08, 0.06, 0.05), marked=0.85, grain=0.12)
    pale = Material(cream, cream, grain=0.05)
    nose = Material((0.2, 0.12, 0.1), (0.2, 0.12, 0.1), grain=0)
    legs = {
        "rh": Leg(-0.45, 0.52, -0.08, 0.24, 0.24, 0.15, 1, 0.0, rake=0.35),
        "rf": Leg(0.36, 0.48, -0.09, 0.22, 0.2, 0.09, -1, 0.18, rake=0.1),
        "lh": Leg(-0.45, 0.52, 0.08, 0.24, 0.24, 0.15, 1, 0.5, rake=0.35),
        "lf": Leg(0.36, 0.48, 0.09, 0.22, 0.2, 0.09, -1, 0.68, rake=0.1),
    }
    stride = 1.05

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.62, 0.1)
        roll = 0.025 * np.sin(4 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = _vec(-0.56, 0.55 - roll), _vec(-0.42, 0.56 - roll)
        j["loin"], j["ribs"], j["chest"] = _vec(-0.1, 0.53), _vec(0.18, 0.51), _vec(0.42, 0.52 + roll)
        for side, z in (("l", 1), ("r", -1)):
            rise = 0.03 * np.sin(2 * np.pi * (m.phase + (0.25 if z > 0 else 0.75))) * m.walking
            j[f"{side}blade"] = _vec(0.36, 0.6 + rise, 0.07 * z)
        nod = 0.02 * np.sin(4 * np.pi * m.phase + 1) * m.walking
        head = carried(_vec(0.74, 0.62 + nod - 0.3 * m.lowered), -0.15 - 0.4 * m.lowered, m.turned)
        j["nape"] = _vec(0.56, 0.58 + nod - 0.1 * m.lowered)
        j["skull"], j["face"], j["muzzle"] = head(0, 0, 0), head(0.08, -0.01, 0), head(0.15, -0.035, 0)
        j["nose"], j["chin"] = head(0.185, -0.02, 0), head(0.13, -0.07, 0)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}ear"], j[f"{side}eye"] = head(-0.04, 0.1, 0.075 * z), head(0.1, 0.03, 0.052 * z)
        wave = 0.35 * np.sin(1.7 * m.time)
        angles = [-2.3, -2.5, -2.75, -3.0, -3.4, -3.9, -4.3]
        chain(j, "tail", _vec(-0.64, 0.58 - roll), angles, 0.125, [wave * 0.3 * i / 3 for i in range(7)])
        return j

    parts = spine(("rump", "hips", "loin", "ribs", "chest"), (0.12, 0.155, 0.145, 0.17, 0.15), 0)
    parts += [Part("chest", "nape", 0.14, 0.11, 0, u=1.5), Part("nape", "skull", 0.11, 0.095, 0, u=1.7)]
    parts += [Part("skull", "face", 0.1, 0.075, 0, u=0.1), Part("face", "muzzle", 0.065, 0.05, 2), Part("chin", "muzzle", 0.035, 0.04, 2)]
    parts += [Part("nose", "nose", 0.022, 0.022, 3)]
    parts += limb("tail", (0.05, 0.04, 0.036, 0.034, 0.032, 0.032, 0.032, 0.036), 0)
    for side in "lr":
        parts += limb(f"{side}h", (0.14, 0.085, 0.042, 0.048), 1) + limb(f"{side}f", (0.1, 0.07, 0.05, 0.052), 1)
        parts += [Part(f"{side}blade", f"{side}f0", 0.085, 0.1, 0, u=0.5), Part(f"{side}ear", f"{side}ear", 0.035, 0.035, 0)]
        parts += [Part(f"{side}eye", f"{side}eye", 0.017, 0.017, 4)]
    coat = coats.plain(coats.hair(rng), coats.rosettes(rng))
    return Animal("leopard", [fur, legs_fur, pale, nose, EYE], *_scaled(parts, pose, k), coat=coat, speed=0.85 * k,
                  stride=stride * k, height=0.75 * k, length=2.2 * k)  # fmt: skip


def duiker(rng: np.random.Generator) -> Animal:
    """Arched back on thin legs, high careful steps, a flicking tail."""
    k = float(rng.uniform(0.85, 1.1))
    red = dyed(((0.62, 0.33, 0.16), (0.55, 0.36, 0.22), (0.48, 0.37, 0.27))[int(rng.integers(3))], rng)
    pale = (min(red[0] * 1.25, 1), red[1] * 1.35, red[2] * 1.5)
    coat_m = Material(red, pale, mark=(0.12, 0.09, 0.07), marked=0.0, grain=0.12, infrared=1.1)
    leg_m = Material((red[0] * 0.62, red[1] * 0.6, red[2] * 0.6), (0.25, 0.18, 0.13), grain=0.08, infrared=1.1)
    dark = Material((0.13, 0.1, 0.09), (0.13, 0.1, 0.09), grain=0.05, gloss=0.15)
    white = Material((0.85, 0.82, 0.75), (0.9, 0.87, 0.8), grain=0.03)
    legs = {
        "rh": Leg(-0.26, 0.45, -0.055, 0.18, 0.18, 0.16, 1, 0.0, rake=0.22),
        "rf": Leg(0.22, 0.4, -0.05, 0.14, 0.15, 0.13, -1, 0.25, rake=0.0, stand=0.02),
        "lh": Leg(-0.26, 0.45, 0.055, 0.18, 0.18, 0.16, 1, 0.5, rake=0.22),
        "lf": Leg(0.22, 0.4, 0.05, 0.14, 0.15, 0.13, -1, 0.75, rake=0.0, stand=0.02),
    }
    stride = 0.62

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.58, 0.11)
        bob = 0.012 * np.sin(4 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = _vec(-0.34, 0.46 + bob), _vec(-0.22, 0.48 + bob)
        j["loin"], j["ribs"], j["chest"] = _vec(-0.04, 0.47 + bob), _vec(0.12, 0.43 + bob), _vec(0.25, 0.41 + bob)
        step = 0.015 * np.sin(4 * np.pi * m.phase + 0.8) * m.walking
        at = _vec(mix(0.46, 0.5, m.lowered) + step, mix(0.6, 0.15, m.lowered) + bob)
        head = carried(at, mix(-0.3, -1.0, m.lowered), m.turned)
        j["nape"] = _vec(0.36, mix(0.5, 0.33, m.lowered) + bob)
        j["skull"], j["face"], j["muzzle"] = head(0, 0, 0), head(0.06, -0.01, 0), head(0.15, -0.035, 0)
        j["nose"] = head(0.17, -0.035, 0)
        flick = 0.25 * max(0.0, np.sin(2.9 * m.time)) ** 4
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}ear0"], j[f"{side}ear1"] = head(-0.04, 0.04, 0.045 * z), head(-0.1 + flick * 0.1, 0.1, (0.1 + 0.1 * flick) * z)
            j[f"{side}horn0"], j[f"{side}horn1"] = head(-0.01, 0.055, 0.02 * z), head(-0.1, 0.12, 0.025 * z)
            j[f"{side}eye"] = head(0.05, 0.02, 0.047 * z)
        wag = 0.7 * np.sin(7 * m.time) * (np.sin(0.9 * m.time) > 0.2)
        chain(j, "tail", _vec(-0.42, 0.49 + bob), [-1.9, -1.7], 0.075, [wag, wag])
        return j

    parts = spine(("rump", "hips", "loin", "ribs", "chest"), (0.1, 0.13, 0.13, 0.135, 0.115), 0)
    parts += [Part("chest", "nape", 0.095, 0.055, 0), Part("nape", "skull", 0.055, 0.052, 0)]
    parts += [Part("skull", "face", 0.056, 0.045, 0), Part("face", "muzzle", 0.043, 0.024, 0), Part("nose", "nose", 0.02, 0.02, 2)]
    parts += limb("tail", (0.025, 0.025, 0.02), 3)
    for side in "lr":
        parts += limb(f"{side}h", (0.105, 0.05, 0.02, 0.016), 1) + limb(f"{side}f", (0.075, 0.036, 0.019, 0.016), 1)
        parts += [Part(f"{side}h0", f"{side}h1", 0.11, 0.05, 0), Part(f"{side}f0", f"{side}f1", 0.08, 0.038, 0)]
        parts += [Part(f"{side}h3", f"{side}h3", 0.021, 0.021, 2), Part(f"{side}f3", f"{side}f3", 0.021, 0.021, 2)]
        parts += [Part(f"{side}ear0", f"{side}ear1", 0.028, 0.018, 0), Part(f"{side}horn0", f"{side}horn1", 0.014, 0.005, 2)]
        parts += [Part(f"{side}eye", f"{side}eye", 0.014, 0.014, 4)]
    coat = coats.plain(coats.hair(rng))
    return Animal("duiker", [coat_m, leg_m, dark, white, EYE], *_scaled(parts, pose, k), coat=coat, speed=0.62 * k, stride=stride * k,
                  height=0.75 * k, length=0.95 * k)  # fmt: skip


def porcupine(rng: np.random.Generator) -> Animal:
    """A round back of banded quills over quick short steps."""
    k = float(rng.uniform(0.9, 1.15))
    brown = dyed((0.15, 0.12, 0.1), rng, 0.2)
    fur = Material(brown, (0.2, 0.16, 0.13), mark=(0.75, 0.7, 0.6), marked=0.25, grain=0.5, infrared=1.2)
    feet = Material((0.12, 0.09, 0.08), (0.12, 0.09, 0.08), grain=0.1)
    snout = Material((0.28, 0.23, 0.2), (0.3, 0.25, 0.22), grain=0.25)
    legs = {
        "rh": Leg(-0.2, 0.17, -0.1, 0.1, 0.09, 0.04, 1, 0.0, rake=0.5),
        "rf": Leg(0.17, 0.16, -0.09, 0.09, 0.08, 0.03, -1, 0.3),
        "lh": Leg(-0.2, 0.17, 0.1, 0.1, 0.09, 0.04, 1, 0.5, rake=0.5),
        "lf": Leg(0.17, 0.16, 0.09, 0.09, 0.08, 0.03, -1, 0.8),
    }
    stride = 0.3

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.6, 0.04)
        waddle = 0.012 * np.sin(2 * np.pi * m.phase) * m.walking
        j["rump"], j["back"], j["chest"] = _vec(-0.26, 0.25, waddle), _vec(-0.06, 0.29, waddle), _vec(0.17, 0.24, -waddle)
        head = carried(_vec(0.36, mix(0.22, 0.14, m.lowered)), -0.35 - 0.3 * m.lowered, m.turned)
        j["skull"], j["face"], j["nose"] = head(0, 0, 0), head(0.08, 0, 0), head(0.12, -0.01, 0)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}eye"], j[f"{side}ear"] = head(0.05, 0.03, 0.055 * z), head(-0.02, 0.04, 0.07 * z)
        return j

    parts = spine(("rump", "back", "chest"), (0.15, 0.19, 0.14), 0, shag=0.015)
    parts += [Part("chest", "skull", 0.12, 0.08, 0, shag=0.012), Part("skull", "face", 0.075, 0.055, 2), Part("face", "nose", 0.05, 0.035, 2)]
    for side in "lr":
        parts += limb(f"{side}h", (0.08, 0.06, 0.035, 0.032), 1) + limb(f"{side}f", (0.07, 0.05, 0.033, 0.03), 1)
        parts += [Part(f"{side}eye", f"{side}eye", 0.012, 0.012, 3), Part(f"{side}ear", f"{side}ear", 0.025, 0.025, 1)]
    coat = coats.plain(coats.hair(rng), coats.dots(rng, 9.0, 1.5))
    return Animal("porcupine", [fur, feet, snout, EYE], *_scaled(parts, pose, k), coat=coat, speed=0.5 * k, stride=stride * k,
                  height=0.6 * k, length=1.0 * k, quills=_quills(rng, k))  # fmt: skip


def _quills(rng: np.random.Generator, k: float) -> Quills:
    """Long quills on back and rump, a crest of bristles on the neck."""
    names: list[str] = []
    roots, tips = [], []
    for joint, n, radius, longest, lean in (("chest", 30, 0.11, 0.24, 2.3), ("back", 80, 0.17, 0.34, 2.45), ("rump", 80, 0.14, 0.3, 2.75)):
        around = rng.uniform(-1.75, 1.75, n)
        root = np.stack([rng.uniform(-0.12, 0.1, n), radius * np.cos(around), radius * np.sin(around)], 1)
        angle = lean + rng.normal(0, 0.14, n)
        way = np.stack([np.cos(angle), np.sin(angle) * np.cos(around) + 0.1, np.sin(around) * 0.55], 1)
        size = longest * rng.uniform(0.65, 1.05, n) * (1 - 0.3 * np.abs(around) / 1.75)
        names += [joint] * n
        roots.append(root)
        tips.append(root + way * (size / np.linalg.norm(way, axis=1))[:, None])
    return Quills(names, np.concatenate(roots) * k, np.concatenate(tips) * k)


def _scaled(parts: list[Part], pose, k: float):  # noqa: ANN001, ANN202
    """Grow an animal by `k`."""
    grown = [Part(p.a, p.b, p.ra * k, p.rb * k, p.material, p.u, p.shag * k) for p in parts]
    return grown, lambda m: {name: at * k for name, at in pose(m).items()}
