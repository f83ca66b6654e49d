"""A key that stands twice: of two values one would be lost."""

from pathlib import Path

import pytest

from jungle.cli.overrides import prepare_command
from jungle.config import gate
from jungle.config.compose import compose, summarize_error
from jungle.config.folder import config_dir
from jungle.config.words import parse_words
from jungle.errors import UsageError, shorten_error
from jungle.plain import find_repeated, read


@pytest.mark.parametrize(
    "value", ["{0: head, 0: all}", "{0: head, 00: all}", "{0: {a: 1, a: 2}}", "[{a: 1, b: 2, a: 3}]"]
)
def test_of_one_word(value: str) -> None:
    with pytest.raises(UsageError, match="is set twice within it: keep one"):
        parse_words([f"model.unfreeze={value}"])


def test_of_one_word_of_python() -> None:
    with pytest.raises(UsageError, match="0 is set twice within it"):
        compose("train", ["model=finetune", "model.unfreeze={0: head, 0: all}"], config_dir())


def test_keys_that_differ_pass() -> None:
    assert (
        len(parse_words(["model.unfreeze={0: head, 2: all}", "a=[{x: 1}, {x: 2}]", "b='{0: a, 0: b}'"])) == 3
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("model:\n  unfreeze:\n    0: head\n    0: all\n", "0 is set twice (lines 3 and 4)"),
        ("unfreeze: {0: head, 0: all}\n", "0 is set twice (line 1)"),
        ("unfreeze:\n  0: head\n  '0': all\n", "0 is set twice (lines 2 and 3)"),
        ("seed: 1\nname: x\nseed: 2\n", "seed is set twice (lines 1 and 3)"),
        ("- a: 1\n  a: 2\n", "a is set twice (lines 1 and 2)"),
    ],
)
def test_of_a_file(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        read(file)
    assert where in str(error.value)
    assert str(error.value).count("\n") == 0


def test_of_a_folder_of_configs_and_of_json(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "x.yaml").write_text("model:\n  unfreeze: {0: a, 0: b}\n")
    with pytest.raises(UsageError, match=r"x\.yaml: 0 is set twice"):
        gate.check_config_dir(tmp_path)
    (tmp_path / "a.json").write_text('{"a": 1, "b": {"c": 1, "c": 2}}')
    with pytest.raises(UsageError, match="c is set twice"):
        read(tmp_path / "a.json")


def test_numbers_are_one_key_however_they_are_written() -> None:
    assert find_repeated([0, 1, 0.0]) == 0.0
    assert find_repeated(["0", 0]) == 0
    assert find_repeated(["00", "0"]) == "0"
    assert (
        find_repeated([0, 1, "a", "A", 1.5, True is None]) is not None
    )  # False counts as 0 in Python's own dict
    assert find_repeated([0, 1, "a", "A", 1.5]) is None


def test_settings_given_twice(caplog) -> None:
    prepare_command("train", ["seed=1", "seed=2", "--cfg=job"], config_dir())
    assert "seed=1 and seed=2: seed= is given twice; the last is taken" in caplog.text
    caplog.clear()
    prepare_command("train", ["seed=1", "seed=1", "--cfg=job"], config_dir())
    assert caplog.text == ""
    with pytest.raises(UsageError, match=r"several values are a list: videos=\[one,another\]"):
        prepare_command("predict", ["ckpt=x.ckpt", "videos=a", "videos=b"], config_dir())
    with pytest.raises(UsageError, match="write both in one"):
        prepare_command(
            "train", ["model=finetune", "model.unfreeze={0: head}", "model.unfreeze={2: all}"], config_dir()
        )


def test_the_first_line_of_an_error() -> None:
    assert shorten_error(ValueError("\n\n  a \nb\nc")) == "a"
    assert shorten_error(ValueError("a\n\nb\nc"), lines=2) == "a b"
    assert shorten_error(ValueError("abcdef"), 3) == "abc"
    assert shorten_error(KeyError()) == "KeyError"
    assert summarize_error(ValueError("Could not.\nDo this.\nMore")) == "Could not. Do this."
