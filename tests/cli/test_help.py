import re

import pytest
import yaml

from jungle.cli import help, overrides
from jungle.cli.entry import COMPOSED, main
from jungle.config.folder import config_dir
from jungle.errors import UsageError

NEEDED = {
    "predict": ["ckpt=a"],
    "index": ["videos=a"],
    "calibrate": ["ckpt=a"],
    "thresholds": ["ckpt=a", "max_missed=0.05"],
    "decide": ["from=a"],
    "export": ["from=a", "formats=wide"],
    "shrink": ["videos=a", "out=b", "shrink=64x64"],
    "ensemble_stack": ["members=a"],
    "ensemble_report": ["members=a"],
    "ensemble_check": ["members=a"],
    "ensemble_pseudo": ["members=[a,b]", "out=c"],
}


def leaves(tree: dict, prefix: str = "") -> set[str]:
    found = set()
    for key, value in tree.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}"}
    return found


@pytest.mark.parametrize("args", [["train"], ["train", "model=finetune"], *([v] for v in COMPOSED[1:])])
def test_every_setting_has_its_line(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    verb, *more = args
    assert main([*args, "--help"]) == 0
    shown = capsys.readouterr().out
    assert main([verb, *more, *NEEDED.get(verb, []), "--cfg", "job"]) == 0
    composed = leaves(yaml.safe_load(capsys.readouterr().out))
    lines = set(re.findall(r"^    ([\w.]+)=", shown, re.MULTILINE))
    assert (
        composed - lines - {"experiment", "sweep"} - {n for n in composed if n.startswith("model.unfreeze.")}
        == set()
    )
    assert "=???" in shown or verb not in NEEDED


def test_a_choice_brings_its_own_settings_and_words() -> None:
    plain, tuned = (help.format_help("train", args, config_dir()) for args in ([], ["model=finetune"]))
    assert "model.unfreeze=all" in tuned
    assert "model.unfreeze" not in plain
    assert "which part is trained" in tuned
    assert re.search(r"^task=|^    task=auto +multilabel", plain, re.MULTILINE)
    assert "camtrap_finetune" in plain
    assert " base" not in plain


def test_a_misspelt_choice_is_named_in_help_too() -> None:
    with pytest.raises(UsageError, match="nasnet_frozen"):
        help.format_help("train", ["model=nasnt_frozen"], config_dir())


def test_defaults_in_help_are_those_of_the_config() -> None:
    cfg = overrides.compose("train", [], config_dir())
    shown = help.format_help("train", [], config_dir())
    assert f"frames.count={cfg.frames.count} " in shown
    assert f"seed={cfg.seed} " in shown
