"""Which workflows are active is told by a thread, alike to all who read it, whoever writes beside them."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from squidmesh.errors import BackendUnavailable, CommitUnknown, CorruptHistory, NotFound
from squidmesh.ids import EntryId, catalogue_thread
from squidmesh.journal.catalogue import (
    CATALOGUE_CODEC,
    CatalogueState,
    WorkflowActivated,
    WorkflowDeactivated,
    fold_catalogue,
)
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Append, Group, ThreadRead
from squidmesh.runtime.catalogue import Catalogue
from squidmesh.runtime.commit import Patience
from squidmesh.runtime.held import CHECKPOINT_TAIL
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.editor import from_map
from tests.unit.runtime.rig import Rig
from tests.unit.workflow.cases_maps import SOUND, make_actions


def definition(name: str = "Order", version: str = "1") -> Definition:
    found = from_map({**SOUND, "name": name, "version": version}, make_actions()).definition
    assert found is not None
    return found


def process(rig: Rig) -> Catalogue:
    return Catalogue(rig.store, rig.definitions, lambda: Patience(timedelta(0)))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def length(rig: Rig) -> int:
    (history,) = rig.journal.read([ThreadRead(thread=catalogue_thread())], whole=True)
    return len(history.tail)


def test_an_activation_is_seen_by_every_process(rig: Rig) -> None:
    one, other = process(rig), process(rig)
    assert other.get("Order") is None
    one.activate(definition(), "sam")
    found = other.get("Order")
    assert found is not None
    assert (found.definition, found.source, list(found.triggers)) == (definition(), None, ["placed"])
    one.deactivate("Order", "sam")
    assert other.get("Order") is None
    assert other.active() == one.active() == {}


def test_a_process_reads_only_what_was_added_since(rig: Rig) -> None:
    catalogue = process(rig)
    catalogue.activate(definition(), "sam")
    rig.store.calls["read"].clear()
    catalogue.get("Order")
    ((read,),) = rig.store.calls["read"]
    assert read == ThreadRead(thread=catalogue_thread(), after=1)
    assert catalogue.get("Order") is catalogue.get("Order"), "its payload's model is made once"


def test_who_conflicts_decides_again(rig: Rig) -> None:
    one, other = process(rig), process(rig)
    rig.journal.before_commit = lambda: other.activate(definition("Other"), "frodo")  # type: ignore[assignment]
    one.activate(definition(), "sam")
    assert list(process(rig).active()) == ["Other", "Order"]


def test_two_who_activate_the_same_at_once_are_one_activation(rig: Rig) -> None:
    one, other = process(rig), process(rig)
    rig.journal.before_commit = lambda: other.activate(definition(), "frodo")  # type: ignore[assignment]
    assert one.activate(definition(), "sam").actor == "frodo"
    assert length(rig) == 1


def test_an_activation_whose_answer_was_lost_happens_once(rig: Rig) -> None:
    rig.store.fail("commit", CommitUnknown("lost"), after=True)
    process(rig).activate(definition(), "sam")
    assert length(rig) == 1


def test_what_failed_for_the_stores_reasons_leaves_nothing_behind(rig: Rig) -> None:
    catalogue = process(rig)
    catalogue.activate(definition(), "sam")
    rig.store.fail("read", BackendUnavailable("no"), BackendUnavailable("no"))
    with pytest.raises(BackendUnavailable):
        catalogue.get("Order")
    assert catalogue.get("Order") is not None


def test_threads_of_one_process_do_not_lose_each_others_activations(rig: Rig) -> None:
    catalogue = process(rig)
    names = [f"W{number}" for number in range(20)]
    made = {name: definition(name) for name in names}
    threads = [threading.Thread(target=catalogue.activate, args=(made[name], "sam")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(process(rig).active()) == sorted(names)


def test_a_long_catalogue_is_read_from_its_checkpoint(rig: Rig) -> None:
    catalogue = process(rig)
    for number in range(CHECKPOINT_TAIL * 3):
        catalogue.activate(definition(version=str(number)), "sam")
    (history,) = rig.journal.read([ThreadRead(thread=catalogue_thread())])
    assert history.checkpoint is not None
    assert len(history.tail) <= CHECKPOINT_TAIL + 1
    again = process(rig)
    assert again.active() == catalogue.active()
    again.activate(definition("Other"), "sam")
    assert list(catalogue.active()) == ["Order", "Other"]


def test_a_checkpoint_of_another_version_is_passed_over(rig: Rig) -> None:
    catalogue = process(rig)
    for number in range(CHECKPOINT_TAIL * 2):
        catalogue.activate(definition(version=str(number)), "sam")
    point = rig.journal._checkpoints[catalogue_thread()]
    rig.journal._checkpoints[catalogue_thread()] = structs.replace(point, body=b"99:00000000:{}")
    assert process(rig).active() == catalogue.active()


@pytest.mark.parametrize(
    "body",
    [
        b"rubbish",
        CATALOGUE_CODEC.encode_facts([WorkflowDeactivated(at=1, name="Other", actor="sam")]),
        CATALOGUE_CODEC.encode_facts([WorkflowActivated(at=1, name="x", version="1", fingerprint="f", actor="s")])[:-3],
    ],
)
def test_what_can_not_be_read_is_told_and_nothing_is_folded_past_it(rig: Rig, body: bytes) -> None:
    catalogue = process(rig)
    catalogue.activate(definition(), "sam")
    append = Append(thread=catalogue_thread(), expected_revision=1, entry_id=EntryId("e"), body=body, rows=RowChanges())
    rig.journal.commit([Group(appends=(append,))])
    for reader in (catalogue, process(rig)):
        for _ in range(2):
            with pytest.raises(CorruptHistory) as caught:
                reader.get("Order")
            assert (caught.value.thread, caught.value.revision) == (catalogue_thread(), 2)


def test_a_definition_that_is_not_there_is_told(rig: Rig) -> None:
    fact = WorkflowActivated(at=1, name="Order", version="1", fingerprint="gone", actor="sam")
    append = Append(
        thread=catalogue_thread(),
        expected_revision=0,
        entry_id=EntryId("e"),
        body=CATALOGUE_CODEC.encode_facts([fact]),
        rows=RowChanges(),
    )
    rig.journal.commit([Group(appends=(append,))])
    with pytest.raises(CorruptHistory, match="is not in the journal"):
        process(rig).get("Order")
    assert list(process(rig).active()) == ["Order"]


def test_nobody_deactivates_what_is_not_active(rig: Rig) -> None:
    with pytest.raises(NotFound, match="no workflow 'Order' is active; active are: none"):
        process(rig).deactivate("Order", "sam")
    with pytest.raises(IllegalFact):
        fold_catalogue(CatalogueState(), [WorkflowDeactivated(at=1, name="Order", actor="sam")])


def test_queues_that_were_ever_named_are_kept(rig: Rig) -> None:
    """Runs in flight keep the definition that they started with, and their queues with it."""
    steps: list[Any] = [{"name": "a", "kind": "function", "action": "charge_card", "queue": "slow"}]
    found = from_map({**SOUND, "steps": steps, "routes": []}, make_actions()).definition
    assert found is not None
    catalogue = process(rig)
    catalogue.activate(found, "sam")
    catalogue.activate(definition(version="2"), "sam")
    catalogue.deactivate("Order", "sam")
    assert process(rig).queues() == ("slow",)
