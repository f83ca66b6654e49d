"""A command that is told to stop says so in one line, whatever it was about; it never looks like a fault."""

import signal

import pytest
from hydra.errors import ConfigCompositionException

from jungle.cli.entry import run_guarded
from jungle.config import compose
from jungle.config.folder import config_dir
from jungle.errors import Stopped, UserError


def fails_as_it_is_interrupted(stop: BaseException, error: Exception, chained: bool) -> None:
    try:
        raise stop
    except BaseException as e:
        if chained:
            raise error from e
        raise error  # noqa: B904 - as a library does whose cleaning up fails


@pytest.mark.parametrize("chained", [True, False])
@pytest.mark.parametrize(
    ("stop", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted: the same command resumes from here\n"),
        (Stopped(signal.SIGTERM), 143, "stopped by SIGTERM: the same command resumes from here\n"),
    ],
)
@pytest.mark.parametrize("error", [AttributeError("'NoneType'"), RuntimeError("half-way"), OSError("bad")])
def test_what_fails_since_it_was_interrupted_is_no_fault(stop, code, said, error, chained, capsys) -> None:
    assert run_guarded(lambda: fails_as_it_is_interrupted(stop, error, chained)) == code
    assert capsys.readouterr().err == said


def test_what_a_user_must_know_is_said_though_it_was_interrupted(capsys) -> None:
    full = OSError(28, "No space left on device", "last.ckpt")
    assert run_guarded(lambda: fails_as_it_is_interrupted(KeyboardInterrupt(), full, False)) == 1
    assert "No space left on device" in capsys.readouterr().err
    told = UserError("last.ckpt: is damaged")
    assert run_guarded(lambda: fails_as_it_is_interrupted(KeyboardInterrupt(), told, False)) == 1
    assert "is damaged" in capsys.readouterr().err


def test_a_fault_of_its_own_stays_one() -> None:
    def broken() -> None:
        raise AttributeError("a fault")

    with pytest.raises(AttributeError, match="a fault"):
        run_guarded(broken)


def test_a_signal_while_settings_are_composed_is_no_error_of_settings(monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            raise Stopped(signal.SIGTERM)
        except Stopped as e:
            raise ConfigCompositionException from e

    monkeypatch.setattr(compose, "hydra_compose", interrupted)
    with pytest.raises(Stopped):
        compose.compose_words("train", [], config_dir())
