"""Steps that hold the interpreter's lock, block the event loop, crash, or take all memory; and innocent ones.

``squidmesh --app tests.scenarios.bad_steps:mesh worker``. Each step notes in a file when it begins and ends, and where.
"""

import asyncio
import ctypes
import os
import time
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, Mesh, Workflow, manual, step

LEASE = float(os.environ.get("BAD_STEPS_LEASE", "2"))


class Deed(BaseModel):
    kind: str
    seconds: float = 0.0


def note(context: Context, word: str) -> None:
    line = f"{word} {context.run_id} {context.delivery} {os.getpid()}\n"
    ledger = os.open(os.environ["BAD_STEPS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, line.encode())
    os.close(ledger)


def word_is_given() -> bool:
    return Path(os.environ["BAD_STEPS_LEDGER"]).with_suffix(".word").exists()


def do(kind: str, seconds: float, context: Context) -> None:
    note(context, "began")
    match kind:
        case "hold the lock":
            time.sleep(0.5)  # the others, which were claimed with it, begin
            ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
        case "wait":
            time.sleep(seconds)
        case "wait for the word":
            while not word_is_given():
                time.sleep(0.05)
        case "crash":
            time.sleep(seconds)
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "eat memory":
            if group := os.environ.get("BAD_STEPS_GROUP"):
                Path(group).write_text(str(os.getpid()))
            eaten = []
            while True:
                eaten.append(bytearray(b"x" * (8 * 1024 * 1024)))
                time.sleep(0.005)
        case "hold the lock for ever":
            ctypes.PyDLL(None).sleep(600)
        case _:
            raise AssertionError(kind)
    note(context, "ended")


async def do_async(kind: str, seconds: float, context: Context) -> None:
    note(context, "began")
    try:
        if kind == "block the loop":
            await asyncio.sleep(0.5)
            time.sleep(seconds)  # noqa: ASYNC251 (what this is about)
        elif kind == "wait for the word":
            while not word_is_given():  # noqa: ASYNC110 (it comes from another process)
                await asyncio.sleep(0.05)
        else:
            await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note(context, "cancelled")
        raise
    note(context, "ended")


class Plain(Workflow):
    version = "1"
    go = manual(Deed)
    act = step(do)


class Isolated(Workflow):
    version = "1"
    go = manual(Deed)
    act = step(do, isolation="process")


class Timed(Workflow):
    version = "1"
    go = manual(Deed)
    act = step(do, isolation="process", timeout=1.0)


class OnTheLoop(Workflow):
    version = "1"
    go = manual(Deed)
    act = step(do_async)


WORKFLOWS = (Plain, Isolated, Timed, OnTheLoop)

mesh = Mesh.connect(
    os.environ.get("BAD_STEPS_URL", "memory://"),
    leases=os.environ.get("BAD_STEPS_LEASES") or None,
    workflows=WORKFLOWS,
    lease=LEASE,
    idle_poll=0.5,
    reconcile_every=0.2,
    sweep=3,
    max_deliveries=3,
)
