"""``--listen``: which addresses are taken, and which port each process of a fleet gets."""

import click
import pytest

from squidmesh import UsageError
from squidmesh.cli.listening import Address, check_room, read_address

CONTEXT, OPTION = click.Context(click.Command("worker")), click.Option(["--listen"])


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        ("9464", "127.0.0.1", 9464),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:65535", "::1", 65535),
        ("0.0.0.0:9464", "0.0.0.0", 9464),
        ("localhost:9464", "localhost", 9464),
    ],
)
def test_an_address_is_a_host_and_a_port_or_a_port_of_the_loopback(value: str, host: str, port: int):
    assert read_address(CONTEXT, OPTION, value) == Address(host, port)


@pytest.mark.parametrize(
    "value",
    ["", "here", "127.0.0.1", "127.0.0.1:", ":9464", "1.2.3.4:70000", "::1:9464", "a:-1", "a:1.5", "a:\u0661", "[::1]"],
)
def test_anything_else_is_refused_and_what_is_allowed_is_told(value: str):
    with pytest.raises(UsageError, match=r"refused; allowed is HOST:PORT, \[IPV6\]:PORT or PORT") as refused:
        read_address(CONTEXT, OPTION, value)
    assert (refused.value.field, refused.value.code) == ("--listen", "invalid_listen")


def test_each_process_of_a_fleet_has_a_port_of_its_own():
    assert [Address("::1", 9464).of_child(number) for number in (1, 2, 3)] == ["[::1]:9464", "[::1]:9465", "[::1]:9466"]
    assert [Address("127.0.0.1", 0).of_child(number) for number in (1, 2)] == ["127.0.0.1:0", "127.0.0.1:0"]


def test_a_fleet_whose_ports_would_leave_the_range_is_refused_before_it_starts():
    check_room(Address("127.0.0.1", 65535), 1)
    with pytest.raises(UsageError, match="2 processes from port 65535 on"):
        check_room(Address("127.0.0.1", 65535), 2)
