"""The Metadata API's calls that `install` needs, over SOAP: read, upsert, delete; at most ten a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from crmbridge.connectors.salesforce.client import Client

NAMESPACE: Final = "{http://soap.sforce.com/2006/04/metadata}"
NIL: Final = "{http://www.w3.org/2001/XMLSchema-instance}nil"
AT_ONCE: Final = 10

Kind = Literal["CustomField", "PermissionSet"]
Children = list[tuple[str, str]]
"""Element names and inner XML of a component, in the schema's order, without `fullName`."""


@dataclass(frozen=True)
class Result:
    """What became of one component. `code` and `message` are Salesforce's own, where it refused."""

    full_name: str
    created: bool
    code: str | None = None
    message: str | None = None


def read(client: Client, kind: Kind, names: Sequence[str]) -> dict[str, Children]:
    """The components of these names that there are."""
    found: dict[str, Children] = {}
    for part in _parts(names):
        wanted = "".join(f"<fullNames>{escape(name)}</fullNames>" for name in part)
        answer = client.soap(f"<readMetadata><type>{kind}</type>{wanted}</readMetadata>")
        for record in answer.iter(f"{NAMESPACE}records"):
            name = record.findtext(f"{NAMESPACE}fullName")
            if record.get(NIL) == "true" or not name:
                continue
            found[name] = [
                (_plain(child.tag), _inner(child)) for child in record if _plain(child.tag) != "fullName"
            ]
    return found


def upsert(client: Client, kind: Kind, components: Mapping[str, Children]) -> Iterator[Result]:
    """Make or change components; each call is carried out whole or not at all."""
    for part in _parts(list(components)):
        inner = "".join(
            f'<metadata xsi:type="{kind}"><fullName>{escape(name)}</fullName>'
            + "".join(f"<{tag}>{content}</{tag}>" for tag, content in components[name])
            + "</metadata>"
            for name in part
        )
        yield from _results(client.soap(f"<upsertMetadata>{inner}</upsertMetadata>"))


def delete(client: Client, kind: Kind, names: Sequence[str]) -> Iterator[Result]:
    """Remove components."""
    for part in _parts(names):
        wanted = "".join(f"<fullNames>{escape(name)}</fullNames>" for name in part)
        answer = client.soap(f"<deleteMetadata><type>{kind}</type>{wanted}</deleteMetadata>")
        yield from _results(answer)


def text(children: Children, tag: str) -> str | None:
    """The content of a component's child, or None."""
    return next((content for name, content in children if name == tag), None)


def _results(answer: ElementTree.Element) -> Iterator[Result]:
    for result in answer.iter(f"{NAMESPACE}result"):
        name = result.findtext(f"{NAMESPACE}fullName") or ""
        created = result.findtext(f"{NAMESPACE}created") == "true"
        if result.findtext(f"{NAMESPACE}success") == "true":
            yield Result(name, created)
        else:
            code = result.findtext(f"{NAMESPACE}errors/{NAMESPACE}statusCode")
            yield Result(name, created, code, result.findtext(f"{NAMESPACE}errors/{NAMESPACE}message"))


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


def _plain(tag: str) -> str:
    return tag.removeprefix(NAMESPACE)


def _inner(element: ElementTree.Element) -> str:
    """The XML inside an element, without name space marks: it is sent back as it came."""
    return escape(element.text or "") + "".join(
        f"<{_plain(child.tag)}>{_inner(child)}</{_plain(child.tag)}>{escape((child.tail or '').strip())}"
        for child in element
    )
