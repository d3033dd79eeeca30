"""``python -m examples.shop``, or ``./dev shop``: everything the shop needs, until Ctrl-C."""

import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from examples.shop.premises import Premises


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="squidmesh-shop-") as folder,
        Premises(Path(folder)) as shop,
    ):
        shop.start_worker()
        address = shop.start_web()
        print(f"the shop    {address}/docs")
        print(f"Sonar       {address}/login   as {' or '.join(shop.people)}, with the password {shop.password}")
        print(f"metrics     {address}/metrics")
        print(f"PostgreSQL  {shop.settings.database}")
        print(f"Redis       {shop.settings.redis}")
        print(f"logs        {folder}")
        print("Ctrl-C ends it all.", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
