"""Images: building them, the cache that keeps them, and the files that guests may read."""
