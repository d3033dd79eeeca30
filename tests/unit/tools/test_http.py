"""The HTTP tool against a real server on this machine, with every way in which a call can go wrong."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from squidmesh import Context, InvalidInput, InvalidUrl, ToolError
from squidmesh.tools import HttpRequest, HttpTool, ToolResult
from tests.support.outside import CERTIFICATE, Asked, Outside, Reply, outside, silent_after, wire

GET = HttpRequest(method="GET", path="/charges")
POST = HttpRequest(method="POST", path="/charges", json={"amount": 7})
TEXT = HttpRequest(method="GET", path="/", expect="text")
SECRET = "s3cret-t0ken"


def refused(tool: HttpTool, request: HttpRequest, context: Context) -> ToolError:
    with pytest.raises(ToolError) as caught:
        tool.invoke(request, context)
    return caught.value


def seen(error: ToolError) -> tuple[str, bool]:
    return error.kind, error.retryable


class TestCalls:
    def test_json_goes_out_and_comes_back(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(status=201, body={"got": asked.json}, headers=(("X-Request-Id", "r-1"),))
        result = HttpTool(server.url, name="gateway").invoke(POST, context)
        assert isinstance(result, ToolResult)
        assert (result.tool, result.payload) == ("gateway", {"got": {"amount": 7}})
        assert result.metadata["status"] == 201
        assert result.metadata["headers"] == {"content-type": "application/json", "x-request-id": "r-1"}
        (asked,) = server.asked
        assert (asked.method, asked.target, asked.headers["content-type"]) == ("POST", "/charges", "application/json")
        assert asked.headers["host"] == f"127.0.0.1:{server.port}"

    def test_a_path_stands_below_the_base(self, server: Outside, context: Context) -> None:
        request = HttpRequest(method="GET", path=("charges", "a/b?c=d#e ü"), query={"q": "x&y", "tag": ["a", "b"]})
        HttpTool(f"{server.url}/v1/").invoke(request, context)
        assert server.asked[0].target == "/v1/charges/a%2Fb%3Fc%3Dd%23e%20%C3%BC?q=x%26y&tag=a&tag=b"

    def test_every_method_is_sent(self, server: Outside, context: Context) -> None:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
            HttpTool(server.url).invoke(HttpRequest(method=method, path="/"), context)
        assert [asked.method for asked in server.asked] == [
            "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE",
        ]  # fmt: skip

    def test_what_has_an_effect_goes_out_under_the_steps_key(self, server: Outside, context: Context) -> None:
        tool = HttpTool(server.url)
        for request in (POST, GET, HttpRequest(method="DELETE", path="/", part="second")):
            tool.invoke(request, context)
        keys = [asked.headers.get("idempotency-key") for asked in server.asked]
        assert keys == [context.idempotency_key, None, f"{context.idempotency_key}.second"]

    def test_the_keys_header_has_another_name_or_none(self, server: Outside, context: Context) -> None:
        HttpTool(server.url, idempotency_header="X-Once").invoke(POST, context)
        HttpTool(server.url, idempotency_header=None).invoke(POST, context)
        assert server.asked[0].headers["x-once"] == context.idempotency_key
        assert context.idempotency_key not in server.asked[1].headers.values()

    def test_headers_of_the_tool_and_of_the_request_are_sent(self, server: Outside, context: Context) -> None:
        tool = HttpTool(server.url, headers={"Authorization": f"Bearer {SECRET}", "Accept": "application/vnd.x+json"})
        tool.invoke(HttpRequest(method="GET", path="/", headers={"X-Tenant": "shire"}), context)
        sent = server.asked[0].headers
        assert (sent["authorization"], sent["x-tenant"]) == (f"Bearer {SECRET}", "shire")
        assert sent["accept"] == "application/vnd.x+json"

    @pytest.mark.parametrize(
        ("asked", "reply", "payload"),
        [
            (GET, Reply(status=204, body=b"", content_type=None), None),
            (GET, Reply(body=b"", content_type=None), None),
            (GET, Reply(body=b"[1]", content_type="application/problem+json; charset=utf-8"), [1]),
            (GET, Reply(body=b"null"), None),
            (HttpRequest(method="HEAD", path="/"), Reply(body={"a": 1}), None),
            (HttpRequest(method="GET", path="/", expect="nothing"), Reply(body=b"<html>", content_type=None), None),
            (TEXT, Reply(body=b"\xe9", content_type="text/plain; charset=latin-1"), "é"),
            (TEXT, Reply(body="é".encode(), content_type=None), "é"),
        ],
    )
    def test_what_an_answer_holds(
        self, server: Outside, context: Context, asked: HttpRequest, reply: Reply, payload: Any
    ) -> None:
        server.answer = lambda _: reply
        assert HttpTool(server.url).invoke(asked, context).payload == payload

    def test_one_tool_serves_many_at_once(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(body={"at": asked.target})
        tool, found = HttpTool(server.url), {}

        def call(n: int) -> None:
            found[n] = tool.invoke(HttpRequest(method="GET", path=f"/{n}"), context).payload

        threads = [threading.Thread(target=call, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {n: {"at": f"/{n}"} for n in range(16)}

    def test_a_certificate_that_is_trusted_is_enough(self, context: Context) -> None:
        with outside(tls=True) as server:
            trust = ssl.create_default_context(cafile=str(CERTIFICATE))
            tool = HttpTool(f"https://localhost:{server.port}", tls=trust)
            assert tool.invoke(POST, context).payload == {}
            assert server.asked[0].headers["host"] == f"localhost:{server.port}"


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "kind", "retryable"),
        [
            (400, "status_4xx", False), (401, "status_4xx", False), (404, "status_4xx", False),
            (409, "status_4xx", False), (422, "status_4xx", False), (408, "status_4xx", True),
            (425, "status_4xx", True), (429, "rate_limited", True), (500, "status_5xx", True),
            (502, "status_5xx", True), (503, "status_5xx", True), (304, "invalid_answer", False),
            (600, "invalid_answer", False),
        ],
    )  # fmt: skip
    def test_a_status_says_whether_another_attempt_may_help(
        self, server: Outside, context: Context, status: int, kind: str, retryable: bool
    ) -> None:
        server.answer = lambda asked: Reply(status=status, body={"why": "no"} if status != 304 else b"")
        error = refused(HttpTool(server.url, name="gateway"), POST, context)
        assert seen(error) == (kind, retryable)
        assert (error.tool, error.code, error.after) == ("gateway", f"tool_{kind}", None)
        assert str(error) == f"gateway: POST 127.0.0.1:{server.port}: answered with status {status}"
        assert error.details["status"] == status
        assert error.details["body"] == ('{"why": "no"}' if status != 304 else "")
        assert (error.details["method"], error.details["path"]) == ("POST", "/charges")

    def test_a_status_counts_however_much_comes_with_it(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(status=503, body=b"a" * 1_000_000)
        error = refused(HttpTool(server.url, max_answer_bytes=100), GET, context)
        assert seen(error) == ("status_5xx", True)
        assert error.details["body"] == "a" * 1024, "and no more is kept of it"

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
    def test_a_server_that_says_when_is_heeded(self, server: Outside, context: Context, status: int) -> None:
        server.answer = lambda asked: Reply(status=status, headers=(("Retry-After", "120"),))
        error = refused(HttpTool(server.url), GET, context)
        assert (error.after, error.details["retry_after"]) == (timedelta(seconds=120), 120.0)

    def test_it_is_not_heeded_where_no_retry_helps(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(status=403, headers=(("Retry-After", "120"),))
        assert refused(HttpTool(server.url), GET, context).after is None

    @pytest.mark.parametrize(
        ("asked", "after"),
        [
            ("0", timedelta(0)),
            ("999999999", timedelta(days=1)),
            ("-5", None),
            ("1e3", None),
            ("soon", None),
            ("Wed, 25 Nov 2026 10:00:30 GMT", timedelta(seconds=30)),
            ("Wed, 25 Nov 2026 09:00:00 GMT", timedelta(0)),
            ("Fri, 25 Dec 2026 10:00:00 GMT", timedelta(days=1)),
            ("Wed, 99 Nov 2026 10:00:30 GMT", None),
        ],
    )
    def test_a_date_is_compared_with_the_answers_own(
        self, context: Context, asked: str, after: timedelta | None
    ) -> None:
        head = f"HTTP/1.1 503 Busy\r\nDate: Wed, 25 Nov 2026 10:00:00 GMT\r\nRetry-After: {asked}\r\n\r\n".encode()
        with wire(lambda connection: connection.sendall(head)) as url:
            assert refused(HttpTool(url), GET, context).after == after

    def test_a_date_without_another_is_compared_with_this_machines(
        self, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("squidmesh.tools.http_answer.time.time", lambda: 1795600800.0)  # 2026-11-25 10:00 UTC
        head = b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 25 Nov 2026 10:00:09 GMT\r\n\r\n"
        with wire(lambda connection: connection.sendall(head)) as url:
            assert refused(HttpTool(url), GET, context).after == timedelta(seconds=9)


class TestSilence:
    def test_no_answer_in_time(self, context: Context) -> None:
        with silent_after() as url:
            error = refused(HttpTool(url, read_timeout=0.05), POST, context)
        assert seen(error) == ("timeout", True)
        assert error.details["phase"] == "waiting for the answer"

    def test_half_an_answer_in_time(self, context: Context) -> None:
        with silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as url:
            error = refused(HttpTool(url, read_timeout=timedelta(milliseconds=50)), GET, context)
        assert seen(error) == ("timeout", True)
        assert error.details["phase"] == "reading the answer"

    @pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
    def test_a_byte_now_and_then_does_not_hold_a_caller(self, context: Context, head: bytes) -> None:
        over = threading.Event()

        def drip(connection: socket.socket) -> None:
            connection.sendall(head)
            with suppress(OSError):
                while not over.wait(0.01):
                    connection.sendall(b"a")

        with wire(drip) as url:
            error = refused(HttpTool(url, read_timeout=30, timeout=0.2), GET, context)
            over.set()
        assert seen(error) == ("timeout", True)

    def test_no_handshake_in_time(self, context: Context) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        with listener:
            tool = HttpTool(f"https://localhost:{listener.getsockname()[1]}", connect_timeout=0.05)
            error = refused(tool, GET, context)
        assert seen(error) == ("timeout", True)
        assert error.details["phase"] == "connecting"

    def test_a_server_that_reads_nothing(self, context: Context) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        with listener:
            tool = HttpTool(
                f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout=0.1, max_request_bytes=1 << 25
            )
            error = refused(tool, HttpRequest(method="POST", path="/", json="a" * (1 << 24)), context)
        assert seen(error) == ("timeout", True)
        assert error.details["phase"] == "sending"

    def test_redirects_share_one_time(self, server: Outside, context: Context) -> None:
        go_on = threading.Event()

        def slowly(asked: Asked) -> Reply:
            go_on.wait(0.15)
            return Reply(status=302, headers=(("Location", "/again"),))

        server.answer = slowly
        error = refused(HttpTool(server.url, timeout=0.4), GET, context)
        go_on.set()
        assert error.kind == "timeout"


class TestConnection:
    def test_nobody_is_there(self, context: Context) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        error = refused(HttpTool(f"http://127.0.0.1:{port}"), GET, context)
        assert seen(error) == ("connection", True)
        assert "Connection refused (connecting)" in str(error)

    def test_every_address_of_a_name_is_tried(
        self, server: Outside, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            dead = listener.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        assert HttpTool("http://pay.localhost").invoke(GET, context).payload == {}

    def test_a_name_that_is_nobodys(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        error = refused(HttpTool("https://nobody.example"), GET, context)
        assert seen(error) == ("connection", True)
        assert "its name could not be resolved: Name or service not known" in str(error)

    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\nhalf",
            b"HTTP/1.1 200 " + b"K" * 70000,
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        ],
        ids=["nothing", "no-http", "cut", "cut-chunk", "odd-chunk", "endless-line", "too-many-headers"],
    )
    def test_an_answer_that_breaks_off_or_is_none(self, context: Context, said: bytes) -> None:
        with wire(lambda connection: connection.sendall(said)) as url:
            assert seen(refused(HttpTool(url), GET, context)) == ("connection", True)

    def test_a_certificate_that_is_not_trusted(self, context: Context) -> None:
        with outside(tls=True) as server:
            error = refused(HttpTool(f"https://localhost:{server.port}"), POST, context)
            assert seen(error) == ("tls", False)
            assert server.asked == []

    def test_plain_http_where_tls_was_meant(self, server: Outside, context: Context) -> None:
        error = refused(HttpTool(f"https://localhost:{server.port}"), POST, context)
        assert seen(error) == ("connection", True)
        assert "TLS failed" in str(error)


class TestLimits:
    @pytest.mark.parametrize("promised", [True, False])
    def test_an_answer_is_read_up_to_a_limit(self, context: Context, promised: bool) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        if promised:
            said = head + b"Content-Length: 101\r\n\r\n"
        else:
            said = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"10\r\n                \r\n" * 7
        with wire(lambda connection: connection.sendall(said)) as url:
            error = refused(HttpTool(url, max_answer_bytes=100), GET, context)
        assert seen(error) == ("too_large", False)
        assert "larger than 100 bytes" in str(error)

    def test_an_answer_of_the_limits_size_is_read(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(body=b'"' + b"a" * 98 + b'"')
        assert HttpTool(server.url, max_answer_bytes=100).invoke(GET, context).payload == "a" * 98

    def test_a_request_over_the_limit_is_not_sent(self, server: Outside, context: Context) -> None:
        error = refused(HttpTool(server.url, max_request_bytes=10), POST, context)
        HttpTool(server.url, max_request_bytes=12).invoke(POST, context)
        assert seen(error) == ("invalid_request", False)
        assert len(server.asked) == 1

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(body=b"{"),
            Reply(body=b'{"a": 1, "a": 2}'),
            Reply(body=b"NaN"),
            Reply(body=b"[1e999]"),
            Reply(body=b"\xff"),
            Reply(body=b"[" * 100_000),
            Reply(body=b"1" * 5000),
            Reply(body=b"<html>", content_type="text/html"),
            Reply(body=b"{}", content_type=None),
            Reply(body=b"{}", headers=(("Content-Encoding", "gzip"),)),
        ],
    )
    def test_an_answer_is_strict_json_or_nothing(self, server: Outside, context: Context, reply: Reply) -> None:
        server.answer = lambda asked: reply
        error = refused(HttpTool(server.url), GET, context)
        assert seen(error) == ("invalid_answer", False)
        assert error.details["status"] == 200

    @pytest.mark.parametrize("reply", [Reply(body=b"\xff"), Reply(body=b"a\0b"), Reply(content_type="a/b; charset=x")])
    def test_a_text_is_a_text(self, server: Outside, context: Context, reply: Reply) -> None:
        server.answer = lambda asked: reply
        assert refused(HttpTool(server.url), TEXT, context).kind == "invalid_answer"


class TestRedirects:
    def test_a_redirect_within_the_origin_is_followed(self, server: Outside, context: Context) -> None:
        places = iter(["/v1/a", f"{server.url}/v1/b", "c", "?d=e"])

        def answer(asked: Asked) -> Reply:
            for place in places:
                return Reply(status=302, headers=(("Location", place),))
            return Reply(body={"at": asked.target})

        server.answer = answer
        tool = HttpTool(server.url, headers={"Authorization": SECRET})
        assert tool.invoke(GET, context).payload == {"at": "/v1/c?d=e"}
        assert {asked.headers["authorization"] for asked in server.asked} == {SECRET}

    @pytest.mark.parametrize(
        "location",
        [
            "http://other.example/", "//other.example/", "https://127.0.0.1/", "http://127.0.0.1:1/", "ftp://x/",
            "javascript:alert(1)", "http://u:p@127.0.0.1:{port}/", "http://[", "", "http://127.0.0.1:{port}//x", "/a b",
            "http://127.0.0.1:99999999/",
        ],
    )  # fmt: skip
    def test_what_was_sent_goes_nowhere_else(self, server: Outside, context: Context, location: str) -> None:
        place = location.format(port=server.port)
        server.answer = lambda asked: Reply(status=307, headers=(("Location", place),))
        error = refused(HttpTool(server.url), GET, context)
        assert len(server.asked) == 1
        assert seen(error) == ("redirected", False)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_what_has_an_effect_is_not_repeated(self, server: Outside, context: Context, status: int) -> None:
        server.answer = lambda asked: Reply(status=status, headers=(("Location", "/else"),))
        assert seen(refused(HttpTool(server.url), POST, context)) == ("redirected", False)
        assert len(server.asked) == 1

    def test_a_circle_ends(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(status=302, headers=(("Location", asked.target),))
        assert "more than 5 redirects" in str(refused(HttpTool(server.url), GET, context))


class TestSmuggling:
    @pytest.mark.parametrize(
        "fields",
        [
            {"headers": {"X-A": "b\r\nX-Evil: 1"}},
            {"headers": {"X-A": "b\nX-Evil: 1"}},
            {"headers": {"X-A": "b\0"}},
            {"headers": {"X-A": "\u2028"}},
            {"headers": {"X-A": " b"}},
            {"headers": {"X-A": 7}},
            {"headers": {"X-A: 1\r\nX-Evil": "b"}},
            {"headers": {"": "b"}},
            {"headers": {"X-A": "1", "x-a": "2"}},
            {"headers": {"Host": "other.example"}},
            {"headers": {"Content-Length": "0"}},
            {"headers": {"Transfer-Encoding": "chunked"}},
            {"headers": {"Connection": "keep-alive"}},
            {"headers": {"Idempotency-Key": "mine"}},
            {"headers": [("X-A", "b")]},
            {"path": "charges"},
            {"path": "//other.example/"},
            {"path": "http://other.example/"},
            {"path": "/a b"},
            {"path": "/a\r\nX-Evil: 1"},
            {"path": "/a?b=c"},
            {"path": "/a#b"},
            {"path": "/a/../admin"},
            {"path": "/a/%2e%2E/admin"},
            {"path": "/a\\..\\admin"},
            {"path": ("a", "..", "admin")},
            {"path": ("a", "")},
            {"path": ()},
            {"path": ("a", "\ud800")},
            {"path": "/\ud800"},
            {"path": 7},
            {"query": {"a": 1}},
            {"query": {"a": [1]}},
            {"query": {"a": "\ud800"}},
            {"query": "a=b"},
            {"json": float("nan")},
            {"json": {1: 2}},
            {"json": {"a": object()}},
            {"json": "\ud800"},
            {"json": b"raw"},
            {"json": json.loads("[" * 70 + "]" * 70)},
            {"method": "TRACE"},
            {"method": "GET / HTTP/1.1\r\nX:"},
            {"expect": "xml"},
            {"part": "a\r\nX-Evil: 1"},
            {"part": ""},
        ],
    )
    def test_what_may_not_be_sent_is_not_sent(self, server: Outside, context: Context, fields: dict[str, Any]) -> None:
        request = HttpRequest(**{"method": "POST", "path": "/charges", **fields})
        assert seen(refused(HttpTool(server.url), request, context)) == ("invalid_request", False)
        assert server.asked == []


class TestSecrets:
    def test_a_secret_is_in_no_error(self, server: Outside, context: Context) -> None:
        """Not even where the server shows what it was sent, in whatever spelling."""
        tool = HttpTool(server.url, headers={"Authorization": f"Bearer {SECRET}", "X-Odd": 'a"b/c secret'})
        request = HttpRequest(method="POST", path="/", headers={"X-Other": "other-s3cret"})
        replies = iter(
            [
                Reply(
                    status=500, body={"headers": {"a": f"Bearer {SECRET}", "b": 'a"b/c secret', "c": "other-s3cret"}}
                ),
                Reply(status=400, body=f"?token={SECRET}&odd=a%22b%2Fc%20secret".encode()),
                Reply(status=302, headers=(("Location", f"http://other.example/?token={SECRET}"),)),
                Reply(body=f"not json {SECRET}".encode()),
            ]
        )
        server.answer = lambda asked: next(replies)
        for _ in range(4):
            told = everything(refused(tool, request, context))
            for secret in (SECRET, "other-s3cret", "b/c", "b%2Fc"):
                assert secret not in told
        assert SECRET not in repr(tool)
        assert "other-s3cret" not in repr(request)

    def test_a_header_that_is_refused_is_not_shown(self, server: Outside, context: Context) -> None:
        request = HttpRequest(method="GET", path="/", headers={"Authorization": f"{SECRET}\r\n"})
        assert SECRET not in everything(refused(HttpTool(server.url), request, context))
        with pytest.raises(InvalidInput) as caught:
            HttpTool(server.url, headers={"Authorization": f"{SECRET}\n"})
        assert SECRET not in everything(caught.value)

    def test_a_query_is_not_shown(self, server: Outside, context: Context) -> None:
        server.answer = lambda asked: Reply(status=500)
        request = HttpRequest(method="GET", path="/find", query={"token": SECRET})
        assert SECRET not in everything(refused(HttpTool(server.url), request, context))


class TestMaking:
    @pytest.mark.parametrize(
        "url",
        [
            "", "pay.example", "ftp://pay.example", "https://", f"https://u:{SECRET}@pay.example", "https://a/?b=c",
            "https://a/#b", "https://a b/", "https://a:port/", "http://pay.example", "http://10.0.0.1", "https://a/../b",
            "https://ä.example", 7, None,
        ],
    )  # fmt: skip
    def test_a_base_that_is_no_good_is_refused_and_not_shown(self, url: Any) -> None:
        with pytest.raises(InvalidUrl, match=r"^base_url: .*allowed is https://") as caught:
            HttpTool(url)
        assert SECRET not in everything(caught.value)

    @pytest.mark.parametrize("url", ["http://localhost:1", "http://127.9.9.9", "http://[::1]:1", "https://a.example/b"])
    def test_a_base_on_this_machine_needs_no_tls(self, url: str) -> None:
        assert HttpTool(url).name == "http"

    def test_a_host_may_insist(self) -> None:
        assert repr(HttpTool("http://pay.example/v1", insecure=True)) == "<HttpTool http http://pay.example>"

    @pytest.mark.parametrize(
        "settings",
        [
            {"name": ""}, {"name": 7}, {"connect_timeout": 0}, {"read_timeout": "1"}, {"timeout": timedelta(days=2)},
            {"timeout": True}, {"max_request_bytes": 0}, {"max_answer_bytes": 1 << 40}, {"max_answer_bytes": True},
            {"headers": {"Host": "a"}}, {"headers": 7}, {"idempotency_header": "a b"}, {"idempotency_header": "Host"},
        ],
    )  # fmt: skip
    def test_a_setting_that_is_no_good_is_refused(self, settings: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match=rf"^({next(iter(settings))}|headers): "):
            HttpTool("https://pay.example", **settings)


def everything(error: BaseException) -> str:
    """All that may be recorded or logged of it."""
    return f"{error!r} {vars(error)} " + "".join(traceback.format_exception(error))
