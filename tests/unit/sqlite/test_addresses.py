"""What a SQLite address may be, and what is said about any other."""

import os
from pathlib import Path

import pytest
from squidmesh_sqlite import backend
from squidmesh_sqlite.connect import database_path

from squidmesh.errors import BackendUnavailable, InvalidUrl


def test_three_slashes_are_relative_and_four_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert database_path("sqlite:///mesh.db") == tmp_path / "mesh.db"
    assert database_path("sqlite:///some/folder/mesh.db") == tmp_path / "some/folder/mesh.db"
    assert database_path("sqlite:////srv/my mesh/100%.db") == Path("/srv/my mesh/100%.db")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "does not begin with sqlite://"),
        ("mesh.db", "does not begin with sqlite://"),
        ("sqlite:mesh.db", "does not begin with sqlite://"),
        ("postgresql:///mesh", "does not begin with sqlite://"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:////", "names no file"),
        ("sqlite:///folder/", "names no file"),
        ("sqlite://mesh.db", "names a host"),
        ("sqlite://host/mesh.db", "names a host"),
        ("sqlite:///mesh.db?timeout=5", "query string"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///mesh\0.db", "NUL"),
    ],
)
def test_any_other_address_is_refused_with_what_is_allowed(url, reason, clock):
    with pytest.raises(InvalidUrl) as refused:
        backend(url, clock=clock)
    assert reason in str(refused.value)
    assert "sqlite:///relative.db and sqlite:////absolute/path.db" in str(refused.value)
    assert refused.value.field == "url"


def test_an_address_touches_nothing(path, clock):
    backend(f"sqlite:///{path}", clock=clock)
    assert list(path.parent.iterdir()) == []


def test_the_folder_must_exist(tmp_path, open_store):
    with pytest.raises(InvalidUrl, match=r"the folder .*missing does not exist; create it first"):
        open_store(at=tmp_path / "missing" / "mesh.db").journal()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path, open_store):
    with pytest.raises(InvalidUrl, match="is a folder; name a file"):
        open_store(at=tmp_path).journal()


@pytest.mark.parametrize("use", ["journal", "leases", "migrate"])
def test_a_folder_that_is_closed_to_us_is_named(tmp_path, open_store, monkeypatch, use):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(BackendUnavailable, match="its folder can not be written to"):
        getattr(open_store(), use)()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_closed_to_us_is_named(path, open_store, monkeypatch):
    open_store().journal()
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != path)
    with pytest.raises(BackendUnavailable, match="it can not be written to"):
        open_store().journal()


def test_strange_names_are_names(tmp_path, open_store):
    for name in ("my mesh.db", "100%.db", "a#b.db", "ünï.db", "%41.db", "file:x"):
        open_store(at=tmp_path / name).journal()
        assert (tmp_path / name).is_file()
