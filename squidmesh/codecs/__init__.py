"""Payload codecs that are ready to use: one module each, which may need an extra."""
