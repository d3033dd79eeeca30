"""What holds for every test: where nobody watches, a skipped test is a failed promise."""

import os

import hypothesis
import pytest

from tests.support.postgres_world import emptied_postgres, emptied_postgreses
from tests.support.postgreses import postgres_server, postgres_servers, postgres_templates, postgres_url

__all__ = [
    "emptied_postgres",
    "emptied_postgreses",
    "postgres_server",
    "postgres_servers",
    "postgres_templates",
    "postgres_url",
]

# A machine that is busy is slow, and nothing is wrong with what is tested.
hypothesis.settings.register_profile("no deadlines", deadline=None)
hypothesis.settings.load_profile("no deadlines")


def skips_are_refused() -> bool:
    return any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "SQUIDMESH_NO_SKIPS"))


def skipped_tests(config: pytest.Config) -> int:
    # Under xdist the workers have no terminal: the process that they report to counts for all.
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", [])) if reporter else 0


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if skips_are_refused() and skipped_tests(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if skips_are_refused() and (count := skipped_tests(config)):
        terminalreporter.write_line(
            f"{count} skipped: not allowed under CI or SQUIDMESH_NO_SKIPS. A test starts what it needs, or fails.",
            red=True,
        )
