"""Addresses of PostgreSQL: what they say, what is refused, and that nobody is shown a password."""

import traceback

import pytest
from psycopg.conninfo import conninfo_to_dict
from squidmesh_postgres import PostgresBackend
from squidmesh_postgres.address import Address

from squidmesh import InvalidUrl, Mesh

SECRET = "mellon"
ALLOWED = "allowed is postgresql://user@host:5432/database, with ?schema= and libpq's own parameters"


@pytest.mark.parametrize(
    ("url", "name", "told"),
    [
        ("postgresql://bag-end/shire", "postgresql://bag-end:5432/shire", {"host": "bag-end", "dbname": "shire"}),
        ("postgres://bag-end/shire", "postgresql://bag-end:5432/shire", {"host": "bag-end", "dbname": "shire"}),
        ("postgresql://frodo@bag-end:5433/shire", "postgresql://bag-end:5433/shire", {"user": "frodo", "port": "5433"}),
        ("postgresql://frodo@bag-end", "postgresql://bag-end:5432/frodo", {"user": "frodo"}),
        ("postgresql:///shire", "postgresql:///shire", {"dbname": "shire"}),
        ("postgresql://", "postgresql:///", {}),
        ("postgresql:///shire?host=/run/pg", "postgresql://%2Frun%2Fpg/shire", {"host": "/run/pg"}),
        ("postgresql://%2Frun%2Fpg/shire", "postgresql://%2Frun%2Fpg/shire", {"host": "/run/pg"}),
        ("postgresql://[::1]:5433/shire", "postgresql://[::1]:5433/shire", {"host": "::1"}),
        ("postgresql://one,two:5433/shire", "postgresql://one:5432,two:5433/shire", {"host": "one,two"}),
        ("postgresql://one,two/shire?port=5433", "postgresql://one:5433,two:5433/shire", {"port": "5433"}),
        ("postgresql://bag-end/?dbname=shire", "postgresql://bag-end:5432/shire", {"dbname": "shire"}),
        ("postgresql://b%61g-end/sh%69re", "postgresql://bag-end:5432/shire", {"host": "bag-end", "dbname": "shire"}),
        (
            f"postgresql://frodo:{SECRET}%40%2F@bag-end/shire",
            "postgresql://bag-end:5432/shire",
            {"password": "mellon@/"},
        ),
        (f"postgresql://bag-end/shire?password={SECRET}", "postgresql://bag-end:5432/shire", {"password": SECRET}),
        (
            "postgresql://bag-end/shire?options=-c%20x%3D1%2B",
            "postgresql://bag-end:5432/shire",
            {"options": "-c x=1+"},
        ),
    ],
)
def test_an_address_says_what_libpq_reads_in_it(url, name, told):
    address = Address(url)
    assert (address.name, address.schema) == (name, "squidmesh")
    assert conninfo_to_dict(address.conninfo).items() >= told.items()
    assert conninfo_to_dict(Address(address.url).conninfo) == conninfo_to_dict(address.conninfo)


def test_a_line_that_is_dead_is_noticed_unless_the_address_says_otherwise():
    ours = conninfo_to_dict(Address("postgresql://bag-end").conninfo)
    assert (ours["connect_timeout"], ours["tcp_user_timeout"], ours["keepalives_idle"]) == ("5", "30000", "10")
    theirs = conninfo_to_dict(Address("postgresql://bag-end?connect_timeout=60&target_session_attrs=any").conninfo)
    assert (theirs["connect_timeout"], theirs["target_session_attrs"]) == ("60", "any")
    assert (theirs["tcp_user_timeout"], ours["target_session_attrs"]) == ("30000", "read-write")


@pytest.mark.parametrize("schema", ["hobbits", "_", "a" * 48, "a1_b"])
def test_a_schema_of_its_own(schema):
    address = Address(f"postgresql://bag-end/shire?sslmode=disable&schema={schema}")
    assert (address.schema, address.name) == (schema, f"postgresql://bag-end:5432/shire ({schema})")
    assert conninfo_to_dict(address.conninfo)["sslmode"] == "disable"
    again = Address(address.url)
    assert (again.schema, again.conninfo) == (schema, address.conninfo)


@pytest.mark.parametrize(
    "schema", ["", "Hobbits", "1a", "a-b", "a.b", 'a"b', "a%20b", "pg_shire", "information_schema", "a" * 49, "é"]
)
def test_a_schema_that_is_no_plain_name_is_refused(schema):
    with pytest.raises(InvalidUrl, match=r"no schema can be named .*; allowed are 1 to 48 of a-z 0-9 _"):
        Address(f"postgresql://bag-end/shire?schema={schema}")


def test_a_schema_of_our_own_name_is_the_one_without_a_name():
    address = Address("postgresql://bag-end/shire?schema=squidmesh")
    assert address.name == Address("postgresql://bag-end/shire").name


BAD = [
    ("mysql://bag-end/shire", "it does not begin with postgresql://"),
    ("postgresql:/bag-end", "it does not begin with postgresql://"),
    ("postgresql", "it does not begin with postgresql://"),
    ("POSTGRESQL://bag-end", "it does not begin with postgresql://"),
    ("postgresql://bag-end/shire#hole", "it has a fragment"),
    ("postgresql://bag-end/shire\0", "it has a control character"),
    ("postgresql://bag-end/sh\nire", "it has a control character"),
    ("postgresql://bag-end:door/shire", "a port is a number from 1 to 65535"),
    ("postgresql://bag-end:0/shire", "a port is a number from 1 to 65535"),
    ("postgresql://bag-end:65536/shire", "a port is a number from 1 to 65535"),
    ("postgresql://one,two:x/shire", "a port is a number from 1 to 65535"),
    ("postgresql://[::1/shire", "IPv6"),
    ("postgresql://bag-end/shire?user", "what follows the ? is not name=value"),
    ("postgresql://bag-end/shire?ring=one", "libpq has no parameter 'ring'"),
    ("postgresql://bag-end/shire?connect_timeout=never", "connect_timeout is no number"),
    ("postgresql://bag-end/shire?keepalives_idle=", "keepalives_idle is no number"),
    ("postgresql://bag-end/shire?schema=a&schema=b", "it names two schemas"),
    ("postgresql://bag-end/sh%ire", "percent-encoded"),
]


@pytest.mark.parametrize(("url", "why"), BAD)
def test_any_other_address_is_refused_with_what_is_allowed(url, why):
    with pytest.raises(InvalidUrl) as caught:
        Address(url)
    said = str(caught.value)
    assert said.startswith("url: ")
    assert why in said
    assert said.endswith(ALLOWED)


HIDING = [
    f"postgresql://frodo:{SECRET}@bag-end/shire?ring=one",
    f"postgresql://frodo:{SECRET}@bag-end/shire?schema=PG",
    f"postgresql://frodo:{SECRET}@bag-end:door/shire",
    f"postgresql://frodo:{SECRET}@[::1/shire",
    f"postgresql://frodo:{SECRET}%zz@bag-end/shire",
    f"postgresql://frodo:x@{SECRET}@bag-end/shire",
    f"postgresql://frodo:x/{SECRET}@bag-end/shire",
    f"postgresql://frodo:{SECRET}/x@bag-end/shire",
    f"postgresql://frodo:x?{SECRET}@bag-end/shire",
    f"postgresql://frodo:{SECRET}?x@bag-end/shire",
    f"postgresql://frodo:{SECRET}?x=1@bag-end/shire",
    f"postgresql://frodo:x#{SECRET}@bag-end/shire",
    f"postgresql://frodo:{SECRET}#x@bag-end/shire",
    f"postgresql://frodo:{SECRET}\n@bag-end/shire",
    f"postgresql://bag-end/shire?password={SECRET}&schema=PG",
    f"postgresql://bag-end/shire?password={SECRET}&ring=one",
    f"postgresql://bag-end/shire?password={SECRET}%zz",
    f"postgresql://bag-end/shire?password=x@{SECRET}&ring=one",
    f"mysql://frodo:{SECRET}@bag-end/shire",
    f"postgresql:frodo:{SECRET}@bag-end/shire",
]


@pytest.mark.parametrize("url", HIDING)
def test_a_refusal_shows_no_password(url):
    for refuse in (Address, lambda url: Mesh.connect(url)):
        try:
            refuse(url)
        except InvalidUrl as error:
            told = "".join(traceback.format_exception(error))
        else:
            told = Address(url).name
        assert SECRET not in told.replace(url, ""), told


def test_nobody_is_shown_a_password():
    url = f"postgresql://frodo:{SECRET}@127.0.0.1:1/shire"
    backend = PostgresBackend(url)
    with pytest.raises(Exception, match="can not be used now") as caught:
        backend.migrate()
    mesh = Mesh.connect(url)
    for told in (backend.name, repr(backend), repr(mesh), *traceback.format_exception(caught.value)):
        assert SECRET not in told
    mesh.close()
    backend.close()


def test_an_address_is_only_read_and_nobody_is_asked():
    """The server is looked for when it is needed."""
    mesh = Mesh.connect("postgresql://127.0.0.1:1/shire")
    mesh.close()
