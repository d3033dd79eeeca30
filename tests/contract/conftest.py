"""The suites live in the package, but their asserts shall speak as those of test files do."""

import pytest

SUITES = "journal_suite lease_suite offer_suite journal_lease_suite wakeup_suite agenda_suite transaction_suite planes "
SUITES += "joined_suite retention_suite reindex_suite doctor_suite workers_suite"
for suite in SUITES.split():
    pytest.register_assert_rewrite(f"squidmesh.testing.{suite}")
