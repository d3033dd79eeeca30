"""What the tests of several processes start: ``child.py {claim|commit|open} url owner``. One line is printed a step."""

import os
import sys
from itertools import count

from squidmesh_sqlite import backend

from squidmesh.errors import BackendUnavailable
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Group
from squidmesh.testing import VirtualClock
from squidmesh.testing.journal_suite import append, attempt_row, run_row
from squidmesh.testing.lease_suite import claim
from squidmesh.testing.planes import JournalPlane


def say(*words):
    print(*words, flush=True)


def claim_all(store, owner):
    """Claims until there is nothing left, and prints what it got."""
    plane = JournalPlane(store.journal(), store.leases())
    say("ready")
    sys.stdin.readline()
    for turn in count():
        claims = claim(plane, owner=owner, limit=3, request=f"{owner}-{turn}").claims
        if not claims:
            return
        for granted in claims:
            say(granted.item, granted.fence)


def commit_on(store, owner):
    """Appends to two threads at once, and prints each revision that was acknowledged; it never ends by itself."""
    journal = store.journal()
    revision = 0
    while True:
        row = attempt_row("frodo", revision + 1)
        before = attempt_row("frodo", revision).item
        rows = RowChanges(run=run_row("frodo", step=f"step-{revision + 1}"), put=(row,), remove=(before,))
        group = Group(
            appends=(
                append("frodo", revision, body=b"x" * 3000, rows=rows, checkpoint=b"state-%d" % (revision + 1)),
                append("sam", revision),
            )
        )
        assert journal.commit([group]) == [Committed()]
        revision += 1
        say(revision)


def open_unprivileged(store, owner):
    """Prints what is said to a user who owns nothing."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    for use in (store.journal, store.leases, store.migrate):
        try:
            use()
        except BackendUnavailable as error:
            say(error)


if __name__ == "__main__":
    what, url, owner = sys.argv[1:]
    run = {"claim": claim_all, "commit": commit_on, "open": open_unprivileged}[what]
    run(backend(url, clock=VirtualClock()), owner)
