"""`docs/architecture.md` says what the code is."""

import re

from scripts import draw_architecture

from tests.conftest import ROOT


def test_the_drawing_and_the_table_are_those_of_the_code() -> None:
    page = draw_architecture.PAGE.read_text()
    assert "flowchart TD\n    " in page
    assert draw_architecture.drawn(page) == page


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`(jungle/[\w/]+\.py)`", draw_architecture.PAGE.read_text())
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "src" / name).is_file()] == []
