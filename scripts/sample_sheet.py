"""Draw the contact sheet of the sample, a row a class, by day and by infrared.

python scripts/sample_sheet.py docs/images/sample.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jungle.files import replace_atomically
from jungle.sample.film import cast, frames
from jungle.sample.plan import HEIGHT, SHARES, WIDTH, Shot, plan

DAY, NIGHT = (0.25, 0.5, 0.75), (0.5,)  # moments of the clips, as fractions
WIDE, GAP, LEFT = 1200, 6, 104  # pixels of the sheet, between frames, and for the names


def write_sheet(path: Path) -> None:
    """Write a PNG with three frames of a day clip and one of an infrared clip of each class."""
    shots = plan(240, 20, 0)
    names = [name for name in SHARES if name != "blank"] + ["blank"]
    columns = len(DAY) + len(NIGHT)
    w = (WIDE - LEFT - GAP * (columns + 1)) // columns
    h = round(w * HEIGHT / WIDTH)
    sheet = Image.new("RGB", (WIDE, (h + GAP) * len(names) + GAP), (250, 250, 248))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    used: set[int] = set()
    for row, name in enumerate(names):
        top, left = GAP + row * (h + GAP), LEFT
        draw.text((10, top + h / 2), name, (30, 34, 30), font, anchor="lm")
        for night, moments in ((False, DAY), (True, NIGHT)):
            shot = _pick(shots, name, night, used)
            used.add(shot.site)
            shown = list(frames(shot, 0))
            for moment in moments:
                picture = Image.fromarray(np.ascontiguousarray(shown[int(moment * (shot.frames - 1))]))
                sheet.paste(picture.resize((w, h), Image.Resampling.LANCZOS), (left, top))
                left += w + GAP
    with replace_atomically(path) as part:
        # A palette of its own makes a third of the size; the frames' noise hides its steps.
        sheet.quantize(255, dither=Image.Dither.NONE).save(part, format="PNG", optimize=True)


def _pick(shots: list[Shot], name: str, night: bool, used: set[int]) -> Shot:
    """Return the clip of one class alone that shows its walk best, preferably from a site not shown yet."""
    found = [s for s in shots if s.labels == (name,) and s.night == night]
    found = sorted(found, key=lambda s: s.site in used)[:7]
    if name == "blank":
        return found[0]

    def rate(shot: Shot) -> float:
        animal, track = cast(shot, 0)[0]
        x = track.x[[int(m * (shot.frames - 1)) for m in DAY]]
        inside = ((x > 0.2 * WIDTH) & (x < 0.8 * WIDTH)).sum()
        walked = 1.6 * min(abs(float(x[-1] - x[0])) / WIDTH, 0.5)
        dim = 0.0 if night else abs(shot.time.hour - 12) / 8
        return float(inside) + walked + animal.species.height * float(track.ppm.mean()) / 200 - dim

    return max(found, key=rate)


if __name__ == "__main__":
    write_sheet(Path(sys.argv[1]))
