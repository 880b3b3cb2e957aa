"""``python -m build_native`` builds beside the sources."""

from __future__ import annotations

from .package import ROOT, install

if __name__ == "__main__":
    install(ROOT / "udfvm")
