"""What the tests of several processes start: ``child.py what url owner``. One line is printed a step."""

import os
import sqlite3
import sys
import threading
from datetime import timedelta
from itertools import count

from squidmesh_sqlite import backend, forks

from squidmesh.errors import BackendUnavailable, UsageError
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Group
from squidmesh.testing import VirtualClock
from squidmesh.testing.journal_suite import alone, append, attempt_row, revisions, run_row
from squidmesh.testing.lease_suite import claim
from squidmesh.testing.planes import JournalPlane


def say(*words):
    """One write a line: several threads and forks say something at once, and ``print`` writes the line's end apart."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


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


def write(journal, name, times=1):
    """Appends that often to a thread, and says so once all of it is acknowledged."""
    for revision in range(len(revisions(journal, name)), len(revisions(journal, name)) + times):
        assert journal.commit([alone(name, revision)]) == [Committed()]
    say(name, "wrote", times)


def forked(what):
    """A process that does this, and ends."""
    pid = os.fork()
    if pid:
        return pid
    try:
        what()
    except BaseException as error:
        say(type(error).__name__, error)
        os._exit(1)
    os._exit(0)


def write_once(store, owner):
    write(store.journal(), owner)
    store.close()


def write_to_a_table(store, owner):
    """As another program does, with SQLite alone and without patience."""
    connection = sqlite3.connect(store.path, timeout=0)
    try:
        connection.execute(f"INSERT INTO {owner} VALUES (1)")
        connection.commit()
    except sqlite3.OperationalError as error:
        say(error)
    connection.close()


def fork_and_close(store, owner):
    """Forks with all kinds of connections open. The parent closes them while the child goes on writing."""
    journal, leases, wakeup = store.journal(), store.leases(), store.wakeup()
    write(journal, "parent")
    leases.incarnation("default")
    theirs, ours = os.pipe()

    def go_on():
        mine = journal if owner == "as it was" else backend(store.url, clock=VirtualClock()).journal()
        write(mine, "child", 3)
        os.write(ours, b"x")
        sys.stdin.readline()
        write(mine, "child", 5)
        if owner == "as it was":
            leases.incarnation("default")
            wakeup.wait(timedelta(0))

    pid = forked(go_on)
    os.close(ours)
    os.read(theirs, 1)  # what the child says, or its end
    store.close()
    say("closed")
    _, status = os.waitpid(pid, 0)
    write(store.journal(), "parent", 2)
    say("child ended", status)


def fork_while_writing(store, owner):
    """Two threads write all the time; each of ten children writes too."""
    journal = store.journal()
    stop = threading.Event()

    def keep_writing(name):
        for revision in count():
            assert journal.commit([alone(name, revision)]) == [Committed()]
            if stop.is_set():
                return say(name, "wrote", revision + 1)

    threads = [threading.Thread(target=keep_writing, args=(f"thread-{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    children = [forked(lambda number=number: write(journal, f"child-{number}", 3)) for number in range(10)]
    ended = [os.waitpid(pid, 0)[1] for pid in children]
    stop.set()
    for thread in threads:
        thread.join()
    say("children ended", *ended)


def fork_with_a_sleeper(store, owner):
    """A thread waits for news. The child brings some."""
    journal, wakeup = store.journal(), store.wakeup()
    thread = threading.Thread(target=wakeup.wait, args=(timedelta(minutes=10),), daemon=True)
    thread.start()
    pid = forked(lambda: write(journal, "child"))
    os.waitpid(pid, 0)
    thread.join(30)
    say("asleep" if thread.is_alive() else "woken")


def fork_in_a_transaction(store, owner):
    """Another thread is in the middle of one, and stays there for longer than the fork waits."""
    forks.PATIENCE = 0.05
    journal, leases, wakeup = store.journal(), store.leases(), store.wakeup()
    alias = store.path.with_name("alias.db")
    alias.symlink_to(store.path)
    begun, go_on = threading.Event(), threading.Event()

    def linger():
        with journal._pool.write():
            begun.set()
            go_on.wait()

    def open_all():
        for use in (
            lambda: write(journal, "child"),
            lambda: leases.incarnation("default"),
            lambda: wakeup.wait(timedelta(0)),
            store.wakeup,
            store.journal,
            backend(store.url, clock=VirtualClock()).journal,
            backend(f"sqlite:///{alias}", clock=VirtualClock()).journal,
        ):
            refused(use)
        elsewhere = backend(f"sqlite:///{store.path.with_name('other.db')}", clock=VirtualClock())
        write(elsewhere.journal(), "elsewhere")
        store.close()

    thread = threading.Thread(target=linger)
    thread.start()
    begun.wait()
    pid = forked(open_all)
    _, status = os.waitpid(pid, 0)
    go_on.set()
    thread.join()
    write(journal, "parent")
    say("child ended", status)


def fork_behind_our_back(store, owner):
    """As a host does that forks without telling Python: nothing was closed before."""
    journal, wakeup = store.journal(), store.wakeup()
    write(journal, "parent")
    pid = os.getpid()
    os.getpid = lambda: pid + 1
    for use in (lambda: write(journal, "child"), lambda: wakeup.wait(timedelta(0)), store.journal):
        refused(use)


def refused(use):
    try:
        use()
    except UsageError as error:
        assert "opened before the fork" in str(error), error
        assert "spawn" in str(error), error
        say(error.code)
    else:
        say("allowed")


if __name__ == "__main__":
    what, url, owner = sys.argv[1:]
    run = {
        "claim": claim_all,
        "commit": commit_on,
        "open": open_unprivileged,
        "write": write_once,
        "write to": write_to_a_table,
        "fork and close": fork_and_close,
        "fork while writing": fork_while_writing,
        "fork with a sleeper": fork_with_a_sleeper,
        "fork in a transaction": fork_in_a_transaction,
        "fork behind our back": fork_behind_our_back,
    }[what]
    run(backend(url, clock=VirtualClock()), owner)
