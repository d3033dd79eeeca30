"""``python -P -m benchmarks.peers NAME``: the process of one peer, told what to do by the harness."""

from __future__ import annotations

import importlib
import sys

from benchmarks.peers.protocol import serve

serve(importlib.import_module(f"benchmarks.peers.{sys.argv[1]}").PEER)
