"""Values that are text to a person stay text, whatever Hydra's grammar makes of them."""

import random
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from jungle.cli import overrides
from jungle.config import CONFIGS
from jungle.config.folder import config_dir
from jungle.config.kinds import OTHER, Kind, get_kind, list_keys
from jungle.config.words import get_text, parse_words, quote, split, to_hydra_words
from jungle.errors import UsageError
from jungle.pipelines import sweep as pipelines_sweep

NAMES = [
    *("2021", "007", "100", "1e3", "1_000", "2021_05", "0x10", "true", "False", "inf", "nan", "None", "~tmp"),
    *(
        "Kruger, South",
        "Côte d'Ivoire (Taï)",
        "a=1",
        "a b",
        " lead",
        "trail ",
        "it's",
        'say "x"',
        "'open",
        "-rf",
    ),
    *(
        "a:b",
        "{x}",
        "{a:1}",
        "%",
        "100%",
        "#1",
        "a#b",
        "$HOME",
        "${x}",
        "${oc.env:HOME}",
        "\\${x}",
        "a\\",
        "@home",
    ),
    *(
        "choice(a,b)",
        "range(1,3)",
        "glob(*)",
        "*.mp4",
        "[a].mp4",
        "a,b",
        ",",
        "D:\\clips",
        "\\\\nas\\x",
        "écureuil",
    ),
    *("日本", "a&b", "a|b", "a;b", "!x", "`x`", "<x>", "??", "a\tb", "=", "==", "a/b c/d", "+x", "null.mp4"),
]


def value(word: str) -> Any:
    """Return what a config gets of a word."""
    return OmegaConf.to_container(OmegaConf.create({"x": parse_words([word])[0].value()}), resolve=True)["x"]  # type: ignore[index]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_what_was_typed(name: str) -> None:
    [videos, out] = to_hydra_words("predict", [f"videos={name}", f"out={name}"])
    assert value(videos) == value(out) == name
    assert to_hydra_words("predict", [videos, out]) == [
        videos,
        out,
    ]  # as the other processes of a run read it


@pytest.mark.parametrize("name", ["2021", "1e3", "Kruger, South", "${x} é", "true", "other (primate)"])
def test_a_text_passes_through_hydra_whole(name: str) -> None:
    assert overrides.compose("predict", ["ckpt=a.ckpt", f"videos={name}"], config_dir()).videos == name
    cfg = overrides.compose("train", ["data=folders", f"data.root={name}", f"name={name}"], config_dir())
    assert (cfg.data.root, cfg.name) == (Path(name), name)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("[blank,other (primate)]", ["blank", "other (primate)"]),
        ("[blank, écureuil ,leopard]", ["blank", "écureuil", "leopard"]),
        ("[/data/Côte d'Ivoire/a.mp4]", ["/data/Côte d'Ivoire/a.mp4"]),
        ("[a=1.ckpt,b=2.ckpt]", ["a=1.ckpt", "b=2.ckpt"]),
        ("[1]", ["1"]),
        ("[true,null,1e3]", ["true", "null", "1e3"]),
        ("[other (small, brown),x]", ["other (small, brown)", "x"]),
        ("['a,b',c]", ["a,b", "c"]),
        ('["a,b",c]', ["a,b", "c"]),
        ("[d'Ivoire,d'Or]", ["d'Ivoire", "d'Or"]),
        ("[a(,b]", ["a(", "b"]),
        ("[${x},$y]", ["${x}", "$y"]),
        ("[]", []),
    ],
)
def test_the_elements_of_a_list_are_texts(typed: str, meant: list[str]) -> None:
    for verb, key in (("train", "data.classes"), ("predict", "videos"), ("ensemble_stack", "members")):
        [word] = to_hydra_words(verb, [f"{key}={typed}"])
        assert value(word) == meant
        [override] = parse_words([word])  # as a sweep hands it to its trials
        trial = f"{key}={override.get_value_element_as_str()}"
        assert value(to_hydra_words(verb, [trial])[0]) == meant


def test_a_comma_is_a_sweep_with_m_alone() -> None:
    def of(word: str, sweep: bool) -> list[str]:
        [meant] = to_hydra_words("train", [word], sweep=sweep)
        [override] = parse_words([meant])
        if not override.is_sweep_override():
            return [value(meant)]
        trials = [f"data.root={v}" for v in override.sweep_string_iterator()]
        assert to_hydra_words("train", trials) == trials
        return [value(t) for t in trials]

    assert of("data.root=Kruger, South", False) == ["Kruger, South"]
    assert of("data.root=2021,2022", True) == ["2021", "2022"]
    assert of("data.root='Kruger, South',Tai (1)", True) == ["Kruger, South", "Tai (1)"]
    assert of("data.root=choice(a,b)", True) == ["a", "b"]
    for given in (["head=mean,max"], ["seed=1,2"]):
        with pytest.raises(UsageError, match="add -m"):
            overrides.prepare("train", given, config_dir())
    with pytest.raises(UsageError, match=r"trainer.devices=\[0,1\]"):
        overrides.prepare("train", ["trainer.devices=0,1"], config_dir())
    with pytest.raises(UsageError, match="has no sweeps"):
        overrides.prepare("predict", ["-m", "ckpt=a"], config_dir())


@pytest.mark.parametrize(
    ("verb", "word", "says"),
    [
        ("train", "data.root=", "is empty"),
        ("train", "data.root=''", "is empty"),
        ("train", "data.sites=[a,b]", "one path, no list"),
        ("train", "data.only=blank", r"data.only=\[blank\]"),
        ("train", "data.only=a,b", r"data.only=\[a,b\]"),
        ("predict", "ckpt=[a,,b]", "commas"),
        ("predict", "videos=???", r"\./\?\?\?"),
        ("predict", "videos=a\0b", "NUL"),
        ("predict", "videos=" + "x" * 9000, "letters"),
        ("train", "data.root=/a\udcff", "not UTF-8"),
    ],
)
def test_what_is_no_value_is_told(verb: str, word: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        to_hydra_words(verb, [word])
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)


def test_several_that_are_there_are_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.ckpt", "b.ckpt"):
        Path(name).touch()
    with pytest.raises(UsageError, match=r"write ckpt=\[a.ckpt,b.ckpt\]"):
        to_hydra_words("predict", ["ckpt=a.ckpt,b.ckpt"])
    Path("a.ckpt,b.ckpt").touch()
    assert value(to_hydra_words("predict", ["ckpt=a.ckpt,b.ckpt"])[0]) == "a.ckpt,b.ckpt"


def test_null_is_nothing_and_quotes_are_hydras() -> None:
    assert value(to_hydra_words("train", ["data.root=null"])[0]) is None
    assert value(to_hydra_words("train", ["data.root='null'"])[0]) == "null"
    assert value(to_hydra_words("train", [r"name='it\'s'"])[0]) == "it's"
    assert to_hydra_words("train", ["name='${seed}'"]) == ["name='${seed}'"]
    with pytest.raises(UsageError, match=r"paths\.runs=null: give one path"):
        overrides.compose("train", ["paths.runs=null"], config_dir())


def test_random_texts_come_back() -> None:
    draw = random.Random(3)
    letters = [*"ab\\$'\" ,[](){}:=é~#-1", "${", "${x}", "true", "null", "\\'", "\\${"]
    for _ in range(300):
        text = "".join(draw.choice(letters) for _ in range(draw.randint(1, 9)))
        assert get_text(parse_words([f"k={quote(text)}"])[0]) == text


def test_text_is_parted_at_open_commas() -> None:
    assert split(" a , b ") == ["a", "b"]
    assert split("'x'y,z") == ["'x'y", "z"]
    assert split("a,") == ["a", ""]


def test_the_kind_of_a_setting_is_that_of_its_type() -> None:
    train, predict = CONFIGS["train"], CONFIGS["predict"]
    assert get_kind(train, "data.root") == Kind(text=True, texts=True, path=True, null=True)
    assert get_kind(train, "data.only") == Kind(texts=True, null=True)
    assert get_kind(predict, "ckpt") == Kind(text=True, texts=True, path=True)
    assert get_kind(train, "head.score") == Kind(text=True)  # of some heads alone
    assert get_kind(train, "head") == Kind(group=True)
    assert (
        get_kind(train, "seed") == get_kind(train, "optim.lr") == get_kind(train, "trainer.devices") == OTHER
    )
    assert get_kind(train, "data.nothing") is None
    assert {"data.root", "head.hidden", "seed", "optim.plateau.factor"} <= set(list_keys(train))


def test_a_group_may_be_added_and_its_choice_be_a_number(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "2021.yaml").write_text("# @package _global_\nseed: 5\n")
    for word in ("experiment=2021", "+experiment=2021", "++experiment=2021"):
        assert overrides.compose("train", [word], config_dir(), str(tmp_path)).seed == 5
    assert overrides.compose("train", ["+seed=3", "++data.limit=4"], config_dir()).seed == 3
    assert pipelines_sweep.is_sweep(False, ["+sweep=heads"])


@pytest.mark.parametrize(
    ("verb", "argv", "says"),
    [
        ("predict", ["--ckpt", "best.ckpt", "--videos", "x"], "write ckpt=best.ckpt videos=x$"),
        ("predict", ["--ckpt=best.ckpt"], "write ckpt=best.ckpt$"),
        ("predict", ["--batch-size", "4"], "write batch_size=4$"),
        ("predict", ["-c"], "needs a value"),
        ("predict", ["-v", "x"], "write videos=x$"),
        ("predict", ["-z"], "no option -z"),
        ("predict", ["--ckptt=x"], "no option --ckptt. Nearest: ckpt. Settings are written key=value"),
        ("train", ["--data.root", "x"], "write data.root=x$"),
        ("train", ["--seed", "-1"], "write seed=-1$"),
        ("train", ["--sed"], "Nearest: seed"),
        ("train", ["--config-name=x"], "--config-dir"),
        ("train", ["-cn", "x"], "--config-dir"),
        ("train", ["--experimental-rerun=x"], "resume="),
        ("train", ["best.ckpt"], "best.ckpt: a setting is key=value"),
        ("train", ["hydra.searchpath=[file:///x]"], "--config-dir"),
        ("train", ["--cfg=all", "--resolve", "--what"], "no option --what"),
    ],
)
def test_an_option_that_there_is_not_says_what_to_write(verb: str, argv: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        overrides.prepare(verb, argv, config_dir())


@pytest.mark.parametrize(
    ("verb", "word", "nearest"),
    [
        ("train", "modle=finetune", "Nearest: model."),
        ("train", "heda=gru", "Nearest: head."),
        ("train", "lr=1e-3", "Nearest: optim.lr,"),
        ("train", "epochs=3", "Nearest: trainer.max_epochs."),
        ("train", "batch_size=3", "Nearest: data.batch_size."),
        ("train", "trainr.devices=2", "Nearest: trainer.devices."),
        ("predict", "video=x", "Nearest: videos."),
        ("predict", "threshold=1", "there is no setting named threshold. All"),
        ("predict", "format=csv", "there is no setting named format. All"),
    ],
)
def test_only_what_is_near_is_suggested(verb: str, word: str, nearest: str) -> None:
    given = ["ckpt=a"] if verb == "predict" else []
    with pytest.raises(UsageError) as error:
        overrides.compose(verb, [*given, word], config_dir())
    assert nearest in str(error.value)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("data.limit=abc", "data.limit=abc: give a whole number"),
        ("report=7", "report=7: give true or false"),
        ("seed=null", "seed=null: give a whole number"),
        ("+nonsense=1", "there is no setting nonsense"),
    ],
)
def test_wrong_values_are_told_in_words(word: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        overrides.compose("train", [word], config_dir())
    assert says in str(error.value)


def test_lightnings_own_word_for_the_folder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in quotes that do not hold for each name; the run's own word is before it."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    folder = quote("/runs/it's ${x}")
    argv = overrides.prepare(
        "train", [f"hydra.run.dir={folder}", 'hydra.run.dir="/runs/it\'s ${x}"'], config_dir()
    )
    assert argv == [f"hydra.run.dir={folder}"]
