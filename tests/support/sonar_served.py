"""Sonar on a port of this machine, as its command serves it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from squidmesh import Mesh
from squidmesh.sonar import Auth, app


@contextmanager
def served(mesh: Mesh, auth: Auth | None, port: int = 0) -> Iterator[str]:
    """Where it is."""
    config = uvicorn.Config(
        app(mesh, auth=auth, look_every=0.2),
        host="127.0.0.1",
        port=port,
        log_level="error",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    socket.listen(128)  # who asks before it serves waits, and is not refused
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="sonar")
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
