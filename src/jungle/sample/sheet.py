"""The contact sheet of the sample: a row a class, by day and by infrared.

python -m jungle.sample.sheet docs/images/sample.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from jungle.files import replace_atomically
from jungle.sample.film import cast, frames
from jungle.sample.plan import HEIGHT, SHARES, WIDTH, Shot, plan

DAY = (0.25, 0.5, 0.75)  # moments of the clip, as fractions
NIGHT = (0.5,)
GAP, LEFT = 6, 104  # pixels between frames, and for the names


def contact_sheet(
    path: Path | str, *, clips: int = 240, sites: int = 20, seed: int = 0, width: int = 1200
) -> Path:
    """Write a PNG with three frames of a day clip and one of an infrared clip of each class.

    Args:
        path: where to.
        clips: of the sample that is shown.
        sites: of the sample that is shown.
        seed: of the sample that is shown.
        width: of the picture, pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    shots = plan(clips, sites, seed)
    names = [name for name in SHARES if name != "blank"] + ["blank"]
    columns = len(DAY) + len(NIGHT)
    w = (width - LEFT - GAP * (columns + 1)) // columns
    h = round(w * HEIGHT / WIDTH)
    sheet = Image.new("RGB", (width, (h + GAP) * len(names) + GAP), (250, 250, 248))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    used: set[int] = set()
    for row, name in enumerate(names):
        top = GAP + row * (h + GAP)
        draw.text((10, top + h / 2), name, (30, 34, 30), font, anchor="lm")
        left = LEFT
        for night, moments in ((False, DAY), (True, NIGHT)):
            shot = _pick(shots, name, night, used, seed)
            used.add(shot.site)
            wanted = {int(m * (shot.frames - 1)) for m in moments}
            for i, frame in enumerate(frames(shot, seed)):
                if i in wanted:
                    picture = Image.fromarray(np.ascontiguousarray(frame)).resize(
                        (w, h), Image.Resampling.LANCZOS
                    )
                    sheet.paste(picture, (left, top))
                    left += w + GAP
                if i >= max(wanted):
                    break
    path = Path(path)
    with replace_atomically(path) as part:
        # A palette of its own makes a third of the size; the frames' noise hides its steps.
        sheet.quantize(255, dither=Image.Dither.NONE).save(part, format="PNG", optimize=True)
    return path


def _pick(shots: list[Shot], name: str, night: bool, used: set[int], seed: int) -> Shot:
    """A clip of one class alone that shows its walk best, from a site not shown yet where there is one."""
    found = sorted(
        (s for s in shots if s.labels == (name,) and s.night == night), key=lambda s: s.site in used
    )[:7]
    if name == "blank":
        return found[0]

    def shown(shot: Shot) -> float:
        animal, track = cast(shot, seed)[0]
        x = track.x[[int(m * (shot.frames - 1)) for m in DAY]]
        inside = ((x > 0.2 * WIDTH) & (x < 0.8 * WIDTH)).sum()
        walked = 1.6 * min(abs(float(x[-1] - x[0])) / WIDTH, 0.5)
        dim = 0.0 if night else abs(shot.time.hour - 12) / 8
        return float(inside) + walked + animal.height * float(track.ppm.mean()) / 200 - dim

    return max(found, key=shown)


if __name__ == "__main__":
    print(contact_sheet(*sys.argv[1:2]))
