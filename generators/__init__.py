"""Source files that are written by a program, because a person would let them rot: `./dev generate`."""
