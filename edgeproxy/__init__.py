"""edgeproxy: an asyncio caching reverse proxy with CDN-style edge behaviour."""

__version__ = "0.1.0"
