"""Human, bird and chimpanzee: two legs upright, two legs with a nodding head, and knuckles for forefeet."""

from __future__ import annotations

import numpy as np

from jungle.data.sample import coats
from jungle.data.sample.anatomy import Joints, Leg, Moment, carried, chain, footfall, mix, place_leg
from jungle.data.sample.animal import EYE, Animal, dyed, limb, spine
from jungle.data.sample.body import Material, Part
from jungle.data.sample.quadrupeds import _scaled, _vec

SKINS = ((0.24, 0.15, 0.1), (0.33, 0.21, 0.14), (0.55, 0.37, 0.27), (0.72, 0.53, 0.42))
SHIRTS = ((0.42, 0.46, 0.3), (0.2, 0.34, 0.55), (0.68, 0.24, 0.2), (0.75, 0.71, 0.6), (0.34, 0.37, 0.4), (0.8, 0.64, 0.26))
TROUSERS = ((0.3, 0.3, 0.26), (0.22, 0.27, 0.4), (0.5, 0.44, 0.33), (0.33, 0.37, 0.26))


def human(rng: np.random.Generator) -> Animal:
    """Upright; arms swing against the legs. Some wear a hat, some carry a pack."""
    k = float(rng.uniform(0.92, 1.05))
    skin_c = SKINS[int(rng.integers(len(SKINS)))]
    shirt_c = dyed(SHIRTS[int(rng.integers(len(SHIRTS)))], rng)
    cloth_c = dyed(TROUSERS[int(rng.integers(len(TROUSERS)))], rng)
    skin = Material(skin_c, skin_c, grain=0.03, infrared=1.9)
    shirt = Material(shirt_c, (shirt_c[0] * 0.85, shirt_c[1] * 0.85, shirt_c[2] * 0.85), grain=0.08, infrared=1.7)
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
        j["pelvis"], j["waist"] = _vec(-0.01, 0.95 + bob), _vec(0.03 * stoop, 1.1 + bob)
        lean = 0.06 + stoop
        j["chest"] = j["waist"] + 0.26 * _vec(np.sin(lean), np.cos(lean))
        j["neck"] = j["chest"] + 0.17 * _vec(np.sin(lean), np.cos(lean))
        head = carried(j["neck"] + 0.16 * _vec(np.sin(lean) + 0.1, np.cos(lean)), -0.05 - 0.5 * m.lowered, m.turned)
        j["skull"], j["face"], j["nose"] = head(0, 0.02, 0), head(0.045, -0.05, 0), head(0.105, -0.02, 0)
        j["hair"], j["brim0"], j["brim1"] = head(-0.02, 0.045, 0), head(0.0, 0.055, -0.09), head(0.0, 0.055, 0.09)
        j["peak"] = head(0.14, 0.05, 0)
        for side, z, off in (("l", 1, 0.0), ("r", -1, 0.5)):
            swing = 0.42 * np.sin(2 * np.pi * (m.phase + off + 0.1)) * m.walking + 0.05 * np.sin(m.time) + 0.2 * m.lowered
            shoulder = j["neck"] + (-0.02, -0.08, 0.185 * z)
            elbow = shoulder + 0.3 * _vec(np.sin(swing), -np.cos(swing), 0.02 * z)
            fore = swing + 0.3 + 0.25 * max(swing, 0)
            j[f"{side}a0"], j[f"{side}a1"] = shoulder, elbow
            j[f"{side}a2"] = elbow + 0.25 * _vec(np.sin(fore), -np.cos(fore))
            j[f"{side}a3"] = elbow + 0.35 * _vec(np.sin(fore + 0.1), -np.cos(fore + 0.1))
            j[f"{side}s"] = j["neck"] + (-0.01, -0.07, 0.12 * z)
            j[f"{side}eye"] = head(0.085, 0.005, 0.032 * z)
        j["pack0"], j["pack1"] = j["chest"] + (-0.2, 0.1, 0), j["waist"] + (-0.17, 0.06, 0)
        return j

    parts = [Part("pelvis", "waist", 0.15, 0.14, 2), Part("waist", "chest", 0.145, 0.16, 1), Part("chest", "neck", 0.15, 0.07, 1)]
    parts += [Part("neck", "skull", 0.06, 0.06, 0), Part("skull", "face", 0.1, 0.07, 0), Part("nose", "nose", 0.018, 0.018, 0)]
    parts += [Part("brim0", "brim1", 0.075, 0.075, 4), Part("hair", "peak", 0.1, 0.035, 4)] if has_hat else [Part("hair", "hair", 0.105, 0.105, 5)]
    if has_pack:
        parts += [Part("pack0", "pack1", 0.15, 0.17, 4)]
    for side in "lr":
        parts += [Part(f"{side}0", f"{side}1", 0.1, 0.068, 2), Part(f"{side}1", f"{side}2", 0.066, 0.05, 2)]
        parts += [Part(f"{side}2", f"{side}3", 0.05, 0.05, 3), Part(f"{side}3", f"{side}toe", 0.05, 0.036, 3)]
        parts += [Part("neck", f"{side}s", 0.06, 0.085, 1), Part(f"{side}s", f"{side}a0", 0.085, 0.07, 1)]
        parts += [Part(f"{side}a0", f"{side}a1", 0.066, 0.05, 1), Part(f"{side}a1", f"{side}a2", 0.045, 0.036, 1 if sleeves else 0)]
        parts += [Part(f"{side}a2", f"{side}a3", 0.036, 0.034, 0), Part(f"{side}eye", f"{side}eye", 0.012, 0.012, 6)]
    coat = coats.plain(np.clip(coats.noise(rng, (14, 10)) * 0.4 + coats.noise(rng, (40, 40)) * 0.2, -1, 1))
    dim = Material(EYE.back, EYE.belly, grain=0, infrared=6.0)
    return Animal("human", [skin, shirt, cloth, boot, pack, hair, dim], *_scaled(parts, pose, k), coat=coat, speed=1.05 * k,
                  stride=stride * k, height=1.75 * k, length=0.5 * k)  # fmt: skip


def chimpanzee(rng: np.random.Generator) -> Animal:
    """Walks on knuckles: high shoulders, long arms, a sloping back, no tail."""
    k = float(rng.uniform(0.82, 1.08))
    black = dyed((0.1, 0.092, 0.092), rng, 0.25)
    fur = Material(black, (black[0] * 1.3, black[1] * 1.3, black[2] * 1.3), mark=(0.2, 0.18, 0.17), marked=0.15, grain=0.5, gloss=0.1, infrared=2.4)
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
        j["rump"], j["hips"] = _vec(-0.38, 0.44 - bob, sway), _vec(-0.27, 0.5 - bob, sway)
        j["belly"], j["chest"] = _vec(-0.02, 0.53), _vec(0.2, 0.62 + bob, -sway)
        j["withers"] = _vec(0.27, 0.73 + bob, -sway)
        head = carried(_vec(0.5, mix(0.8, 0.55, m.lowered) + bob), mix(-0.15, -0.7, m.lowered), m.turned)
        j["skull"], j["brow"], j["face"] = head(-0.02, 0.03, 0), head(0.09, 0.035, 0), head(0.08, -0.03, 0)
        j["muzzle"], j["chin"] = head(0.14, -0.07, 0), head(0.1, -0.11, 0)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}ear"], j[f"{side}eye"] = head(-0.01, 0.02, 0.135 * z), head(0.115, 0.012, 0.04 * z)
        return j

    parts = spine(("rump", "hips", "belly", "chest", "withers"), (0.13, 0.185, 0.2, 0.225, 0.15), 0, shag=0.016)
    parts += [Part("withers", "skull", 0.16, 0.13, 0, shag=0.013), Part("skull", "brow", 0.13, 0.06, 0, shag=0.008)]
    parts += [Part("brow", "face", 0.06, 0.075, 1), Part("face", "muzzle", 0.078, 0.058, 1), Part("chin", "muzzle", 0.05, 0.045, 1)]
    for side in "lr":
        parts += limb(f"{side}h", (0.15, 0.1, 0.06, 0.05), 0, shag=0.013) + limb(f"{side}f", (0.14, 0.085, 0.06, 0.05), 0, shag=0.013)
        parts += [Part(f"{side}h3", f"{side}toe", 0.042, 0.032, 2), Part(f"{side}f3", f"{side}f3", 0.052, 0.052, 2)]
        parts += [Part(f"{side}ear", f"{side}ear", 0.045, 0.045, 1), Part(f"{side}eye", f"{side}eye", 0.015, 0.015, 3)]
    dim = Material(EYE.back, EYE.belly, grain=0, gloss=0.6, infrared=12.0)
    coat = coats.plain(coats.hair(rng, 6), np.clip(coats.noise(rng, (24, 6)), 0, 1))
    return Animal("chimpanzee", [fur, face, hand, dim], *_scaled(parts, pose, k), coat=coat, speed=0.75 * k, stride=stride * k,
                  height=0.95 * k, length=1.1 * k)  # fmt: skip


def bird(rng: np.random.Generator) -> Animal:
    """A guineafowl or a francolin: the head stays, then jerks ahead at each step."""
    k = float(rng.uniform(0.85, 1.2))
    guinea = rng.random() < 0.6
    if guinea:
        body_c, head_c, mark = dyed((0.2, 0.2, 0.23), rng), (0.16, 0.36, 0.62), (0.92, 0.92, 0.92)
    else:
        body_c, head_c, mark = dyed((0.45, 0.31, 0.18), rng), (0.55, 0.38, 0.22), (0.14, 0.09, 0.06)
    feathers = Material(body_c, (body_c[0] * 1.1, body_c[1] * 1.1, body_c[2] * 1.1), mark=mark, marked=0.9, grain=0.3, infrared=1.5)
    wing = Material((body_c[0] * 0.85, body_c[1] * 0.85, body_c[2] * 0.85), body_c, mark=mark, marked=0.75, grain=0.5, infrared=1.5)
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
        body = carried(_vec(0.0, 0.33 + bob), -tip, 0.0)
        j["rump"], j["back"] = body(-0.17, 0.0, 0), body(-0.05, 0.03, 0)
        j["breast"], j["crop"] = body(0.1, 0.0, 0), body(0.15, 0.06, 0)
        step = (2 * m.phase) % 1.0
        jerk = (0.04 * ((step / 0.35) if step < 0.35 else (1 - step) / 0.65) - 0.02) * m.walking
        at = _vec(mix(0.22, 0.3, m.lowered) + jerk, mix(0.56, 0.07, m.lowered) + bob)
        head = carried(at, mix(-0.05, -1.1, m.lowered), m.turned)
        j["throat"] = (j["crop"] + at) / 2 + (0.02, 0, 0)
        j["skull"], j["bill0"], j["bill1"] = at, head(0.03, -0.005, 0), head(0.085, -0.02, 0)
        j["helmet0"], j["helmet1"], j["wattle"] = head(-0.005, 0.03, 0), head(-0.025, 0.065, 0), head(0.03, -0.04, 0)
        fan = 0.08 * np.sin(1.1 * m.time)
        j["tail0"], j["tail1"] = body(-0.18, 0.02, 0), body(-0.34, -0.1 + fan * 0.3, 0)
        j["tail2"], j["tail3"] = body(-0.32, -0.08, 0.05), body(-0.32, -0.08, -0.05)
        for side, z in (("l", 1), ("r", -1)):
            j[f"{side}w0"], j[f"{side}w1"], j[f"{side}w2"] = body(0.07, 0.03, 0.1 * z), body(-0.08, 0.02, 0.115 * z), body(-0.22, -0.03, 0.07 * z)
            j[f"{side}eye"] = head(0.012, 0.01, 0.025 * z)
        return j

    parts = spine(("rump", "back", "breast", "crop"), (0.09, 0.135, 0.13, 0.08), 0)
    parts += [Part("crop", "throat", 0.065, 0.034, 0), Part("throat", "skull", 0.032, 0.032, 2), Part("skull", "skull", 0.036, 0.036, 2)]
    parts += [Part("bill0", "bill1", 0.02, 0.006, 5)]
    parts += [Part("tail0", f"tail{i}", 0.06, 0.025, 1, u=0.1 * i) for i in (1, 2, 3)]
    if guinea:
        parts += [Part("helmet0", "helmet1", 0.018, 0.01, 5), Part("wattle", "wattle", 0.014, 0.014, 3)]
    for side in "lr":
        parts += [Part(f"{side}w0", f"{side}w1", 0.06, 0.065, 1), Part(f"{side}w1", f"{side}w2", 0.065, 0.025, 1, u=0.15)]
        parts += limb(side, (0.075, 0.04, 0.014, 0.012), 4)
        parts[-3] = Part(f"{side}0", f"{side}1", 0.08, 0.04, 0)
        parts += [Part(f"{side}3", f"{side}claw{i}", 0.011, 0.006, 4) for i in range(3)]
        parts += [Part(f"{side}eye", f"{side}eye", 0.009, 0.009, 6)]
    marks = coats.dots(rng, 8.5, 1.3) if guinea else np.clip(coats.noise(rng, (44, 26)) * 0.8, 0, 1)
    return Animal("bird", [feathers, wing, head_m, red, leg_m, horn, EYE], *_scaled(parts, pose, k),
                  coat=coats.plain(coats.hair(rng, 3), marks), speed=0.42 * k, stride=stride * k, height=0.62 * k, length=0.6 * k)  # fmt: skip
