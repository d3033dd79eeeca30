"""The entry point of the image: takes secrets from files, and becomes the command.

For each variable of :data:`SECRETS`, ``NAME_FILE`` names the file that has its value. Exit code 2, and one line that
shows no secret, where that can not be.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

SECRETS = ("SQUIDMESH_URL", "SQUIDMESH_LEASES", "PGPASSWORD")


def with_secrets(environment: dict[str, str]) -> dict[str, str]:
    """The environment of the command. A trailing newline of a file is not part of the secret."""
    told = dict(environment)
    for name in SECRETS:
        path = told.pop(f"{name}_FILE", None)
        if path is None:
            continue
        if name in told:
            refuse(f"{name} and {name}_FILE exclude each other")
        try:
            told[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
            refuse(f"{name}_FILE: {path}: {reason}")
        if not told[name]:
            refuse(f"{name}_FILE: {path} is empty")
    return told


def refuse(why: str) -> NoReturn:
    print(f"entrypoint: {why}", file=sys.stderr)
    sys.exit(2)


def main(command: list[str]) -> None:
    """The process stays the same: signals reach the command, and its exit code is ours."""
    if not command:
        refuse("no command; such as: squidmesh worker")
    environment = with_secrets(dict(os.environ))
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        refuse(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
