"""The verbs of the public API, a module a subject; ``Mesh`` is all of them together."""
