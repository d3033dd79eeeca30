"""A payment gateway to practise on: real HTTP on loopback, with the moods of a real one, and none of them random.

    python -m squidmesh.demo.gateway --ledger gateway.db --port 0 --seed 29

prints `gateway listening on http://127.0.0.1:PORT` and serves until SIGTERM or SIGINT.

    POST /charges   {"invoice_id", "amount_cents", "currency"}  200 {"status": "paid" | "declined", "charge_id", …}, 503
    POST /credits   {"invoice_id", "amount_cents", "reason"}    200 {"status": "credited", "credit_id", …}
    POST /notices   {"invoice_id", "kind"}                      200 {"status": "sent", "notice_id", …}
    GET  /ledger    {"rows": […]}, every row of the ledger
    GET  /healthz   {"status": "ok"}

Each POST needs an `Idempotency-Key`. What a charge meets depends on the seed, the invoice, and how often its key was
seen, so the same calls meet the same answers in whatever order the workers make them (see `Behaviour`). The row is in
the ledger before the answer is on its way (see `ledger`). Errors are `{"error": {"code", "message"}}`.
"""

import argparse
import hashlib
import json
import re
import signal
import socketserver
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final, Literal, NoReturn, assert_never

from squidmesh.demo.ledger import (
    Answer,
    BodyChanged,
    Call,
    Kind,
    Ledger,
    LedgerClosed,
    LedgerUnusable,
    Verdict,
    read_ledger,
)

DEFAULT_SEED: Final = 29
DEFAULT_HOLD: Final = timedelta(seconds=1.5)
MAX_BODY_BYTES: Final = 64 * 1024
MAX_AMOUNT_CENTS: Final = 10**12

# -------------------------------------------------------------------------------------------------- what a charge meets


class Behaviour(StrEnum):
    """How the gateway treats the charge of one invoice."""

    PAID = "paid"  # at the first call
    DECLINED = "declined"  # at the first call, with a reason
    BUSY = "busy"  # 503 on the first one or two calls, then paid
    HELD = "held"  # booked as paid at once, answered after the hold: a client with less patience sees a time-out
    DOWN = "down"  # 503 on every call


_SHARES: Final = (
    (Behaviour.DECLINED, 0.08),
    (Behaviour.BUSY, 0.10),
    (Behaviour.HELD, 0.05),
    (Behaviour.DOWN, 0.03),
)
_DECLINE_CODES: Final = ("insufficient_funds", "do_not_honor", "card_expired", "limit_exceeded")


def behaviour(seed: int, invoice_id: str) -> Behaviour:
    """What the charge of this invoice meets, under this seed. Three invoices in four are simply paid."""
    point = _chance(seed, "behaviour", invoice_id)
    for kind, share in _SHARES:
        if point < share:
            return kind
        point -= share
    return Behaviour.PAID


def refusals(seed: int, invoice_id: str) -> int:
    """How many calls a busy gateway turns away before it takes the charge: 1 or 2."""
    return 1 + int(2 * _chance(seed, "refusals", invoice_id))


def latency(seed: int, invoice_id: str, seen: int) -> timedelta:
    """How long an answer takes, without a hold: 10 to 60 ms."""
    return timedelta(milliseconds=10 + 50 * _chance(seed, "latency", invoice_id, str(seen)))


def _chance(seed: int, *what: str) -> float:
    """A number in [0, 1) that is always the same for the same question."""
    return (int(_digest(str(seed), *what)[:16], 16) >> 11) / 2**53


def _digest(*what: str) -> str:
    return hashlib.sha256("\n".join(what).encode()).hexdigest()


def decide(seed: int, call: Call, seen: int) -> Verdict:
    """What becomes of a call whose key booked nothing yet and was seen `seen` times."""
    match call.kind:
        case "charge":
            return _decide_charge(seed, call, seen)
        case "credit":
            credit_id = _new_id("cr", seed, call)
            answer = {"status": "credited", "credit_id": credit_id, "amount_cents": call.amount_cents}
            return Verdict(outcome="accepted_credit", charge_id=credit_id, answer=_about(call, answer))
        case "notice":
            notice_id = _new_id("no", seed, call)
            answer = {"status": "sent", "notice_id": notice_id}
            return Verdict(outcome="accepted_notice", charge_id=notice_id, answer=_about(call, answer))
        case _:
            assert_never(call.kind)


def _decide_charge(seed: int, call: Call, seen: int) -> Verdict:
    charge_id = _new_id("ch", seed, call)
    money = {"charge_id": charge_id, "amount_cents": call.amount_cents, "currency": call.currency}
    paid = Verdict(outcome="accepted_paid", charge_id=charge_id, answer=_about(call, {"status": "paid", **money}))
    refused = Verdict(outcome="refused_503")
    match mood := behaviour(seed, call.invoice_id):
        case Behaviour.PAID | Behaviour.HELD:
            return paid
        case Behaviour.BUSY:
            return refused if seen < refusals(seed, call.invoice_id) else paid
        case Behaviour.DOWN:
            return refused
        case Behaviour.DECLINED:
            code = _DECLINE_CODES[int(len(_DECLINE_CODES) * _chance(seed, "decline", call.invoice_id))]
            answer = _about(call, {"status": "declined", "decline_code": code, **money})
            return Verdict(outcome="accepted_declined", charge_id=charge_id, answer=answer)
        case _:
            assert_never(mood)


def _about(call: Call, answer: Mapping[str, str | int | None]) -> Answer:
    return {**answer, "invoice_id": call.invoice_id}


def _new_id(prefix: str, seed: int, call: Call) -> str:
    return f"{prefix}_{_digest(str(seed), call.kind, call.idempotency_key)[:20]}"


# -------------------------------------------------------------------------------------------------- what a call may say


class Refusal(Exception):
    """A call that is answered with an error: whose fault it is, is in the status."""

    def __init__(self, status: HTTPStatus, code: str, message: str, *, hang_up: bool = False, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hang_up = hang_up  # the body was not read, so the connection cannot be used again
        self.allow = allow


_KEY: Final = re.compile(r"[!-~]{1,255}")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_currency(value: object) -> bool:
    return isinstance(value, str) and _CURRENCY.fullmatch(value) is not None


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_AMOUNT_CENTS


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 500


_FieldRule = tuple[Callable[[object], bool], str]
_IDENTIFIER: Final[_FieldRule] = (_is_name, "1 to 128 letters, digits, '.', '_' or '-'")
_AMOUNT: Final[_FieldRule] = (_is_amount, f"a whole number from 1 to {MAX_AMOUNT_CENTS}")
_FIELDS: Final[Mapping[Kind, Mapping[str, _FieldRule]]] = {
    "charge": {
        "invoice_id": _IDENTIFIER,
        "amount_cents": _AMOUNT,
        "currency": (_is_currency, "three capital letters, such as EUR"),
    },
    "credit": {
        "invoice_id": _IDENTIFIER,
        "amount_cents": _AMOUNT,
        "reason": (_is_reason, "a text of 1 to 500 characters"),
    },
    "notice": {"invoice_id": _IDENTIFIER, "kind": _IDENTIFIER},
}


def parse_call(kind: Kind, key: str | None, body: bytes) -> Call:
    """The call that this key and body make, or `Refusal`."""
    if key is None or not key:
        raise Refusal(HTTPStatus.BAD_REQUEST, "missing_idempotency_key", "send an Idempotency-Key header")
    if _KEY.fullmatch(key) is None:
        message = "an Idempotency-Key is 1 to 255 visible ASCII characters"
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_idempotency_key", message)
    fields = _parse_object(body)
    rules = _FIELDS[kind]
    for name in fields:
        if name not in rules:
            message = f"unknown field {name[:100]!r}; a {kind} has {', '.join(rules)}"
            raise Refusal(HTTPStatus.BAD_REQUEST, "unknown_field", message)
    for name, (allowed, description) in rules.items():
        if name not in fields:
            raise Refusal(HTTPStatus.BAD_REQUEST, "missing_field", f"a {kind} needs {name!r}: {description}")
        if not allowed(fields[name]):
            raise Refusal(HTTPStatus.BAD_REQUEST, "bad_field", f"{name!r} must be {description}")
    amount, currency = fields.get("amount_cents"), fields.get("currency")
    return Call(
        kind=kind,
        idempotency_key=key,
        invoice_id=str(fields["invoice_id"]),
        amount_cents=amount if isinstance(amount, int) else None,
        currency=currency if isinstance(currency, str) else None,
        body_digest=_digest(json.dumps(fields, sort_keys=True)),
    )


def _parse_object(body: bytes) -> dict[str, object]:
    try:
        fields = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_json", "the body is not strict JSON in UTF-8") from None
    if not isinstance(fields, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_json", "the body must be a JSON object")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field occurs twice")
    return fields


# ----------------------------------------------------------------------------------------------------------- the server

_POSTS: Final[Mapping[str, Kind]] = {"/charges": "charge", "/credits": "credit", "/notices": "notice"}
_GETS: Final = ("/ledger", "/healthz")
_DRAIN_BYTES: Final = 1024 * 1024


class GatewayServer(socketserver.ThreadingTCPServer):
    """Serves on 127.0.0.1 only.

    Not an `http.server.HTTPServer`, because that asks the DNS for the name of the address that it binds.
    """

    allow_reuse_address = True
    daemon_threads = True  # an answer that is still held does not hold up the exit
    request_queue_size = 128

    def __init__(self, *, port: int, ledger_path: Path, seed: int, hold: timedelta) -> None:
        self.ledger_path = ledger_path
        self.seed = seed
        self.hold = hold
        self.ledger = Ledger(ledger_path)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except BaseException:
            self.ledger.close()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def server_close(self) -> None:
        super().server_close()
        self.ledger.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news; anything else is a bug, with its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: GatewayServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a connection may be idle
    wbufsize = -1  # head and body of an answer leave as one write, after the method returned
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        try:
            body = self._read_body()
            path = self.path.partition("?")[0]
            if path in _POSTS:
                self._must_be("POST")
                answer = self._post(_POSTS[path], body)
            elif path in _GETS:
                self._must_be("GET")
                answer = self._get(path)
            else:
                raise Refusal(HTTPStatus.NOT_FOUND, "unknown_path", f"there is no {path[:200]!r} here")
        except Refusal as refusal:
            self._send_refusal(refusal)
        except LedgerClosed:
            message = "the gateway is stopping"
            self._send_refusal(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", message, hang_up=True))
        except (sqlite3.Error, LedgerUnusable) as error:
            print(f"gateway: ledger: {error}", file=sys.stderr, flush=True)
            message = "the gateway cannot use its ledger"
            self._send_refusal(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "ledger_unusable", message))
        else:
            self._send(HTTPStatus.OK, answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _post(self, kind: Kind, body: bytes) -> Mapping[str, object]:
        call = parse_call(kind, self.headers["Idempotency-Key"], body)
        seed = self.server.seed
        try:
            verdict, seen = self.server.ledger.record(call, lambda seen: decide(seed, call, seen))
        except BodyChanged:
            message = "this Idempotency-Key was used with another body; nothing was booked"
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", message) from None
        time.sleep(latency(seed, call.invoice_id, seen).total_seconds())
        if verdict.answer is None:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "the gateway is busy; try again")
        if verdict.outcome == "accepted_paid" and behaviour(seed, call.invoice_id) is Behaviour.HELD:
            time.sleep(self.server.hold.total_seconds())
        return {**verdict.answer, "duplicate": verdict.outcome == "duplicate"}

    def _get(self, path: str) -> Mapping[str, object]:
        if path == "/healthz":
            return {"status": "ok"}
        return {"rows": [row.as_json() for row in read_ledger(self.server.ledger_path)]}

    def _must_be(self, method: Literal["GET", "POST"]) -> None:
        if self.command != method:
            message = f"this path takes {method} only"
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", message, allow=method)

    def _read_body(self) -> bytes:
        lengths = set(self.headers.get_all("Content-Length", []))
        if "Transfer-Encoding" in self.headers or (not lengths and self.command == "POST"):
            message = "send the body whole, with a Content-Length"
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "length_required", message, hang_up=True)
        if not lengths:
            return b""
        length = lengths.pop()
        if lengths or re.fullmatch(r"[0-9]{1,18}", length) is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "bad_length", "the Content-Length is no length", hang_up=True)
        if int(length) > MAX_BODY_BYTES:
            # Reading some more lets a client that is still sending see the answer, not a connection reset.
            self.rfile.read(min(int(length), _DRAIN_BYTES))
            message = f"a body has at most {MAX_BODY_BYTES} bytes"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", message, hang_up=True)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client hung up within its body")
        return body

    def _send_refusal(self, refusal: Refusal) -> None:
        if refusal.hang_up:
            self.close_connection = True
        self._send(refusal.status, {"error": {"code": refusal.code, "message": refusal.message}}, refusal.allow)

    def _send(self, status: int, answer: Mapping[str, object], allow: str = "") -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if allow:
            self.send_header("Allow", allow)
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses before a method is called: malformed heads and methods that nobody heard of."""
        self.close_connection = True
        self.request_version = self.protocol_version  # otherwise a malformed request line is answered without a head
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send_refusal(
                Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "GET or POST", allow="GET, POST")
            )
        else:
            status = HTTPStatus(code)
            self._send_refusal(Refusal(status, "bad_request", message or status.phrase))

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        self.wfile.flush()  # the client waits for this before it sends the body
        return proceed

    def version_string(self) -> str:
        return "squidmesh-demo-gateway"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the ledger is the log."""


# ----------------------------------------------------------------------------------------------------- the command line


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    # Blocked before any thread starts, so that all inherit the mask and only the sigwait below receives them.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        server = GatewayServer(port=options.port, ledger_path=options.ledger, seed=options.seed, hold=options.hold)
    except (OSError, OverflowError, LedgerUnusable) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    with server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="gateway")
        serving.start()
        print(f"gateway listening on {server.url}", flush=True)
        signal.sigwait(signals)
        server.shutdown()
        serving.join()
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m squidmesh.demo.gateway", description="A local payment gateway.")
    parser.add_argument("--ledger", type=Path, required=True, help="the ledger's file; made if there is none")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"decides who pays (default {DEFAULT_SEED})")
    parser.add_argument(
        "--hold",
        type=_seconds,
        default=DEFAULT_HOLD,
        metavar="SECONDS",
        help=f"how long a held answer is held (default {DEFAULT_HOLD.total_seconds()})",
    )
    return parser


def _seconds(text: str) -> timedelta:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise ValueError("0 to 3600 seconds")
    return timedelta(seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
