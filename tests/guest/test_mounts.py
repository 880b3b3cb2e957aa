"""A program mounts file systems in memory."""

from __future__ import annotations

import udfvm


def test_memory_file_systems_can_be_mounted_anywhere() -> None:
    @udfvm.udf
    def mounted(x: int) -> list[str]:
        import ctypes
        import os

        library, folder = ctypes.CDLL(None, use_errno=True), "/srv/some/where"
        library.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_void_p]
        assert not os.path.exists(folder)  # nothing of the call before
        assert library.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, None) == 0
        with open(folder + "/file", "w") as file:
            file.write("x")
        errors = []
        for target, kind in (
            ("/srv/other", "ext4"),
            ("/", "tmpfs"),
            (folder + "/file/below", "tmpfs"),
            (folder + "/file", "tmpfs"),
        ):
            assert library.mount(b"", target.encode(), kind.encode(), 0, None) == -1
            errors.append(os.strerror(ctypes.get_errno()))
        return [
            *os.listdir("/srv/some"),
            *os.listdir(folder),
            *errors,
            str(os.path.exists(os.__file__)),
        ]

    for _ in range(2):
        assert mounted(1) == [
            "where",
            "file",
            "No such device",
            "Device or resource busy",
            "Not a directory",
            "Not a directory",
            "True",
        ]
