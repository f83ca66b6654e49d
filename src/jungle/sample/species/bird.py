"""Bird: a guineafowl or a francolin, with a head that nods at each step."""

from __future__ import annotations

import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Joints, Leg, Moment, carried, mix, place_leg, vec
from jungle.sample.animal import EYE, Animal, dye, limb, scale, spine
from jungle.sample.body import Material, Part


def bird(rng: np.random.Generator) -> Animal:
    """A guineafowl or a francolin: the head stays, then jerks ahead at each step."""
    k = float(rng.uniform(0.85, 1.2))
    guinea = rng.random() < 0.6
    if guinea:
        body_c, head_c, mark = dye((0.2, 0.2, 0.23), rng), (0.16, 0.36, 0.62), (0.92, 0.92, 0.92)
    else:
        body_c, head_c, mark = dye((0.45, 0.31, 0.18), rng), (0.55, 0.38, 0.22), (0.14, 0.09, 0.06)
    feathers = Material(
        body_c,
        (body_c[0] * 1.1, body_c[1] * 1.1, body_c[2] * 1.1),
        mark=mark,
        marked=0.9,
        grain=0.3,
        infrared=1.5,
    )
    wing = Material(
        (body_c[0] * 0.85, body_c[1] * 0.85, body_c[2] * 0.85),
        body_c,
        mark=mark,
        marked=0.75,
        grain=0.5,
        infrared=1.5,
    )
    head_m = Material(head_c, head_c, grain=0.1, infrared=1.3)
    red = Material((0.72, 0.16, 0.1), (0.72, 0.16, 0.1), grain=0.02)
    leg_m = Material((0.36, 0.3, 0.26), (0.36, 0.3, 0.26), grain=0.05, infrared=1.2)
    horn = Material((0.6, 0.48, 0.33), (0.6, 0.48, 0.33), grain=0.02)
    legs = {
        "r": Leg(0.0, 0.27, -0.055, 0.1, 0.11, 0.11, 1, 0.0, rake=0.35, stand=0.03),
        "l": Leg(0.0, 0.27, 0.055, 0.1, 0.11, 0.11, 1, 0.5, rake=0.35, stand=0.03),
    }
    stride = 0.36

    def pose(m: Moment) -> Joints:
        j: Joints = {}
        for name, leg in legs.items():
            place_leg(j, name, leg, m, stride, 0.62, 0.07)
            for i, spread in enumerate((-0.5, 0.0, 0.5)):
                j[f"{name}claw{i}"] = j[f"{name}3"] + (0.07 * np.cos(spread), -0.004, 0.07 * np.sin(spread))
        bob = 0.008 * np.sin(4 * np.pi * m.phase) * m.walking
        tip = 0.3 * m.lowered
        body = carried(vec(0.0, 0.33 + bob), -tip, 0.0)
        j["rump"], j["back"] = body(-0.17, 0.0, 0), body(-0.05, 0.03, 0)
        j["breast"], j["crop"] = body(0.1, 0.0, 0), body(0.15, 0.06, 0)
        step = (2 * m.phase) % 1.0
        jerk = (0.04 * ((step / 0.35) if step < 0.35 else (1 - step) / 0.65) - 0.02) * m.walking
        at = vec(mix(0.22, 0.3, m.lowered) + jerk, mix(0.56, 0.07, m.lowered) + bob)
        head = carried(at, mix(-0.05, -1.1, m.lowered), m.turned)
        j["throat"] = (j["crop"] + at) / 2 + (0.02, 0, 0)
        j["skull"], j["bill0"], j["bill1"] = at, head(0.03, -0.005, 0), head(0.085, -0.02, 0)
        j["helmet0"], j["helmet1"], j["wattle"] = (
            head(-0.005, 0.03, 0),
            head(-0.025, 0.065, 0),
            head(0.03, -0.04, 0),
        )
        fan = 0.08 * np.sin(1.1 * m.time)
        j["tail0"], j["tail1"] = body(-0.18, 0.02, 0), body(-0.34, -0.1 + fan * 0.3, 0)
        j["tail2"], j["tail3"] = body(-0.32, -0.08, 0.05), body(-0.32, -0.08, -0.05)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}w0"], j[f"{side}w1"], j[f"{side}w2"] = (
                body(0.07, 0.03, 0.1 * z),
                body(-0.08, 0.02, 0.115 * z),
                body(-0.22, -0.03, 0.07 * z),
            )
            j[f"{side}eye"] = head(0.012, 0.01, 0.025 * z)
        return j

    parts = spine(("rump", "back", "breast", "crop"), (0.09, 0.135, 0.13, 0.08), 0)
    parts += [
        Part("crop", "throat", 0.065, 0.034, 0),
        Part("throat", "skull", 0.032, 0.032, 2),
        Part("skull", "skull", 0.036, 0.036, 2),
    ]
    parts += [Part("bill0", "bill1", 0.02, 0.006, 5)]
    parts += [Part("tail0", f"tail{i}", 0.06, 0.025, 1, u=0.1 * i) for i in (1, 2, 3)]
    if guinea:
        parts += [Part("helmet0", "helmet1", 0.018, 0.01, 5), Part("wattle", "wattle", 0.014, 0.014, 3)]
    for side in "lr":
        parts += [
            Part(f"{side}w0", f"{side}w1", 0.06, 0.065, 1),
            Part(f"{side}w1", f"{side}w2", 0.065, 0.025, 1, u=0.15),
        ]
        parts += limb(side, (0.075, 0.04, 0.014, 0.012), 4)
        parts[-3] = Part(f"{side}0", f"{side}1", 0.08, 0.04, 0)
        parts += [Part(f"{side}3", f"{side}claw{i}", 0.011, 0.006, 4) for i in range(3)]
        parts += [Part(f"{side}eye", f"{side}eye", 0.009, 0.009, 6)]
    marks = coats.dots(rng, 8.5, 1.3) if guinea else np.clip(coats.noise(rng, (44, 26)) * 0.8, 0, 1)
    return scale(
        Animal(
            "bird",
            [feathers, wing, head_m, red, leg_m, horn, EYE],
            parts,
            pose,
            coat=coats.plain(coats.hair(rng, 3), marks),
            speed=0.42,
            stride=stride,
            height=0.62,
            length=0.6,
        ),
        k,
    )
