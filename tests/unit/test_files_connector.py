"""Pulling exported files: what is read again, what is set aside and why, what may be taken for deleted."""

from __future__ import annotations

import gzip
import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from crmbridge.connectors.base import Page
from crmbridge.connectors.files import FilesConnector, Options
from crmbridge.connectors.files import rows as rows_module
from crmbridge.connectors.files import text as text_module
from crmbridge.connectors.files.decode import Decoder
from crmbridge.connectors.files.seen import Seen
from crmbridge.errors import SettingsError
from crmbridge.model.records import Deal, Lead
from tests.unit.files_connections import aside_of, connection, pulled, records_of, table_of

LEADS = "[lead]\nfile = 'leads.csv'\n"


@pytest.fixture(params=["bulk", "models"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return cast(Decoder, request.param)


def leads(folder: Path, text: str, settings: str = "", **more: Any) -> FilesConnector:
    (folder / "leads.csv").write_bytes(text.encode())
    return connection(folder, LEADS + settings, **more)


def places(pages: list[Page]) -> list[tuple[str, str]]:
    return [(row.place, row.reason) for row in aside_of(pages)]


def test_columns_map_by_settings_or_by_name_and_the_rest_become_attributes(
    tmp_path: Path, decoder: Decoder
) -> None:
    connector = leads(
        tmp_path,
        "id,status,Firma,Score,crmbridge_score\n007,open,Acme,,99\n",
        "fields = { company = 'Firma' }\nconstants = { country = 'DE', is_disqualified = false }\n",
        decoder=decoder,
    )
    (lead,) = records_of(pulled(connector, "lead"))
    assert lead == Lead(
        id="007",
        status="open",
        company="Acme",
        country="DE",
        is_disqualified=False,
        attributes={"Score": None},
    )
    assert lead.model_fields_set == {"id", "status", "company", "country", "is_disqualified", "attributes"}


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    connector = leads(tmp_path, "id\n1\n")
    (page,) = pulled(connector, "lead")
    assert page.complete
    os.utime(tmp_path / "leads.csv", (0, 0))
    assert pulled(connector, "lead", page.cursor) == []


@pytest.mark.parametrize("change", ["content", "settings", "zone", "another file"])
def test_what_decides_the_records_causes_a_new_reading(tmp_path: Path, change: str) -> None:
    settings = "file = 'leads*.csv'\n"
    (tmp_path / "leads.csv").write_text("id\n1\n", encoding="utf-8")
    (page,) = pulled(connection(tmp_path, f"[lead]\n{settings}"), "lead")
    zone = "UTC"
    if change == "content":
        (tmp_path / "leads.csv").write_text("id\n2\n", encoding="utf-8")
    elif change == "another file":
        (tmp_path / "leads2.csv").write_text("id\n2\n", encoding="utf-8")
    elif change == "zone":
        zone = "Europe/Berlin"
    else:
        settings += "constants = { country = 'DE' }\n"
    again = pulled(connection(tmp_path, f"[lead]\n{settings}", zone=zone), "lead", page.cursor)
    assert again[-1].complete
    assert again[-1].cursor != page.cursor


def test_only_the_last_page_carries_the_new_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "PAGE_ROWS", 3)
    connector = leads(tmp_path, "id\n" + "".join(f"{k}\n" for k in range(10)))
    pages = pulled(connector, "lead", {"former": 1})
    assert [len(page.records) for page in pages] == [3, 3, 3, 1]
    assert [page.cursor for page in pages[:-1]] == [{"former": 1}] * 3
    assert [page.complete for page in pages] == [False, False, False, True]
    assert pulled(connector, "lead", pages[-1].cursor) == []


def test_a_header_without_rows_is_complete_and_an_empty_file_never_is(tmp_path: Path) -> None:
    (page,) = pulled(leads(tmp_path, "id,name\n"), "lead")
    assert (len(page.records), page.complete) == (0, True)
    (page,) = pulled(leads(tmp_path, ""), "lead")
    assert (len(page.records), page.complete) == (0, False)
    assert places([page]) == [("leads.csv:1", "the file is empty")]


def test_bad_rows_are_set_aside_with_line_and_reason_and_the_others_read(
    tmp_path: Path, decoder: Decoder
) -> None:
    (tmp_path / "deals.csv").write_bytes(
        "id;stage;created_at;amount\r\n"
        '1;Open;01.02.2024;"1.000,50"\r\n'
        "2;Open;31.02.2024;5\r\n"
        ";Open;01.02.2024;5\r\n"
        "4;Frozen;01.02.2024;5\r\n"
        '5;Open;01.02.2024;"1\r\n2"\r\n'
        "1;Open;01.02.2024;5\r\n"
        "6;Open\r\n"
        "7;Öffnen;01.02.2024;5\r\n".encode()
        + b"8;Won\xff;01.02.2024;5\r\n"
        + b"9;Won;01.02.2024;7\r\n"
        + b"10;Won;01."
    )
    connector = connection(
        tmp_path,
        """
        [deal]
        file = "deals.csv"
        date_format = "%d.%m.%Y"
        decimal = ","
        stages = { won = ["Won"], lost = [], open = ["Open", "Öffnen"] }
        """,
        decoder=decoder,
    )
    pages = pulled(connector, "deal")
    assert [(deal.id, deal.is_won) for deal in cast(list[Deal], records_of(pages))] == [
        ("1", False),
        ("7", False),
        ("9", True),
    ]
    assert places(pages) == [
        ("deals.csv:3", "created_at: '31.02.2024' is not a date of the form %d.%m.%Y"),
        ("deals.csv:4", "id: id is empty"),
        ("deals.csv:5", "stage: 'Frozen' is in none of stages.won, stages.lost and stages.open"),
        ("deals.csv:6", "amount: '1\\r\\n2' is not a number with the decimal mark ','"),
        ("deals.csv:8", "id: '1' was in deals.csv:2 already"),
        ("deals.csv:9", "has 2 cells instead of 4"),
        ("deals.csv:11", "the byte 0xFF can't be read as utf-8; is encoding right?"),
        ("deals.csv:13", "has 3 cells instead of 4; is the file cut off here?"),
    ]
    raw = {row.place: row.raw for row in aside_of(pages)}
    assert raw["deals.csv:3"] == "2;Open;31.02.2024;5"
    assert raw["deals.csv:6"] == '5;Open;01.02.2024;"1\r\n2"'
    assert {row.place: row.id for row in aside_of(pages)}["deals.csv:5"] == "4"
    assert not pages[-1].complete
    assert pulled(connector, "deal", pages[-1].cursor) == []


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("id,created_at\n1,2024-01-01\n2,never\n", True),
        ("id,created_at\n1,2024-01-01\n1,2024-01-02\n", True),
        ("id,created_at\n1,2024-01-01\n,2024-01-02\n", False),
        ("id,created_at\n1,2024-01-01\n2\n", False),
        ('id,created_at\n1,2024-01-01\n2,"\n', False),
    ],
)
def test_nothing_is_taken_for_deleted_where_a_row_may_be_any_record(
    tmp_path: Path, text: str, complete: bool
) -> None:
    pages = pulled(leads(tmp_path, text), "lead")
    assert len(aside_of(pages)) == 1
    assert pages[-1].complete is complete


def test_a_file_written_or_removed_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "PAGE_ROWS", 1)
    connector = leads(tmp_path, "id\n1\n2\n")
    pull = connector.pull("lead", None)
    first = next(pull)
    (tmp_path / "leads.csv").write_text("id\n1\n3\n", encoding="utf-8")
    second = next(pull)
    assert [(page.complete, page.cursor) for page in (first, second)] == [(False, {})] * 2
    pull = connector.pull("lead", second.cursor)
    assert next(pull).cursor == {}
    (tmp_path / "leads.csv").unlink()
    assert [(page.complete, page.cursor) for page in pull] == [(False, {})]


def test_a_repeated_id_is_found_across_pages_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "PAGE_ROWS", 2)
    (tmp_path / "a.csv").write_text("id\n1\n2\n3\n1\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("id\n4\n3\n", encoding="utf-8")
    pages = pulled(connection(tmp_path, "[lead]\nfile = ['b.csv', 'a.csv']\n"), "lead")
    assert [lead.id for lead in records_of(pages)] == ["4", "3", "1", "2"]
    assert places(pages) == [
        ("a.csv:4", "id: '3' was in b.csv:3 already"),
        ("a.csv:5", "id: '1' was in a.csv:2 already"),
    ]


@pytest.mark.parametrize("hash_of", [hash, lambda text: len(text), lambda text: 0])
def test_ids_that_share_a_hash_are_told_apart(hash_of: Any) -> None:
    seen = Seen(hash_of)
    pages = [["a", "b", "a"], ["c", "bb", "b"], ["bb", "c", "d", "d"], ["d", "e"]]
    found = []
    for number, page in enumerate(pages):
        lines = np.arange(len(page)) + 10 * number
        found += [(number, *item) for item in seen.add(pa.array(page), lines, "f").items()]
    assert sorted(found) == [
        (0, 2, "f:0"),
        (1, 2, "f:1"),
        (2, 0, "f:11"),
        (2, 1, "f:10"),
        (2, 3, "f:22"),
        (3, 0, "f:22"),
    ]


def test_rows_may_be_their_own_ids_with_the_files_name_where_there_are_several(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\nu\nbroken,row\nv\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("x\nw\n", encoding="utf-8")
    one = records_of(pulled(connection(tmp_path, "[lead]\nfile = 'a.csv'\nid = 'row'\n"), "lead"))
    assert [lead.id for lead in one] == ["1", "3"]
    several = "[lead]\nfile = '?.csv'\nid = 'row'\nfields = { owner_id = 'row' }\n"
    both = records_of(pulled(connection(tmp_path, several), "lead"))
    assert [lead.id for lead in both] == [lead.owner_id for lead in both] == ["a.csv-1", "a.csv-3", "b.csv-1"]


def test_files_of_several_forms_make_one_object_and_what_was_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "part-1.csv.gz").write_bytes(gzip.compress(b"id,size\n1,5\n"))
    (tmp_path / "part-2.tsv").write_bytes(b"id\tcolor\n2\tred\n")
    pq.write_table(pa.table({"id": [3], "size": [7]}), tmp_path / "part-3.parquet")
    for folder in ("more", "scores"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.csv").write_bytes(b"id\n4\n")
    (tmp_path / "notes.docx").write_bytes(b"id\n5\n")
    pages = pulled(connection(tmp_path, "[lead]\nfile = ['part-*', '**/*.csv']\n"), "lead")
    assert [(lead.id, dict(lead.attributes)) for lead in records_of(pages)] == [
        ("1", {"size": "5"}),
        ("2", {"color": "red"}),
        ("3", {"size": 7}),
        ("4", {}),
    ]


def test_parquet_keeps_types_in_attributes_and_reads_moments_in_the_zone(
    tmp_path: Path, decoder: Decoder
) -> None:
    naive, aware = datetime(2024, 7, 1, 12), datetime(2024, 7, 1, 12, tzinfo=UTC)  # noqa: DTZ001
    table = pa.table(
        {
            "id": pa.array([1, 2, None]),
            "created_at": pa.array([naive] * 3, pa.timestamp("ns")),
            "closed_at": pa.array([aware] * 3, pa.timestamp("ms", "America/New_York")),
            "status": pa.array(["", "NULL", "x"]).dictionary_encode(),
            "whole": pa.array([5, None, 0], pa.int32()),
            "part": pa.array([0.5, float("nan"), 0], pa.float32()),
            "flag": pa.array([True, False, None]),
            "day": pa.array([naive.date()] * 3),
            "list": pa.array([[1], [2], [3]]),
            "beyond": pa.array([2**50] * 3, pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "leads.parquet")
    settings = "[lead]\nfile = 'leads.parquet'\nnull_values = ['', 'NULL']\n"
    connector = connection(tmp_path, settings, zone="Europe/Berlin", decoder=decoder)
    pages = pulled(connector, "lead")
    first, second = cast(list[Lead], records_of(pages))
    assert (first.id, first.created_at, first.closed_at) == ("1", datetime(2024, 7, 1, 10, tzinfo=UTC), aware)
    assert (first.status, second.status) == ("", None)
    kept = {name: first.attributes[name] for name in ("whole", "part", "flag", "day")}
    assert kept == {"whole": 5, "part": 0.5, "flag": True, "day": "2024-07-01"}
    assert {name: second.attributes[name] for name in ("whole", "part", "flag")} == {
        "whole": None,
        "part": None,
        "flag": False,
    }
    assert "list" not in first.attributes
    assert places(pages) == [("leads.parquet:3", "id: id is empty")]
    items = list(connector.check())
    assert any("not read: list" in item.detail for item in items)
    mapped = connection(tmp_path, settings + "fields = { converted_at = 'beyond' }\n", decoder=decoder)
    assert len(aside_of(pulled(mapped, "lead"))) == 3


def test_a_damaged_parquet_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "leads.parquet"
    table = pa.table({"id": [str(k) for k in range(20_000)]})
    pq.write_table(table, path, row_group_size=5_000, use_dictionary=False, compression="snappy")
    content = bytearray(path.read_bytes())
    third = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[third : third + 3_000] = b"\xff" * 3_000
    path.write_bytes(content)
    pages = pulled(connection(tmp_path, "[lead]\nfile = 'leads.parquet'\n"), "lead")
    assert sum(len(page.records) for page in pages) == 15_000
    (row,) = aside_of(pages)
    assert row.place == "leads.parquet:10001"
    assert row.reason.startswith("rows 10001 to 15000 are damaged")
    assert not pages[-1].complete


def test_objects_come_in_the_order_of_their_references(tmp_path: Path) -> None:
    table = {"file": "x.csv"}
    connector = connection(
        tmp_path, {"order": table, "activity": table, "lead": table, "rep": table, "deal": table}
    )
    assert list(connector.objects()) == ["rep", "lead", "deal", "activity", "order"]


def test_the_org_stays_the_same_when_the_folder_moves_or_files_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "a" / "acme", tmp_path / "b" / "acme"
    one.mkdir(parents=True)
    other.mkdir(parents=True)
    settings = {"lead": {"file": "x.csv"}}
    assert (
        connection(one, settings).org().id
        == connection(other, {**settings, "rep": {"file": "y.csv"}}).org().id
    )
    assert connection(one, settings).org().id != connection(tmp_path, settings).org().id
    monkeypatch.chdir(one)
    assert connection(Path("."), settings).org().id == connection(one, settings).org().id


def sentence(connector: FilesConnector) -> str:
    with pytest.raises(SettingsError) as caught:
        pulled(connector, "lead")
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return str(caught.value)


def test_wrong_settings_are_one_sentence_with_a_remedy(tmp_path: Path) -> None:
    text = "id,Company,Made\n1,Acme,2024-01-01\n"
    assert sentence(leads(tmp_path, text, "fields = { company = 'company' }\n")) == (
        "test: lead: leads.csv has no column 'company', which fields.company names. Did you mean 'Company'? "
        "Correct fields.company, or export it. There are: id, Company, Made."
    )
    assert "replace names" in sentence(leads(tmp_path, text, "replace = { Firm = { a = 'b' } }\n"))
    assert "id names" in sentence(leads(tmp_path, text, "id = ['id', 'Nr']\n"))
    assert 'id = a column, several, or "row"' in sentence(leads(tmp_path, "Company\nAcme\n"))
    assert "has 3 cells in a row" in sentence(leads(tmp_path, text, "columns = ['id', 'x']\n"))
    assert "constants.created_at: 'soon' is not a date" in sentence(
        leads(tmp_path, text, "constants = { created_at = 'soon' }\n")
    )
    assert "field that crmbridge writes" in sentence(
        leads(tmp_path, "id,crmbridge_grade\n1,A\n", "fields = { status = 'crmbridge_grade' }\n")
    )
    assert "can't be read as utf-16" in sentence(leads(tmp_path, text, "encoding = 'utf-16'\n"))
    (tmp_path / "leads.csv").unlink()
    (tmp_path / "Leads.csv").write_text(text, encoding="utf-8")
    assert "there is no file 'leads.csv'" in sentence(connection(tmp_path, LEADS))
    assert "The folder has: Leads.csv." in sentence(connection(tmp_path, LEADS))
    with pytest.raises(SettingsError, match=r"the folder .* can't be read"):
        connection(tmp_path / "nowhere", LEADS).org()
    (tmp_path / "leads.parquet").write_bytes(b"PAR1 no")
    assert "is not a whole Parquet file" in sentence(connection(tmp_path, "[lead]\nfile = 'leads.parquet'\n"))


def test_a_field_the_model_needs_must_come_from_somewhere(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("id\n1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="every activity needs kind, and"):
        pulled(connection(tmp_path, "[activity]\nfile = 'calls.csv'\n"), "activity")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("[lead]\nfile = 'a.csv'\nfild = 1\n", "fild"),
        ("[lead]\nfile = 'a.csv'\nfields = { nam = 'x' }\n", "'nam' is not a field of lead"),
        ("[lead]\nfile = 'a.csv'\nfields = { id = 'x' }\n", "use the setting id"),
        ("[lead]\nfile = 'a.csv'\nconstants = { stage = 'x' }\n", "'stage' is not a field of lead"),
        ("[lead]\nfile = 'a.csv'\nconstants = { status = 'x' }\nfields = { status = 'y' }\n", "keep one"),
        ("[lead]\nfile = 'a.csv'\nstages = { won = [] }\n", "stages are for deal only"),
        ("[deal]\nfile = 'a.csv'\nfields = { is_won = 'x' }\nstages = { won = [] }\n", "follows from stages"),
        ("[deal]\nfile = 'a.csv'\nstages = { won = ['x'], lost = ['x'] }\n", "'x' is listed twice"),
        ("[deal]\nfile = 'a.csv'\noutcomes = { x = 'connected' }\n", "outcomes are for activity only"),
        ("[activity]\nfile = 'a.csv'\noutcomes = { x = 'reached' }\n", "connected"),
        ("[lead]\nfile = 'a.csv'\ndelimiter = ';;'\n", "not one character"),
        ("[lead]\nfile = 'a.csv'\nencoding = 'utf-9'\n", "not an encoding"),
        ("[lead]\nfile = 'a.csv'\ndate_format = '%d.%m.'\n", "does not say day, month and year"),
        ("[lead]\nfile = 'a.csv'\ndate_format = '%Q'\n", "is not a date format"),
        ("[lead]\nfile = 'a.csv'\ncolumns = ['a', 'a']\n", "named twice"),
        ("[lead]\nfile = 'a.xlsx'\n", "must end in"),
        ("[lead]\nfile = '../a.csv'\n", "not the name of a file in the folder"),
        ("[lead]\nid = 'row'\n", "Field required"),
        ("[leads]\nfile = 'a.csv'\n", "leads"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(settings: str, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"path": ".", **tomllib.loads(settings)})
    (mistake,) = caught.value.errors()
    assert expected in f"{mistake['loc']} {mistake['msg']}"


def test_check_says_what_it_found_and_never_raises(tmp_path: Path) -> None:
    def states(connector: FilesConnector) -> list[tuple[str, str]]:
        return [(item.name, item.state) for item in connector.check()]

    good = leads(tmp_path, "id;status\n1;open\n2;open\n")
    assert states(good) == [("folder", "ok"), ("lead: leads.csv", "ok"), ("lead: first rows", "ok")]
    details = [item.detail for item in good.check()]
    assert details[1:] == ["utf-8, semicolon, 2 columns; id, status", "all of the first 2 fit"]
    bad_row = leads(tmp_path, "id,created_at\n1,2024-01-01\n2,soon\n")
    assert states(bad_row)[-1] == ("lead: first rows", "warning")
    assert "leads.csv:3: created_at: 'soon'" in list(bad_row.check())[-1].detail
    assert states(leads(tmp_path, "id,created_at\n1,soon\n"))[-1] == ("lead: first rows", "failed")
    assert states(leads(tmp_path, "id\n"))[-1] == ("lead: first rows", "warning")
    assert states(leads(tmp_path, ""))[-1] == ("lead: first rows", "failed")
    assert states(leads(tmp_path, "x\n1\n"))[-1] == ("lead", "failed")
    assert states(connection(tmp_path / "nowhere", LEADS)) == [("folder", "failed")]
    assert states(connection(tmp_path, {}))[-1] == ("objects", "failed")
    (tmp_path / "leads.csv").write_bytes("id,status\n1,Grün\n".encode("cp1252"))
    guessed = list(connection(tmp_path, LEADS).check())
    assert [item.state for item in guessed] == ["ok", "warning", "ok"]
    assert "cp1252" in guessed[1].detail
    assert "encoding" in (guessed[1].remedy or "")


def test_a_long_file_is_read_in_pages_of_bounded_size(tmp_path: Path) -> None:
    count = rows_module.PAGE_ROWS * 2 + 10
    connector = leads(tmp_path, "id\n" + "\n".join(map(str, range(count))))
    pages = pulled(connector, "lead")
    assert [len(page.records) for page in pages] == [rows_module.PAGE_ROWS, rows_module.PAGE_ROWS, 10]
    assert table_of(pages)["id"].to_pylist() == [str(k) for k in range(count)]
