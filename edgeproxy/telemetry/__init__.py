"""Floor 2: counts, logs: what the proxy tells its operators."""
