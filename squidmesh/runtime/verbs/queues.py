"""Queues: what stands in them, stopping one, and letting it go on."""

from __future__ import annotations

from squidmesh.reading.queues import Queue, QueueList
from squidmesh.runtime.queues import Word, check_word, known, look_at, say
from squidmesh.runtime.verbs.opening import Opening


class Queues(Opening):
    def queues(self) -> QueueList:
        """Every queue that is known, with how much is ready, delayed and leased, and who paused it, if anybody did."""
        engine = self._engine()
        return look_at(engine, known(engine, self._queues(None)))

    def pause_queue(self, queue: str, *, actor: str, comment: str | None = None, key: str | None = None) -> Queue:
        """Nothing of the queue is claimed any more until :meth:`resume_queue`; what is claimed goes on to its end. It
        holds in this process at once, and in every other one a second later. The same ``key`` again changes nothing.
        ``NotWaiting`` where it is paused already, by a name that the error tells. ``actor`` and ``comment`` are kept.
        """
        return self._say(check_word(queue, "paused", actor=actor, comment=comment, key=key))

    def resume_queue(self, queue: str, *, actor: str, comment: str | None = None, key: str | None = None) -> Queue:
        """Hands the queue out again. ``NotWaiting`` where it is not paused; otherwise as :meth:`pause_queue`."""
        return self._say(check_word(queue, "resumed", actor=actor, comment=comment, key=key))

    def _say(self, word: Word) -> Queue:
        engine = self._engine()
        say(engine, word)
        (found,) = look_at(engine, [word.queue]).queues
        return found
