"""The reference workflow *payment recovery*, and a small fleet that runs it against a moody gateway."""
