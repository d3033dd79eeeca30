"""A workflow whose one step does what its payload says: found by another interpreter under this module's name."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from squidmesh import Actions, Context, GiveUp, RetryLater, RetryPolicy, Snooze, Workflow, fixed, manual, step


class Deed(BaseModel):
    deed: str
    file: str = ""


class Letter(BaseModel):
    token: SecretStr


def do(deed: str, file: str, context: Context) -> dict[str, Any]:
    match deed:
        case "tell":
            seen = context.state
            return {
                "pid": os.getpid(),
                "seen": dict(seen),
                "window": None if context.schedule is None else context.schedule.window.isoformat(),
                "key": context.idempotency_key,
                "delivery": context.delivery,
                "fence": context.fence,
                "attempt": context.attempt,
            }
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "sys.exit":
            sys.exit(7)
        case "raise":
            raise ConnectionError("the gateway hung up")
        case "start a child":
            return {"child": context.start_child_run("Letters", Letter(token=SecretStr("mellon-42")), key="one")}
        case "give up":
            raise GiveUp("enough")
        case "tell all":
            raise ConnectionError(f"{dict(context.state)} was refused")
        case "tell all and die":
            raise KeyboardInterrupt(f"{dict(context.state)} was refused")
        case "later":
            raise RetryLater(after=timedelta(seconds=7))
        case "snooze":
            raise Snooze(after=3)
        case "no json":
            return {"odd": object()}
        case "large":
            return {"many": "x" * (32 * 1024 * 1024)}
        case "noise":
            print("to stdout")
            print("{}", file=sys.stderr)
            return {"said": True}
        case "leave a process behind":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], close_fds=False)
            return {"left": True}
        case "until lost":
            Path(file).write_text(str(os.getpid()))
            while not context.lease_lost:
                time.sleep(0.01)
            Path(file).write_text("heard")
        case "for ever":
            Path(file).write_text(str(os.getpid()))
            while True:
                time.sleep(0.01)
        case "hold the lock":
            Path(file).write_text(str(os.getpid()))
            ctypes.PyDLL(None).sleep(60)
        case _:
            raise AssertionError(deed)
    return {}


ACTIONS = Actions()
ACTIONS.add("suspect.do", do)


class Suspect(Workflow):
    version = "1"
    go = manual(Deed)
    act = step(do, output="told", retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))
