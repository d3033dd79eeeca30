"""What goes wrong, on stderr: one line a problem, ``squidmesh: <code>: <message>``, and an exit code. No traceback for
anything that the caller, an author or a store is to blame for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from squidmesh import SquidMeshError, WorkflowError

REFUSED = 2
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 1


class Commands(click.Group):
    """The root of all commands: turns errors into lines and exit codes. A command may return its exit code."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal that has no ✓ gets a ?, not a traceback
        try:
            code = super().main(*args, **extra)
            sys.stdout.flush()
        except click.Abort:
            code = INTERRUPTED
        except click.ClickException as error:
            code = complain("usage_error", _with_hint(error))
        except WorkflowError as error:
            code = complain(error.code, *(f"{error.workflow}: {problem}" for problem in error.problems))
        except SquidMeshError as error:
            code = complain(error.code, str(error))
        except BrokenPipeError:
            _forget_stdout()
            code = PIPE_CLOSED
        sys.exit(code if isinstance(code, int) else 0)


def complain(code: str, *problems: str) -> int:
    """One line a problem; the exit code of a refusal."""
    for problem in problems:
        click.echo(f"squidmesh: {code}: {one_line(problem)}", err=True)
    return REFUSED


def one_line(text: str) -> str:
    """Without line breaks and whatever else would move a terminal's cursor."""
    return " ".join("".join(_printable(text)).split())


def _printable(text: str) -> Iterator[str]:
    return (character if character.isprintable() else " " for character in text)


def _with_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return error.format_message() + hint


def _forget_stdout() -> None:
    """Whoever read our output is gone: what is still buffered goes nowhere, instead of failing once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
