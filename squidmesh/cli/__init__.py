"""The command line: ``squidmesh``, one module a noun. It uses the public names, as every host does."""


def main() -> None:
    """The entry point."""
    from squidmesh.cli.root import squidmesh

    squidmesh(prog_name="squidmesh")
