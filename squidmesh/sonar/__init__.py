"""The operator's web pages: ``squidmesh sonar``, or ``sonar.app(mesh, auth=…)`` in a host's own ASGI application."""

from squidmesh.sonar.access import Auth, Tokens, Visitor
from squidmesh.sonar.app import app

__all__ = ["Auth", "Tokens", "Visitor", "app"]
