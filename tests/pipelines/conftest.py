"""Recipes run in the process of the tests."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from jungle.cli.entry import main
from jungle.pipelines import subprocesses

Staged = Callable[[list[str]], subprocess.CompletedProcess[str]]


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
