"""Graphs that fail, are undone, cancelled, wait and have children, among workers, clients, timers, crashes and faults.

What happened is read from the threads and told to a :class:`~tests.property.story.Story`, which objects to what may not
be; each command is foreseen by it before. At the end one good worker and a patient operator finish whatever is open.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from squidmesh.config import MeshConfig
from squidmesh.errors import SquidMeshError
from squidmesh.ids import ThreadId
from squidmesh.journal.codec import decode_facts
from squidmesh.journal.facts import AnyFact, CommandRepeated
from squidmesh.journal.state import RunState
from squidmesh.planning import commands
from squidmesh.planning.commands import AnyCommand
from squidmesh.ports.journal_store import RunQuery, ThreadRead
from squidmesh.reading.explain import explain
from squidmesh.runtime.children import child_of
from squidmesh.runtime.engine import Writer
from squidmesh.runtime.intake import Grant
from squidmesh.runtime.invoke import Assignment
from squidmesh.runtime.recorder import Intent, Recorder, Verdict
from squidmesh.runtime.starting import check_start, start_run
from squidmesh.runtime.timers import Timers
from tests.property import speaking
from tests.property.fleet import LEASE, Fleet, Worker, faults, last_words, picks
from tests.property.plots import SECOND, Muster, Rider
from tests.property.speaking import Outcome, Plea
from tests.property.story import ENDS, MAX_DELIVERIES, Answer, Story
from tests.property.world import Call, Fault, WorkerDied
from tests.support.audit import audit, audit_timers

MOST_RUNS = 5
Verb = Literal[
    "approve",
    "reject",
    "resume",
    "cancel",
    "send_event",
    "replay_dead_letter",
    "discard_dead_letter",
    "retry_compensation",
    "waive_compensation",
]
GATES: tuple[Verb, ...] = ("approve", "resume", "send_event")
REPAIRS: tuple[Verb, ...] = ("replay_dead_letter", "discard_dead_letter", "retry_compensation", "waive_compensation")


@dataclass(frozen=True)
class Word:
    """What a client says. ``subject``: a step or an event's name, ``attempt`` of a dead letter; None: whatever fits."""

    verb: Verb
    subject: str | None = None
    attempt: int = 1
    key: str | None = None
    children: Literal["cancel", "leave"] = "cancel"


Interruption = Word | Literal["timers"] | None
steps = st.sampled_from([*([None] * 12), "council", "vigil", "ford", "beacon", "march", "horn", "nonsense"])
keys = st.sampled_from([None, None, "first", "second"])
verbs: st.SearchStrategy[Verb] = st.sampled_from([*GATES, *GATES, "reject", "cancel", *REPAIRS])


def words_of(verbs: st.SearchStrategy[Verb]) -> st.SearchStrategy[Word]:
    return st.builds(Word, verbs, steps, st.integers(1, 2), keys, st.sampled_from(["cancel", "leave"]))


words = words_of(verbs)
interruptions: st.SearchStrategy[Interruption] = st.one_of(st.none(), st.just("timers"), words, words)
bad_ends: st.SearchStrategy[tuple[Outcome, Verb | None]] = st.tuples(
    st.sampled_from([*([Outcome("fail")] * 4), Outcome("ok"), Outcome("killed", after=4)]),
    st.sampled_from([None, "retry_compensation", "waive_compensation"]),
)
spans = st.sampled_from([0, 0, 1, 12, 30, 90])


class SagaMachine(Fleet):
    workflows = (Muster, Rider)
    config = MeshConfig(lease=LEASE, max_deliveries=MAX_DELIVERIES)

    def __init__(self) -> None:
        super().__init__()
        self.stories: dict[str, Story] = {}
        self.states: dict[str, RunState] = {}
        self.untold: set[str] = set()
        """Runs to which somebody wrote who died before the lease backend heard of it."""

    # ------------------------------------------------------------------------------------------------- clients

    @initialize(riders=st.lists(st.integers(0, 2), min_size=1, max_size=2))
    def begin(self, riders: list[int]) -> None:
        for how_many in riders:
            self._start(how_many)

    @rule(riders=st.integers(0, 2), fault=faults)
    def start(self, riders: int, fault: Fault | None) -> None:
        if len(self.stories) < MOST_RUNS:
            self._start(riders, fault)

    @rule(
        run=picks,
        aimed=st.sampled_from([True, True, True, False]),
        said=st.lists(words, min_size=1, max_size=3),
        also=interruptions,
        again=st.one_of(st.none(), verbs),
        fault=faults,
    )
    def say(
        self, run: int, aimed: bool, said: list[Word], also: Interruption, again: Verb | None, fault: Fault | None
    ) -> None:
        """``aimed``: to a run that listens, if one does. ``also``: what comes between the core's decision and its
        append. ``again``: what the client says at last, under the same key.
        """
        for word in said:
            among = (self._listening(word) if aimed else []) or list(self.stories)
            run_id = among[run % len(among)]
            self._say(run_id, word, fault, self._interruption(run_id, also))
        if again is not None:
            self._say(run_id, word if run % 2 else replace(word, verb=again))

    @precondition(lambda self: any(story.dead or story.exhausted for story in self.stories.values()))
    @rule(run=picks, word=words_of(st.sampled_from(REPAIRS)), also=interruptions, again=st.booleans(), fault=faults)
    def repair(self, run: int, word: Word, also: Interruption, again: bool, fault: Fault | None) -> None:
        """An operator sees to what has come to nothing."""
        stuck = [run_id for run_id, story in self.stories.items() if story.dead or story.exhausted]
        among = self._listening(word) or stuck
        run_id = among[run % len(among)]
        self._say(run_id, word, fault, self._interruption(run_id, also))
        if again:
            self._say(run_id, word)

    @precondition(lambda self: any(not story.ended for story in self.stories.values()))
    @rule(run=picks, children=st.sampled_from(["cancel", "leave"]), key=keys, also=interruptions, fault=faults)
    def cancel(
        self,
        run: int,
        children: Literal["cancel", "leave"],
        key: str | None,
        also: Interruption,
        fault: Fault | None,
    ) -> None:
        among = [run_id for run_id, story in self.stories.items() if not story.ended]
        among = [run_id for run_id in among if self.stories[run_id].children] or among
        run_id = among[run % len(among)]
        self._say(run_id, Word("cancel", key=key, children=children), fault, self._interruption(run_id, also))

    # -------------------------------------------------------------------------------------- workers, and timers

    @rule(worker=picks, seconds=spans, run=picks, also=interruptions, fault=faults)
    def fire(self, worker: int, seconds: int, run: int, also: Interruption, fault: Fault | None) -> None:
        """Somebody looks for timers that are due, late as it may be; somebody else does at the same moment."""
        who = self.worker(worker)
        self.let_pass(seconds)
        run_id = list(self.stories)[run % len(self.stories)]
        try:
            self._fire(who.writer, fault, self._interruption(run_id, also))
        except WorkerDied:
            self.crash(who)

    @rule(worker=picks, other=picks, fault=faults)
    def time_out_while_taken_over(self, worker: int, other: int, fault: Fault | None) -> None:
        """What a worker stalled on is given to another one at the moment at which its time is up."""
        _, heir = self.stall(worker, other)
        heir.grants = [grant for grant in heir.grants if grant.step == "beacon"] or heir.grants
        with suppress(WorkerDied):
            self._fire(self.engine.writer(patience=None), fault, lambda: self.turn(heir, []))

    @precondition(lambda self: any(map(self._unheard, self.stories.values())))
    @rule(fault=faults, also=interruptions)
    def hear_twice(self, fault: Fault | None, also: Interruption) -> None:
        """Two hear of the same child's end, or of the same parent's, at the same moment."""
        run_id = next(run_id for run_id, story in self.stories.items() if self._unheard(story))
        with suppress(WorkerDied):
            self._fire(self.engine.writer(patience=None), fault, self._interruption(run_id, also or "timers"))

    @precondition(lambda self: any(self._timed_gates(story) for story in self.stories.values()))
    @rule(run=picks, word=words_of(st.sampled_from([*GATES, "reject"])), first=st.booleans(), fault=faults)
    def answer_late(self, run: int, word: Word, first: bool, fault: Fault | None) -> None:
        """Somebody answers at the moment at which the time for it is up."""
        among = [run_id for run_id, story in self.stories.items() if self._timed_gates(story)]
        run_id = among[run % len(among)]
        until = max(self._timed_gates(self.stories[run_id]))
        self.let_pass(max(0, until - self.now) // SECOND)
        word = replace(word, subject=None)
        if first:
            self._say(run_id, word, fault, self._interruption(run_id, "timers"))
            return
        with suppress(WorkerDied):
            self._fire(self.engine.writer(patience=None), fault, self._interruption(run_id, word))

    @rule(
        worker=picks,
        other=picks,
        outcome=st.sampled_from([Outcome("give up"), Outcome("give up"), Outcome("fail")]),
        then=st.sampled_from(["nothing", "a child", "a cancel", "the deadline"]),
        swapped=st.booleans(),
        fault=faults,
    )
    def fail_beside(
        self,
        worker: int,
        other: int,
        outcome: Outcome,
        then: Literal["nothing", "a child", "a cancel", "the deadline"],
        swapped: bool,
        fault: Fault | None,
    ) -> None:
        """One of two siblings fails while another worker holds the other."""
        who = self.worker(worker)
        beside = self.worker(other, lambda other: other is not who)
        if not _in_common(who, beside):
            self.find_work()
            for one in (who, beside):
                one.ask(1)
                self.turn(one, [])
        if swapped:  # whoever asks first gets the first root
            who, beside = beside, who
        for held in _in_common(who, beside)[:1]:
            self.turn(who, [(held, outcome)], fault, grants=False)
            if then == "a child":
                for sibling in [it for it in beside.held if it.run_id == held.run_id]:
                    self._start_child(sibling, "Éomer")
            elif then == "a cancel":
                self._say(held.run_id, Word("cancel"))
            elif then == "the deadline":
                self.let_pass(900)
                self._fire(self.engine.writer(patience=None))

    @rule(worker=picks, ahead=st.integers(1, 5), ends=st.lists(bad_ends, min_size=1, max_size=6), fault=faults)
    def undo_badly(self, worker: int, ahead: int, ends: list[tuple[Outcome, Verb | None]], fault: Fault | None) -> None:
        """A run that has come some way fails, what undoes it does not go well, and an operator sees to it."""
        if not any(story.phase == "undoing" for story in self.stories.values()):
            self.find_work()
            self.work(worker, 3, [(Outcome("ok"), 6, None)] * ahead)
            who = self.worker(worker)
            self.turn(who, [(held, Outcome("give up")) for held in who.held[:1]], grants=False)
        for outcome, repair in ends:
            self.let_pass(6)
            who = self.worker(worker)
            who.ask(3)
            self.turn(who, [])
            self.turn(who, [(held, outcome) for held in who.held if "!" in held.spec.name], fault, grants=False)
            for run_id in [run_id for run_id, story in self.stories.items() if repair and story.exhausted]:
                self._say(run_id, Word(repair or "retry_compensation"))

    @precondition(lambda self: any(worker.held for worker in self.workers))
    @rule(worker=picks, which=picks, outcome=last_words, seconds=spans, also=interruptions)
    def report_too_late(self, worker: int, which: int, outcome: Outcome, seconds: int, also: Interruption) -> None:
        """Something comes between the decision on a worker's result and its append."""
        who = self.worker(worker, lambda who: who.held)
        held = who.held[which % len(who.held)]
        self.let_pass(seconds)
        self.turn(who, [(held, outcome)], grants=False, overtaken=self._interruption(held.run_id, also))

    @precondition(lambda self: any(worker.held or worker.spent for worker in self.workers))
    @rule(worker=picks, which=picks, name=st.sampled_from(["Éomer", "Éowyn"]), also=interruptions, fault=faults)
    def start_child(self, worker: int, which: int, name: str, also: Interruption, fault: Fault | None) -> None:
        """From within a step, under a claim that its worker holds, or has held."""
        who = self.worker(worker, lambda who: who.held or who.spent)
        known = [*who.held, *who.spent]
        held = known[which % len(known)]
        if len(self.stories) < 2 * MOST_RUNS:
            self._start_child(held, name, fault, self._interruption(held.run_id, also))

    # -------------------------------------------------------------------------------------------- to the fleet

    def known_runs(self) -> list[str]:
        return list(self.stories)

    def find_work(self) -> None:
        self.answer()
        if len(self.stories) < MOST_RUNS:
            self._start(1)

    def answer(self) -> None:
        self._say_to_all(GATES)

    def is_current(self, held: Assignment) -> bool:
        """Or nobody could tell the lease backend that it is not (3.4); a sweep of the reconciler's would."""
        return held.run_id in self.untold or self.stories[held.run_id].holds(held.spec.name, held.claim.hash)

    def plead_claim(self, who: Worker, grant: Grant) -> Plea[Story, Answer]:
        claim = grant.claim
        one = self.stories[grant.run_id].tries.get(grant.step)
        if one is not None and one.number == grant.attempt:
            one.lapsed = max(one.lapsed, claim.lapsed)

        def foresee(story: Story, now: int) -> Answer:
            return story.answer_claim(grant.step, grant.attempt, claim.generation, claim.fence, now)

        return Plea(grant.run_id, who.intake.intent(grant), foresee)

    def plead_report(self, who: Worker, held: Assignment, outcome: Outcome) -> Plea[Story, Answer]:
        """Who gathers calls the riders first."""
        if held.spec.name == "gather" and outcome.kind in ("ok", "fail"):
            for name in self._invited(held):
                self._start_child(held, name)

        def foresee(story: Story, now: int) -> Answer:
            return story.answer_report(held.spec.name, held.claim.hash)

        return Plea(held.run_id, speaking.intent_of(who.intake, held, outcome), foresee)

    def check_admitted(self, admitted: Assignment) -> None:
        one = self.stories[admitted.run_id].tries[admitted.spec.name]
        if admitted.claim.hash == one.holder:
            assert (admitted.attempt, admitted.delivery) == (one.number, one.lost + 1)

    def record(
        self,
        recorder: Recorder,
        pleas: Sequence[Plea[Story, Answer]],
        fault: Fault | None = None,
        overtaken: Callable[[], None] | None = None,
    ) -> list[Verdict]:
        """The story is asked about each plea after those before it in the same batch have been told."""
        verdicts: list[Verdict] | None = None
        with self.world.store.call(fault, overtaken) as call:
            try:
                verdicts = recorder.record([plea.intent for plea in pleas])
            except WorkerDied:
                assert fault in ("dies before", "dies after")
        if verdicts is None:
            self._died(call)
            raise WorkerDied
        touched = dict.fromkeys(plea.run_id for plea in pleas)
        for run_id in touched:
            story = self.stories[run_id]
            for plea, verdict in zip(pleas, verdicts, strict=True):
                if plea.run_id == run_id:
                    _compare(verdict, plea.foresee(story, self.now))
                    for fact in verdict.facts:
                        story.hear(fact)
            written = [fact for entry in self._entries(run_id) for fact in entry]
            assert written == story.heard, "what was answered is written, once"
            assert call.written.count(run_id) == bool(written)
            if written:
                story.end_of_entry()
        self._catch_up(run_id for run_id in call.written if run_id not in touched)
        self._check(call.written)
        return verdicts

    # -------------------------------------------------------------------------------------------------- inside

    def _start(self, riders: int, fault: Fault | None = None) -> None:
        asked = check_start(self.engine, Muster, {"called": riders}, key=None, queue=None, priority=None, delay=None)
        with self.world.store.call(fault) as call:
            try:
                start_run(self.engine, asked)
            except WorkerDied:
                assert fault in ("dies before", "dies after")
        self._catch_up(call.written)
        self._check(call.written)

    def _invited(self, held: Assignment) -> list[str]:
        return ["Éomer", "Éowyn"][: self.states[held.run_id].payload["called"]]

    def _start_child(
        self,
        held: Assignment,
        name: str,
        fault: Fault | None = None,
        overtaken: Callable[[], None] | None = None,
    ) -> None:
        target = Rider.call
        child = child_of(
            self.engine,
            held,
            target,
            {"name": name},
            key=name,
            trigger=None,
            queue=None,
            priority=None,
            delay=None,
            metadata=None,
        )

        def foresee(story: Story, now: int) -> Answer:
            return story.answer_child(held.spec.name, held.claim.hash, child.run_id)

        plea = Plea(held.run_id, child.intent, foresee)
        with suppress(WorkerDied):  # only the call died; its worker may report yet, or stall
            self.record(self.engine.writer(patience=None).recorder, [plea], fault, overtaken)

    def _unheard(self, story: Story) -> bool:
        """Whether it has said, or is to be told, something about a child."""
        open_children = [self.stories[run_id] for run_id, status in story.children.items() if status is None]
        if story.ended:
            return story.takes_children and any(not child.ended for child in open_children)
        return any(child.ended for child in open_children)

    @staticmethod
    def _timed_gates(story: Story) -> list[int]:
        """When their time is up."""
        return [until for until in story.waiting.values() if until is not None]

    def _say_to_all(self, verbs: Sequence[Verb]) -> None:
        for verb in verbs:
            word = Word(verb)
            for run_id in self._listening(word):
                if verb != "send_event" or {"horn", "echo"} & self.stories[run_id].waiting.keys():
                    self._say(run_id, word)

    def _listening(self, word: Word) -> list[str]:
        """The runs that would do as they are told."""
        return [run_id for run_id in self.stories if self._foreseen(run_id, word) == "done"]

    def _foreseen(self, run_id: str, word: Word) -> Answer:
        word = self._addressed(run_id, word)
        return self.stories[run_id].answer_word(word.verb, word.subject, word.attempt, word.key)

    def _addressed(self, run_id: str, word: Word) -> Word:
        """The word as it is said to this run: what has to name something, does."""
        story = self.stories[run_id]
        if word.verb == "cancel":
            return replace(word, subject="")
        if word.verb == "send_event" and word.subject is None:
            return replace(word, subject="horn")
        if word.verb in ("replay_dead_letter", "discard_dead_letter"):
            if word.subject is None and story.dead:
                step = story.dead[0]
                word = replace(word, subject=step, attempt=story.tries[step].number)
            word = replace(word, subject=word.subject or "ford")
            return word if word.key is None else replace(word, key=f"{word.key}/{word.subject}#{word.attempt}")
        return word

    def _say(
        self,
        run_id: str,
        word: Word,
        fault: Fault | None = None,
        overtaken: Callable[[], None] | None = None,
        *,
        writer: Writer | None = None,
    ) -> None:
        said = self._addressed(run_id, word)

        def foresee(story: Story, now: int) -> Answer:
            return story.answer_word(said.verb, said.subject, said.attempt, said.key)

        intent = Intent(run_id=run_id, command=lambda now: _command(said, now))
        try:
            self.record((writer or self.client).recorder, [Plea(run_id, intent, foresee)], fault, overtaken)
        except WorkerDied:
            self.client = self.engine.writer(patience=None)

    def _interruption(self, run_id: str, what: Interruption) -> Callable[[], None] | None:
        if what is None:
            return None
        other = self.engine.writer(patience=None)
        if isinstance(what, Word):
            word = what
            return lambda: self._say(run_id, word, writer=other)
        return lambda: self._fire(other)

    def _fire(self, writer: Writer, fault: Fault | None = None, overtaken: Callable[[], None] | None = None) -> None:
        died = False
        with self.world.store.call(fault, overtaken) as call:
            try:
                Timers(self.world.store, writer.recorder, self.engine.observer).fire()
            except WorkerDied:
                died = True
        if died:
            self._died(call)
            raise WorkerDied
        self._catch_up(call.written)
        self._check(call.written)
        due = self.world.store.due_timers(self.world.store.now())
        assert not due, f"what is due has happened, or is not needed any more: {due}"
        for story in self.stories.values():
            if story.takes_children:
                assert all(self.stories[child].phase != "open" for child in story.children), "they are cancelled too"

    def _died(self, call: Call) -> None:
        """Whoever made this call."""
        self._catch_up(call.written)
        self._check(call.written)
        if not self.engine.leases.in_journal:
            self.untold.update(call.written)

    def _entries(self, run_id: str) -> list[list[AnyFact]]:
        """Those that the story has not heard."""
        told = self.stories[run_id].revision if run_id in self.stories else 0
        (history,) = self.world.store.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
        return [
            list(decode_facts(entry.body, thread=run_id, revision=entry.revision))
            for entry in history.tail
            if entry.revision > told
        ]

    def _catch_up(self, run_ids: Iterable[str]) -> None:
        for run_id in dict.fromkeys(run_ids):
            if run_id not in self.stories:
                self.stories[run_id] = Story(self.stories)
            story = self.stories[run_id]
            for entry in self._entries(run_id):
                for fact in entry:
                    story.hear(fact)
                story.end_of_entry()

    def _check(self, run_ids: Iterable[str], *, every_prefix: bool = False) -> None:
        for run_id in dict.fromkeys(run_ids):
            state = self.states[run_id] = audit(self.world.journal(), run_id, every_prefix=every_prefix)
            story, now = self.stories[run_id], self.world.store.now()
            assert state.status(now) == story.status(now)
            found = self.engine.definitions.get(state, self.engine.caller_patience())
            here = self.engine.registry.of(state.workflow).steps
            told = explain(found, state, now=now, known_steps=here)
            assert told.reason in story.reasons(now), f"{told} of a run that {story.reasons(now)}"
        audit_timers(self.world.journal(), list(self.states.values()))

    # --------------------------------------------------------------------------------------------------- the end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else a rule has failed, and that is what should be shown
                self._finish()
                self._check(self.stories, every_prefix=True)
                listed = {row.run_id: row.status for row in self.world.store.runs(RunQuery(limit=100)).rows}
                assert listed == {run_id: story.phase for run_id, story in self.stories.items()}
                assert self.world.store.open_timers() == [], "all that was to be heard has been heard"
        finally:
            self.engine.close()

    def _finish(self) -> None:
        """One good worker and a patient operator. The other workers never come back."""
        good = Worker("sam", self.engine)
        self.workers.append(good)
        for _ in range(100):
            self._fire(good.writer)
            if all(story.ended for story in self.stories.values()):
                return
            self.world.reconcile(self.known_runs())
            good.ask(3)
            if good.grants:
                self.turn(good, [])
                self.turn(good, [(held, Outcome("ok")) for held in good.held])
                continue
            self.answer()
            self._say_to_all(("replay_dead_letter", "retry_compensation"))
            self.let_pass(LEASE.seconds)
        raise AssertionError({run_id: story for run_id, story in self.stories.items() if story.phase not in ENDS})


def _in_common(who: Worker, beside: Worker) -> list[Assignment]:
    """What the one holds of runs of which the other one holds something too."""
    return [held for held in who.held if held.run_id in {it.run_id for it in beside.held}]


def _command(word: Word, now: int) -> AnyCommand:
    who = "elrond"
    match word.verb:
        case "approve" | "reject":
            decision: Literal["approved", "rejected"] = "approved" if word.verb == "approve" else "rejected"
            return commands.DecideApproval(now=now, decision=decision, actor=who, step=word.subject, key=word.key)
        case "resume":
            return commands.ResumeRun(now=now, actor=who, step=word.subject, key=word.key)
        case "cancel":
            return commands.CancelRun(now=now, actor=who, children=word.children, key=word.key)
        case "send_event":
            return commands.SendEvent(now=now, event=word.subject or "", data="Ó", actor=who, key=word.key)
        case "replay_dead_letter":
            return commands.ReplayDeadLetter(
                now=now, step=word.subject or "", attempt=word.attempt, actor=who, key=word.key
            )
        case "discard_dead_letter":
            return commands.DiscardDeadLetter(
                now=now, step=word.subject or "", attempt=word.attempt, actor=who, key=word.key
            )
        case "retry_compensation":
            return commands.RetryCompensation(now=now, actor=who, step=word.subject, key=word.key)
        case "waive_compensation":
            return commands.WaiveCompensation(now=now, actor=who, step=word.subject, key=word.key)
        case _:
            assert_never(word.verb)


def _compare(verdict: Verdict, answer: Answer) -> None:
    repetitions = [fact for fact in verdict.facts if isinstance(fact, CommandRepeated)]
    if isinstance(answer, str):
        assert verdict.error is None, f"{answer} was foreseen, and it is refused: {verdict.error!r}"
        assert bool(verdict.facts) == (answer != "nothing")
        assert len(repetitions) == (answer == "again")
    else:
        assert issubclass(answer, SquidMeshError)
        assert type(verdict.error) is answer, f"{answer} was foreseen: {verdict.error!r}, {verdict.facts}"
        assert verdict.facts == []
