"""Floor 0: bytes to values and back. Knows no IO, no clock, no caching."""
