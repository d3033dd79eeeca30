"""How the judge reads a Redis of whatever topology."""

import pytest

from chaos.redis_values import one_by_one


@pytest.mark.parametrize(
    ("url", "first", "others"),
    [
        ("redis://one:7000", "redis://one:7000", []),
        ("redis://one:7000,two:7001,[::1]:7002/0", "redis://one:7000/0", [("two", 7001), ("::1", 7002)]),
        ("rediss://sam:p%40ss@one,two/0", "rediss://sam:p%40ss@one/0", [("two", 6379)]),
    ],
)
def test_a_cluster_may_be_named_by_several_of_its_nodes(url, first, others):
    assert one_by_one(url) == (first, others)
