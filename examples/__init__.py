"""Reference workflows: each is a file that runs by itself (``python -m examples.saga_checkout``), and a test."""
