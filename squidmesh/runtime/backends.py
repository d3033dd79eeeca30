"""Finding the backend that a URL names: entry points of the group ``squidmesh.backends``, by URL scheme."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, requires

from squidmesh.clock import Clock
from squidmesh.errors import InvalidUrl
from squidmesh.ports.backend import Backend, BackendFactory

GROUP = "squidmesh.backends"
_OF_EXTRA = re.compile(r"""([\w.-]+).*; *extra *== *['"]([\w-]+)['"]""")


def open_backend(url: str, *, clock: Clock, field: str = "url") -> Backend:
    """The backend for ``url``; touches nothing yet. ``InvalidUrl`` names the schemes that are installed, or the extra
    that is not.
    """
    scheme = str(url).partition("://")[0]
    found = {point.name: point for point in entry_points(group=GROUP)}
    if scheme not in found:
        schemes = ", ".join(f"{name}://" for name in sorted(found))
        raise InvalidUrl(f"{_shown(url)} has no scheme that is installed here; allowed are {schemes}", field=field)
    try:
        factory: BackendFactory = found[scheme].load()
    except ModuleNotFoundError as error:
        extra = _extra_with(error.name or "")
        if extra is None:
            raise
        why = f'{scheme}:// needs the package {error.name}, which is not installed: pip install "squidmesh[{extra}]"'
        raise InvalidUrl(why, field=field) from error
    try:
        return factory(url, clock=clock)
    except InvalidUrl as refused:
        if refused.field == field:
            raise
        raise InvalidUrl(str(refused).removeprefix(f"{refused.field}: "), field=field) from refused


def _extra_with(package: str) -> str | None:
    """The extra of ours that would install the package, if there is one."""
    for requirement in requires("squidmesh") or ():
        found = _OF_EXTRA.fullmatch(requirement)
        if found and found[1] == package:
            return found[2]
    return None


def _shown(url: object) -> str:
    """The URL without what may be a password."""
    scheme, found, _ = str(url).partition("://")
    return repr(f"{scheme}://…" if found else scheme[:40])
