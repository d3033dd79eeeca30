"""What a worker finds in its environment."""

LEASES = "CHAOS_LEASES"
"""The URL of the lease backend; empty where the journal has them."""
PLANE = "CHAOS_PLANE"
"""What the lease backend is called by all workers, whichever way leads them to it."""
TALLIES, FOLDER_OF_HISTORY = "CHAOS_TALLIES", "CHAOS_HISTORY"
"""Folders."""
