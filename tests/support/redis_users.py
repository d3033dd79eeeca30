"""The user of ``users.acl``, which the package has, made on a server that runs."""

from collections.abc import Iterable
from importlib import resources
from typing import Any

USER, PASSWORD = "squidmesh", "mellon"


def rules(file: str = "users.acl") -> list[str]:
    """The words of its one line, from the name of the user on, with our password."""
    (line,) = (resources.files("squidmesh_redis") / file).read_text("utf-8").splitlines()
    user, *words = line.replace("PASSWORD", PASSWORD).split()
    assert user == "user"
    return words


def permitted(redis: Any, *, keys: Iterable[str] = (), file: str = "users.acl") -> None:
    """``keys``: others that it may touch besides, such as a test's clock."""
    redis.execute_command("ACL", "SETUSER", *rules(file), *(f"~{key}" for key in keys))


def as_user(url: str) -> str:
    return url.replace("://", f"://{USER}:{PASSWORD}@", 1)
