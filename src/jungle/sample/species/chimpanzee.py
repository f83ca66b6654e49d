"""Chimpanzee: high shoulders, long arms, walks on its knuckles."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, mix, place_leg, vec
from jungle.sample.animal import EYE, Animal, dye, limb, scale, spine
from jungle.sample.body import Material, Part


def chimpanzee(rng: np.random.Generator) -> Animal:
    """Walks on knuckles: high shoulders, long arms, a sloping back, no tail."""
    k = float(rng.uniform(0.82, 1.08))
    black = dye((0.1, 0.092, 0.092), rng, 0.25)
    fur = Material(
        black,
        (black[0] * 1.3, black[1] * 1.3, black[2] * 1.3),
        mark=(0.2, 0.18, 0.17),
        marked=0.15,
        grain=0.5,
        gloss=0.1,
        infrared=2.4,
    )
    face_c = ((0.42, 0.3, 0.24), (0.22, 0.16, 0.13), (0.5, 0.38, 0.31))[int(rng.integers(3))]
    face = Material(face_c, (face_c[0] * 0.9, face_c[1] * 0.9, face_c[2] * 0.9), grain=0.06, infrared=1.3)
    hand = Material((0.16, 0.12, 0.1), (0.16, 0.12, 0.1), grain=0.1, infrared=1.5)
    legs = {
        "rh": Leg(-0.3, 0.46, -0.12, 0.25, 0.22, 0.07, 1, 0.0, rake=0.2),
        "rf": Leg(0.24, 0.64, -0.17, 0.31, 0.29, 0.09, -1, 0.3, rake=-0.1, stand=0.1),
        "lh": Leg(-0.3, 0.46, 0.12, 0.25, 0.22, 0.07, 1, 0.5, rake=0.2),
        "lf": Leg(0.24, 0.64, 0.17, 0.31, 0.29, 0.09, -1, 0.8, rake=-0.1, stand=0.1),
    }
    stride = 0.95

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.6, 0.08)
        for side in "lr":
            j[f"{side}toe"] = j[f"{side}h3"] + (0.13, 0.01, 0.0)
        bob = 0.02 * np.sin(4 * np.pi * m.phase) * m.walking
        sway = 0.02 * np.sin(2 * np.pi * m.phase) * m.walking
        j["rump"], j["hips"] = vec(-0.38, 0.44 - bob, sway), vec(-0.27, 0.5 - bob, sway)
        j["belly"], j["chest"] = vec(-0.02, 0.53), vec(0.2, 0.62 + bob, -sway)
        j["withers"] = vec(0.27, 0.73 + bob, -sway)
        head = carried(vec(0.5, mix(0.8, 0.55, m.lowered) + bob), mix(-0.15, -0.7, m.lowered), m.turned)
        j["skull"], j["brow"], j["face"] = head(-0.02, 0.03, 0), head(0.09, 0.035, 0), head(0.08, -0.03, 0)
        j["muzzle"], j["chin"] = head(0.14, -0.07, 0), head(0.1, -0.11, 0)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}ear"], j[f"{side}eye"] = head(-0.01, 0.02, 0.135 * z), head(0.115, 0.012, 0.04 * z)
        return j

    parts = spine(
        ("rump", "hips", "belly", "chest", "withers"), (0.13, 0.185, 0.2, 0.225, 0.15), 0, shag=0.016
    )
    parts += [
        Part("withers", "skull", 0.16, 0.13, 0, shag=0.013),
        Part("skull", "brow", 0.13, 0.06, 0, shag=0.008),
    ]
    parts += [
        Part("brow", "face", 0.06, 0.075, 1),
        Part("face", "muzzle", 0.078, 0.058, 1),
        Part("chin", "muzzle", 0.05, 0.045, 1),
    ]
    for side in "lr":
        parts += limb(f"{side}h", (0.15, 0.1, 0.06, 0.05), 0, shag=0.013) + limb(
            f"{side}f", (0.14, 0.085, 0.06, 0.05), 0, shag=0.013
        )
        parts += [
            Part(f"{side}h3", f"{side}toe", 0.042, 0.032, 2),
            Part(f"{side}f3", f"{side}f3", 0.052, 0.052, 2),
        ]
        parts += [
            Part(f"{side}ear", f"{side}ear", 0.045, 0.045, 1),
            Part(f"{side}eye", f"{side}eye", 0.015, 0.015, 3),
        ]
    dim = Material(EYE.back, EYE.belly, grain=0, gloss=0.6, infrared=12.0)
    coat = coats.plain(coats.hair(rng, 6), np.clip(coats.noise(rng, (24, 6)), 0, 1))
    return scale(
        Animal(
            "chimpanzee",
            [fur, face, hand, dim],
            parts,
            pose,
            coat=coat,
            speed=0.75,
            stride=stride,
            height=0.95,
            length=1.1,
        ),
        k,
    )
