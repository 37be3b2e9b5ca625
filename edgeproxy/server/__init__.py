"""Floor 4: processes, sockets and connections."""
