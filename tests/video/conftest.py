"""Clips for the tests of the video room, written once a run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tests.video.clip_cases import CASES


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def case(clip_folder):
    """A function from a case's name to its file."""

    def file_of(name: str) -> Path:
        path = clip_folder / name
        if not path.exists():
            CASES[name](path)
        return path

    return file_of
