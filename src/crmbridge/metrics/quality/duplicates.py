"""Which records are the same person, company or deal.

Records that share a key (`blocks`) are compared by rules that ask for evidence beyond a similar name:

- lead, contact: the same e-mail and similar names; the same phone and very similar names; the same name at
  the same company unless e-mail and phone both speak against it; a very similar name at the same company with
  a phone number up to two slips away. (E-mails are made of names: that they are alike says nothing more.)
- account: the same website and names one slip apart; nearly the same name; neither where countries or
  websites differ.
- deal: nearly the same name for the same account, made within 30 days, with the same amount.

Similarity of people's names is Jaro and Winkler's (0 to 1), the same words in another order being the same;
that of companies and deals is 1 less Levenshtein's distance by the longer one's length.
Source: Christen, Data Matching, 2012; Winkler, The State of Record Linkage, 1999.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz import process
from rapidfuzz.distance import JaroWinkler, Levenshtein
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from crmbridge.metrics.arrays import Codes, Floats, Mask, moments, numbers
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY
from crmbridge.metrics.quality import normal
from crmbridge.metrics.quality.blocks import pairs
from crmbridge.model.records import ObjectName

SIMILAR, VERY_SIMILAR, NEARLY_SAME = 0.80, 0.90, 0.93
FEW_SLIPS: Final = 0.75
"""Of the eight digits of two phone numbers, the share that must agree: up to two slips."""
DAYS_APART: Final = 30
_COLUMNS: Final[Mapping[ObjectName, tuple[str, ...]]] = {
    "lead": ("first_name", "last_name", "email", "phone", "company"),
    "contact": ("first_name", "last_name", "email", "phone", "account_id"),
    "account": ("name", "website", "country"),
    "deal": ("name", "account_id", "amount", "created_at"),
}
_PIECE: Final = 200_000


@dataclass(frozen=True)
class Duplicates:
    """`first` and `second` are rows of `ids` that are taken for the same; `group` numbers what hangs together
    (one per row; who has no duplicate is alone).
    """

    ids: pa.Array
    first: Codes
    second: Codes
    group: Codes

    @property
    def is_duplicate(self) -> Mask:
        found: Mask = np.bincount(self.group, minlength=1)[self.group] > 1
        return found

    @property
    def surplus(self) -> int:
        """How many records there would be less if each were there once."""
        return len(self.group) - len(np.unique(self.group))

    def partner(self) -> Codes:
        """For each row the first other one of its group; -1 where it is alone."""
        found = np.full(len(self.group), -1, np.int64)
        order = np.argsort(self.group, kind="stable")
        groups = self.group[order]
        begin = np.flatnonzero(np.diff(groups, prepend=-1) != 0)
        lead = np.repeat(begin, np.diff(np.append(begin, len(groups))))
        place = np.arange(len(groups))
        following = np.minimum(lead + 1, len(groups) - 1)
        other = np.where(place > lead, lead, following)
        grouped = groups[other] == groups[place]
        paired = grouped & (other != place)
        found[order[paired]] = order[other[paired]]
        return found


def duplicates(frame: Frame, object_name: ObjectName) -> Duplicates:
    """The duplicates among the live records of an object."""
    table = frame.table(object_name, ("id", *_COLUMNS[object_name])).combine_chunks()
    # Sorted by id: what is found does not depend on the order the records come in.
    table = table.take(pc.sort_indices(table["id"])).combine_chunks()
    column = {name: _whole(table[name]) for name in table.column_names}
    first, second = _MATCHERS[object_name](column)
    number = table.num_rows
    links = coo_matrix((np.ones(len(first)), (first, second)), shape=(number, number))
    _, group = connected_components(links, directed=False)
    return Duplicates(column["id"], first, second, group.astype(np.int64))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _persons(column: Mapping[str, pa.Array]) -> tuple[Codes, Codes]:
    first_name, last_name = normal.plain(column["first_name"]), normal.plain(column["last_name"])
    name = normal.together(first_name, last_name)
    email, phone = normal.email(column["email"]), normal.phone(column["phone"])
    domain = normal.email_domain(email)
    own_company = normal.company(column["company"]) if "company" in column else column["account_id"]
    one, other = pairs(
        (
            email,
            phone,
            normal.email_name(email),
            name,
            normal.joined(own_company, normal.start(last_name, 3)),
            normal.joined(own_company, normal.start(first_name, 3)),
            normal.joined(domain, normal.start(last_name, 4)),
        )
    )
    alike = _names_alike(name, one, other)
    unnamed = ~(_valid(name)[one] & _valid(name)[other])
    same_email, same_phone = _same(email, one, other), _same(phone, one, other)
    at_same = _same(own_company, one, other) | _same(domain, one, other)
    against = _differ(email, one, other) & _differ(phone, one, other)
    near = np.zeros(len(one), bool)
    rows = np.flatnonzero(at_same & (alike >= VERY_SIMILAR) & ~same_email & ~same_phone)
    near[rows] = _likeness(phone, one[rows], other[rows], Levenshtein.normalized_similarity) >= FEW_SLIPS
    match = (
        (same_email & ((alike >= SIMILAR) | unnamed))
        | (same_phone & (alike >= VERY_SIMILAR))
        | (at_same & (alike >= 1.0) & ~against)
        | near
    )
    return one[match], other[match]


def _accounts(column: Mapping[str, pa.Array]) -> tuple[Codes, Codes]:
    name, host = normal.company(column["name"]), normal.host(column["website"])
    country = normal.plain(column["country"])
    one, other = pairs((host, name, normal.start(name, 5)))
    # Parts of a group share a website and the beginning of the name, and differ by country or place.
    alike = _likeness(name, one, other, Levenshtein.normalized_similarity)
    letters = pc.fill_null(pc.utf8_length(name), 0).to_numpy(zero_copy_only=False)
    slips = (1 - alike) * np.maximum(letters[one], letters[other])
    same_site = _same(host, one, other) & (slips < 1.5) & (alike > 0)
    match = ((alike >= NEARLY_SAME) | same_site) & ~_differ(country, one, other) & ~_differ(host, one, other)
    return one[match], other[match]


def _deals(column: Mapping[str, pa.Array]) -> tuple[Codes, Codes]:
    name, account = normal.plain(column["name"]), column["account_id"]
    amount, created = numbers(column["amount"]), moments(column["created_at"])
    one, other = pairs((normal.joined(account, normal.start(name, 4)),))
    apart = np.abs(created[one] // DAY - created[other] // DAY)
    same_amount = (amount[one] == amount[other]) | (np.isnan(amount[one]) & np.isnan(amount[other]))
    rows = np.flatnonzero((apart <= DAYS_APART) & same_amount)
    one, other = one[rows], other[rows]
    match = _likeness(name, one, other, Levenshtein.normalized_similarity) >= NEARLY_SAME
    return one[match], other[match]


_MATCHERS: Final[Mapping[ObjectName, Callable[[Mapping[str, pa.Array]], tuple[Codes, Codes]]]] = {
    "lead": _persons,
    "contact": _persons,
    "account": _accounts,
    "deal": _deals,
}


def _valid(column: pa.Array) -> Mask:
    found: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    return found


def _codes(column: pa.Array) -> Codes:
    indices = pc.dictionary_encode(column).indices
    found: Codes = pc.fill_null(indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return found


def _same(column: pa.Array, one: Codes, other: Codes) -> Mask:
    codes = _codes(column)
    same: Mask = (codes[one] == codes[other]) & (codes[one] >= 0)
    return same


def _differ(column: pa.Array, one: Codes, other: Codes) -> Mask:
    """Both are known and not the same."""
    codes = _codes(column)
    differ: Mask = (codes[one] != codes[other]) & (codes[one] >= 0) & (codes[other] >= 0)
    return differ


def _names_alike(name: pa.Array, one: Codes, other: Codes) -> Floats:
    alike = _likeness(name, one, other, JaroWinkler.normalized_similarity)
    turned = pa.array([text and " ".join(sorted(text.split())) for text in name.to_pylist()], pa.string())
    return np.where(_same(turned, one, other), 1.0, alike)


def _likeness(column: pa.Array, one: Codes, other: Codes, scorer: Callable[..., float]) -> Floats:
    """The likeness of each pair of texts, 0 to 1; 0 where one is missing."""
    found = np.zeros(len(one))
    for start in range(0, len(one), _PIECE):
        part = slice(start, start + _PIECE)
        texts = [column.take(pa.array(rows[part])).to_pylist() for rows in (one, other)]
        found[part] = process.cpdist(*texts, scorer=scorer, dtype=np.float64, workers=1)
    both = _valid(column)
    return np.where(both[one] & both[other], found, 0.0)
