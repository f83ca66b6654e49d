"""Human: upright, arms swinging against the legs."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, footfall, place_leg, vec
from jungle.sample.animal import EYE, Animal, dye, scale
from jungle.sample.body import Material, Part

SKINS = ((0.24, 0.15, 0.1), (0.33, 0.21, 0.14), (0.55, 0.37, 0.27), (0.72, 0.53, 0.42))
SHIRTS = (
    (0.42, 0.46, 0.3),
    (0.2, 0.34, 0.55),
    (0.68, 0.24, 0.2),
    (0.75, 0.71, 0.6),
    (0.34, 0.37, 0.4),
    (0.8, 0.64, 0.26),
)
TROUSERS = ((0.3, 0.3, 0.26), (0.22, 0.27, 0.4), (0.5, 0.44, 0.33), (0.33, 0.37, 0.26))


def human(rng: np.random.Generator) -> Animal:
    """Upright; arms swing against the legs. Some wear a hat, some carry a pack."""
    k = float(rng.uniform(0.92, 1.05))
    skin_c = SKINS[int(rng.integers(len(SKINS)))]
    shirt_c = dye(SHIRTS[int(rng.integers(len(SHIRTS)))], rng)
    cloth_c = dye(TROUSERS[int(rng.integers(len(TROUSERS)))], rng)
    skin = Material(skin_c, skin_c, grain=0.03, infrared=1.9)
    shirt = Material(
        shirt_c, (shirt_c[0] * 0.85, shirt_c[1] * 0.85, shirt_c[2] * 0.85), grain=0.08, infrared=1.7
    )
    cloth = Material(cloth_c, cloth_c, grain=0.08, infrared=1.9)
    boot = Material((0.1, 0.08, 0.07), (0.1, 0.08, 0.07), grain=0.05, infrared=1.5)
    pack = Material((0.36, 0.3, 0.2), (0.3, 0.25, 0.17), grain=0.1, infrared=1.4)
    hair = Material((0.06, 0.05, 0.04), (0.06, 0.05, 0.04), grain=0.3)
    has_pack, has_hat, sleeves = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.6
    legs = {
        "r": Leg(0.0, 0.9, -0.1, 0.44, 0.43, 0.09, 1, 0.0, rake=0.1),
        "l": Leg(0.0, 0.9, 0.1, 0.44, 0.43, 0.09, 1, 0.5, rake=0.1),
    }
    stride = 1.35

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        bob = 0.02 * np.cos(4 * np.pi * m.phase) * m.walking
        stoop = 0.22 * m.lowered
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.6, 0.09)
            _, swing = footfall(m.phase + leg.offset, 0.6)
            dip = 0.5 * np.sin(np.pi * swing) * m.walking
            j[f"{name}toe"] = j[f"{name}3"] + (0.18 * np.cos(dip), -0.02 - 0.1 * np.sin(dip) + 0.04, 0.0)
        j["pelvis"], j["waist"] = vec(-0.01, 0.95 + bob), vec(0.03 * stoop, 1.1 + bob)
        lean = 0.06 + stoop
        j["chest"] = j["waist"] + 0.26 * vec(np.sin(lean), np.cos(lean))
        j["neck"] = j["chest"] + 0.17 * vec(np.sin(lean), np.cos(lean))
        head = carried(
            j["neck"] + 0.16 * vec(np.sin(lean) + 0.1, np.cos(lean)), -0.05 - 0.5 * m.lowered, m.turned
        )
        j["skull"], j["face"], j["nose"] = head(0, 0.02, 0), head(0.045, -0.05, 0), head(0.105, -0.02, 0)
        j["hair"], j["brim0"], j["brim1"] = (
            head(-0.02, 0.045, 0),
            head(0.0, 0.055, -0.09),
            head(0.0, 0.055, 0.09),
        )
        j["peak"] = head(0.14, 0.05, 0)
        for side, z, off in (("l", 1, 0.0), ("r", -1, 0.5)):
            swing = (
                0.42 * np.sin(2 * np.pi * (m.phase + off + 0.1)) * m.walking
                + 0.05 * np.sin(m.time)
                + 0.2 * m.lowered
            )
            shoulder = j["neck"] + (-0.02, -0.08, 0.185 * z)
            elbow = shoulder + 0.3 * vec(np.sin(swing), -np.cos(swing), 0.02 * z)
            fore = swing + 0.3 + 0.25 * max(swing, 0)
            j[f"{side}a0"], j[f"{side}a1"] = shoulder, elbow
            j[f"{side}a2"] = elbow + 0.25 * vec(np.sin(fore), -np.cos(fore))
            j[f"{side}a3"] = elbow + 0.35 * vec(np.sin(fore + 0.1), -np.cos(fore + 0.1))
            j[f"{side}s"] = j["neck"] + (-0.01, -0.07, 0.12 * z)
            j[f"{side}eye"] = head(0.085, 0.005, 0.032 * z)
        j["pack0"], j["pack1"] = j["chest"] + (-0.2, 0.1, 0), j["waist"] + (-0.17, 0.06, 0)
        return j

    parts = [
        Part("pelvis", "waist", 0.15, 0.14, 2),
        Part("waist", "chest", 0.145, 0.16, 1),
        Part("chest", "neck", 0.15, 0.07, 1),
    ]
    parts += [
        Part("neck", "skull", 0.06, 0.06, 0),
        Part("skull", "face", 0.1, 0.07, 0),
        Part("nose", "nose", 0.018, 0.018, 0),
    ]
    parts += (
        [Part("brim0", "brim1", 0.075, 0.075, 4), Part("hair", "peak", 0.1, 0.035, 4)]
        if has_hat
        else [Part("hair", "hair", 0.105, 0.105, 5)]
    )
    if has_pack:
        parts += [Part("pack0", "pack1", 0.15, 0.17, 4)]
    for side in "lr":
        parts += [Part(f"{side}0", f"{side}1", 0.1, 0.068, 2), Part(f"{side}1", f"{side}2", 0.066, 0.05, 2)]
        parts += [Part(f"{side}2", f"{side}3", 0.05, 0.05, 3), Part(f"{side}3", f"{side}toe", 0.05, 0.036, 3)]
        parts += [Part("neck", f"{side}s", 0.06, 0.085, 1), Part(f"{side}s", f"{side}a0", 0.085, 0.07, 1)]
        parts += [
            Part(f"{side}a0", f"{side}a1", 0.066, 0.05, 1),
            Part(f"{side}a1", f"{side}a2", 0.045, 0.036, 1 if sleeves else 0),
        ]
        parts += [
            Part(f"{side}a2", f"{side}a3", 0.036, 0.034, 0),
            Part(f"{side}eye", f"{side}eye", 0.012, 0.012, 6),
        ]
    coat = coats.plain(np.clip(coats.noise(rng, (14, 10)) * 0.4 + coats.noise(rng, (40, 40)) * 0.2, -1, 1))
    dim = Material(EYE.back, EYE.belly, grain=0, infrared=6.0)
    return scale(
        Animal(
            "human",
            [skin, shirt, cloth, boot, pack, hair, dim],
            parts,
            pose,
            coat=coat,
            speed=1.05,
            stride=stride,
            height=1.75,
            length=0.5,
        ),
        k,
    )
