"""A peer that needs nothing: its runs are numbers in a list, and its store is a file."""

import os
import sys
import threading
import time
from pathlib import Path

from benchmarks.peers.protocol import Peer, entered, left, serve, timed


class Fake(Peer):
    package = "click"  # any distribution that is there
    how = "as fast as it can"

    def enqueue(self, count):
        with Path("waiting").open("a") as file:
            file.write("run\n" * count)

    def work(self):
        threading.Thread(target=self._run_all, daemon=True).start()

    def _run_all(self):
        for _ in Path("waiting").read_text().splitlines():
            entered()
            left()

    def fork(self):
        """A child that would never end."""
        child = os.fork()
        if child:
            return child
        while True:
            time.sleep(60)

    def writes_bytecode(self):
        return not sys.dont_write_bytecode

    def start_one(self):
        return time.monotonic()

    def direct(self, count, threads=1):
        print("what a peer prints is no answer")
        if threads != 1:
            raise ValueError("no threads here")

    def alone(self, count):
        return timed(lambda number: None, count)


serve(Fake)
