"""Ensembles of members that are made up, without the drawing of charts."""

import pytest


@pytest.fixture(autouse=True)
def without_drawing(request: pytest.FixtureRequest) -> None:
    """Leave charts undrawn, but for the test of a whole page."""
    if request.function.__name__ != "test_a_stack_beats_its_best_member_and_writes_all_of_it":
        request.getfixturevalue("undrawn_charts")
