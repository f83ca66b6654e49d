import pytest

from jungle.data import table_io
from jungle.data.table_io import read_table
from jungle.errors import UserError

TEXT = 'filepath,label\n"a, b.mp4",lion\nçé.mp4, hyäne \n'
ROWS = [("a, b.mp4", "lion"), ("çé.mp4", "hyäne")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, newline):
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.replace("\n", newline).encode(encoding))
    table = read_table(path)
    assert table.frame.columns == ["filepath", "label"]
    assert table.frame.rows() == ROWS
    assert [table.place(i) for i in range(2)] == ["line 2", "line 3"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_are_found(tmp_path, separator):
    path = tmp_path / "t.csv"
    path.write_text(f"filepath{separator}label{separator}note\na.mp4{separator}lion{separator}\n")
    assert read_table(path).frame.rows() == [("a.mp4", "lion", None)]


def test_what_spreadsheets_add_is_passed_over(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\n;filepath;label;;\n0;a.mp4;lion;;\n\n;;;;\n1;b.mp4;;;\n")
    table = read_table(path)
    assert table.frame.columns == ["filepath", "label"]
    assert table.frame.rows() == [("a.mp4", "lion"), ("b.mp4", None)]
    assert table.lines.to_list() == [3, 6]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("filepath,label\na.mp4,lion\nb.mp4\nc,d.mp4,lion\n", r"line 3 has 1, line 4 has 3"),
        ('filepath,label\na.mp4,"lion\nb.mp4,hyena\n', r"line 3: unexpected end of data"),
        ("filepath,label,label\n", r"two columns are named 'label'"),
        ("", "empty"),
        ("\n \n", "empty"),
        ("filepath,label\na\0b.mp4,lion\n", "line 2: not text"),
        ("filepath,label\n" + "a" * 200_000 + ",lion\n", "line 2: field larger"),
    ],
)
def test_broken_tables_are_refused_by_line(tmp_path, text, says):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_a_huge_table_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    monkeypatch.setattr(table_io, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="larger than"):
        read_table(path)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(UserError, match="not a file"):
        read_table(tmp_path)


def test_rows_of_several_chunks_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(table_io, "CHUNK", 3)
    path = tmp_path / "t.csv"
    path.write_text("file\n" + "".join(f"{i}.mp4\n" for i in range(10)))
    assert read_table(path).frame["file"].to_list() == [f"{i}.mp4" for i in range(10)]


def test_a_misspelt_table_names_the_one_beside_it(tmp_path):
    (tmp_path / "labels.csv").write_text(TEXT)
    with pytest.raises(UserError, match=r"label\.csv: no such file\. There is labels\.csv\."):
        read_table(tmp_path / "label.csv")
    with pytest.raises(UserError, match=r"no such file\.$"):
        read_table(tmp_path / "zzz.csv")
