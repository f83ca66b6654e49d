import logging

import pytest

from jungle.data.encodings import decode_text, undo_mojibake
from jungle.data.table_io import read_table
from jungle.errors import UserError

TEXT = "file,label,site\na.mp4,écureuil,Rivière d'été\nb.mp4,Löwe,x\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_is_sure_is_not_a_guess(encoding):
    assert decode_text(TEXT.encode(encoding)) == decode_text(TEXT.encode())
    assert decode_text(TEXT.encode(encoding)).guess == ""


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1252", "Windows-1252"),
        ("latin-1", "Windows-1252"),
        ("mac_roman", "Mac Roman"),
        ("cp850", "DOS"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
    ],
)
def test_a_guess_is_right_and_said(tmp_path, caplog, encoding, name):
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.encode(encoding))
    with caplog.at_level(logging.INFO, "jungle"):
        table = read_table(path)
    assert table.frame["label"].to_list() == ["écureuil", "Löwe"]
    assert table.frame["site"][0] == "Rivière d'été"
    assert name in caplog.text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "леопард"),
        ("gbk", "豹"),
        ("iso8859-7", "λεοπάρδαλη"),
        ("shift_jis", "ヒョウ"),
        ("euc-kr", "표범"),
    ],
)
def test_an_encoding_that_cannot_be_told_is_asked(tmp_path, encoding, text):
    path = tmp_path / "t.csv"
    path.write_bytes(f"file,label\na.mp4,{text}\n".encode(encoding))
    with pytest.raises(UserError, match=r"t\.csv: its encoding cannot be guessed \(line 2.*UTF-8"):
        read_table(path)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_two_encodings_in_one_file_are_asked_with_their_lines(tmp_path, newline):
    path = tmp_path / "t.csv"
    rows = [b"file,label", b"a.mp4,ox", "b.mp4,é".encode(), "c.mp4,é".encode("latin-1")]
    path.write_bytes(newline.join(rows))
    with pytest.raises(UserError, match="two encodings: line 3 is UTF-8, line 4 is not"):
        read_table(path)
    path.write_bytes(b"file,label,site\na.mp4," + "écureuil".encode() + b"," + "été".encode("latin-1"))
    with pytest.raises(UserError, match=r"line 2 is written in two encodings|cannot be guessed"):
        read_table(path)


def test_broken_text_is_known():
    assert undo_mojibake("Ã©cureuil") == "écureuil"
    assert [undo_mojibake(t) for t in ("écureuil", "NÃO", "lion", "São João", "Löwe")] == [None] * 5
