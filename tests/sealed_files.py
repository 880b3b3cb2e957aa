"""Files that have the form of a sealed function, and no images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from udfvm import vmm
from udfvm.images.host import processor
from udfvm.sqlite.sealed import NOTE_FORMAT
from udfvm.sqlite.sealed_file import HEAD

PAGE: Final = 4096
HERE: Final = vmm.sha256(processor().encode()).hex()


def sealed_form(path: Path) -> Path:
    """Writes a file of what has the form of the sealed function ``half``: nothing can open it."""
    base, layer = 64 << 20, 3 * PAGE
    lines = {
        "udfvm-function": NOTE_FORMAT,
        "name": "half",
        "base": f"{HEAD} {base}",
        "layer": f"{HEAD + base} {layer}",
        "signature": "(x double) -> double",
        "processor": HERE,
    }
    with path.open("wb") as file:
        file.truncate(HEAD + base + layer)
        file.write("".join(f"{key} {value}\n" for key, value in lines.items()).encode())
        file.seek(HEAD + (1 << 20))
        file.write(b"base" * 1000)
        file.seek(HEAD + base)
        file.write(os.urandom(layer))
    return path
