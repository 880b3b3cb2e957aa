"""What programs with an environment of their own need of ours: see "Test with sanitizers" in
CONTRIBUTING.md.
"""

from __future__ import annotations

import os

SANITIZERS = {
    name: os.environ[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS") if name in os.environ
}
