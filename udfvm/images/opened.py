"""Opening images of the cache: all that a new process needs whose images are there."""

from __future__ import annotations

from pathlib import Path

from udfvm import vmm
from udfvm.errors import CacheError, ImageError
from udfvm.images.cache_files import cache_size, explained


def open_cached(path: Path, base: vmm.Image | None) -> vmm.Image | None:
    """Returns an image of the cache, or None if it does not exist. Removes a damaged one.

    Raises CacheError.
    """
    cache_size()  # a wrong setting is an error whether or not there is anything to build
    try:
        return vmm.Image.open(path, base)
    except FileNotFoundError:
        return None
    except CacheError:
        raise
    except ImageError:
        with explained(path):
            path.unlink(missing_ok=True)
        return None
