"""Entries of the catalogue that were written once are read for ever."""

import pytest

from squidmesh.errors import CorruptHistory
from squidmesh.journal.catalogue import (
    CATALOGUE_CODEC,
    AnyCatalogueFact,
    CatalogueState,
    WorkflowActivated,
    WorkflowDeactivated,
    fold_catalogue,
)

FACTS: list[AnyCatalogueFact] = [
    WorkflowActivated(at=1, name="Order", version="1", fingerprint="f1", actor="sam", queues=["slow"]),
    WorkflowActivated(at=2, name="Order", version="2", fingerprint="f2", actor="sam"),
    WorkflowDeactivated(at=3, name="Order", actor="frodo"),
]
VERSION_1 = (
    b'1:b4aeba93:[{"fact":"WorkflowActivated","at":1,"name":"Order","version":"1","fingerprint":"f1","actor":"sam",'
    b'"queues":["slow"]},{"fact":"WorkflowActivated","at":2,"name":"Order","version":"2","fingerprint":"f2",'
    b'"actor":"sam"},{"fact":"WorkflowDeactivated","at":3,"name":"Order","actor":"frodo"}]'
)
"""Never changes."""


def test_an_entry_of_version_1_is_read_as_it_was_meant() -> None:
    assert CATALOGUE_CODEC.decode_facts(VERSION_1, thread="t", revision=1) == FACTS


def test_what_is_written_now_is_version_1() -> None:
    assert CATALOGUE_CODEC.encode_facts(FACTS) == VERSION_1


@pytest.mark.parametrize("body", [b"", b"2" + VERSION_1[1:], VERSION_1[:-1], VERSION_1.replace(b"sam", b"bob")])
def test_what_nobody_can_vouch_for_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptHistory) as caught:
        CATALOGUE_CODEC.decode_facts(body, thread="t", revision=7)
    assert (caught.value.thread, caught.value.revision) == ("t", 7)


def test_a_checkpoint_is_the_fold_or_nothing() -> None:
    state = fold_catalogue(CatalogueState(), FACTS[:2])
    assert CATALOGUE_CODEC.decode_state(CATALOGUE_CODEC.encode_state(state)) == state
    assert (state.revision, state.queues, state.active["Order"].version) == (1, ["slow"], "2")
    assert CATALOGUE_CODEC.decode_state(b"9:00000000:{}") is None
