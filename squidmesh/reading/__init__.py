"""What people ask of a run: state in, answer out. Pure; the time is an argument, and no answer holds a claim."""
