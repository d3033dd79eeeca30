"""``python -m squidmesh``: the command line."""

from squidmesh.cli import main

if __name__ == "__main__":
    main()
