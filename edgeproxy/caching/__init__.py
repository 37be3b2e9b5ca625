"""Floor 1: HTTP caching (RFC 9111 and its family) as pure functions of plain values and `now`."""
