"""Images: how they are built, where they are kept, and the files that guests may read."""
