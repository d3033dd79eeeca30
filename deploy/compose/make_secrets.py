"""Makes the secrets of the compose file: ``python deploy/compose/make_secrets.py [FOLDER]``. What is there stays.

The folder can be entered by its owner only. The files in it are readable, since Compose shows each to its container as
it is, where it is read by another user.
"""

import hashlib
import secrets
import sys
from pathlib import Path

PASSWORDS = (
    *("postgres-password", "owner-password", "worker-password", "redis-password", "grafana-password"),
    "sonar-token",
)


def urls(passwords: dict[str, str], *, postgres: str = "postgres:5432", redis: str = "redis:6379") -> dict[str, str]:
    """The addresses as the containers see them. They are on a network that nobody else is on: hence ``insecure``."""
    return {
        "owner-url": f"postgresql://squidmesh_owner:{passwords['owner-password']}@{postgres}/orders",
        "worker-url": f"postgresql://orders_worker:{passwords['worker-password']}@{postgres}/orders",
        "leases-url": f"redis://squidmesh:{passwords['redis-password']}@{redis}/0?insecure=1",
    }


def tokens(token: str) -> str:
    """Who may come into Sonar, as ``squidmesh sonar token operator --role operator`` writes it."""
    return f'[operator]\ntoken_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\nrole = "operator"'


def make(folder: Path, *, postgres: str = "postgres:5432", redis: str = "redis:6379") -> list[str]:
    """The names of the files that were written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    passwords: dict[str, str] = {}
    written = []
    for name in PASSWORDS:
        path = folder / name
        if not path.exists():
            write(path, secrets.token_urlsafe(32))
            written.append(name)
        passwords[name] = path.read_text().strip()
    derived = urls(passwords, postgres=postgres, redis=redis) | {"sonar-tokens": tokens(passwords["sonar-token"])}
    for name, text in derived.items():
        if not (folder / name).exists():
            write(folder / name, text)
            written.append(name)
    return written


def write(path: Path, text: str) -> None:
    path.write_text(f"{text}\n")
    path.chmod(0o444)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("secrets")
    made = make(where)
    print(f"{where}: {', '.join(made) or 'all there already'}")
