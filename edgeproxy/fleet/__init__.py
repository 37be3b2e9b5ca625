"""Floor 2: what nodes agree on: purges."""
