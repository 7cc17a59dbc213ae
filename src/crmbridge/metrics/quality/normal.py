"""One spelling for what people write in many ways: names, e-mails, phone numbers, companies."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_FORMS: Final = (
    "gmbh|ag|kg|ohg|ug|se|inc|incorporated|llc|llp|ltd|limited|corp|corporation|co|company|plc|sa|sas|sarl|srl|spa|"
    "bv|nv|oy|ab|as|aps|pty|pte|group|holding"
)
_FREE: Final = (
    r"@(gmail|googlemail|yahoo|hotmail|outlook|live|icloud|aol|gmx|web|mail|qq|163|126|proton|protonmail)\."
)


def plain(column: pa.Array) -> pa.Array:
    """Small letters without accents, single blanks; null for what is empty."""
    text = pc.utf8_lower(pc.utf8_normalize(column, form="NFD"))
    text = pc.replace_substring_regex(text, r"\p{M}", "")
    text = pc.replace_substring_regex(text, r"[^\p{L}\p{N}]+", " ")
    return _or_null(pc.utf8_trim_whitespace(text))


def company(column: pa.Array) -> pa.Array:
    """A plain name without the words for legal forms at its end, and without blanks."""
    text = plain(column)
    for _ in range(2):  # "Acme Holding GmbH"
        text = pc.replace_substring_regex(text, rf"^(.+?) ({_FORMS})$", r"\1")
    return pc.replace_substring(text, " ", "")


def email(column: pa.Array) -> pa.Array:
    """Small letters, without what stands behind a + in the name."""
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    text = pc.replace_substring_regex(text, r"\+[^@]*@", "@")
    return pc.if_else(pc.match_substring(text, "@"), text, pa.scalar(None, pa.string()))


def email_name(column: pa.Array) -> pa.Array:
    """What stands before the @ of a plain e-mail, without dots; null below five letters."""
    text = pc.replace_substring_regex(pc.replace_substring_regex(column, r"@.*$", ""), r"[._-]", "")
    return pc.if_else(pc.greater_equal(pc.utf8_length(text), 5), text, pa.scalar(None, pa.string()))


def email_domain(column: pa.Array) -> pa.Array:
    """The domain of a plain e-mail; null where anybody can have it."""
    free = pc.match_substring_regex(column, _FREE)
    domain = pc.replace_substring_regex(column, r"^.*@", "")
    return _or_null(pc.if_else(free, pa.scalar(None, pa.string()), domain))


def phone(column: pa.Array) -> pa.Array:
    """The last eight digits, without an extension: country and trunk prefixes are written in many ways."""
    text = pc.replace_substring_regex(pc.utf8_lower(column), r"(ext|x|#).*$", "")
    digits = pc.replace_substring_regex(text, r"\D", "")
    long = pc.greater_equal(pc.utf8_length(digits), 7)
    return pc.if_else(long, pc.utf8_slice_codeunits(digits, -8), pa.scalar(None, pa.string()))


def host(column: pa.Array) -> pa.Array:
    """The host of a website, without www."""
    text = pc.replace_substring_regex(pc.utf8_lower(pc.utf8_trim_whitespace(column)), r"^https?://", "")
    return _or_null(
        pc.replace_substring_regex(pc.replace_substring_regex(text, r"[/?#:].*$", ""), r"^www\.", "")
    )


def joined(*columns: pa.Array) -> pa.Array:
    """The columns' texts side by side; null where one is missing."""
    return pc.binary_join_element_wise(*columns, "|")


def together(*columns: pa.Array) -> pa.Array:
    """The texts there are, with blanks between; null where there is none."""
    filled = [pc.fill_null(column, "") for column in columns]
    return _or_null(pc.utf8_trim_whitespace(pc.binary_join_element_wise(*filled, " ")))


def start(column: pa.Array, letters: int) -> pa.Array:
    """The first letters."""
    return _or_null(pc.utf8_slice_codeunits(column, 0, letters))


def _or_null(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
