"""CSV cells: exact, and nothing a spreadsheet would run."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from crmbridge.report.spreadsheet import cells, guarded


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("http://x","y")',
        "@SUM(A1)",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|'x'!A0",
        "\t=1",
        "\r=1",
        "＝1",
    ],
)
def test_a_formula_becomes_text(text: str) -> None:
    assert guarded(pa.array([text])).to_pylist() == ["'" + text]


@pytest.mark.parametrize(
    "text",
    ["", "plain", "+49 (30) 123-45/6", "-12.5", "+1,200", "a=b", "don't", "1.5e3", "مرحبا", None],
)
def test_other_texts_numbers_and_phone_numbers_stay_as_they_are(text: str | None) -> None:
    assert guarded(pa.array([text], pa.string())).to_pylist() == [text]


def test_ids_amounts_and_moments_keep_every_digit() -> None:
    batch = pa.record_batch(
        {
            "id": pa.array(["-0012345678901234567", "=id", "NA"]),
            "owner_id": pa.array(["+1", None, "@x"]),
            "amount": pa.array(
                [Decimal("12345678901234567890123456789.1"), Decimal("0.000000001"), None],
                pa.decimal128(38, 9),
            ),
            "created_at": pa.array(
                [
                    datetime(2026, 3, 31, 8, 0, 30, tzinfo=UTC),
                    datetime(1999, 1, 1, 0, 0, 0, 250_000, UTC),
                    None,
                ],
                pa.timestamp("us", tz="UTC"),
            ),
            "won": pa.array([True, None, False]),
        }
    )
    assert cells(batch).to_pydict() == {
        "id": ["-0012345678901234567", "=id", "NA"],
        "owner_id": ["+1", None, "@x"],
        "amount": ["12345678901234567890123456789.1", "0.000000001", None],
        "created_at": ["2026-03-31T08:00:30Z", "1999-01-01T00:00:00.250000Z", None],
        "won": [True, None, False],
    }
