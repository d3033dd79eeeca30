"""The files of TLS: whom we believe, and who we are."""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple


class Unreadable(Exception):
    """Names the setting, and what is wrong with its file."""


class Certificates(NamedTuple):
    """Paths of PEM files. ``ca``: who signs the servers' certificates, if not an authority that the system believes;
    ``cert``: our own certificate, for servers that ask for one; ``key``: its key, if that is in another file.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def check(self) -> None:
        """Reads them once. Raises :class:`Unreadable`."""
        if self.key and not self.cert:
            raise Unreadable("it sets 'key' without 'cert'")
        context = ssl.create_default_context()
        if self.ca is not None:
            _try("ca", "a file of certificates (PEM)", lambda: context.load_verify_locations(cafile=self.ca))
        if self.cert is not None:
            cert, key = self.cert, self.key
            wanted = "a certificate (PEM) with its key, which may stand in 'key', and has no password"
            _try("cert", wanted, lambda: context.load_cert_chain(cert, key, password=lambda: ""))

    def options(self) -> dict[str, Any]:
        """For the driver. The name of the server is always compared."""
        return {
            "ssl": True,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": self.ca,
            "ssl_certfile": self.cert,
            "ssl_keyfile": self.key or self.cert,
        }


def _try(setting: str, wanted: str, read: Any) -> None:
    try:
        read()
    except (OSError, ValueError) as error:
        found = error.strerror or "no such content" if isinstance(error, OSError) else "an embedded null byte"
        raise Unreadable(f"its {setting!r} names no file that can be used ({found}); it is {wanted}") from error
