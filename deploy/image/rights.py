"""Gives the roles of PostgreSQL their rights: ``roles.sql`` of the installed package, after each migration.

SQUIDMESH_URL is the address of the owner of the tables. Where there is psql, ``psql -f`` does the same.
"""

import os
import sys
from importlib.resources import files

import psycopg


def main() -> None:
    url = os.environ.get("SQUIDMESH_URL")
    if not url:
        sys.exit("rights: which database? SQUIDMESH_URL, or SQUIDMESH_URL_FILE")
    script = files("squidmesh_postgres").joinpath("roles.sql").read_bytes()
    try:
        with psycopg.connect(url, connect_timeout=30) as connection:  # one transaction
            connection.execute(script)
    except psycopg.Error as error:
        sys.exit(f"rights: {error}")
    print("the roles have their rights")


if __name__ == "__main__":
    main()
