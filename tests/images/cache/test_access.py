"""A cache that cannot be written serves what it has, and errors name it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cached_images import PROGRAM
from hostile_files import NOBODY, needs_root


def run(
    program: str, directory: Path, *before: str, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "UDFVM_CACHE": str(directory), **more}
    command = [*before, sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@needs_root
def test_a_cache_that_is_read_only_serves_what_it_has(here: Path, tmp_path: Path) -> None:
    mount = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind {here} {here} && mount -o remount,ro,bind {here} && exec "$0" "$@"',
    )
    assert run(PROGRAM, here).stdout == "42\n"
    assert run(PROGRAM, here, *mount).stdout == "42\n"
    for path in here.glob("*.layer"):
        path.unlink()
    done = run(PROGRAM, here, *mount)
    assert (
        done.returncode == 1
        and "CacheError" in done.stderr
        and str(here) in done.stderr
        and "UDFVM_CACHE" in done.stderr
    )


@needs_root
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=4m,mode=700 none {small} && exec "$0" "$@"',
    )
    declaration = textwrap.dedent(PROGRAM).replace("print(double(21))", "")
    done = run(
        f"""
        import os, udfvm
        {textwrap.indent(declaration, " " * 8).strip()}
        try:
            double(21)
        except udfvm.ImageError as error:
            print(error)
        print(os.listdir({str(small)!r}))
        os.environ["UDFVM_CACHE"] = {str(tmp_path / "large")!r}
        print(double(21))
    """,
        small,
        *mount,
    )
    first, second, third = done.stdout.splitlines()
    assert (
        str(small) in first and os.strerror(errno.ENOSPC) in first and "udfvm cache prune" in first
    )
    assert (second, third) == ("[]", "42")


@pytest.mark.skipif(
    os.geteuid() == 0 and not hasattr(os, "setresuid"), reason="another user is needed"
)
@needs_root
def test_what_this_user_may_not_read_or_write(outside: Path) -> None:
    (outside / "secret.base").touch(mode=0o600)
    program = f"""
        import os
        import tempfile                          # while this user may still read the library
        from pathlib import Path
        from udfvm import vmm, ImageError
        from udfvm.images.cache import keep_bytes
        outside = Path({str(outside)!r})
        os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
        for attempt in (lambda: vmm.open_private(outside / "secret.base"),
                        lambda: keep_bytes(outside / "new.description", b"x"),
                        lambda: keep_bytes(outside / "a" / "new.description", b"x")):
            try:
                attempt()
            except ImageError as error:
                print(error)
    """
    lines = run(program, outside).stdout.splitlines()
    assert len(lines) == 3
    assert all(
        str(outside) in line and os.strerror(errno.EACCES) in line and "UDFVM_CACHE" in line
        for line in lines
    )
