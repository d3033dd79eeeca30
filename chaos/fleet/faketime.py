"""A real server whose clock is moved while it runs, by libfaketime."""

from pathlib import Path

from chaos.fleet.debian import files_of


class FakeTime:
    """How far a process is ahead of the machine's clock. It has ``environment`` among its variables from its start."""

    def __init__(self, file: Path, *, ahead: int = 0) -> None:
        self._file = file
        self.move(ahead)
        self.environment = {
            "LD_PRELOAD": str(files_of("libfaketime", "lib*/**/faketime/libfaketimeMT.so.1")[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def move(self, ahead: int) -> None:
        """From the process's next looks at its clock. Seconds; may be less than before."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n")
        new.replace(self._file)
