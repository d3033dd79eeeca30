"""One bad day for all tests of the judge: they alter copies of what is left of it."""

import pytest

from tests.chaos.load import Day, a_bad_day


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return a_bad_day(tmp_path_factory.mktemp("day"))
