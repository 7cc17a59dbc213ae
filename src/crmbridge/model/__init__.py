"""The common model: what is pulled (`records`), what is written (`fields`), what is computed (`results`).

The names here are public.
"""

from crmbridge.model.columns import ABSENT, attribute_column, from_table, schema, to_table
from crmbridge.model.fields import (
    CATALOGUE,
    CORE,
    Field,
    FieldValue,
    fields_on,
    is_own_name,
    plain_name,
    result_schema,
)
from crmbridge.model.records import (
    OBJECTS,
    RECORDS,
    Account,
    Activity,
    ActivityKind,
    Contact,
    Deal,
    Direction,
    Lead,
    ObjectName,
    Order,
    Record,
    Rep,
    Scalar,
    StageChange,
    page_adapter,
)
from crmbridge.model.records import Outcome as ActivityOutcome
from crmbridge.model.results import Model, Results

__all__ = [
    "ABSENT",
    "CATALOGUE",
    "CORE",
    "OBJECTS",
    "RECORDS",
    "Account",
    "Activity",
    "ActivityKind",
    "ActivityOutcome",
    "Contact",
    "Deal",
    "Direction",
    "Field",
    "FieldValue",
    "Lead",
    "Model",
    "ObjectName",
    "Order",
    "Record",
    "Rep",
    "Results",
    "Scalar",
    "StageChange",
    "attribute_column",
    "fields_on",
    "from_table",
    "is_own_name",
    "page_adapter",
    "plain_name",
    "result_schema",
    "schema",
    "to_table",
]
