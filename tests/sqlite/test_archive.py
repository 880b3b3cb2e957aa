"""``udfvm image``: sealed functions as OCI image layouts, honest ones and forged ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from sealed_files import HERE, PAGE, sealed_form

import udfvm
import udfvm.sqlite
from udfvm.cli import commands
from udfvm.sqlite import archive
from udfvm.sqlite.archive import export_image, import_image
from udfvm.sqlite.sealed import NOTE_FORMAT
from udfvm.sqlite.sealed_file import HEAD


@pytest.fixture
def function(tmp_path: Path) -> Path:
    return sealed_form(tmp_path / "f.udfvm")


def run(*arguments: object) -> str:
    done = CliRunner().invoke(commands, ["image", *map(str, arguments)], catch_exceptions=False)
    return done.output.strip()


@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_there_and_back(function: Path, name: str) -> None:
    made, back = function.with_name(name), function.with_name("back.udfvm")
    digest = run("export", function, made)
    assert run("import", made, back, "--digest", digest) == f"half in {back}"
    assert back.read_bytes() == function.read_bytes()
    assert back.stat().st_blocks * 512 < 1 << 20, "holes stay holes"
    size = sum(each.stat().st_size for each in ([made] if made.is_file() else made.rglob("*")))
    assert size < 100_000
    with pytest.raises(udfvm.SealError, match="exists already"):
        export_image(function, made)
    with pytest.raises(udfvm.SealError, match="exists already"):
        import_image(made, back)
    import_image(made, back, replace=True)
    with pytest.raises(udfvm.ImageError, match="it is another function, or was changed"):
        import_image(made, back, digest="sha256:" + "0" * 64, replace=True)
    assert export_image(function, function.with_name("again")) == digest, "the same bytes"


def test_a_real_function_travels_by_skopeo(tmp_path: Path) -> None:
    source, sealed = tmp_path / "functions.py", tmp_path / "half.udfvm"
    source.write_text(
        "import udfvm\n\n@udfvm.udf\ndef half(x: float) -> float:\n    return x / 2\n"
    )
    runner = CliRunner()
    done = runner.invoke(commands, ["seal", str(source), "half", "--output", str(sealed)])
    assert done.exit_code == 0, done.output
    digest = export_image(sealed, tmp_path / "layout")
    travelled = tmp_path / "layout"
    if skopeo := shutil.which("skopeo"):
        travelled = tmp_path / "copy.tar"
        subprocess.run(
            [
                skopeo, "--insecure-policy", "copy", "--preserve-digests",
                f"oci:{tmp_path / 'layout'}:half", f"oci-archive:{travelled}:half",
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
    back = tmp_path / "back.udfvm"
    assert import_image(travelled, back, digest=digest) == "half"
    import apsw

    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(str(udfvm.sqlite.EXTENSION))
    connection.execute("SELECT vm_attach(?)", (str(back),)).fetchall()
    assert connection.execute("SELECT half(3)").fetchall() == [(1.5,)]


# ---- Forged archives ----


def packed(
    *pieces: tuple[int, bytes], length: int = 3 * PAGE, magic: bytes = archive.MAGIC
) -> bytes:
    """A part with pieces of data, compressed."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(magic + length.to_bytes(8, "little"))
        for offset, data in pieces:
            stream.write(offset.to_bytes(8, "little") + len(data).to_bytes(8, "little") + data)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def put(folder: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def forged(
    folder: Path,
    *,
    parts: tuple[bytes, ...] = (packed((0, b"a")), packed((0, b"b"))),
    note: object = None,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
) -> Path:
    """An archive with these parts; ``change`` gets the manifest before it is written."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    values = {
        "udfvm-function": str(NOTE_FORMAT),
        "name": "f",
        "processor": HERE,
        "base": "",
        "layer": "",
    }
    if callable(note):
        note(values)
    config = json.dumps({"format": 1, "note": list(map(list, values.items()))}).encode()
    manifest = {
        "config": {"mediaType": archive.CONFIG, **put(folder, config)},
        "layers": [
            {"mediaType": archive.PART.format(part), **put(folder, data)}
            for part, data in zip(("base", "layer", "layer"), parts, strict=False)
        ],
    }
    change(manifest)
    described = {"mediaType": archive.MANIFEST, **put(folder, json.dumps(manifest).encode())}
    (folder / "index.json").write_text(json.dumps({"manifests": [described]}))
    return folder


def layer(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["layers"][0].update(fields)


GOOD = packed((0, b"b"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"parts": (packed(magic=b"UDFVMSP2"), GOOD)}, "does not begin"),
        ({"parts": (packed(length=0), GOOD)}, "does not begin"),
        ({"parts": (packed(length=1 << 60), GOOD)}, "does not begin"),
        ({"parts": (packed((3 * PAGE, b"a")), GOOD)}, "where none can be"),
        ({"parts": (packed((2**64 - 1, b"a")), GOOD)}, "where none can be"),
        ({"parts": (packed((8, b"a"), (8, b"a")), GOOD)}, "where none can be"),
        ({"parts": (packed((0, b"")), GOOD)}, "where none can be"),
        ({"parts": (packed((0, bytes((1 << 20) + 1)), length=1 << 30), GOOD)}, "where none can be"),
        ({"parts": (packed((0, b"a"))[:-9], GOOD)}, "decompressed|cut short"),
        ({"parts": (b"no zstd", GOOD)}, "cannot be decompressed"),
        ({"parts": (b"", GOOD)}, "cut short|decompressed"),
        ({"parts": (GOOD,)}, "2 layers"),
        ({"parts": (GOOD, GOOD, GOOD)}, "2 layers"),
        ({"change": layer(digest="sha256:" + "0" * 64)}, "cannot be read"),
        ({"change": layer(digest="sha256:../../../../etc/passwd")}, "the digest"),
        ({"change": layer(digest=3)}, "the digest"),
        ({"change": layer(size=5)}, "damaged|decompressed|cut short"),
        ({"change": layer(size=1 << 40)}, "damaged"),
        ({"change": layer(size=-1)}, "the size"),
        ({"change": layer(mediaType="text/plain")}, "in place of"),
        ({"change": lambda manifest: manifest.update(config=[])}, "in place of an object"),
        ({"change": lambda manifest: manifest.update(layers={})}, "2 layers"),
        ({"change": lambda manifest: manifest.pop("config")}, "config"),
        ({"note": lambda note: note.update(name="../f")}, "no valid name"),
        ({"note": lambda note: note.update(signature="x\nbase 0 1")}, "as signature"),
        ({"note": lambda note: note.update(signature=3)}, "as signature"),
        ({"note": lambda note: note.update({"a b": "c"})}, "its note has 'a b'"),
        ({"note": lambda note: note.update(signature="x" * HEAD)}, "note is too long"),
        ({"note": lambda note: note.pop("processor")}, "processor"),
        ({"note": lambda note: note.update(processor="0" * 64)}, "another processor"),
        ({"note": lambda note: note.update({"udfvm-function": "1"})}, "another version"),
    ],
)
def test_forged_archives(tmp_path: Path, fields: dict[str, Any], text: str) -> None:
    made = forged(tmp_path / "archive", **fields)
    target = tmp_path / "out.udfvm"
    with pytest.raises(udfvm.ImageError) as caught:
        import_image(made, target)
    assert any(each in str(caught.value) for each in text.split("|")), caught.value
    assert sorted(each.name for each in tmp_path.iterdir()) == ["archive"], "nothing is left"


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows when it is decompressed is bounded, whatever the archive declares."""
    monkeypatch.setattr(archive, "MAX_DATA", 4 << 20)
    pieces = [(number << 20, bytes(1 << 20)) for number in range(8)]
    bomb = forged(tmp_path / "a", parts=(packed(*pieces, length=1 << 30), GOOD))
    with pytest.raises(udfvm.ImageError, match="of data"):
        import_image(bomb, tmp_path / "out")
    (bomb / "index.json").write_bytes(b"[" * 10_000_000)
    with pytest.raises(udfvm.ImageError, match="more than"):
        import_image(bomb, tmp_path / "out")
    (bomb / "index.json").write_bytes(b"[" * 200_000)
    with pytest.raises(udfvm.ImageError, match="valid archive"):
        import_image(bomb, tmp_path / "out")


@pytest.mark.parametrize("what", ["link", "folder link", "fifo", "folder", "nothing"])
def test_folders_with_something_else_in_them(tmp_path: Path, what: str) -> None:
    made = forged(tmp_path / "archive")
    index = made / "index.json"
    text = index.read_text()
    if what == "folder link":
        (made / "blobs").rename(tmp_path / "elsewhere")
        (made / "blobs").symlink_to(tmp_path / "elsewhere")
    else:
        index.unlink()
    if what == "link":
        (tmp_path / "real").write_text(text)
        index.symlink_to(tmp_path / "real")
    elif what == "fifo":
        os.mkfifo(index)
    elif what == "folder":
        index.mkdir()
    with pytest.raises(udfvm.ImageError, match="valid archive"):
        import_image(made, tmp_path / "out.udfvm")
    assert not (tmp_path / "out.udfvm").exists()


@pytest.mark.parametrize("what", ["link", "twice", "path", "many", "cut", "compressed", "sparse"])
def test_tar_files_with_something_else_in_them(tmp_path: Path, what: str) -> None:
    made, path = forged(tmp_path / "archive"), tmp_path / "archive.tar"
    with tarfile.open(path, "w:gz" if what == "compressed" else "w") as file:
        for each in sorted(made.rglob("*")):
            if each.is_file():
                file.add(each, str(each.relative_to(made)), filter=lambda info: changed(info, what))
        for number in range({"twice": 1, "many": 2000}.get(what, 0)):
            file.addfile(tarfile.TarInfo("index.json" if what == "twice" else str(number)))
    if what == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(udfvm.ImageError, match="valid archive"):
        import_image(path, tmp_path / "out.udfvm")
    assert not (tmp_path / "out.udfvm").exists()


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, *b"LKxgS"], ids=str)
@pytest.mark.parametrize("size", [-512, 1 << 20, 1 << 40, 1 << 63, 1 << 80])
def test_tar_files_whose_headers_say_any_size(tmp_path: Path, kind: int | bytes, size: int) -> None:
    """No memory is taken for what is not there, and nothing is read again and again."""
    header = bytearray(tarfile.TarInfo("index.json").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = kind if isinstance(kind, bytes) else bytes([kind])
    header[124:136] = (b"\x80" if size > 0 else b"\xff") + size.to_bytes(11, "big", signed=True)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    path = tmp_path / "archive.tar"
    path.write_bytes(header + bytes(1024))
    with pytest.raises(udfvm.ImageError, match="valid archive"):
        import_image(path, tmp_path / "out.udfvm")
    assert not (tmp_path / "out.udfvm").exists()


def changed(member: tarfile.TarInfo, what: str) -> tarfile.TarInfo:
    if member.name == "index.json" and what == "link":
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
    if member.name == "index.json" and what == "path":
        member.name = "../index.json"
    if member.name == "index.json" and what == "sparse":
        member.type = tarfile.GNUTYPE_SPARSE
    return member


def test_what_is_no_sealed_file(tmp_path: Path, function: Path) -> None:
    for data in (b"", b"x" * HEAD, b"name f\n" + bytes(HEAD)):
        (tmp_path / "wrong").write_bytes(data)
        with pytest.raises(udfvm.SealError, match="is not a file that"):
            export_image(tmp_path / "wrong", tmp_path / "a")
        assert not (tmp_path / "a").exists()
    with pytest.raises(udfvm.SealError, match="No such file"):
        export_image(tmp_path / "nothing", tmp_path / "a")
    export_image(function, tmp_path / "b.tar")
    with pytest.raises(udfvm.SealError, match="No such file"):
        import_image(tmp_path / "b.tar", tmp_path / "no folder" / "f.udfvm")


def test_the_reader_never_reads_past_a_size() -> None:
    reader = archive._Hashing(io.BytesIO(b"12345678"), 3)
    assert reader.read() == b"1234" and reader.read() == b"" and reader.size == 4
