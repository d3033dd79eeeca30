"""What a SQLite address may be, and what is said about any other."""

import os
from pathlib import Path

import pytest
from squidmesh_sqlite import backend
from squidmesh_sqlite.connect import database_path

from squidmesh.errors import BackendUnavailable, InvalidUrl
from squidmesh.testing.journal_suite import add_run


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
        ("sqlite:///mesh\ud800.db", "lone surrogate"),
        ("sqlite:////\udcff/mesh.db", "lone surrogate"),
        (f"sqlite:///{'x' * 248}", "the file's name is too long: up to 247 bytes"),
        (f"sqlite:///{'ü' * 124}", "the file's name is too long: up to 247 bytes"),
        (f"sqlite:////{'x' * 256}/mesh.db", "a folder's name is too long: up to 255 bytes"),
        (f"sqlite:///{'x/' * 300}mesh.db", "it is too long: up to 504 bytes"),
        (f"sqlite:///{'x' * 100_000}", "too long"),
    ],
)
def test_any_other_address_is_refused_with_what_is_allowed(url, reason, clock):
    with pytest.raises(InvalidUrl) as refused:
        backend(url, clock=clock)
    assert reason in str(refused.value)
    assert "sqlite:///relative.db and sqlite:////absolute/path.db" in str(refused.value)
    assert refused.value.field == "url"
    assert len(str(refused.value)) < 500


def test_an_address_in_full_names_the_same_file_from_everywhere(tmp_path, monkeypatch, clock):
    """A relative one is resolved once: an app that changes its folder does not get a second journal."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    first = backend("sqlite:///mesh.db", clock=clock)
    assert first.url == f"sqlite:///{tmp_path}/here/mesh.db"
    monkeypatch.chdir(tmp_path / "there")
    first.migrate()
    second = backend(first.url, clock=clock)

    assert (second.url, second.path) == (first.url, first.path)
    assert second.migrate() == []
    assert list((tmp_path / "there").iterdir()) == []


def test_a_relative_address_needs_a_folder_that_a_url_can_name(tmp_path, monkeypatch, clock):
    (tmp_path / "what?").mkdir()
    monkeypatch.chdir(tmp_path / "what?")
    with pytest.raises(InvalidUrl, match="query string"):
        backend("sqlite:///mesh.db", clock=clock)
    (tmp_path / "what?").rmdir()
    with pytest.raises(InvalidUrl, match="the present folder does not exist any more"):
        backend("sqlite:///mesh.db", clock=clock)


@pytest.mark.parametrize("length", [246, 247])
def test_a_name_may_be_as_long_as_it_can_be(tmp_path, open_store, length):
    add_run(open_store(at=tmp_path / ("x" * length)).journal(), "frodo")


def test_a_path_may_be_as_long_as_it_can_be(tmp_path, open_store):
    folder = tmp_path
    while len(str(folder)) < 450:
        folder /= "x" * 20
    folder.mkdir(parents=True)
    at = folder / ("x" * (503 - len(str(folder))))
    assert len(str(at)) == 504
    add_run(open_store(at=at).journal(), "frodo")


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
def test_what_is_no_regular_file_is_refused_and_not_waited_for(path, open_store, use):
    os.mkfifo(path)
    with pytest.raises(InvalidUrl, match="is no regular file; name a file"):
        getattr(open_store(), use)()


def test_a_file_is_no_folder(path, open_store):
    path.touch()
    with pytest.raises(InvalidUrl, match="does not exist; create it first"):
        open_store(at=path / "mesh.db").journal()


def test_links_that_lead_nowhere_are_refused(tmp_path, path, open_store):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidUrl, match="does not exist; create it first"):
        open_store(at=tmp_path / "loop" / "mesh.db").journal()
    with pytest.raises(BackendUnavailable, match="can not be used"):
        open_store(at=tmp_path / "loop").journal()


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
