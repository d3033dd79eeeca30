"""Finding the backend that a URL names: entry points of the group ``squidmesh.backends``, by URL scheme."""

from __future__ import annotations

from importlib.metadata import entry_points

from squidmesh.clock import Clock
from squidmesh.errors import InvalidUrl
from squidmesh.ports.backend import Backend, BackendFactory

GROUP = "squidmesh.backends"


def open_backend(url: str, *, clock: Clock, field: str = "url") -> Backend:
    """The backend for ``url``; touches nothing yet. ``InvalidUrl`` names the schemes that are installed."""
    scheme = str(url).partition("://")[0]
    found = {point.name: point for point in entry_points(group=GROUP)}
    if scheme not in found:
        schemes = ", ".join(f"{name}://" for name in sorted(found))
        raise InvalidUrl(f"{_shown(url)} has no scheme that is installed here; allowed are {schemes}", field=field)
    factory: BackendFactory = found[scheme].load()
    return factory(url, clock=clock)


def _shown(url: object) -> str:
    """The URL without what may be a password."""
    scheme, found, _ = str(url).partition("://")
    return repr(f"{scheme}://…" if found else scheme[:40])
