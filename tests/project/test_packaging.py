"""A source distribution holds all that is needed to build, and a wheel all that is needed to run:
the wheel is built from it, unpacked elsewhere and used from there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "*.so", "udfvm-jail", "_guest", "_core.c", "__pycache__"
)
PROGRAM = textwrap.dedent(
    """
    import apsw, pyarrow as pa, pyarrow.compute as pc, udfvm, udfvm.arrow, udfvm.sqlite

    @udfvm.udf
    def double(x: int) -> int:
        return 2 * x

    udfvm.arrow.register(None, double)
    assert pc.call_function("double", [pa.array([4], pa.int8())]).to_pylist() == [8]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, double)
    print(udfvm.__file__, connection.execute("SELECT vm_udf('double', 21)").fetchall())
    """
)


@pytest.mark.long
def test_a_wheel_of_the_source_distribution_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    subprocess.run(
        [sys.executable, "-m", "build", "-o", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("udfvm-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{installed / 'udfvm' / '__init__.py'} [(42,)]\n", done.stderr
