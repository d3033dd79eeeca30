"""Real processes: stores, workers, and what surrounds them."""
