"""The Zoho writer: our fields in Leads, Contacts, Accounts and Deals, 100 records a call or by job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, cast

from crmbridge.connectors.base import CheckItem, Context
from crmbridge.connectors.zoho import cells, limits
from crmbridge.connectors.zoho.client import Client, Lost, Refused
from crmbridge.connectors.zoho.lists import IDS
from crmbridge.connectors.zoho.mapping import own_values
from crmbridge.connectors.zoho.objects import BULK_WRITE
from crmbridge.connectors.zoho.options import Options
from crmbridge.connectors.zoho.schema import ModuleFields, Schema, ZohoField
from crmbridge.errors import AuthError, CRMBridgeError, QuotaError, SettingsError, TransientError
from crmbridge.model.fields import FieldValue, fields_on
from crmbridge.model.records import ObjectName
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from crmbridge.writeback.zoho import bulk, install
from crmbridge.writeback.zoho.answers import LATER, outcomes
from crmbridge.writeback.zoho.install import Wanted
from crmbridge.writeback.zoho.values import sent

MODULES: Final[Mapping[ObjectName, str]] = MappingProxyType(
    {"lead": "Leads", "contact": "Contacts", "account": "Accounts", "deal": "Deals"}
)
QUIET: Final[Mapping[str, Any]] = MappingProxyType(
    {"trigger": [], "skip_feature_execution": [{"name": "cadences"}]}
)
"""No workflow, approval, blueprint, pathfinder or orchestration, and no cadence, by a write of ours. Leaving
`trigger` out would fire them all.
"""
ALIKE: Final = 6
"""Records refused one by one for the same reason, after which the others of their call are not tried."""
_CLOSED: Final = frozenset(
    {"OAUTH_SCOPE_MISMATCH", "NO_PERMISSION", "AUTHORIZATION_FAILED", "INVALID_MODULE", "INVALID_URL_PATTERN"}
)


class ZohoWriter(Writer):
    """Writes our fields by record id. `sleep` waits for jobs."""

    name: ClassVar[str] = "zoho"
    objects: ClassVar[tuple[ObjectName, ...]] = tuple(MODULES)
    batch_size: ClassVar[int] = limits.BULK_WRITE_ROWS

    def __init__(self, context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(context)
        self.options = cast("Options", context.options)
        self.client = Client(context, self.options)
        self.schema = Schema(self.client, self.options, context)
        self._sleep = sleep

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Create the missing fields; conflicts come first, and then nothing is made."""
        fields = self._wanted(self.context.fields)
        yield from install.install(self.client, self.schema, fields, dry_run=dry_run)

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Remove every field of the catalogue that is ours, whichever were chosen last."""
        fields = self._wanted(install.ALL_KEYS)
        yield from install.uninstall(self.client, self.schema, fields, dry_run=dry_run)

    def check(self) -> Iterator[CheckItem]:
        """Each of our fields: there, of the right type, writable."""
        try:
            fields = self._wanted(self.context.fields)
        except CRMBridgeError as error:
            yield CheckItem("fields", "failed", error.what, error.remedy)
            return
        yield from install.check(self.schema, fields)

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """What our fields hold, 50 records a call; records that are gone are left out."""
        if not ids:
            return {}
        module, own = MODULES[object_name], self._own(object_name)
        keys = [field.key for field in fields_on(object_name, self.context.fields)]
        names = [field.name for field in own.values()]
        held: dict[str, dict[str, FieldValue]] = {}
        for begin in range(0, len(ids), IDS):
            rows = self._rows(module, names, ids[begin : begin + IDS])
            table = cells.from_rows(rows, names)
            columns = {
                key: own_values(key, table[field.name].to_pylist())
                for key, field in own.items()
                if field.name in table.column_names
            }
            for place, row in enumerate(rows):
                held[str(row["id"])] = {key: columns[key][place] if key in columns else None for key in keys}
        return held

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Write by PUT, or, where `bulk_write` allows it, more than 5,000 records of the same fields by job.

        Raises SettingsError where a field is not installed, AuthError and QuotaError where nothing was sent.
        """
        _ = self.schema.organisation
        keys = {key for change in changes for key in change.values}
        own = self._fields(object_name).own(sorted(keys))
        missing = sorted(keys - own.keys())
        if missing:
            raise SettingsError(
                f"Zoho's {MODULES[object_name]} have no field for {', '.join(missing)}.",
                connection=self.context.connection,
                remedy=f"Run `crmbridge install {self.context.connection}`.",
            )
        found: list[Outcome] = []
        try:
            for part in self._by_job(object_name, changes):
                names = {key: own[key].name for key in part[0].values}
                org = str(self.schema.organisation.get("zgid") or "")
                try:
                    found += bulk.write(
                        self.client, MODULES[object_name], names, part, org=org, sleep=self._sleep
                    )
                except Refused as error:
                    # No job was made: the scope is missing, or the edition has none. Calls of 100 it is.
                    self.context.log("zoho.no_bulk_write", object=object_name, said=error.said[:200])
                    break
            done = {outcome.id for outcome in found}
            rest = iter([change for change in changes if change.id not in done])
            while part := list(islice(rest, limits.WRITE_PAGE)):
                found += self._put(object_name, own, part)
        except (AuthError, QuotaError, TransientError, Refused) as error:
            if not found:
                raise self._refused(error) from error
            # Something was sent: what was not, is told as such.
            code, said = _in_words(error)
            done = {outcome.id for outcome in found}
            found += [Outcome(each.id, "retry", code, said) for each in changes if each.id not in done]
        return found

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def _by_job(self, object_name: ObjectName, changes: Sequence[Change]) -> Iterator[list[Change]]:
        """The changes worth a job, those with the same keys together."""
        if not self.options.bulk_write or MODULES[object_name] not in BULK_WRITE:
            return
        alike: dict[tuple[str, ...], list[Change]] = {}
        for change in changes:
            alike.setdefault(tuple(change.values), []).append(change)
        for part in alike.values():
            for begin in range(0, len(part), limits.BULK_WRITE_ROWS):
                rows = part[begin : begin + limits.BULK_WRITE_ROWS]
                if len(rows) > limits.BULK_WRITE_FROM:
                    yield rows

    def _put(
        self, object_name: ObjectName, own: Mapping[str, ZohoField], changes: Sequence[Change]
    ) -> list[Outcome]:
        """One call; a refusal without rows is narrowed down to the record it is about."""
        data = [
            {"id": change.id, **{own[key].name: sent(key, value) for key, value in change.values.items()}}
            for change in changes
        ]
        ids = [change.id for change in changes]
        try:
            answer = self.client.request(
                "PUT",
                f"/crm/v8/{MODULES[object_name]}",
                json={"data": data, **QUIET},
                kind="write",
                credits=limits.write_credits(len(data)),
                sub_pool=len(data) > limits.RECORDS_A_CREDIT,
                once=True,
            )
        except Lost as error:
            return [Outcome(each, "unknown", "UNANSWERED", str(error)) for each in ids]
        except Refused as error:
            if error.code in _CLOSED:
                raise
            if len(changes) == 1:
                state: Literal["retry", "rejected"] = "retry" if error.code in LATER else "rejected"
                return [Outcome(ids[0], state, error.code, error.said)]
            return self._narrowed(object_name, own, changes)
        return outcomes(ids, answer.rows)

    def _narrowed(
        self, object_name: ObjectName, own: Mapping[str, ZohoField], changes: Sequence[Change]
    ) -> list[Outcome]:
        """A call that is refused whole, in halves. Where one record after the other is refused, it is about
        what they share, and the others are not tried.
        """
        found: list[Outcome] = []
        half = len(changes) // 2
        for part in (changes[:half], changes[half:]):
            refused = found if len(found) >= ALIKE and len({each.code for each in found}) == 1 else []
            if refused and refused[0].state == "rejected":
                found += [replace(refused[0], id=change.id) for change in part]
            else:
                found += self._put(object_name, own, part)
        return found

    def _rows(self, module: str, names: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
        params: dict[str, Any] = {
            "fields": ",".join([*names, "Modified_Time"]),
            "ids": ",".join(ids),
            "per_page": limits.LIST_PAGE,
        }
        if module == "Leads":
            params["converted"] = "both"
        try:
            return self.client.get(module, params, kind="verify").rows
        except Refused as error:
            raise self._refused(error) from error

    def _own(self, object_name: ObjectName) -> dict[str, ZohoField]:
        _ = self.schema.organisation
        keys = [field.key for field in fields_on(object_name, self.context.fields)]
        return self._fields(object_name).own(keys)

    def _fields(self, object_name: ObjectName) -> ModuleFields:
        try:
            return self.schema.fields(MODULES[object_name])
        except Refused as error:
            raise self._refused(error) from error

    def _wanted(self, keys: Sequence[str]) -> list[Wanted]:
        try:
            return install.wanted(self.schema, MODULES, keys)
        except Refused as error:
            raise self._refused(error) from error

    def _refused(self, error: CRMBridgeError | Refused) -> CRMBridgeError:
        if isinstance(error, CRMBridgeError):
            return error
        return AuthError(
            "Zoho does not let this token read and write our fields.",
            connection=self.context.connection,
            said=error.said,
            remedy="Make a refresh token with the scopes of docs/zoho.md, by a user who may edit records.",
        )


def _in_words(error: CRMBridgeError | Refused) -> tuple[str, str]:
    if isinstance(error, Refused):
        return error.code, error.said
    return type(error).__name__, error.said or error.what
