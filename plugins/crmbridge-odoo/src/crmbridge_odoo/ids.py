"""Sets of ids in a cursor: Odoo's ids are numbers that go up, so a set is its gaps, packed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def pack(ids: Iterable[int]) -> str:
    """A set of ids as text: about a quarter of a byte each where they are close together."""
    ordered = np.unique(np.fromiter(ids, np.int64))
    gaps = np.diff(ordered, prepend=0).astype("<i8")
    return base64.b85encode(zlib.compress(gaps.tobytes())).decode("ascii")


def unpack(text: str) -> Ids:
    """The ids in order. Raises ValueError for what `pack` did not make."""
    try:
        gaps = np.frombuffer(zlib.decompress(base64.b85decode(text)), "<i8")
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return np.cumsum(gaps).astype(np.int64)


def missing(before: Ids, now: Iterable[int]) -> list[int]:
    """The ids of `before` that are not there now."""
    found: list[int] = np.setdiff1d(before, np.fromiter(now, np.int64), assume_unique=False).tolist()
    return found
