"""Which mesh a command speaks to: ``--app module:attribute``, or ``--url`` of a store."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from squidmesh import SquidMeshError, UsageError

if TYPE_CHECKING:
    from squidmesh import Mesh

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Target:
    """What was said on the command line (``named``) or in the environment, of which the former counts."""

    app: str | None = None
    url: str | None = None
    named: frozenset[str] = frozenset()

    def take(self, name: str, value: str, *, named: bool) -> None:
        setattr(self, name, value)
        if named:
            self.named |= {name}

    def chosen(self) -> tuple[str | None, str | None]:
        """The app or the url, never both. Where both stand in the environment only, it is the app."""
        if self.named == {"app", "url"}:
            raise no_mesh("--app and --url exclude each other: an app has a store of its own")
        if self.named == {"url"} or self.app is None:
            return None, self.url
        return self.app, None


def options(command: F) -> F:
    """``--app`` and ``--url``, here as before the command's name."""
    for name, text in (("url", "A store, such as sqlite:///errand.db."), ("app", "A mesh, as MODULE:ATTRIBUTE.")):
        option = click.option(
            f"--{name}", metavar=name.upper(), help=text, expose_value=False, callback=_remember, is_eager=True
        )
        command = option(command)
    return command


def environment(command: F) -> F:
    """The same options for the root, which also look into the environment."""
    for name in ("url", "app"):
        option = click.option(
            f"--{name}",
            metavar=name.upper(),
            envvar=f"SQUIDMESH_{name.upper()}",
            show_envvar=True,
            expose_value=False,
            callback=_remember,
            is_eager=True,
        )
        command = option(command)
    return command


def _remember(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is None or option.name is None:
        return
    target = _target(context)
    target.take(option.name, value, named=context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE)


def _target(context: click.Context) -> Target:
    target: Target = context.find_root().ensure_object(Target)
    return target


def chosen(context: click.Context) -> tuple[str | None, str | None]:
    """The app or the url that this command shall use."""
    return _target(context).chosen()


def connect(context: click.Context, *, leases: str | None = None) -> Mesh:
    """For commands that need no functions: any mesh over the store will do. ``leases``: its lease backend, for those
    that speak to it.
    """
    from squidmesh import Mesh  # the whole runtime, which --help does without

    app, url = chosen(context)
    if leases is not None:
        if app is not None or url is None:
            raise no_mesh("--leases goes with --url: an app has a lease backend of its own")
        return Mesh.connect(url, leases=leases)
    if app is not None:
        return load_app(app)
    if url is not None:
        return Mesh.connect(url)
    raise no_mesh("which mesh? --app MODULE:ATTRIBUTE or --url URL (or SQUIDMESH_APP, SQUIDMESH_URL)")


def connect_app(context: click.Context) -> Mesh:
    """For commands that need the workflows themselves."""
    return load_app(app_of(context))


def app_of(context: click.Context) -> str:
    """Its name. Nothing is imported."""
    app, _ = chosen(context)
    if app is None:
        why = "this needs the workflows, not only their store: --app MODULE:ATTRIBUTE (or SQUIDMESH_APP)"
        raise no_mesh(why)
    return app


def _meshes_in(name: str) -> str:
    """What could be meant."""
    from squidmesh import Mesh  # as above

    meshes = sorted(key for key, value in vars(sys.modules[name]).items() if isinstance(value, Mesh))
    return f"allowed are its meshes: {', '.join(meshes)}" if meshes else "it has no mesh either"


def load_app(app: str) -> Mesh:
    """The mesh that ``MODULE:ATTRIBUTE`` names; modules of the working directory are found too."""
    from squidmesh import Mesh  # as above

    name, _, attribute = app.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        raise _bad_app(f"{app!r} is refused; allowed is MODULE:ATTRIBUTE, such as errand:mesh")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: object = _import(name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise _bad_app(f"{name!r} has no {attribute!r}; {_meshes_in(name)}")
        found = getattr(found, part)
    if not isinstance(found, Mesh):
        raise _bad_app(f"{app!r} is no mesh but {type(found).__name__}; allowed is what Mesh.connect returns")
    return found


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except SquidMeshError:
        raise
    except SystemExit as error:
        raise _bad_app(f"importing {name!r} ended the program, with {error.code!r}") from error
    except SyntaxError as error:
        raise _bad_app(f"importing {name!r} failed: {error.msg} ({error.filename}, line {error.lineno})") from error
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _bad_app(f"there is no module {error.name!r}") from error
        raise _bad_app(f"importing {name!r} failed: {error}{_where(error)}") from error
    except Exception as error:
        raise _bad_app(f"importing {name!r} failed: {type(error).__name__}: {error}{_where(error)}") from error


def _where(error: BaseException) -> str:
    """The line of the app that raised: the last one that is not of the import system."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<"):
            return f" ({frame.filename}, line {frame.lineno})"
    return ""


def no_mesh(message: str) -> UsageError:
    return UsageError(message, code="no_mesh")


def _bad_app(message: str) -> UsageError:
    return UsageError(message, field="--app", code="invalid_app")
