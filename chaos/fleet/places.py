"""What a worker finds in its environment."""

LEASES = "CHAOS_LEASES"
"""The URL of the lease backend; empty where the journal has them."""
TALLIES, FOLDER_OF_HISTORY = "CHAOS_TALLIES", "CHAOS_HISTORY"
"""Folders. Without the second one nothing is written down."""
