"""The HEALTHCHECK of the image: asks ``/livez``, or the path that it is given, of the process that listens in this
container. Exit code 0 or 1.

SQUIDMESH_LISTEN says where it listens; an address of all interfaces is asked on loopback. With ``--processes N`` it
asks the first: the parent replaces the others.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT = 3.0
EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def address(listen: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPV6]:PORT`` or ``PORT``."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return EVERYWHERE.get(host, host), int(port)


def trouble(listen: str, path: str = "/livez") -> str | None:
    """What is wrong; None where all is well."""
    try:
        connection = HTTPConnection(*address(listen), timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            said = answer.read(500).decode(errors="replace").strip()
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError) as error:
        return f"{listen}: {type(error).__name__}: {error}"
    return None if answer.status == 200 else f"{answer.status}: {said}"


if __name__ == "__main__":
    found = trouble(os.environ.get("SQUIDMESH_LISTEN", ""), *sys.argv[1:2])
    print(found or "ok")
    sys.exit(1 if found else 0)
