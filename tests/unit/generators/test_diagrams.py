"""The pictures of the protocol: what they show is so, and everybody can read it."""

from datetime import timedelta
from xml.etree import ElementTree

import pytest

from generators.diagrams import files, items, machines, sequences
from squidmesh.memory import backend
from squidmesh.ports.lease_backend import Beat, Claim, Drop, Item, LeaseBackend, Release, Settlement
from squidmesh.testing import VirtualClock
from squidmesh.testing.lease_suite import LEASE, item

SVG = "{http://www.w3.org/2000/svg}"
WRITERS = files.writers()


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_picture_says_what_it_shows(name):
    picture = ElementTree.fromstring(WRITERS[name]())
    title, about = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
    assert title is not None and title.text
    assert about is not None and about.text and len(about.text) > 60
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_nothing_stands_beyond_the_sheet(name):
    picture = ElementTree.fromstring(WRITERS[name]())
    width, height = int(picture.get("width", "")), int(picture.get("height", ""))
    for word in picture.iter(f"{SVG}text"):
        half = len(word.text or "") * 6.9 / 2
        assert half <= float(word.get("x", "")) <= width - half
        assert 12 <= float(word.get("y", "")) <= height - 6
    for sheet in picture.iter(f"{SVG}rect"):
        assert float(sheet.get("x", "")) >= 0
        assert float(sheet.get("x", "")) + float(sheet.get("width", "")) <= width


def test_a_status_without_a_place_is_refused():
    with pytest.raises(ValueError, match="'lost'"):
        machines.draw(machines.RUN, {("open", "lost"): ["RunLost"]})


def test_who_speaks_in_a_course_has_a_column():
    for course in sequences.SEQUENCES.values():
        for step in course.steps:
            named = {step.who, step.whom} if isinstance(step, sequences.Says) else {step.who}
            assert named <= set(course.who)


class Life:
    """One item in a memory, led through its machine."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.leases: LeaseBackend = backend("memory://", clock=self.clock).leases()
        self.claims: list[Claim] = []
        self.offered = 0
        self.fence = 0

    def happen(self, verb: str) -> None:
        match verb:
            case "offer":
                self.leases.offer([self._above_all()])
            case "claim":
                owner = f"sam@{len(self.claims)}"
                grants = self.leases.claim(["default"], owner=owner, limit=1, lease=LEASE, request_id=owner)
                self.claims += grants.claims
                self.fence = max((claim.fence for claim in self.claims), default=0)
            case "drop":
                (held,) = self.leases.items("default").items
                drop = Drop(key=held.key, queue="default", generation=held.generation, fence=held.floor)
                self.leases.drop([drop])
                self.fence = held.floor
            case "heartbeat":
                assert self.leases.heartbeat(self.claims[-1:]) == [Beat.EXTENDED]
            case "release":
                self.leases.release([Release(claim=self.claims[-1])])
            case "settle":
                self.leases.settle([Settlement(claim=self.claims[-1])])
            case "shelve":
                self.leases.shelve(self.claims[-1:])
            case "time":
                self.clock.advance(LEASE)
            case _:
                raise AssertionError(verb)

    def _above_all(self) -> Item:
        self.offered += 1
        return item("ring", floor=self.fence, generation=self.offered - 1)

    def state(self) -> str:
        (stats,) = self.leases.stats(["default"])
        if stats.leased:
            return "leased"
        if not stats.ready:
            return "gone" if self.leases.missing([item("ring", floor=self.fence)]) == [] else ""
        held = self.claims and self.claims[-1].fence == self.leases.items("default").items[0].floor
        return "lapsed" if held and self._was_not_let_go() else "free"

    def _was_not_let_go(self) -> bool:
        """A lease that ended stays on its item: the next claim counts it."""
        (again,) = self.leases.claim(
            ["default"], owner="a-look", limit=1, lease=timedelta(seconds=1), request_id=f"look-{len(self.claims)}"
        ).claims
        return again.lapsed > 0


WAYS = {
    "": [],
    "free": ["offer", "claim", "release"],  # tombstones are kept as long as leases are: one must have been granted
    "leased": ["offer", "claim"],
    "lapsed": ["offer", "claim", "time"],
    "gone": ["offer", "claim", "settle"],
}


@pytest.mark.parametrize(("before", "verb"), items.MOVES)
def test_the_memory_does_what_the_machine_of_an_item_says(before, verb):
    life = Life()
    for happened in WAYS[before]:
        life.happen(happened)
    fences = [claim.fence for claim in life.claims]
    life.happen(verb)
    assert life.state() == items.MOVES[before, verb]
    if verb == "claim":
        assert life.claims[-1].fence > max(fences, default=0), "a takeover has a greater fence"


def test_every_verb_of_the_machine_is_one_of_the_port():
    assert all(verb == "time" or hasattr(LeaseBackend, verb) for _, verb in items.MOVES)
