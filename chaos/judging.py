"""``judge --journal URL``: the judge alone, on whatever journal there is. Looks, and writes nothing.

Without a history it can not say what was asked and answered, and without marks of faults not what was survived; all
that stands in the journal and in its lease backend is judged all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import chain
from pathlib import Path

import click
import msgspec

from chaos.evidence import Backend, Evidence, Settings, StoreJournal, dump_backend, histories_in, ledger_in, texts_in
from chaos.judge import NOTHING, judge
from chaos.redis_values import is_redis, values_of
from chaos.verdict import Verdict
from squidmesh.errors import SquidMeshError
from squidmesh.ports.backend import Reading
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.lease_backend import LeaseBackend
from squidmesh.ports.payload_codec import PayloadCodec
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.coded import coded

_MOST_WORKERS = 1000

OF_A_QUIET_JOURNAL: Mapping[str, str] = {
    "I9": "no run of this journal has ended",
    "I12": "nothing of this journal was started by key, by a trigger or as a child",
    "I14": "no workflow of this journal has a join",
    "I15": "nothing was compensated in this journal",
    "I16": "no attempt of this journal was given up",
    "I17": "no run of this journal has waited for a person",
}
"""What need not have happened to whoever judges his own deployment."""


def judge_deployment(
    journal: str,
    *,
    leases: str | None = None,
    history: Path | None = None,
    ledger: Path | None = None,
    texts: Sequence[Path] = (),
    planted: Mapping[str, bytes] | None = None,
    queues: Sequence[str] = (),
    settings: Settings | None = None,
    codec: PayloadCodec | None = None,
    up_for: timedelta | None = None,
    all_recorded: bool = False,
    all_deeds: bool = False,
    not_applicable: Mapping[str, str] = NOTHING,
) -> Verdict:
    """Opens both stores for looking only, and judges what stands there. ``history`` and ``ledger`` are folders;
    ``texts`` files in which no secret may stand, such as logs (the values of a Redis are searched without being named).
    ``queues``: some that the backend may hold items of although the journal has no open attempt and no worker there.
    ``not_applicable``: beside what follows from what was given (:func:`not_applicable_to`). Others as in
    :class:`~chaos.evidence.Evidence` and :func:`~chaos.judge.judge`. Raises what opening a store raises.
    """
    with ExitStack() as opened:
        store, its_leases = _opened(opened, journal, leases)
        known = {*queues, *store.agenda_queues(), *_queues_of_workers(store), "default"}
        backend = None if its_leases is None else dump_backend(its_leases, known, up_for=up_for)
        searched = texts_in(texts)
        values: Iterable[tuple[str, bytes]] = ()
        if leases is not None and is_redis(leases):
            values = values_of(leases)
        evidence = Evidence(
            journal=StoreJournal(coded(store, codec), sealed=None if codec is None else store),
            backend=backend,
            histories=() if history is None else histories_in(history),
            ledger=() if ledger is None else ledger_in(ledger),
            searched=chain(searched, values),
            planted=planted or {},
            settings=settings or Settings(),
            all_recorded=all_recorded,
            all_deeds=all_deeds,
        )
        reasons = not_applicable_to(history=history, searched=bool(texts or values), backend=backend)
        return judge(evidence, not_applicable={**reasons, **not_applicable})


def not_applicable_to(*, history: Path | None, searched: bool, backend: Backend | None) -> dict[str, str]:
    """The reasons that follow from what was handed in. An empty journal is excused by none of them."""
    reasons = dict(OF_A_QUIET_JOURNAL)
    if history is None:
        reasons["I6"] = "no history tells what was lent"
    reasons["I18"] = "no history tells of a loss of leases"
    reasons["I20"] = "no history tells of a worker that was killed"
    if not searched:
        reasons["I19"] = "no log was handed in, and no lease backend whose values can be read"
    if backend is None:
        reasons["I11"] = "the leases of this journal are elsewhere; name them to have them judged"
    return reasons


def _opened(opened: ExitStack, journal: str, leases: str | None) -> tuple[JournalStore, LeaseBackend | None]:
    """The leases are None where the journal says that they are in another place than those which were named."""
    stands = _reading(opened, journal, "journal")
    if stands.journal is None:
        raise click.UsageError(f"--journal: there is no journal at {journal.partition('?')[0].rpartition('@')[2]}")
    if leases is not None:
        return stands.journal, _reading(opened, leases, "leases").leases
    plane = stands.journal.plane()
    elsewhere = plane is not None and plane.kind != stands.leases.kind
    return stands.journal, None if elsewhere else stands.leases


def _reading(opened: ExitStack, url: str, field: str) -> Reading:
    backend = opened.enter_context(closing(open_backend(url, clock=SystemClock(), field=field)))
    return opened.enter_context(backend.reading())


def _queues_of_workers(store: JournalStore) -> Iterator[str]:
    for row in store.workers(limit=_MOST_WORKERS):
        yield from (queue for queue in row.queues if not queue.endswith("*"))


@click.command("judge", help="Hold a journal, and what is known of how it came to be, against I1 to I20.")
@click.option("--journal", required=True, metavar="URL", help="The journal, such as sqlite:///errand.db.")
@click.option("--leases", metavar="URL", help="Its lease backend, where that is not the journal itself.")
@click.option("--history", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of histories.")
@click.option("--ledger", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of ledgers.")
@click.option(
    "--text",
    "texts",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file in which no secret may stand, such as a log. May be given several times.",
)
@click.option("--secret", "secrets", multiple=True, help="A text that may stand in no log and no value of a Redis.")
@click.option("--queue", "queues", multiple=True, help="A queue of which the backend may hold items.")
@click.option("--lease", type=float, default=60.0, show_default=True, help="Seconds, as of the mesh.")
@click.option("--sweep", type=float, default=300.0, show_default=True, help="Seconds, as of the mesh.")
@click.option("--max-deliveries", type=int, default=5, show_default=True, help="As of the mesh.")
@click.option("--patience", type=float, help="Seconds for which anything may be due before its run counts as stuck.")
@click.option("--up-for", type=float, help="Seconds for which both stores, and workers, have been up without a break.")
@click.option("--all-recorded", is_flag=True, help="Whoever wrote to the journal has left a history.")
@click.option("--not-applicable", "reasons", multiple=True, metavar="I14=WHY", help="What can not be checked, and why.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def judge_command(
    *,
    journal: str,
    leases: str | None,
    history: Path | None,
    ledger: Path | None,
    texts: Sequence[Path],
    secrets: Sequence[str],
    queues: Sequence[str],
    lease: float,
    sweep: float,
    max_deliveries: int,
    patience: float | None,
    up_for: float | None,
    all_recorded: bool,
    reasons: Sequence[str],
    as_json: bool,
) -> None:
    """Ends with 0 where everything is green or does not apply, with 1 where not, with 2 where it can not look."""
    try:
        verdict = judge_deployment(
            journal,
            leases=leases,
            history=history,
            ledger=ledger,
            texts=texts,
            planted={f"secret {number}": secret.encode() for number, secret in enumerate(secrets, start=1)},
            queues=queues,
            settings=Settings(
                lease=timedelta(seconds=lease),
                sweep=timedelta(seconds=sweep),
                max_deliveries=max_deliveries,
                patience=None if patience is None else timedelta(seconds=patience),
            ),
            up_for=None if up_for is None else timedelta(seconds=up_for),
            all_recorded=all_recorded,
            not_applicable=_reasons(reasons),
        )
    except (SquidMeshError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(msgspec.json.encode(verdict.to_json()).decode() if as_json else verdict.table())
    sys.exit(0 if verdict.ok else 1)


def _reasons(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        number, equals, why = one.partition("=")
        if not equals or not why:
            raise click.UsageError(f"--not-applicable: {one!r} is refused; allowed is a number and a reason: I14=WHY")
        found[number] = why
    return found


if __name__ == "__main__":
    judge_command()
