"""Files that call themselves checkpoints and would hang, fill memory or run code: one line, soon, unread."""

import io
import os
import pickle
import resource
import time
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from jungle.errors import UserError
from jungle.models.backbones.weights import load_weights
from jungle.models.checkpoint import load_checkpoint
from jungle.models.tensors import load_archive
from tests.models.test_checkpoint import Saved
from tests.models.test_checkpoint import saved as of_backbone


@cache
def _bytes() -> bytes:
    held = io.BytesIO()
    torch.save(of_backbone("test_resnet"), held)
    return held.getvalue()


def saved() -> Saved:
    """A small honest one, to be spoilt."""
    return torch.load(io.BytesIO(_bytes()), weights_only=True)


def put(
    path: Path,
    description: bytes,
    members: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Write an archive as `torch.save` does, with any description."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", description)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for name, content in (members or {}).items():
            archive.writestr(f"archive/data/{name}", content)


def refused(path: Path, said: str) -> None:
    """Load it: one line that says so, within seconds, in some hundred megabytes more."""
    spent, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=said) as error:
        load_checkpoint(path)
    assert str(error.value).isprintable()
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))
    assert time.process_time() - spent < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 1_000_000  # KiB


def _hex_chain() -> bytes:
    """A text that is written out as hexadecimal digits again and again, 2^34 times as long at the end."""
    text = b"c_codecs\nencode\nq\x00X\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R"
    return b"\x80\x02" + text + b"q\x01" + b"h\x00h\x01X\x03\x00\x00\x00hex\x86Rq\x01" * 34 + b"."


DESCRIPTIONS: dict[str, tuple[bytes, str]] = {
    "code": (b"cos\nsystem\n(X\x04\x00\x00\x00truetR.", "would have to call .*system"),
    "code, protocol 4": (pickle.dumps(os.system, protocol=4), "would have to call"),
    "hex of hex of hex": (_hex_chain(), "would have to call _codecs.encode"),
    "a long array": (b"c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR.", "would have to call"),
    "a step too many": (b"\x80\x02" + b"]0" * 1_500_000 + b"N.", "more than 2,000,000 steps"),
    "sets without end": (b"\x80\x02(" + b"\x8f" * 3_000_000 + b"l.", "more than 2,000,000 steps"),
    "too large": (
        b"\x80\x02X" + (9 << 20).to_bytes(4, "little") + b"a" * (9 << 20) + b".",
        "larger than 8 MiB",
    ),
    "nothing": (b"", "damaged"),
    "cut off": (b"\x80\x02X\xff\xff\xff\x7fa", "damaged"),
    "no end": (b"\x80\x02]", "damaged"),
    "noise": (bytes(range(256)), "damaged|call"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_that_is_no_table_of_weights(tmp_path: Path, name: str) -> None:
    put(tmp_path / "a.ckpt", DESCRIPTIONS[name][0])
    refused(tmp_path / "a.ckpt", DESCRIPTIONS[name][1])


def test_compressed_parts(tmp_path: Path) -> None:
    put(tmp_path / "a.ckpt", b"\x80\x02N.", {"0": bytes(50 << 20)}, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.ckpt").stat().st_size < 1_000_000
    refused(tmp_path / "a.ckpt", "compressed")


def test_parts_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jungle.models.archives.MAX_MEMBERS", 100)
    put(tmp_path / "a.ckpt", b"\x80\x02N.", {str(i): b"" for i in range(101)})
    refused(tmp_path / "a.ckpt", "parts, more than")


def test_parts_that_lie_over_each_other(tmp_path: Path) -> None:
    put(tmp_path / "a.ckpt", b"\x80\x02N.", {"0": bytes(1 << 20), "1": b""})
    text = (tmp_path / "a.ckpt").read_bytes()
    # In the list at the end: the second part begins where the first does, and is as large.
    at, first = (text.rindex(b"archive/data/" + name) - 46 for name in (b"1", b"0"))
    text = (
        text[:at]
        + text[first : first + 28]
        + text[at + 28 : at + 42]
        + text[first + 42 : first + 46]
        + text[at + 46 :]
    )
    (tmp_path / "a.ckpt").write_bytes(text)
    refused(tmp_path / "a.ckpt", "larger than the file|no archive")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"P",
        b"PK\x03\x04",
        b"# README\n" * 99,
        pickle.dumps({"a": 1}),
        b"\x00" * 5000,
        b"PK\x05\x06" + b"\x00" * 18,
    ],
)
def test_what_is_no_archive(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "README.md").write_bytes(text)
    refused(tmp_path / "README.md", "not a checkpoint: .*Give the best.ckpt or last.ckpt of a training run")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda p: p.symlink_to(p)])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.ckpt")
    refused(tmp_path / "a.ckpt", "not a file|no such file")


def _laugh(last: Any, wide: int = 10, deep: int = 9) -> Any:
    for _ in range(deep):
        last = [last] * wide
    return last


def _deep(levels: int) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


def _head(**values: Any) -> Callable[[Saved], None]:
    return lambda s: s["jungle"]["head"].update(values)


def _backbone(**values: Any) -> Callable[[Saved], None]:
    return lambda s: s["jungle"]["backbone"].update(values)


def _about(**values: Any) -> Callable[[Saved], None]:
    return lambda s: s["jungle"].update(values)


def _weights(name: str, make: Callable[[torch.Tensor], Any]) -> Callable[[Saved], None]:
    """Put what is made of the weights of a norm under a name."""
    return lambda s: s["state_dict"].update({name: make(s["state_dict"]["head.norm.bias"])})


def _sizes(clip: Any, backbone: Any, count: int = 2) -> Callable[[Saved], None]:
    def spoil(spoilt: Saved) -> None:
        spoilt["jungle"]["clip"].update(size=clip, frames={"kind": "uniform", "count": count})
        spoilt["jungle"]["backbone"].update(size=backbone)

    return spoil


def _same_many_times(spoilt: Saved) -> None:
    large = max(spoilt["state_dict"].values(), key=lambda w: w.nbytes)
    spoilt["state_dict"].update({f"more.{i}": large for i in range(5000)})


def _class(name: Any) -> Callable[[Saved], None]:
    def spoil(spoilt: Saved) -> None:
        spoilt["jungle"].update(classes=[name, "lion"], priors={name: 0.5, "lion": 0.5})

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_about(extra=_laugh("a")), "larger or deeper"),
        (_head(x=_laugh({"a": 1})), "larger or deeper"),
        (_about(extra={"a": _laugh([], 200, 3)}), "larger or deeper"),
        (_about(extra=_deep(200)), "larger or deeper"),
        (_about(extra=[1] * 300_000), "larger or deeper"),
        (_about(extra="x" * 2000), "2,000 letters"),
        (_about(extra={"x" * 2000: 1}), "2,000 letters"),
        (_about(extra={1: 2}), "no text"),
        (_about(extra={1, 2}), "plain value|call"),
        (_about(version=True), "version 'True'"),
        (_about(version=1.0), "version '1.0'"),
        (_about(classes="ab", priors={"a": 0.5, "b": 0.5}), "no list of names"),
        (_about(classes={"hog": 1, "lion": 2}), "no list of names"),
        (_about(classes=[]), "no class"),
        (_about(priors={"hog": 0.5}), "lacks"),
        (_about(prior_shift={"hog": float("inf")}), "prior_shift"),
        (_about(prior_shift={"hog": float("nan")}), "prior_shift"),
        (_about(prior_shift={"hog": 1e300}), "prior_shift"),
        (_class("key"), "'key': it is a column"),
        (_class("a\x1b[31mb"), r"'a\\x1b\[31mb': it holds a letter"),
        (_class("a\udc80"), "it holds a letter"),
        (_class("x" * 500), "has 500 letters"),
        (_class(""), "is empty"),
        (_head(name="transformer", layers=10**7, units=8, heads=2, mix_dropout=0.0), "layers"),
        (_head(name="tcn", layers=10**9, units=8, mix_dropout=0.0), "layers"),
        (_head(layers="many"), "invalid literal"),
        (_head(layers=-1), "layers"),
        (_head(hidden=10**18), "does not fit"),
        (_backbone(taps=["layer1"] * 100_000), "named twice"),
        (_backbone(taps=[f"layer{i}" for i in range(90_000)]), "no module layer0"),
        (_backbone(size=[4097, 4096]), "size: |another size"),
        (_backbone(size=[10**12, 1]), "size: |another size"),
        (_backbone(size="32"), "size: |another size"),
        (_backbone(name="resnet18.\t\x1b[31m"), "cannot build|no such model"),
        (_sizes(None, [30000, 30000]), "size: "),
        (_sizes([4096, 4096], [4096, 4096], count=4096), "206 GB"),
        (_weights("head.norm.bias", lambda w: w * float("nan")), "head.norm.bias are not finite"),
        (_weights("head.norm.bias", lambda w: w + float("inf")), "head.norm.bias are not finite"),
        (_weights("head.norm.bias", lambda w: w.long()), "head.norm.bias are torch.int64"),
        (_weights("head.norm.bias", lambda w: w.to(torch.complex64)), "call|complex"),
        (_weights("head.norm.bias", lambda w: "text"), "something else than named tensors"),
        (_weights("more", lambda w: w[:1].expand(10**12)), "larger than the file"),
        (_same_many_times, "larger than the file"),
        (lambda s: s.update(state_dict=[1]), "no table of weights"),
        (lambda s: s.pop("state_dict"), "no table of weights"),
        (lambda s: s.update(state_dict={}), "no table of weights"),
    ],
)
def test_a_description_that_claims_too_much(
    tmp_path: Path, spoil: Callable[[Saved], None], said: str
) -> None:
    spoilt = saved()
    spoil(spoilt)
    torch.save(spoilt, tmp_path / "a.ckpt")
    refused(tmp_path / "a.ckpt", said)


def test_large_frames_are_not_looked_at_while_loading(tmp_path: Path) -> None:
    large = saved()
    large["jungle"]["clip"]["size"] = large["jungle"]["backbone"]["size"] = [4096, 4096]
    torch.save(large, tmp_path / "a.ckpt")
    spent, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load_checkpoint(tmp_path / "a.ckpt").model.backbone.dim > 8
    assert time.process_time() - spent < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 500_000


def test_what_a_model_works_out_for_itself_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(saved(), tmp_path / "a.ckpt")
    load_checkpoint(tmp_path / "a.ckpt")
    monkeypatch.setattr("jungle.models.checkpoint.BUFFERS", -(10**12))
    refused(tmp_path / "a.ckpt", "far more memory")


def test_a_stranger_s_weights_may_not_be_compressed(tmp_path: Path) -> None:
    put(tmp_path / "a.pth", b"\x80\x02N.", {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "a.pth")
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    load_weights(torch.nn.Linear(1, 1), tmp_path / "b.pth")


def test_what_training_saves_is_read(tmp_path: Path) -> None:
    """With all kinds of numbers, an optimizer's state, and one tensor that stands in two places."""
    shared = torch.randn(3)
    kinds = (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.int32,
        torch.int64,
        torch.bool,
        torch.uint8,
    )
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    held = {
        "state_dict": {
            **{str(k): torch.ones(2).to(k) for k in kinds},
            "a": shared,
            "b": shared,
            "p": layer.weight,
        },
        "optimizer_states": [optimizer.state_dict()],
        "callbacks": {"Best": {"best_model_score": torch.tensor(0.5), "kept": None, "path": "ü"}},
    }
    torch.save(held, tmp_path / "a.ckpt")
    found = load_archive(tmp_path / "a.ckpt")
    assert all(torch.equal(found["state_dict"][k], v) for k, v in held["state_dict"].items())
    buffer = io.BytesIO()
    torch.save(found, buffer)
