import io
import tarfile

import pytest

from jungle.data.download import archives as module
from jungle.data.download.archives import fetch_primatrix, unpack
from jungle.errors import UserError


def archive(path, *members):
    """Members are (name, bytes) or a TarInfo."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode, info.uid = len(member[1]), 0o4777, 4242
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


CLIPS = (
    special("micro", tarfile.DIRTYPE),
    ("micro/a.mp4", b"a" * 1000),
    ("micro/._a.mp4", b"x"),
    ("./micro/é.mp4", b"b"),
)


def test_files_come_out_as_any_new_file(tmp_path):
    tgz = archive(tmp_path / "t.tgz", *CLIPS)
    assert unpack(tgz, tmp_path / "out") == 2
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert {n: p.read_bytes() for n, p in found.items()} == {"micro/a.mp4": b"a" * 1000, "micro/é.mp4": b"b"}
    assert found["micro/a.mp4"].stat().st_mode & 0o7111 == 0


def test_what_was_unpacked_is_not_written_again(tmp_path):
    tgz = archive(tmp_path / "t.tgz", *CLIPS)
    unpack(tgz, tmp_path)
    clip = tmp_path / "micro" / "a.mp4"
    clip.write_bytes(b"mine")
    assert unpack(tgz, tmp_path) == 2
    assert clip.read_bytes() == b"mine"  # the note says that all is done
    tgz = archive(tmp_path / "t.tgz", *CLIPS, ("micro/c.mp4", b"c"))
    inode = (tmp_path / "micro" / "é.mp4").stat().st_ino
    assert unpack(tgz, tmp_path) == 3
    assert clip.read_bytes() == b"a" * 1000  # another archive: files of another size are written
    assert (tmp_path / "micro" / "é.mp4").stat().st_ino == inode  # those that are whole are not


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", b"x"),
        ("micro/../../evil", b"x"),
        ("link/evil", b"x"),
        special("micro/l", tarfile.SYMTYPE, "/etc/passwd"),
        special("micro/l", tarfile.LNKTYPE, "micro/a.mp4"),
        special("micro/fifo", tarfile.FIFOTYPE),
        special("micro/null", tarfile.CHRTYPE),
    ],
)
def test_nothing_reaches_outside(tmp_path, member):
    tgz = archive(tmp_path / "t.tgz", ("micro/a.mp4", b"a"), member)
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"leads out of|link or a device"):
        unpack(tgz, out)
    assert not list(tmp_path.rglob("evil"))
    assert sorted(p.name for p in out.iterdir()) == ["link", "micro"]


def test_absolute_names_are_taken_as_relative(tmp_path):
    unpack(archive(tmp_path / "t.tgz", ("/micro/a.mp4", b"a")), tmp_path / "out")
    assert (tmp_path / "out" / "micro" / "a.mp4").read_bytes() == b"a"


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    tgz = archive(tmp_path / "t.tgz", *((f"{i}.mp4", bytes(100_000)) for i in range(10)))
    with pytest.raises(UserError, match=r"more than 0\.0 GB"):
        unpack(tgz, tmp_path / "out", max_bytes=300_000)
    assert sum(p.stat().st_size for p in (tmp_path / "out").iterdir()) <= 300_000
    monkeypatch.setattr(module, "MAX_MEMBERS", 5)
    with pytest.raises(UserError, match="more than 5 members"):
        unpack(tgz, tmp_path / "out")


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_a_cut_archive_is_broken(tmp_path, kept):
    tgz = archive(tmp_path / "t.tgz", *((f"{i}.mp4", bytes(range(256)) * i) for i in range(50)))
    data = tgz.read_bytes()
    tgz.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError, match="broken"):
        unpack(tgz, tmp_path / "out")


def test_a_spoilt_archive_is_broken(tmp_path):
    tgz = archive(tmp_path / "t.tgz", ("a.mp4", bytes(range(256)) * 100))
    data = bytearray(tgz.read_bytes())
    data[-6] ^= 1  # in the checksum
    tgz.write_bytes(data)
    with pytest.raises(UserError, match="broken"):
        unpack(tgz, tmp_path / "out")
    tgz.write_text("<html>not found</html>")
    with pytest.raises(UserError, match="broken"):
        unpack(tgz, tmp_path / "out")


def test_the_competition_is_fetched_into_the_layout_that_is_read(tmp_path, monkeypatch):
    from tests.data.loading import load_primatrix_micro

    def fake(files, out):
        assert set(files) == {"train_labels.csv", "submission_format.csv", "micro_chimps.tgz"}
        (out / "train_labels.csv").write_text("filename,blank\na.mp4,1\n")
        (out / "submission_format.csv").write_text("filename,blank\né.mp4,.5\n")
        archive(out / "micro_chimps.tgz", *CLIPS)
        return {name: out / name for name in files}

    monkeypatch.setattr(module, "download", fake)
    clips = load_primatrix_micro(fetch_primatrix(tmp_path, micro=True)["micro"])
    assert clips.table["path"].to_list() == [f"{tmp_path}/micro/a.mp4", f"{tmp_path}/micro/é.mp4"]
