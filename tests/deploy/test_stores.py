"""What is set up of the stores says what the packages say, and has no second list of rights."""

import hashlib
import os
import re
import subprocess

import pytest

from tests.deploy.manifests import DEPLOY, ROOT

ROLES = (ROOT / "backends" / "squidmesh_postgres" / "roles.sql").read_text()
SETUP = (DEPLOY / "postgres" / "setup.sql").read_text()
ACL = ROOT / "backends" / "squidmesh_redis" / "users.acl"


def test_the_roles_are_those_of_the_package_and_their_rights_are_said_there():
    (named,) = re.findall(r"ARRAY\[(.*?)\]", ROLES)
    made = re.findall(r"CREATE ROLE (\w+) NOLOGIN;", SETUP)
    assert made == re.findall(r"'(\w+)'", named)
    grants = re.findall(r"^GRANT .*", SETUP, re.MULTILINE)
    assert len(grants) == 1 and grants[0].startswith("GRANT CONNECT ON DATABASE"), "no right to a table"


def test_no_password_stands_in_the_setup():
    said = re.findall(r"PASSWORD (:'\w+'|\S+)", SETUP)
    assert said == [":'owner_password'", ":'worker_password'"]


def users_of(tmp_path, password, **added):
    """The ACL file that start.sh hands to the server, which here is a program that prints it."""
    (tmp_path / "password").write_text(f"{password}\n")
    environment = {
        "PATH": os.environ["PATH"],
        "USERS": str(ACL),
        "ACL_FOLDER": str(tmp_path),
        "REDIS_PASSWORD_FILE": str(tmp_path / "password"),
    } | added
    script = DEPLOY / "redis" / "start.sh"
    return subprocess.run(
        ["sh", script, "sh", "-c", 'echo "$@"; cat "$3"', "server", "redis.conf"],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_redis_gets_the_user_of_the_package_with_a_hash_for_its_password(tmp_path):
    done = users_of(tmp_path, "correct horse")
    told, *users = done.stdout.splitlines()
    assert told == f"redis.conf --aclfile {tmp_path}/users.acl", done.stderr
    hashed = hashlib.sha256(b"correct horse").hexdigest()
    assert users == [
        "user default off",
        "user health on nopass resetkeys resetchannels -@all +ping",
        ACL.read_text().strip().replace(">PASSWORD", f"#{hashed}"),
    ]
    assert "correct" not in done.stdout
    assert (tmp_path / "users.acl").stat().st_mode & 0o077 == 0


def test_redis_does_not_start_without_a_password(tmp_path):
    assert users_of(tmp_path, "").returncode == 2
    assert users_of(tmp_path, "x", REDIS_PASSWORD_FILE="/nowhere").returncode != 0


@pytest.mark.parametrize("line", ["appendonly yes", "maxmemory-policy noeviction", "protected-mode yes"])
def test_redis_keeps_what_it_is_told_and_forgets_nothing_silently(line):
    assert line in (DEPLOY / "redis" / "redis.conf").read_text().splitlines()
