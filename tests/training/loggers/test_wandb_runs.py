"""W&B with a key and no network, or a server that refuses: a line, and the run goes on offline."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jungle import network
from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UserError
from jungle.training.loggers import run_logger, wandb_run
from jungle.training.loggers.run_names import RunNames
from jungle.training.loggers.wandb_key import has_key
from tests.conftest import ROOT

NAMES = RunNames("run", None, "train")
KEY = "0123456789" * 4  # of nobody


def config(mode: str):
    return overrides.compose("train", [f"logger.mode={mode}"], config_dir())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class Refusing(http.server.BaseHTTPRequestHandler):
    """Knows no key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """A W&B server that refuses every key."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_host_answers_or_not_within_seconds(silent: str, refusing: str) -> None:
    assert network.is_reachable(refusing)
    for url in (
        silent,
        "http://127.0.0.1:9",
        "http://no.such.host.invalid",
        "file:///etc/hostname",
        "nonsense",
    ):
        began = time.monotonic()
        assert not network.is_reachable(url, 1.0)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_key_and_no_network_keeps_the_run_offline(
    kind: str, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = {"closed": "http://127.0.0.1:9", "silent": silent}[kind]
    monkeypatch.setattr(wandb_run, "_find_host", lambda: host)
    with pytest.raises(
        UserError, match=rf"logger\.mode=online: {host} does not answer; give logger\.mode=off"
    ):
        run_logger.check(config("online"))
    run_logger.check(config("auto"))
    run_logger.check(config("offline"))
    made: list[bool] = []
    monkeypatch.setattr(wandb_run, "_make_logger", lambda *_, online: made.append(online) or Begun())
    with caplog.at_level("INFO"):
        run_logger.make_logger(config("auto"), tmp_path, NAMES)
    assert made == [False]
    assert caplog.text.count("does not answer: the run is kept offline") == 1


class Begun:
    """A logger whose run has begun."""

    experiment = object()


def test_a_server_that_refuses_the_run_leaves_it_offline(
    refusing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_BASE_URL", refusing)
    wandb.teardown()  # what it has read of the environment in other tests
    try:
        with pytest.raises(UserError, match=r"logger\.mode=online: "):
            run_logger.check(config("online"))
        began = time.monotonic()
        logger = run_logger.make_logger(config("auto"), tmp_path, NAMES)
        assert time.monotonic() - began < 120
        logger.log_metrics({"a": 1.0})
        run_logger.close(config("auto"), logger)
        assert "W&B refuses the run" in caplog.text
        assert KEY not in caplog.text
        assert list(tmp_path.glob("wandb/offline-run-*"))
    finally:
        wandb.teardown()


@pytest.mark.parametrize(
    ("mode", "says"),
    [("auto", None), ("online", "W&B refuses the run: a bad day"), ("offline", "give logger=none")],
)
def test_whatever_else_fails_in_wandb(mode, says, tmp_path, monkeypatch, caplog) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a bad day\nand more of it")

    monkeypatch.setattr(wandb_run, "_make_logger", fails)
    monkeypatch.setattr(wandb_run, "_find_obstacle", lambda *_, **__: None)
    monkeypatch.setattr(wandb_run, "_find_host", lambda: "https://wandb.invalid")
    if says is None:
        assert run_logger.make_logger(config(mode), tmp_path, NAMES) is False
        assert "history.json alone keeps the numbers" in caplog.text
        return
    with pytest.raises(UserError, match=says) as error:
        run_logger.make_logger(config(mode), tmp_path, NAMES)
    assert "\n" not in str(error.value)


def test_a_key_is_found_for_the_server_that_is_used(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not has_key("https://wandb.our-lab.org")
    (tmp_path / "netrc").write_text(f"machine tracking.our-lab.org\n  login user\n  password {KEY}\n")
    assert has_key("https://tracking.our-lab.org")
    assert not has_key("https://api.elsewhere.org")


def test_only_the_first_process_begins_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run_logger.make_logger(config("auto"), tmp_path, NAMES)
    assert not list(tmp_path.glob("wandb/*"))


def test_an_end_without_a_network_is_a_line(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    import wandb

    def late() -> None:
        raise TimeoutError

    monkeypatch.setattr(wandb, "finish", late)
    wandb_run.close_run()
    assert "W&B did not take all of the run within 600 s: it is whole in its folder" in caplog.text


def test_a_runs_state_of_git_is_where_it_is_given_or_where_the_program_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine" / "scripts"
    mine.mkdir(parents=True)
    monkeypatch.chdir(mine)
    assert wandb_run._find_repository() == str(ROOT)
    (tmp_path / "mine" / ".git").mkdir()
    assert wandb_run._find_repository() == str(tmp_path / "mine")
