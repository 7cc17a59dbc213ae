"""Cutting CSV into records: the same cells as Python's parser, the right lines, every record counted once."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmbridge.connectors.files import text as text_module
from crmbridge.connectors.files.bounds import find
from crmbridge.connectors.files.options import ObjectOptions
from crmbridge.connectors.files.rows import Broken, Rows
from crmbridge.connectors.files.text import TextFile

PIECES = [
    "a",
    "7",
    '"',
    '""',
    ",",
    ";",
    "\n",
    "\r\n",
    "\r",
    " ",
    "é",
    "\u2028",
    "\x00",
    "x,y",
    '"q"',
    '"a\nb"',
    "NA",
]
messy = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def look(path: Path, **options: object) -> TextFile:
    return TextFile.look(path, ObjectOptions.model_validate({"file": path.name, **options}))


def read(path: Path, **options: object) -> list[Rows]:
    return list(look(path, **options).rows())


def cells(pages: list[Rows]) -> list[list[str | None]]:
    return [list(row.values()) for page in pages for row in page.table.to_pylist()]


def broken(pages: list[Rows]) -> list[Broken]:
    return [row for page in pages for row in page.broken]


def closes(text: str) -> bool:
    """Whether no quote is left open, by Python's parser: what follows is then a record of its own."""
    return list(csv.reader(io.StringIO(text + "\nafter", newline="")))[-1] == ["after"]


@settings(max_examples=100, deadline=None)
@given(messy)
@example('a,"b\n2",c\r\n\r\n1,"2""3",4\r5')
@example('5" pipe,"x\ny"\n1,2')
def test_records_begin_where_pythons_csv_begins_them(text: str) -> None:
    bounds = find(text.encode(), b",", final=True)
    assert (bounds.unclosed == ()) == closes(text)
    if bounds.unclosed:
        return
    reader = csv.reader(io.StringIO(text, newline=""))
    expected = []
    line = 0
    for row in reader:
        if row:
            expected.append((line, row))
        line = reader.line_num
    found = [
        (int(at), next(csv.reader(io.StringIO(text.encode()[start:end].decode(), newline=""))))
        for at, start, end in zip(bounds.lines, bounds.starts, bounds.ends, strict=True)
    ]
    assert found == expected
    assert bounds.consumed == len(text.encode())


@settings(max_examples=100, deadline=None)
@given(messy, st.integers(min_value=0, max_value=60))
def test_a_text_cut_anywhere_has_the_same_records(text: str, place: int) -> None:
    whole = text.encode()
    all_at_once = find(whole, b",", final=True)
    first = find(whole[:place], b",", final=False)
    rest = find(whole[first.consumed :], b",", final=True)
    starts = [*first.starts, *(rest.starts + first.consumed)]
    lines = [*first.lines, *(rest.lines + first.newlines)]
    if not all_at_once.unclosed:
        assert starts == all_at_once.starts.tolist()
        assert lines == all_at_once.lines.tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.text(alphabet='ab7 ",;\n\r\x00é\u2028', max_size=5), min_size=3, max_size=3), max_size=8
    )
)
def test_what_pythons_csv_writes_is_read_back_cell_by_cell(tmp_path_factory, rows) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["x", "y", "z"], *rows])
    pages = read(path, delimiter=",", null_values=[])
    assert cells(pages) == rows
    assert not broken(pages)


@settings(max_examples=60, deadline=None)
@given(messy)
def test_every_record_of_a_messy_file_is_a_row_or_is_set_aside(tmp_path_factory, text) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(b"x,y\n" + text.encode())
    pages = read(path, delimiter=",", encoding="utf-8")
    bounds = find(text.encode(), b",", final=True)
    numbers = [int(number) for page in pages for number in page.numbers]
    assert len(numbers) + len(broken(pages)) == len(bounds.starts)
    lines = [int(line) for page in pages for line in page.lines] + [row.line for row in broken(pages)]
    assert sorted(lines) == [2 + int(line) for line in bounds.lines]
    for page in pages:
        for row, expected in enumerate(page.table.to_pylist()):
            (record,) = csv.reader(io.StringIO(page.raw(row), newline=""))
            assert [cell or "" for cell in expected.values()] == record


def test_small_blocks_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    records = [f'{k},"line {k}\r\nand ""more""",{"x" * (k % 97)}' for k in range(500)]
    path.write_bytes(("id,note,x\r\n" + "\r\n".join(records) + "\r\n").encode())
    whole = read(path)
    monkeypatch.setattr(text_module, "BLOCK_BYTES", 333)
    parts = read(path)
    assert len(parts) > 10
    assert cells(parts) == cells(whole)
    assert np.concatenate([page.lines for page in parts]).tolist() == [2 + 2 * k for k in range(500)]
    assert np.concatenate([page.numbers for page in parts]).tolist() == list(range(1, 501))


def test_an_unclosed_quote_spoils_its_own_line_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,name\n1,a\n2,"b\n3,c\n4,d\n', encoding="utf-8")
    pages = read(path)
    assert cells(pages) == [["1", "a"], ["3", "c"], ["4", "d"]]
    assert [(row.line, row.raw) for row in broken(pages)] == [(3, '2,"b')]
    assert "never closed" in broken(pages)[0].reason


def test_a_quote_open_for_too_long_is_given_up_without_reading_the_file_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "BLOCK_BYTES", 200)
    monkeypatch.setattr(text_module, "LONGEST_RECORD", 400)
    path = tmp_path / "rows.csv"
    path.write_text('id,name\n1,"b\n' + "".join(f"{k},c\n" for k in range(2, 500)), encoding="utf-8")
    pages = read(path, encoding="utf-8", delimiter=",")
    assert [row.line for row in broken(pages)] == [2]
    assert [row[0] for row in cells(pages)] == [str(k) for k in range(2, 500)]


def test_rows_of_another_width_are_set_aside_with_line_and_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,name\n1,"a\nb"\n2\n\n3,c,d\n4,e\n5', encoding="utf-8")
    pages = read(path)
    assert cells(pages) == [["1", "a\nb"], ["4", "e"]]
    assert [(row.line, row.raw) for row in broken(pages)] == [(4, "2"), (6, "3,c,d"), (8, "5")]
    assert [row.reason for row in broken(pages)] == [
        "has 1 cell instead of 2",
        "has 3 cells instead of 2",
        "has 1 cell instead of 2; is the file cut off here?",
    ]
    assert [number for page in pages for number in page.numbers] == [1, 4]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Müller"),
        ("utf-8-sig", "Müller"),
        ("utf-16", "Müller 株式会社"),
        ("utf-32", "Müller"),
        ("cp1252", "Müller – Straße"),
        ("cp1250", "Wrocław Łódź"),
        ("cp1251", "Иванов Петров"),
        ("cp932", "株式会社東京"),
    ],
)
def test_encodings_are_detected(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(f'"id","name"\r\n"1","{text}"\r\n'.encode(encoding))
    assert cells(read(path)) == [["1", text]]
    assert look(path).columns == ("id", "name")


def test_the_first_umlaut_may_stand_in_the_last_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"id,name\n" + b"1,Smith\n" * 20_000 + "2,Grün".encode("cp1252"))
    assert cells(read(path))[-1] == ["2", "Grün"]


def test_rows_that_can_not_be_decoded_are_set_aside_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("id,name\n1,Müller\n2,Größe\n".encode() + b"3,M\xfcller\n4,x\n" + "5,Köln\n".encode())
    pages = read(path)
    assert [row[0] for row in cells(pages)] == ["1", "2", "4", "5"]
    (row,) = broken(pages)
    assert (row.line, row.reason) == (4, "the byte 0xFC can't be read as utf-8; is encoding right?")
    assert row.raw == "3,M\ufffdller"


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_row_with_too_few_cells_and_a_bad_byte_is_set_aside_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_bytes("Id,Name\r\n1,Ada\r\n2".encode("utf-16") + b"x")  # cut within a character
    pages = read(path)
    assert cells(pages) == [["1", "Ada"]]
    assert [(row.line, row.reason) for row in broken(pages)] == [
        (3, "the byte 0x78 can't be read as utf-16; is encoding right?")
    ]


@pytest.mark.parametrize(
    ("encoding", "bad", "byte"),
    [("cp1252", b"\x81", "0x81"), ("utf-16-le", b"\x00\xd8", "0x00"), ("ascii", b"\xe9", "0xE9")],
)
def test_bytes_the_stated_encoding_does_not_know_spoil_their_row_only(
    tmp_path: Path, encoding: str, bad: bytes, byte: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("id,name\n1,a\n2,".encode(encoding) + bad + "\n3,c\n".encode(encoding))
    pages = read(path, encoding=encoding)
    assert cells(pages) == [["1", "a"], ["3", "c"]]
    assert [(row.line, byte in row.reason) for row in broken(pages)] == [(3, True)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_detected_though_others_stand_in_the_cells(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "rows.txt"
    rows = [["id", "amount", "note"], ["1", "1,5", "a;b"], ["2", "2,5", "c|d, e"], ["3", "3,5", "f\tg"]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert look(path).delimiter == delimiter
    assert cells(read(path)) == rows[1:]


def test_the_separator_line_of_excel_is_obeyed_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\nid;name\r\n1;a,b\r\n2\r\n")
    pages = read(path)
    assert cells(pages) == [["1", "a,b"]]
    assert [row.line for row in broken(pages)] == [4]


def test_runs_of_blanks_separate_columns_and_quoted_blanks_do_not(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(b'  id   name \t x\r\n 01 "a  b"  3\r\n\r\n   \r\n02 c \t 4  \r\n03 d\r\n')
    pages = read(path, delimiter=" ")
    assert cells(pages) == [["01", "a  b", "3"], ["02", "c", "4"]]
    assert [row.line for row in broken(pages)] == [6]


def test_a_header_may_lack_names_or_have_one_twice(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(" id ,,name,name\n1,2,3,4\n", encoding="utf-8")
    assert look(path).columns == ("id", "column 2", "name", "name (2)")


def test_an_empty_cell_is_null_and_a_quoted_one_the_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,a,b\n1,,""\n2,NA,"NA"\n', encoding="utf-8")
    assert cells(read(path)) == [["1", None, ""], ["2", "NA", "NA"]]
    assert cells(read(path, null_values=["", "NA"])) == [["1", None, ""], ["2", None, "NA"]]


def test_a_file_that_quotes_everything_does_not_tell_empty_from_null(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('"id","a"\n"1",""\n"2","x"\n', encoding="utf-8")
    assert cells(read(path)) == [["1", None], ["2", "x"]]


def test_packed_files_are_read_and_damaged_ones_as_far_as_they_go(tmp_path: Path) -> None:
    whole = b"id,name\n" + b"".join(b"%d,%d-%s\n" % (k, k * k, b"x" * (k % 50)) for k in range(20_000))
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(whole, mtime=0))
    good = read(path)
    assert len(cells(good)) == 20_000
    path.write_bytes(path.read_bytes()[:-2000])
    cut = read(path)
    assert cells(cut) == cells(good)[: len(cells(cut))]
    assert 0 < len(cells(cut)) < 20_000
    (row,) = broken(cut)
    assert row.line == 2 + len(cells(cut))
    assert "damaged" in row.reason
    path.write_bytes(b"not packed at all")
    assert cells(read(path)) == []
    assert "damaged" in broken(read(path))[0].reason


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for content in (b"", b"\n\r\n", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        assert [row.reason for row in broken(read(path))] == ["the file is empty"]
    path.write_bytes(b"id,name\n")
    assert cells(read(path)) == []
    assert not broken(read(path))


def test_a_headerless_file_has_the_columns_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("1,a\n2,b\n", encoding="utf-8")
    pages = read(path, columns=["id", "name"])
    assert cells(pages) == [["1", "a"], ["2", "b"]]
    assert [line for page in pages for line in page.lines] == [1, 2]
