"""Candidates for duplicates: records that share a key, in near-linear time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import Codes

LARGEST: Final = 40
"""A key shared by more records tells little: within it only neighbours in the key's order are compared."""
NEIGHBOURS: Final = 3


def pairs(keys: Iterable[pa.Array]) -> tuple[Codes, Codes]:
    """Pairs of rows (first < second) that share a value of any key, each pair once; null is no value."""
    found = []
    for key in keys:
        rows = np.flatnonzero(key.is_valid().to_numpy(zero_copy_only=False))
        if len(rows) < 2:
            continue
        codes = pc.dictionary_encode(key.take(pa.array(rows))).indices.to_numpy().astype(np.int64)
        order = np.argsort(codes, kind="stable")
        rows, codes = rows[order], codes[order]
        size = np.bincount(codes)[codes]
        reach = np.where(size <= LARGEST, size, NEIGHBOURS + 1)
        for step in range(1, int(reach.max(initial=1))):
            near = (codes[step:] == codes[:-step]) & (reach[step:] > step)
            if not near.any():
                break
            one, other = rows[:-step][near], rows[step:][near]
            found.append((np.minimum(one, other) << 32) | np.maximum(one, other))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    packed = np.unique(np.concatenate(found))
    return packed >> 32, packed & 0xFFFFFFFF
