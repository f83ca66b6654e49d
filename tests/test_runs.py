"""Which run a path means: `latest`, a folder, one without a checkpoint; disks without links and locks."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from jungle import links, runs
from jungle.errors import UsageError, UserError
from jungle.files import Held, Lock, replace_atomically, write_json, write_text
from tests.conftest import Command, survey_args


def make_run(root: Path, name: str, state: str = "finished", best: bool = True, reason: str = "") -> Path:
    run = root / name
    write_json(run / "run.json", {"fingerprint": "f", "state": state, "reason": reason})
    write_text(run / "config.yaml", "seed: 0\n")
    if best:
        write_text(run / runs.BEST, "weights")
    return run


@pytest.fixture(params=[None, errno.EPERM, errno.EOPNOTSUPP])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """A disk with links, as exFAT, and as some network mounts."""
    if request.param is not None:

        def refused(self: Path, *_: object, **__: object) -> None:
            raise OSError(request.param, os.strerror(request.param), str(self))

        monkeypatch.setattr(Path, "symlink_to", refused)
    return request.param


def test_latest_leads_to_a_run_on_any_disk(disk: int | None, tmp_path: Path) -> None:
    root = tmp_path / "runs" / "train"
    for name in ("first", "second"):
        run = make_run(root, name)
        runs.point_latest(run)
        typed = root / "latest" / "checkpoints" / "best.ckpt"
        assert links.follow_latest(typed).resolve() == (run / runs.BEST).resolve()
        assert runs.resolve_checkpoint(links.follow_latest(root / "latest")).read_text() == "weights"
    assert (root / "latest").is_symlink() == (disk is None)
    assert {f.name for f in root.iterdir()} == {"first", "second", "latest"}


def test_a_disk_without_links_is_said_and_the_config_reads_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from jungle.cli import overrides
    from jungle.config.folder import config_dir

    def refused(self: Path, *_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "symlink_to", refused)
    root = tmp_path / "runs" / "train"
    run = make_run(root, "one")
    with caplog.at_level("INFO"):
        runs.point_latest(run)
    assert "no links" in caplog.text
    typed = root / "latest"
    cfg = overrides.compose("predict", [f"ckpt={typed}/checkpoints/best.ckpt"], config_dir())
    assert cfg.ckpt == [run / runs.BEST]
    cfg = overrides.compose("ensemble_check", [f"members={typed}"], config_dir())
    assert cfg.members == [str(run)]
    cfg = overrides.compose("train", ["model=finetune", f"model.warm_start={typed}/a.ckpt"], config_dir())
    assert cfg.model.warm_start == run / "a.ckpt"


def test_that_latest_cannot_be_kept_at_all_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    run = make_run(tmp_path, "one")
    monkeypatch.setattr(Path, "symlink_to", refused)
    monkeypatch.setattr(Path, "replace", refused)
    runs.point_latest(run)
    assert "cannot be kept" in caplog.text
    assert [f.name for f in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("own", ["my notes\nof two lines", "nowhere", "", "../one"])
def test_what_is_named_latest_and_is_a_persons_own_stays(own: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    (tmp_path / "latest").write_text(own)
    runs.point_latest(run)
    assert (tmp_path / "latest").read_text() == own
    assert links.follow_latest(tmp_path / "latest" / "x") == tmp_path / "latest" / "x"
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    runs.point_latest(run)
    assert (tmp_path / "latest").is_dir()
    assert not (tmp_path / "latest").is_symlink()


def test_a_mistyped_checkpoint_of_a_run_names_the_one_that_it_has(tmp_path: Path) -> None:
    run = make_run(tmp_path, "done")
    for typed in (run / "checkpoints" / "bset.ckpt", run / "checkpoint" / "best.ckpt"):
        with pytest.raises(
            UserError, match=r"no such file; there is best\.ckpt: ckpt=\S*checkpoints/best\.ckpt$"
        ):
            runs.resolve_checkpoint(typed)
    (run / runs.BEST).unlink()
    with pytest.raises(UserError, match="has no checkpoint any more"):
        runs.resolve_checkpoint(run)


def test_a_checkpoint_that_is_given_twice_counts_once(tmp_path: Path, caplog) -> None:
    first, copy, other = (make_run(tmp_path, n) for n in ("first", "copy", "other"))
    (other / runs.BEST).write_text("another")  # as long as the first's, or not: its content counts
    (first / runs.BEST).write_text("weights")
    with caplog.at_level("WARNING", "jungle"):
        assert runs.drop_repeated([first, first / runs.BEST, copy, other]) == [first, other]
    assert [r.getMessage() for r in caplog.records] == [
        f"ckpt={again}: the same model as {first}, so it counts once" for again in (first / runs.BEST, copy)
    ]


def test_a_run_without_a_checkpoint_names_the_last_that_has_one(tmp_path: Path) -> None:
    make_run(tmp_path, "old")
    bare = make_run(tmp_path, "new", "running", best=False)
    (tmp_path / "latest").symlink_to("new")  # as version 0.1 left it
    for typed in (bare, tmp_path / "latest", tmp_path / "latest" / runs.BEST):
        with pytest.raises(UserError, match=r"stopped before its first checkpoint.*ckpt=\S*old$"):
            runs.resolve_checkpoint(typed)
    with runs.hold(bare), pytest.raises(UserError, match="is being trained"):
        runs.resolve_checkpoint(bare / runs.BEST)
    runs.mark(bare, "f", "running", "the disk is full")
    with pytest.raises(UserError, match=r"failed before its first checkpoint \(the disk is full\)"):
        runs.resolve_checkpoint(bare)
    with pytest.raises(UserError, match="not a run's folder"):
        runs.resolve_checkpoint(tmp_path)
    with pytest.raises(UserError, match=r"no such file\. There is old"):
        runs.resolve_checkpoint(tmp_path / "olt")


def test_what_has_not_ended_is_said(tmp_path: Path) -> None:
    old = make_run(tmp_path, "old")
    runs.point_latest(old)
    assert runs.explain_unfinished(tmp_path / "latest" / runs.BEST) is None
    new = make_run(tmp_path, "new", "running", best=False)
    os.utime(new / "config.yaml", (2e9, 2e9))
    assert "the later one, new, has no checkpoint yet" in str(runs.explain_unfinished(old / runs.BEST))
    write_text(new / runs.BEST, "weights")
    assert "new, was stopped before its end" in str(runs.explain_unfinished(new / runs.BEST))
    with runs.hold(new):
        assert "new, is still being trained" in str(runs.explain_unfinished(new / runs.BEST))
    assert runs.explain_unfinished(tmp_path / "elsewhere.ckpt") is None


def test_resume_latest_is_the_run_that_was_started_last(tmp_path: Path) -> None:
    root = tmp_path / "train"
    for i, (name, best, reason) in enumerate(
        [("a", True, ""), ("b", False, ""), ("c", False, "no such clip"), ("d", True, "the disk is full")]
    ):
        run = make_run(root, name, "running", best, reason)
        os.utime(run / "config.yaml", (i, i))
    assert runs.resolve_run("latest", tmp_path) == root / "d"
    os.utime(root / "b" / "config.yaml", (9, 9))
    os.utime(root / "c" / "config.yaml", (99, 99))  # it came to nothing
    assert runs.resolve_run("latest", tmp_path) == root / "b"
    with pytest.raises(UsageError, match="no training run"):
        runs.resolve_run("latest", tmp_path / "nowhere")


def test_a_refused_run_leaves_nothing_and_what_is_not_its_own_stays(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "train", "one", "running", best=False)
    write_text(run / ".hydra" / "overrides.yaml", "[]")
    write_text(run / "train.log", "imports")
    (run / "notes.txt").write_text("mine")
    runs.remove_refused(run)
    assert (run / "config.yaml").is_file()
    (run / "notes.txt").unlink()
    make_run(tmp_path / "runs" / "train", "other")
    runs.remove_refused(run)
    assert [f.name for f in (tmp_path / "runs" / "train").iterdir()] == ["other"]


def test_a_refused_command_leaves_no_folder(survey: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("filepath,label\nnowhere.mp4,lion\n")
    done = command("train", *survey_args(survey, Path("bad.csv")))
    assert done.returncode == 1
    assert "nowhere.mp4" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL])
def test_a_disk_without_locks_is_said_and_used(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with Lock(tmp_path / "a.lock").take(), pytest.raises(Held):
        Lock(tmp_path / "a.lock").take()
    monkeypatch.setattr(fcntl, "flock", refused)
    with Lock(tmp_path / "b.lock"), Lock(tmp_path / "c.lock").take():
        pass
    assert caplog.text.count("no locks") == 1
    assert not runs.is_held(tmp_path)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_modes_and_syncing_are_niceties_a_broken_disk_is_none(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "chmod", refused)
    monkeypatch.setattr(os, "fsync", refused)
    file = tmp_path / "a.txt"
    if number == errno.EIO:
        with pytest.raises(OSError, match=r"a\.txt"), replace_atomically(file) as part:
            part.write_text("a")
        assert not file.exists()
        return
    with replace_atomically(file) as part:
        part.write_text("a")
    assert file.read_text() == "a"
