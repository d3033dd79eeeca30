"""For the peers that are made of coroutines: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any


class Loop:
    """``uvloop`` where the peer's documentation advises it."""

    def __init__(self, made: Any = asyncio.new_event_loop) -> None:
        self._loop = made()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def wait(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def begin(self, what: Coroutine[Any, Any, Any]) -> None:
        """It goes on beside; what it raises is told on stderr, by the loop."""
        asyncio.run_coroutine_threadsafe(_told(what), self._loop)


async def _told(what: Coroutine[Any, Any, Any]) -> None:
    try:
        await what
    except BaseException as error:
        asyncio.get_running_loop().call_exception_handler({"message": "a worker has ended", "exception": error})
        raise
