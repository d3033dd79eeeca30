"""Threads that claim, beat, settle, release and cancel at once, on one PostgreSQL journal, and say what went wrong.

The board of who holds what is kept here, apart from the server: what a thread gives back leaves the board before, and
what it was granted comes on it after. So what stands on the board at any moment is held in truth.
"""

import random
import threading
from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

from msgspec import structs

from squidmesh.clock import micros
from squidmesh.ids import EntryId, ThreadId, attempt_key, derived_id, parse_attempt_key
from squidmesh.journal.rows import AttemptRow, RowChanges
from squidmesh.ports.journal_store import Append, Committed, Group
from squidmesh.ports.lease_backend import Beat, Handover, Item, Release, Settlement

QUEUES = ("gondor", "rohan")
LIMIT = {"frodo": 1, "sam": 2, "orc": 3}


def key_of(item):
    """Its concurrency key, if it has one: what its step's name begins with."""
    key = parse_attempt_key(item)[1].split("-")[0]
    return key if key in LIMIT else None


class Board:
    def __init__(self):
        self._lock = threading.Lock()
        self._held = {}
        self._revisions: Counter[str] = Counter()
        self._keys: Counter[tuple[str, str | None]] = Counter()
        self._fences = set()
        self._cancelled = set()
        self._numbers = count()
        self.wrong = []
        self.granted: Counter[str | None] = Counter()

    def number(self):
        with self._lock:
            return next(self._numbers)

    def take(self, claim, *, alone):
        """``alone``: leases are so long that none ends by itself."""
        key = key_of(claim.item)
        with self._lock:
            if (claim.item, claim.fence) in self._fences:
                self.wrong.append(f"granted twice: {claim}")
            self._fences.add((claim.item, claim.fence))
            self.granted[key] += 1
            if not alone or claim.item in self._cancelled:
                return
            if claim.item in self._held:
                self.wrong.append(f"{claim} while {self._held[claim.item]}")
            self._held[claim.item] = claim
            self._keys[claim.queue, key] += 1
            if key is not None and self._keys[claim.queue, key] > LIMIT[key]:
                self.wrong.append(f"{self._keys[claim.queue, key]} of {key} in {claim.queue}")

    def give_up(self, item):
        with self._lock:
            if (claim := self._held.pop(item, None)) is not None:
                self._keys[claim.queue, key_of(item)] -= 1

    def cancel(self, items):
        """Their leases may end at any moment from now on, whoever gets one."""
        with self._lock:
            self._cancelled.update(items)
        for item in items:
            self.give_up(item)

    def is_cancelled(self, item):
        with self._lock:
            return item in self._cancelled

    def revision(self, thread):
        with self._lock:
            return self._revisions[thread]

    def is_at(self, thread, revision):
        with self._lock:
            self._revisions[thread] = max(self._revisions[thread], revision)


class Claimant:
    def __init__(self, journal, leases, board, name, *, lease=timedelta(minutes=1)):
        self._journal, self._leases, self._board = journal, leases, board
        self._alone = lease >= timedelta(seconds=30)
        self._lease = lease
        self._owner = f"{name}@1"
        self._chance = random.Random(name)
        self._held = {}

    # ------------------------------------------------------------------------------------------------------ agenda

    def row(self, name, run=None, *, fence=0):
        run = run or ThreadId(derived_id("thread", name))
        item = attempt_key(run, name, 1)
        key = key_of(item)
        return AttemptRow(
            item=item,
            run_id=run,
            step=name,
            attempt=1,
            queue=QUEUES[len(name) % 2],
            priority=len(name) % 3,
            visible_at=self._journal.now(),
            generation=0,
            fence=fence,
            concurrency_key=key,
            concurrency_limit=LIMIT.get(key),
        )

    def publish(self, many):
        rows = [
            self.row(f"{self._chance.choice(['frodo', 'sam', 'orc', 'elf', 'elf'])}-{self._board.number()}")
            for _ in range(many)
        ]
        self._commit([(row.run_id, RowChanges(put=(row,)), ()) for row in rows])

    def _commit(self, changes, seen=None):
        """Which were accepted: (run, rows, leases) each. ``seen``: revisions that were read before."""
        groups = []
        for run, rows, leases in changes:
            entry = EntryId(derived_id("entry", str(self._board.number())))
            append = Append(
                thread=run,
                expected_revision=seen[run] if seen else self._board.revision(run),
                entry_id=entry,
                body=b"{}",
                rows=rows,
            )
            groups.append(Group(appends=(append,), leases=tuple(leases)))
        answers = self._journal.commit(groups) if groups else []
        for group, answer in zip(groups, answers, strict=True):
            append = group.appends[0]
            self._board.is_at(append.thread, append.expected_revision + 1 if answer == Committed() else answer.revision)
        return [answer == Committed() for answer in answers]

    # ------------------------------------------------------------------------------------------------------- rounds

    def round(self):
        turn = self._chance.choice(
            [self.claim] * 6 + [self.beat, self.outcomes, self.outcomes, self.outcomes, self.give_back, self.cancel]
        )
        turn()

    def claim(self, limit=None):
        queues = self._chance.choice([QUEUES, QUEUES, QUEUES[:1], QUEUES[1:]])
        grants = self._leases.claim(
            queues,
            owner=self._owner,
            limit=limit or self._chance.randint(1, 8),
            lease=self._lease,
            request_id=f"{self._owner}-{self._board.number()}",
        )
        for claim in grants.claims:
            self._board.take(claim, alone=self._alone)
            self._held[claim.item] = claim
        return grants

    def beat(self):
        held = list(self._held.values())
        self._chance.shuffle(held)
        for claim, beat in zip(held, self._leases.heartbeat(held), strict=True):
            if beat is not Beat.EXTENDED:
                self._forget(claim)

    def outcomes(self):
        """One batch: some complete, with a successor or a hand-over or none, some are tried again."""
        claims, seen = self._open(self._some())
        changes: list[tuple[Any, ...]] = []
        following = {}
        for claim in claims:
            self._board.give_up(claim.item)
            run, name, _ = parse_attempt_key(claim.item)
            kind = self._chance.randrange(4) if self._alone else 3
            if kind == 0:
                again = self.row(name, run, fence=claim.fence)
                changes.append((run, RowChanges(put=(again,)), [Release(claim=claim)]))
            elif kind == 1:
                row = self.row(f"{name.split('-')[0]}-{self._board.number()}", run)
                if row.queue == claim.queue:
                    following[claim.item] = mine = self._next_claim(claim, row)
                    changes.append(self._handing_over(claim, mine, row))
                else:
                    changes.append((run, RowChanges(remove=(claim.item,), put=(row,)), [Settlement(claim=claim)]))
            else:
                changes.append((run, RowChanges(remove=(claim.item,)), [Settlement(claim=claim)]))
        self._ended(claims, changes, following, seen)

    def _open(self, claims):
        """Those that nobody has cancelled, and the revisions of their runs: decided on before anything is written."""
        seen = {run: self._board.revision(run) for run in (parse_attempt_key(claim.item)[0] for claim in claims)}
        closed = [claim for claim in claims if self._board.is_cancelled(claim.item)]
        for claim in closed:
            self._forget(claim)
        self._leases.release([Release(claim=claim) for claim in closed])
        return [claim for claim in claims if claim not in closed], seen

    def _ended(self, claims, changes, following, seen):
        refused = []
        for claim, accepted in zip(claims, self._commit(changes, seen), strict=True):
            self._held.pop(claim.item, None)
            if not accepted:
                refused.append(Release(claim=claim))
            elif (mine := following.get(claim.item)) is not None:
                self._board.take(mine, alone=self._alone)
                self._held[mine.item] = mine
        self._leases.release(refused)
        return len(claims) - len(refused)

    def _next_claim(self, claim, row):
        return structs.replace(claim, item=row.item, claim_id=f"{claim.claim_id}+", fence=1, generation=0)

    def _handing_over(self, claim, mine, row):
        item = Item(key=row.item, queue=row.queue, priority=row.priority)
        settlement = Settlement(claim=claim, handover=Handover(item=item, claim_id=mine.claim_id, fence=1))
        row = structs.replace(row, fence=1, owner=mine.owner, claim_hash=mine.hash, lease=micros(mine.lease))
        return row.run_id, RowChanges(remove=(claim.item,), put=(row,)), [settlement]

    def give_back(self):
        """Outside of a commit, in the order that comes."""
        claims = self._some()
        for claim in claims:
            self._forget(claim)
        self._leases.release([Release(claim=claim) for claim in claims])

    def cancel(self):
        """Whatever is on the agenda, held by whomever."""
        rows = self._journal.open_attempts(limit=200)
        chosen = {row.run_id: row for row in self._chance.sample(rows, min(2, len(rows)))}
        self._board.cancel([row.item for row in chosen.values()])
        self._commit([(run, RowChanges(remove=(row.item,)), ()) for run, row in chosen.items()])

    def drain(self):
        """Ends all that can be claimed. How many that were."""
        ended = 0
        while claims := self.claim(limit=16).claims:
            seen = {run: self._board.revision(run) for run in (parse_attempt_key(claim.item)[0] for claim in claims)}
            for claim in claims:
                self._board.give_up(claim.item)
            changes = [
                (parse_attempt_key(claim.item)[0], RowChanges(remove=(claim.item,)), [Settlement(claim=claim)])
                for claim in claims
            ]
            ended += self._ended(claims, changes, {}, seen)
        return ended

    def go_home(self):
        claims = list(self._held.values())
        for claim in claims:
            self._forget(claim)
        self._leases.release([Release(claim=claim) for claim in claims])

    def _some(self):
        held = list(self._held.values())
        return self._chance.sample(held, self._chance.randint(0, len(held)))

    def _forget(self, claim):
        self._board.give_up(claim.item)
        self._held.pop(claim.item, None)
