"""Named days for a fleet: what it is made of, which faults befall it, and how such a day is run."""
