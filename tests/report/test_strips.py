import base64
import io

import numpy as np
import pytest
from PIL import Image

from jungle.report import strips
from jungle.report.strips import StripRequest


@pytest.fixture(scope="module")
def drawn(videos, tmp_path_factory):
    text = tmp_path_factory.mktemp("bad") / "bad.avi"
    text.write_text("no video")
    attention = np.full(12, 0.05)
    attention[7] = 0.45
    times = np.arange(12) / 6
    return strips.draw_strips(
        [
            StripRequest("seen", str(videos / "c0.avi"), times, attention),
            StripRequest("bad", str(text), times, attention),
            StripRequest("plain", str(videos / "c1.avi"), times),
            StripRequest("unknown", str(videos / "c2.avi")),
        ]
    )


def brightness(cell):
    image = Image.open(io.BytesIO(base64.b64decode(cell.image.split(",", 1)[1])))
    return float(np.asarray(image.convert("L")).mean())


def test_the_frame_that_decided_is_shown_and_marked(drawn):
    strip = drawn["seen"]
    assert len(strip.cells) == strips.CELLS
    (peak,) = [c for c in strip.cells if c.peak]
    assert peak.seconds == pytest.approx(7 / 6, abs=0.01)
    assert brightness(peak) == pytest.approx(20 + 15 * 7, abs=4)
    assert strip.peak == pytest.approx(0.45)


def test_every_frame_that_the_model_saw_has_a_bar(drawn):
    bars = [b for c in drawn["seen"].cells for b in c.bars]
    assert [round(b.weight, 2) for b in bars] == [0.05] * 7 + [0.45] + [0.05] * 4
    assert max(b.height for b in bars) == 1
    assert sum(b.shown for b in bars) == strips.CELLS


def test_frames_are_in_order_of_time(drawn):
    seconds = [c.seconds for c in drawn["seen"].cells]
    assert seconds == sorted(seconds)


def test_a_head_that_does_not_look_has_pictures_without_bars(drawn):
    for name in ("plain", "unknown"):
        assert len(drawn[name].cells) == strips.CELLS
        assert not any(c.bars or c.peak for c in drawn[name].cells)


def test_a_clip_that_cannot_be_read_has_a_reason(drawn):
    assert drawn["bad"].cells == []
    assert drawn["bad"].reason


def test_pictures_that_take_too_much_room_are_made_smaller(videos, monkeypatch):
    wanted = [StripRequest("a", str(videos / "c0.avi"))]
    monkeypatch.setattr(strips, "MOST_BYTES", 1)
    monkeypatch.setattr(strips, "QUALITIES", (95, 5))
    small = strips.draw_strips(wanted)
    monkeypatch.setattr(strips, "MOST_BYTES", 10**9)
    large = strips.draw_strips(wanted)
    assert len(small["a"].cells[0].image) < len(large["a"].cells[0].image)


def test_time_that_is_used_up_is_said(videos):
    drawn = strips.draw_strips([StripRequest(f"{i}", str(videos / "c0.avi")) for i in range(3)], budget_s=0)
    assert drawn["0"].cells
    assert "not drawn" in drawn["2"].reason
