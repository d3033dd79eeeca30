"""As :mod:`tests.scenarios.app`; each claim that the journal refuses leaves a line in the worker's log."""

import sys

from squidmesh.ports.instrument import Instrument
from tests.scenarios.app import mesh

__all__ = ["mesh"]


class _Refusals(Instrument):
    def notice(self, event: str, /, **fields: object) -> None:
        if event == "claim_refused":
            sys.stderr.write(f"refused {fields['item']} {fields['fence']}\n")
            sys.stderr.flush()


mesh.observe(_Refusals())
