"""Pictures of the protocol as SVG: machines from tables, sequences from lists of messages."""
