"""Rows of a design matrix, in the forms a fit can add up: dense, coded, and embedded.

A fit asks three things of some rows x_i: their log-odds x_i.theta, sums of x_i r_i, and sums of w_i x_i
x_i'. The answers of several parts add up to those of all, so a fit streams over parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from crmbridge.metrics.need.arrays import Floats, Ints


class Rows(Protocol):
    """Some rows of the matrix and their outcomes; `theta` has a coefficient for each of its columns."""

    @property
    def y(self) -> Floats:
        """The outcomes (rows,): 0 or 1."""

    def logit(self, theta: Floats) -> Floats:
        """The log-odds (rows,): x theta."""

    def project(self, residual: Floats) -> Floats:
        """x' residual (columns,)."""

    def gram(self, weight: Floats) -> Floats:
        """x' diag(weight) x (columns, columns)."""


Parts = Iterable[Rows]
"""The rows in parts; gone through many times, always in the same order."""


@dataclass(frozen=True)
class DenseRows:
    """Rows as a plain matrix `x` (rows, columns)."""

    x: Floats
    y: Floats

    def logit(self, theta: Floats) -> Floats:
        return self.x @ theta

    def project(self, residual: Floats) -> Floats:
        return self.x.T @ residual

    def gram(self, weight: Floats) -> Floats:
        return self.x.T @ (self.x * weight[:, None])


@dataclass(frozen=True)
class Layout:
    """Which columns of the matrix are dense, and which belong together as the levels of one field.

    `dense` are column numbers; `offsets` and `widths` describe the coded fields. A row is in at most one
    column of a field; the column number `width` stands for none.
    """

    width: int
    dense: tuple[int, ...]
    offsets: tuple[int, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True)
class CodedRows:
    """Rows of 0 and 1 in all but a few columns. `index` (rows, fields) int32 is the column in which each
    field is 1; `values` (rows, dense columns).

    Products of tall and narrow matrices are einsum's: BLAS would start threads for microseconds of work.
    """

    layout: Layout
    index: npt.NDArray[np.int32]
    values: Floats
    y: Floats

    @cached_property
    def _sparse(self) -> csr_matrix:
        rows, fields = self.index.shape
        cells = (_ones(rows * fields), self.index.ravel(), np.arange(rows + 1, dtype=np.int32) * fields)
        return csr_matrix(cells, (rows, self.layout.width + 1), copy=False)

    def logit(self, theta: Floats) -> Floats:
        coded: Floats = self._sparse @ np.append(theta, 0.0)
        coded += np.einsum("ij,j->i", self.values, theta[list(self.layout.dense)])
        return coded

    def project(self, residual: Floats) -> Floats:
        total: Floats = (self._sparse.T @ residual)[: self.layout.width]
        total[list(self.layout.dense)] += np.einsum("ij,i->j", self.values, residual)
        return total

    def gram(self, weight: Floats) -> Floats:
        layout, width = self.layout, self.layout.width
        dense = list(layout.dense)
        weighted = self.values * weight[:, None]
        total = np.zeros((width, width))
        total[np.ix_(dense, dense)] = np.einsum("ij,ik->jk", self.values, weighted)
        crossed: Floats = (self._sparse.T @ weighted)[:width]
        total[:, dense] += crossed
        total[dense, :] += crossed.T
        total[np.diag_indices(width)] += (self._sparse.T @ weight)[:width]
        # Two fields meet in a table of their levels: one count of weights per pair.
        codes, columns = self._codes(), max(layout.widths, default=0) + 1
        for later, code in codes:
            rows, at = layout.widths[later], layout.offsets[later]
            starts = code * columns
            for earlier, other in codes:
                if earlier >= later:
                    break
                table = np.bincount(starts + other, weight, (rows + 1) * columns).reshape(-1, columns)
                beside = slice(layout.offsets[earlier], layout.offsets[earlier] + layout.widths[earlier])
                block = table[:rows, : layout.widths[earlier]]
                total[at : at + rows, beside] += block
                total[beside, at : at + rows] += block.T
        return total

    def quadratic(self, matrix: Floats) -> Floats:
        """x' matrix x per row, for a symmetric matrix."""
        layout = self.layout
        dense = list(layout.dense)
        padded = np.zeros((layout.width + 1, layout.width + 1))
        padded[:-1, :-1] = matrix
        dense_part = np.einsum("ij,jk->ik", self.values, matrix[np.ix_(dense, dense)])
        total: Floats = np.einsum("ij,ij->i", dense_part, self.values)
        total += 2.0 * np.einsum("ij,ij->i", self._sparse @ padded[:, dense], self.values)
        total += self._sparse @ padded.diagonal()
        codes, columns = self._codes(), max(layout.widths, default=0) + 1
        for later, code in codes:
            rows, at = layout.widths[later], layout.offsets[later]
            starts = code * columns
            for earlier, other in codes:
                if earlier >= later:
                    break
                beside = slice(layout.offsets[earlier], layout.offsets[earlier] + layout.widths[earlier])
                table = np.zeros((rows + 1, columns))
                table[:rows, : layout.widths[earlier]] = 2.0 * matrix[at : at + rows, beside]
                total += table.ravel()[starts + other]
        return total

    def _codes(self) -> list[tuple[int, Ints]]:
        """The coded fields not empty in these rows: number, and level of each row (the width is none)."""
        found = []
        for field, (offset, width) in enumerate(zip(self.layout.offsets, self.layout.widths, strict=True)):
            code = np.minimum(self.index[:, field].astype(np.int64) - offset, width)
            if bool((code < width).any()):
                found.append((field, code))
        return found


@lru_cache(maxsize=8)
def _ones(size: int) -> Floats:
    """So many ones, in memory that all parts of a size share."""
    return np.ones(size)


@dataclass(frozen=True)
class EmbeddedRows:
    """Rows that are a linear image of simpler ones: x = inner x @ image, image (inner columns, columns)."""

    inner: Rows
    image: Floats

    @property
    def y(self) -> Floats:
        return self.inner.y

    def logit(self, theta: Floats) -> Floats:
        return self.inner.logit(self.image @ theta)

    def project(self, residual: Floats) -> Floats:
        return self.image.T @ self.inner.project(residual)

    def gram(self, weight: Floats) -> Floats:
        return self.image.T @ self.inner.gram(weight) @ self.image
