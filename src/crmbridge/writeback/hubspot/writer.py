"""The writer of HubSpot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Final, Literal

from crmbridge.connectors.base import CheckItem, Context
from crmbridge.connectors.hubspot import objects
from crmbridge.connectors.hubspot.answers import Json, Refused, context_of, errors_of
from crmbridge.connectors.hubspot.client import Client, Lost
from crmbridge.connectors.hubspot.leads import lead_kind
from crmbridge.connectors.hubspot.objects import HubSpotObject
from crmbridge.connectors.hubspot.own import OWN, PROPERTIES, spelt, understood
from crmbridge.connectors.hubspot.reading import Reader
from crmbridge.errors import AuthError, QuotaError, TransientError
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, hubspot_name
from crmbridge.model.records import ObjectName
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from crmbridge.writeback.hubspot.install import Wanted, checked, install, uninstall

INPUTS: Final = 100
"""Records in one call."""
PASSING: Final = frozenset({"RATE_LIMITS", "RATE_LIMIT", "LOCKED", "OBJECT_LOCKED", "INTERNAL_ERROR"})
"""Categories of a record's error that may be gone at the next try."""

TRACE: Final = "objectWriteTraceId"
"""Names an input, so that its error names it, too, and the others are written."""
NO_PROPERTY: Final = "PROPERTY_DOESNT_EXIST"
_NAME: Final = re.compile(r"\w+")


class HubSpotWriter(Writer):
    """Writes our properties of leads (or the contacts that are leads), contacts, companies and deals.

    HubSpot has no way to write without its workflows seeing it; our properties are new, so none waits for
    them.
    """

    name: ClassVar[str] = "hubspot"
    objects: ClassVar[tuple[ObjectName, ...]] = ("lead", "contact", "account", "deal")
    batch_size: ClassVar[int] = 1_000

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.client = Client.of(context)
        self._reader = Reader(self.client)
        self._traces = True

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Make the missing properties, in a group of their own.

        Raises AuthError, QuotaError, TransientError.
        """
        return install(self.client, self._wanted(), dry_run=dry_run)

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Archive our properties; HubSpot keeps their values for 90 days."""
        kinds = list(dict.fromkeys(self._kind(name).name for name in self.objects))
        return uninstall(self.client, kinds, dry_run=dry_run)

    def check(self) -> Iterator[CheckItem]:
        """Whether each property is there and can be written."""
        return checked(self.client, self._wanted())

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """What the properties hold. A record merged into another is gone: its id is another's now."""
        fields = {hubspot_name(each.key): each for each in fields_on(object_name, self.context.fields)}
        asked = set(ids)
        return {
            str(raw["id"]): {
                each.key: understood(each, (raw.get("properties") or {}).get(name))
                for name, each in fields.items()
            }
            for raw in self._reader.batch(self._kind(object_name), ids, list(fields))
            if str(raw["id"]) in asked
        }

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Write, 100 records a call, several calls at a time."""
        pieces = [changes[start : start + INPUTS] for start in range(0, len(changes), INPUTS)]
        kind = self._kind(object_name)

        def piece(part: Sequence[Change]) -> list[Outcome] | AuthError | QuotaError:
            try:
                return self._write(kind, part)
            except (AuthError, QuotaError) as error:
                return error

        answers = list(self.client.each(piece, pieces))
        refusals = [answer for answer in answers if not isinstance(answer, list)]
        if refusals and len(refusals) == len(answers):
            raise refusals[0]
        outcomes: list[Outcome] = []
        for part, answer in zip(pieces, answers, strict=True):
            if isinstance(answer, list):
                outcomes += answer
            else:  # something was sent already: these wait for the next round, which raises
                outcomes += _all(part, "retry", type(answer).__name__, str(answer))
        return outcomes

    def close(self) -> None:
        self.client.close()

    def _wanted(self) -> list[Wanted]:
        """The fields by type of object; leads that are contacts share theirs."""
        wanted: dict[str, dict[str, None]] = {}
        for name in self.objects:
            keys = (each.key for each in fields_on(name, self.context.fields))
            wanted.setdefault(self._kind(name).name, {}).update(dict.fromkeys(keys))
        return [
            Wanted(kind, tuple(CATALOGUE[key] for key in CATALOGUE if key in keys))
            for kind, keys in wanted.items()
            if keys
        ]

    def _kind(self, object_name: ObjectName) -> HubSpotObject:
        if object_name == "lead":
            return self._lead
        return {
            "contact": objects.CONTACTS,
            "account": objects.COMPANIES,
            "deal": objects.DEALS,
        }[object_name]

    @cached_property
    def _lead(self) -> HubSpotObject:
        return lead_kind(self.client)

    # One call

    def _write(self, kind: HubSpotObject, changes: Sequence[Change]) -> list[Outcome]:
        """One call; a refused batch is cut in two until the records to blame are alone."""
        inputs: list[Json] = [{"id": each.id, "properties": _properties(each)} for each in changes]
        if self._traces:
            for each in inputs:
                each[TRACE] = each["id"]
        try:
            path = f"{self.client.paths.objects.format(kind.name)}/batch/update"
            answer = self.client.write(path, {"inputs": inputs}).body
        except Lost as error:
            return _all(changes, "unknown", "NO_ANSWER", str(error))
        except TransientError as error:
            return _all(changes, "retry", "TRANSIENT", error.said or error.what)
        except Refused as error:
            return self._refused(kind, changes, error)
        return self._accounted(kind, changes, answer)

    def _refused(self, kind: HubSpotObject, changes: Sequence[Change], error: Refused) -> list[Outcome]:
        if error.status == 403:
            scopes = ", ".join(error.scopes) or f"crm.objects.{kind.name}.write"
            raise AuthError(
                f"the key may not write {kind.name}.",
                connection=error.connection,
                said=error.message or None,
                remedy=f"Grant {scopes}.",
            ) from error
        unknown = {
            name
            for each in errors_of(error.body)
            if each.get("code") == NO_PROPERTY
            for name in context_of(each, "propertyName")
        }
        if not unknown and NO_PROPERTY in error.message:  # some refusals have it in their message alone
            unknown = {name for name in _NAME.findall(error.message) if name in OWN}
        if self._traces and TRACE in error.message:
            # Documented for creations: where updates do not take it, refused batches are halved.
            self._traces = False
            return self._write(kind, changes)
        if len(changes) == 1:
            code = NO_PROPERTY if unknown else error.code
            return [Outcome(changes[0].id, "rejected", code, error.message or None)]
        hit = [each for each in changes if any(hubspot_name(key) in unknown for key in each.values)]
        if hit:
            rest = [each for each in changes if each not in hit]
            outcomes = _all(hit, "rejected", NO_PROPERTY, error.message)
            return outcomes + (self._write(kind, rest) if rest else [])
        return self._halves(kind, changes)

    def _halves(self, kind: HubSpotObject, changes: Sequence[Change]) -> list[Outcome]:
        middle = len(changes) // 2
        return self._write(kind, changes[:middle]) + self._write(kind, changes[middle:])

    def _accounted(self, kind: HubSpotObject, changes: Sequence[Change], answer: Json) -> list[Outcome]:
        """An outcome for each change: results come in any order, and perhaps fewer than were sent."""
        left = {change.id: change for change in changes}
        outcomes = []
        for result in answer.get("results") or ():
            change = left.pop(str(result.get("id")), None)
            if change is not None:
                outcomes.append(Outcome(change.id, "sent"))
        unattributed: list[Json] = []
        for error in errors_of(answer):
            about = [each for each in context_of(error, TRACE, "ids", "id") if each in left]
            if not about:
                unattributed.append(error)
            outcomes += [_rejected(left.pop(each).id, error) for each in dict.fromkeys(about)]
        rest = list(left.values())
        if not rest:
            return outcomes
        if not unattributed:
            # Neither written nor refused, says the answer: reading back tells.
            return outcomes + _all(rest, "unknown", "UNANSWERED", "HubSpot's answer leaves it out")
        if len(rest) == 1:
            return [*outcomes, _rejected(rest[0].id, unattributed[0])]
        return outcomes + self._halves(kind, rest)


def _properties(change: Change) -> dict[str, str]:
    found = {}
    for key, value in change.values.items():
        name, field = PROPERTIES[key]
        found[name] = value if value.__class__ is str else spelt(field, value)
    return found


def _rejected(identifier: str, error: Json) -> Outcome:
    category = str(error.get("category") or "")
    code = str(error.get("code") or error.get("subCategory") or category or error.get("status") or "ERROR")
    message = str(error["message"]) if error.get("message") else None
    return Outcome(identifier, "retry" if category in PASSING else "rejected", code, message)


def _all(
    changes: Sequence[Change], state: Literal["rejected", "retry", "unknown"], code: str, message: str
) -> list[Outcome]:
    return [Outcome(change.id, state, code, message) for change in changes]
