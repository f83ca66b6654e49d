"""No container engine is needed: what the Dockerfile names is there, and what it must not name is not."""

import fnmatch
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Which registry serves packages and images is the user's choice, made in pip's and the engine's own settings.
HOSTS = (".org/", ".io/", "--index-url", "--extra-index-url", "--find-links")


@pytest.fixture(scope="module")
def instructions():
    """Instructions of the Dockerfile as (name, words), continued lines joined and comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split()[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def stages(instructions):
    """What each stage is made from, and its instructions."""
    found, name = {}, ""
    for word, rest in instructions:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = (base, [])
        else:
            found[name][1].append((word, rest))
    return found


def sources(stages):
    """Paths that are copied from the repository."""
    copies = [
        shlex.split(rest) for _, body in stages.values() for word, rest in body if word in ("COPY", "ADD")
    ]
    return [path for words in copies if not words[0].startswith("--from") for path in words[:-1]]


def whole(stages, name):
    """The instructions of a stage after those of the stages it is made from."""
    base, body = stages[name]
    return (whole(stages, base) if base in stages else []) + body


def test_every_source_that_is_copied_exists_and_reaches_the_engine(stages):
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert len(sources(stages)) >= 5
    for path in sources(stages):
        assert (ROOT / path).exists(), path
        assert any(fnmatch.fnmatch(path, pattern) for pattern in let_in), f".dockerignore keeps {path} out"
    for path in let_in:
        assert path in sources(stages), f".dockerignore lets {path} in, which nothing copies"


def test_stages_are_copied_from_that_exist(stages):
    names = [re.search(r"--from=(\S+)", rest) for _, body in stages.values() for _, rest in body]
    assert {m.group(1) for m in names if m} <= set(stages)


def test_no_registry_is_named(instructions):
    for word, rest in instructions:
        for host in HOSTS:
            assert host not in rest, f"{word} {rest}"
        if word == "FROM":
            assert "." not in rest.split("/")[0].split(":")[0], f"{rest}: names a registry"


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_target_runs_jungle_as_a_user_without_rights(stages, target):
    body = whole(stages, target)
    assert [rest for word, rest in body if word == "USER"][-1] not in ("root", "0")
    assert [rest for word, rest in body if word == "ENTRYPOINT"] == ['["jungle"]']
    assert stages["base"][0].startswith("python:3.12-slim")


def test_the_gpu_target_asks_the_runtime_for_compute_and_video(stages):
    environment = " ".join(rest for word, rest in whole(stages, "cuda") if word == "ENV")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video" in environment
    assert "NVIDIA_VISIBLE_DEVICES=all" in environment
    assert list(stages)[-1] == "cuda"


def test_dependencies_do_not_depend_on_the_code(stages):
    copied = [rest for word, rest in stages["dependencies"][1] if word == "COPY"]
    assert copied == ["requirements.txt /build/requirements.txt"]
