"""Recipes run in the process of the tests."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jungle.cli.entry import main
from jungle.pipelines import subprocesses
from jungle.sample import ensure_sample

Staged = Callable[[list[str]], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def sample_40(shared_folder: Path) -> Path:
    """The sample that a recipe is tried on with `scale=tiny`, rendered once a test run."""
    return ensure_sample(shared_folder / "sample_40", clips=40)


@pytest.fixture
def staged(command, monkeypatch, capfd, tmp_path) -> Staged:
    """Run a recipe in this process; its stages are forked from one that has imported the large libraries."""

    def stage(words: list[str]) -> int:
        done = command("jungle", *words)
        sys.stderr.write(done.stderr)
        return done.returncode

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocesses, "run", stage)

    def run(args: list[str]) -> subprocess.CompletedProcess[str]:
        code = main(["train", *args])
        return subprocess.CompletedProcess(args, code, *capfd.readouterr())

    return run
