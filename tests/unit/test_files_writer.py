"""The files writer: scores beside the exports, and everything a person adds to them is kept."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.connectors.files import Options
from crmbridge.errors import SettingsError, StoreError
from crmbridge.model.fields import FieldValue
from crmbridge.testing import context
from crmbridge.writeback import scores
from crmbridge.writeback.base import Change
from crmbridge.writeback.files import FilesWriter

FIELDS = ("score", "grade", "reasons_up", "next_action", "scored_at", "model", "stuck")
FIRST: Mapping[str, FieldValue] = {
    "score": 41.2,
    "grade": "B",
    "reasons_up": 'Source "Web", 34 %\nTitle: Director',
    "next_action": "Call: opened; twice",
    "scored_at": "2026-03-31T08:00:00Z",
    "model": "need-lead-1",
}


def writer(folder: Path, output: str = "csv", fields: Sequence[str] = FIELDS) -> FilesWriter:
    options = Options.model_validate({"path": str(folder), "output": output})
    return FilesWriter(context(options, fields=fields))


def installed(folder: Path, output: str = "csv") -> FilesWriter:
    made = writer(folder, output)
    assert [step.state for step in made.install(dry_run=False)] == ["done"]
    return made


def put(files: FilesWriter, values: Mapping[str, Mapping[str, FieldValue]]) -> None:
    files.write("lead", [Change("lead", identifier, row) for identifier, row in values.items()])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores" / "lead.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_scores_file_has_the_ids_and_our_columns(tmp_path: Path) -> None:
    put(installed(tmp_path), {"0012": FIRST, "NA": {**FIRST, "score": 7.0, "grade": None}})
    first, second = rows(tmp_path)
    assert first == {
        "id": "0012",
        "crmbridge_score": "41.20",
        "crmbridge_grade": "B",
        "crmbridge_reasons_up": 'Source "Web", 34 %\nTitle: Director',
        "crmbridge_next_action": "Call: opened; twice",
        "crmbridge_scored_at": "2026-03-31T08:00:00Z",
        "crmbridge_model": "need-lead-1",
    }
    assert (second["id"], second["crmbridge_score"], second["crmbridge_grade"]) == ("NA", "7.00", "")


def test_nothing_but_the_scores_folder_is_touched(tmp_path: Path) -> None:
    (tmp_path / "lead.csv").write_text("id,name\n1,Ada\n")
    put(installed(tmp_path), {"1": FIRST})
    assert (tmp_path / "lead.csv").read_text() == "id,name\n1,Ada\n"
    assert sorted(os.listdir(tmp_path)) == ["lead.csv", "scores"]
    assert os.listdir(tmp_path / "scores") == ["lead.csv"]


def test_rows_and_columns_a_person_added_are_kept_in_their_order(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "scores" / "lead.csv").write_text(
        'note,id,crmbridge_grade,crmbridge_score,note\nfirst,2,D,9,a\n,own row,,,b\nlast,1,A,"90",\n'
    )
    put(writer(tmp_path), {"3": FIRST, "1": FIRST})
    with (tmp_path / "scores" / "lead.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    assert table[0][:5] == ["note", "id", "crmbridge_grade", "crmbridge_score", "note"]
    assert [row[:5] for row in table[1:]] == [
        ["first", "2", "D", "9", "a"],
        ["", "own row", "", "", "b"],
        ["last", "1", "B", "41.20", ""],
        ["", "3", "B", "41.20", ""],
    ]


@pytest.mark.parametrize(
    "content",
    [
        b'id;crmbridge_score;crmbridge_grade\r\n0012;"41,2";B\r\n',
        b"\xef\xbb\xbfid;crmbridge_score;crmbridge_grade\r\n0012;41,20;B\r\n",
        b"sep=;\r\nid;crmbridge_score;crmbridge_grade\r\n0012;41,20;B\r\n",
        b"id\tcrmbridge_score\tcrmbridge_grade\n0012\t 41.2 \tB\n",
        "id;crmbridge_score;crmbridge_grade;Notiz\r\n0012;41,2;B;Größe prüfen, für später\r\n".encode(
            "cp1252"
        ),
        "id;crmbridge_score;crmbridge_grade\r\n0012;41,2;B\r\n".encode("utf-16"),
        b"crmbridge_grade,id,crmbridge_score\nB,0012,4.12e1",
    ],
)
def test_a_file_that_went_through_a_spreadsheet_is_read(tmp_path: Path, content: bytes) -> None:
    installed(tmp_path)
    (tmp_path / "scores" / "lead.csv").write_bytes(content)
    held = writer(tmp_path).read("lead", ["0012"])["0012"]
    assert (held["score"], held["grade"]) == (41.2, "B")
    put(writer(tmp_path), {"0012": {"grade": "A"}})
    assert writer(tmp_path).read("lead", ["0012"])["0012"]["score"] == 41.2, "what was not written stays"
    if "Notiz" in (first := rows(tmp_path)[0]):
        assert first["Notiz"] == "Größe prüfen, für später"


def test_a_cell_that_is_no_number_holds_nothing(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "scores" / "lead.csv").write_text("id,crmbridge_score\n1,about 40\n2,\n")
    held = writer(tmp_path).read("lead", ["1", "2"])
    assert (held["1"]["score"], held["2"]["score"]) == (None, None)
    put(writer(tmp_path), {"2": {"score": 1.0}})
    assert [row["crmbridge_score"] for row in rows(tmp_path)] == ["about 40", "1.00"]


def test_a_row_that_was_removed_holds_nothing_and_comes_back(tmp_path: Path) -> None:
    files = installed(tmp_path)
    put(files, {"1": FIRST, "2": FIRST})
    kept = [line for line in rows(tmp_path) if line["id"] == "2"]
    (tmp_path / "scores" / "lead.csv").write_text("id,crmbridge_score\n2,41.20\n")
    assert files.read("lead", ["1", "2"])["1"] == {}
    put(files, {"1": FIRST})
    assert [row["id"] for row in rows(tmp_path)] == ["2", "1"]
    assert kept


def test_a_file_that_was_removed_holds_nothing(tmp_path: Path) -> None:
    files = installed(tmp_path)
    put(files, {"1": FIRST})
    (tmp_path / "scores" / "lead.csv").unlink()
    assert files.read("lead", ["1"]) == {"1": {}}
    put(files, {"1": FIRST})
    files.read("lead", ["1"])
    (tmp_path / "scores" / "lead.csv").unlink()
    assert files.read("lead", ["1"]) == {"1": {}}


def test_every_row_of_an_id_is_written(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "scores" / "lead.csv").write_text("id,crmbridge_score\n1,5\n1,5\n")
    put(writer(tmp_path), {"1": {"score": 6.0}})
    assert [row["crmbridge_score"] for row in rows(tmp_path)] == ["6.00", "6.00"]


def test_changes_with_different_fields_can_be_written_together(tmp_path: Path) -> None:
    files = installed(tmp_path)
    put(files, {"1": FIRST, "2": FIRST})
    put(files, {"1": {"score": 1.0}, "2": {"grade": None}, "3": {"grade": "C"}})
    held = files.read("lead", ["1", "2", "3"])
    assert [(held[each]["score"], held[each]["grade"]) for each in ("1", "2", "3")] == [
        (1.0, "B"),
        (41.2, None),
        (None, "C"),
    ]
    assert held["2"]["reasons_up"] == FIRST["reasons_up"]


def test_the_file_is_read_once_until_somebody_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = installed(tmp_path)
    put(files, {"1": FIRST})
    reads: list[Path] = []
    read = scores._read
    monkeypatch.setattr(scores, "_read", lambda path: (reads.append(path), read(path))[1])
    files.read("lead", ["1"])
    files.read("lead", ["1"])
    assert len(reads) == 1, "what was written is read back from the disk"
    (tmp_path / "scores" / "lead.csv").write_text("id,crmbridge_score\n1,5\n")
    assert files.read("lead", ["1"])["1"]["score"] == 5.0
    files.read("lead", ["1"])
    assert len(reads) == 2


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_killed_while_writing_the_file_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*arguments: Any, **more: Any) -> None:
        raise Killed

    put(installed(tmp_path), {"1": FIRST})
    before = (tmp_path / "scores" / "lead.csv").read_bytes()
    with monkeypatch.context() as patch:
        if moment == "write":
            patch.setattr(scores.pa_csv, "write_csv", die)
        else:
            patch.setattr(os, moment, die)
        with pytest.raises(Killed):
            put(writer(tmp_path), {"1": {**FIRST, "score": 99.0}})
    assert (tmp_path / "scores" / "lead.csv").read_bytes() == before
    put(writer(tmp_path), {"1": {**FIRST, "score": 99.0}})
    assert os.listdir(tmp_path / "scores") == ["lead.csv"], "what the kill left is gone"


def test_a_full_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    files = installed(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"lead\.csv can't be written: No space left"):
        put(files, {"1": FIRST})


def test_the_rights_of_a_file_are_kept(tmp_path: Path) -> None:
    files = installed(tmp_path)
    put(files, {"1": FIRST})
    path = tmp_path / "scores" / "lead.csv"
    path.chmod(0o640)
    put(files, {"2": FIRST})
    assert path.stat().st_mode & 0o777 == 0o640


def test_without_the_folder_nothing_is_held_and_writing_makes_it(tmp_path: Path) -> None:
    files = writer(tmp_path)
    assert [item.state for item in files.check()] == ["ok"]
    assert files.read("lead", ["1"]) == {"1": {}}
    put(files, {"1": FIRST})
    assert files.read("lead", ["1"])["1"]["score"] == 41.2


def test_a_file_in_place_of_the_folder_is_a_conflict_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("mine")
    (step,) = writer(tmp_path).install(dry_run=False)
    assert step.state == "conflict"
    with pytest.raises(StoreError, match="can't be made: File exists"):
        put(writer(tmp_path), {"1": FIRST})
    assert (tmp_path / "scores").read_text() == "mine"


def test_a_file_without_ids_is_a_conflict(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "lead.csv").write_text("Id of the lead,crmbridge_score\n1,5\n")
    (step,) = writer(tmp_path).install(dry_run=False)
    assert step.state == "conflict"
    assert "no column 'id'" in step.what
    assert step.remedy
    (item,) = writer(tmp_path).check()
    assert item.state == "failed"
    with pytest.raises(SettingsError, match="no column 'id'"):
        writer(tmp_path).read("lead", ["1"])


@pytest.mark.parametrize("content", [b"", b"id,crmbridge_score\n1,5,6\n", b'id,crmbridge_score\n1,"5\n'])
def test_a_broken_file_is_told_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    files = installed(tmp_path)
    path = tmp_path / "scores" / "lead.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"scores/lead\.csv"):
        put(files, {"1": FIRST})
    assert path.read_bytes() == content


def test_uninstalling_keeps_what_a_person_added(tmp_path: Path) -> None:
    files = installed(tmp_path)
    put(files, {"1": FIRST})
    files.write("deal", [Change("deal", "7", {"score": 50.0, "stuck": True})])
    (tmp_path / "scores" / "lead.csv").write_text("id,note,crmbridge_score,crmbridge_value_12m\n1,mine,5,x\n")
    planned = [step.what for step in writer(tmp_path).uninstall(dry_run=True)]
    assert planned[0].startswith("columns crmbridge_score of")
    steps = list(writer(tmp_path).uninstall(dry_run=False))
    assert {step.state for step in steps} == {"done"}
    assert os.listdir(tmp_path / "scores") == ["lead.csv"]
    assert rows(tmp_path) == [{"id": "1", "note": "mine", "crmbridge_value_12m": "x"}]


def test_uninstalling_leaves_no_trace_where_nothing_was_added(tmp_path: Path) -> None:
    put(installed(tmp_path), {"1": FIRST})
    list(writer(tmp_path).uninstall(dry_run=False))
    assert os.listdir(tmp_path) == []
    assert list(writer(tmp_path).uninstall(dry_run=False)) == []


def test_parquet_has_the_types_of_the_fields(tmp_path: Path) -> None:
    files = installed(tmp_path, "parquet")
    files.write(
        "deal", [Change("deal", "0012", {**FIRST, "stuck": True}), Change("deal", "2", {"score": None})]
    )
    table = pq.read_table(tmp_path / "scores" / "deal.parquet")
    types = {name: str(kind) for name, kind in zip(table.column_names, table.schema.types, strict=True)}
    assert types["crmbridge_score"] == "double"
    assert types["crmbridge_stuck"] == "bool"
    assert types["crmbridge_scored_at"].startswith("timestamp")
    held = writer(tmp_path, "parquet").read("deal", ["0012", "2"])
    assert held["0012"] == {**FIRST, "stuck": True}
    assert held["2"] == dict.fromkeys(held["2"])


TEXTS = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip)
IDS = st.text(alphabet="0123456789NAae.+-x", min_size=1, max_size=20)
VALUES = st.fixed_dictionaries(
    {
        "score": st.none() | st.integers(min_value=0, max_value=10_000).map(lambda number: number / 100),
        "grade": st.sampled_from([None, "A", "B"]),
        "reasons_up": st.none() | TEXTS.filter(bool),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.dictionaries(IDS, VALUES, max_size=6), max_size=4),
    output=st.sampled_from(["csv", "parquet"]),
)
def test_what_was_written_last_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[str, dict[str, FieldValue]]], output: str
) -> None:
    folder = tmp_path_factory.mktemp("exports")
    files = installed(folder, output)
    wanted: dict[str, dict[str, FieldValue]] = {}
    for changes in writes:
        put(files, changes)
        wanted |= changes
    held = writer(folder, output).read("lead", list(wanted))
    assert {
        identifier: {key: row[key] for key in ("score", "grade", "reasons_up")}
        for identifier, row in held.items()
    } == wanted
    assert list(held) == list(wanted)


def test_a_parquet_file_that_another_tool_wrote_is_read(tmp_path: Path) -> None:
    installed(tmp_path, "parquet")
    table = pa.table(
        {
            "id": pa.array([12, 13]),
            "crmbridge_score": pa.array([41, None], pa.int32()),
            "crmbridge_grade": pa.array(["B", "B"]).dictionary_encode(),
            "crmbridge_reasons_up": pa.nulls(2),
            "note": pa.array([{"by": "me"}, None]),
        }
    )
    pq.write_table(table, tmp_path / "scores" / "lead.parquet")
    files = writer(tmp_path, "parquet")
    held = files.read("lead", ["12", "13"])
    assert (held["12"]["score"], held["12"]["grade"], held["13"]["score"]) == (41.0, "B", None)
    put(files, {"13": FIRST})
    kept = pq.read_table(tmp_path / "scores" / "lead.parquet").to_pylist()
    assert [(row["id"], row["crmbridge_score"], row["note"]) for row in kept] == [
        ("12", 41.0, {"by": "me"}),
        ("13", 41.2, None),
    ]


def test_a_parquet_column_of_an_impossible_type_is_told(tmp_path: Path) -> None:
    installed(tmp_path, "parquet")
    table = pa.table({"id": ["1"], "crmbridge_score": [{"value": 5}]})
    pq.write_table(table, tmp_path / "scores" / "lead.parquet")
    with pytest.raises(SettingsError, match="'crmbridge_score' can't be used"):
        writer(tmp_path, "parquet").read("lead", ["1"])
