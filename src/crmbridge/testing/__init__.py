"""The conformance suite that every connector and writer must pass, ours or a stranger's.

A plugin's own tests subclass it and give one fixture:

    import pytest
    from crmbridge.testing import ConnectorConformance, WriterConformance

    class TestAcme(ConnectorConformance, WriterConformance):
        @pytest.fixture
        def subject(self, tmp_path):
            return AcmeSubject(tmp_path)

where `AcmeSubject` is a `Subject`: the hands with which the suite puts records into the CRM (a stand-in, or a
sandbox) and looks at it behind the connector's back. `PluginConformance` holds for the distribution as a
whole. docs/plugins.md is the guide. Needs pytest: `pip install crmbridge[testing]`.
"""

import pytest

# The suites assert; their messages should be as good as those of tests in the plugin's own files.
pytest.register_assert_rewrite(
    *(f"crmbridge.testing.{name}" for name in ("connectors", "faults", "hands", "plugins", "writers"))
)

from crmbridge.testing.connectors import ConnectorConformance  # noqa: E402 - after the registration
from crmbridge.testing.plugins import PluginConformance  # noqa: E402
from crmbridge.testing.public import PUBLIC, beyond_public  # noqa: E402
from crmbridge.testing.subject import Clock, Subject, context  # noqa: E402
from crmbridge.testing.trial import Pulled, Trial, pulled  # noqa: E402
from crmbridge.testing.writers import WriterConformance  # noqa: E402

__all__ = [
    "PUBLIC",
    "Clock",
    "ConnectorConformance",
    "PluginConformance",
    "Pulled",
    "Subject",
    "Trial",
    "WriterConformance",
    "beyond_public",
    "context",
    "pulled",
]
