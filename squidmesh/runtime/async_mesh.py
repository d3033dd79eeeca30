"""``AsyncMesh``: the verbs of :class:`~squidmesh.runtime.mesh.Mesh` for programs that live in an event loop."""

from __future__ import annotations

from squidmesh.runtime.async_verbs import AsyncVerbs


class AsyncMesh(AsyncVerbs):
    """The same verbs, as coroutines: each call does its work in a thread of the mesh's own, and the event loop goes on.

    ::

        async with AsyncMesh.connect("sqlite:///errand.db", workflows=[RingErrand]) as mesh:
            run = await mesh.start_run(RingErrand.leave_shire, LeaveShire(ring_id="one-ring"), key="order-17")
            async with mesh.worker(concurrency=4):
                print((await mesh.wait_for(run.run_id)).output)

    Made by :meth:`connect`, or around a :class:`Mesh`. May be used from several event loops and threads.

    **Cancelling** a coroutine ends the waiting, not the work. A call that has not begun never begins; one that has goes
    on in its thread to its end, for a commit can not be called back: a cancelled :meth:`start_run` may have started its
    run, so give it a ``key`` and call it again. Cancelling :meth:`wait_for` takes effect at once and changes nothing.

    Steps do not run in the caller's loop: ``def`` steps run in a worker's threads, ``async def`` steps on the mesh's
    own background loop.
    """
