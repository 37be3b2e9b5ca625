"""Floor 4: the admin API, an aiohttp application in the supervisor."""
