"""The address of a memory, and whose memory it is."""

import pytest

from squidmesh.errors import InvalidUrl, UsageError
from squidmesh.memory import backend
from squidmesh.testing import VirtualClock
from squidmesh.testing.journal_suite import add_run
from squidmesh.testing.lease_suite import claim, claimed, item, keys
from squidmesh.testing.planes import OfferPlane


@pytest.mark.parametrize("url", ["memory://", "memory://mesh", "memory://a.b-c_1"])
def test_a_memory_may_have_a_name(url):
    memory = backend(url, clock=VirtualClock())
    assert (memory.migrate(), memory.url) == ([], url)


@pytest.mark.parametrize(
    "url", ["", "memory", "memory:", "memory:/", "memory:///x", "memory://a/b", "memory://a?b=c", "sqlite://"]
)
def test_any_other_address_is_refused_with_what_is_allowed(url):
    with pytest.raises(InvalidUrl, match=r"allowed are memory:// and memory://name") as refused:
        backend(url, clock=VirtualClock())
    assert refused.value.field == "url"


def test_two_backends_share_nothing_whatever_their_names():
    one, other = (backend("memory://mesh", clock=VirtualClock()) for _ in range(2))
    add_run(one.journal(), "frodo")
    assert one.journal().count_runs() == {"running": 1}
    assert other.journal().count_runs() == {}
    assert one.leases().incarnation("default") != other.leases().incarnation("default")


def test_one_backend_has_one_memory():
    one = backend("memory://", clock=VirtualClock())
    OfferPlane(one.leases()).publish(item("ring"))
    assert claimed(claim(OfferPlane(one.leases()))) == keys("ring")


def test_the_clock_is_the_hosts():
    clock = VirtualClock()
    assert backend("memory://", clock=clock).journal().now() == clock.now()


def test_a_memory_ends_with_its_backend():
    one = backend("memory://", clock=VirtualClock())
    journal, leases = one.journal(), one.leases()
    one.close()
    for use in (journal.count_runs, lambda: leases.stats(["default"]), one.journal().count_runs):
        with pytest.raises(UsageError, match="is closed") as refused:
            use()
        assert refused.value.code == "store_closed"
