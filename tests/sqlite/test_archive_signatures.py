"""``udfvm image export --sign`` and ``import --signed-by``: signatures, and what is not signed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from sealed_files import sealed_form

import udfvm
from udfvm.cli import commands
from udfvm.sqlite.archive import export_image, import_image
from udfvm.sqlite.archive_signatures import SIGNATURE

serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")

PEM = serialization.Encoding.PEM


class Keys(NamedTuple):
    private: Path
    public: Path


def new_keys(folder: Path, name: str) -> Keys:
    key = ed25519.Ed25519PrivateKey.generate()
    made = Keys(folder / f"{name}.pem", folder / f"{name}.public.pem")
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    made.private.write_bytes(key.private_bytes(PEM, form, secret))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    made.public.write_bytes(key.public_key().public_bytes(PEM, spki))
    return made


@pytest.fixture
def function(tmp_path: Path) -> Path:
    return sealed_form(tmp_path / "f.udfvm")


@pytest.fixture
def mine(tmp_path: Path) -> Keys:
    return new_keys(tmp_path, "mine")


@pytest.fixture
def others(tmp_path: Path) -> Keys:
    return new_keys(tmp_path, "others")


def run(*arguments: object) -> str:
    done = CliRunner().invoke(commands, ["image", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.strip()


@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_there_and_back(function: Path, mine: Keys, others: Keys, name: str) -> None:
    made, back = function.with_name(name), function.with_name("back.udfvm")
    digest = run("export", function, made, "--sign", mine.private)
    keys = ("--signed-by", others.public, "--signed-by", mine.public)
    assert run("import", made, back, *keys) == f"half in {back}"
    assert back.read_bytes() == function.read_bytes()
    assert import_image(made, back, digest=digest, replace=True) == "half", "without a key, too"
    again = function.with_name("again")
    assert export_image(function, again, sign=mine.private) == digest, "the same bytes"
    assert export_image(function, function.with_name("unsigned")) != digest


def changed(archive: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Changes the manifest of an archive, with the digests that it then has."""
    index = json.loads((archive / "index.json").read_text())
    described = index["manifests"][0]
    blobs = archive / "blobs" / "sha256"
    manifest = json.loads((blobs / described["digest"][7:]).read_text())
    change(manifest)
    data = json.dumps(manifest).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    described.update(digest=f"sha256:{digest}", size=len(data))
    (archive / "index.json").write_text(json.dumps(index))
    return archive


def put(archive: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (archive / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def annotated(text: object) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.update(annotations={SIGNATURE: text})


NOT_MINE = "none of the given keys signed it"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.pop("annotations"), "it is not signed"),
        (lambda manifest: manifest.update(annotations={}), "it is not signed"),
        (lambda manifest: manifest.update(annotations=[SIGNATURE]), "it is not signed"),
        (annotated(""), NOT_MINE),
        (annotated(None), "it is not signed"),
        (annotated(3), "its signature is damaged"),
        (annotated("not base64"), "its signature is damaged"),
        (annotated("\u00e9\u00e9\u00e9\u00e9"), "its signature is damaged"),
        (annotated("A" * 4000), "its signature is damaged"),
        (annotated(base64.b64encode(bytes(64)).decode()), NOT_MINE),
        (lambda manifest: manifest["annotations"].update(more="x"), NOT_MINE),
        (lambda manifest: manifest.update(schemaVersion=3), NOT_MINE),
        (lambda manifest: manifest["layers"].reverse(), NOT_MINE),
        (lambda manifest: manifest["layers"][0].update(size=5), NOT_MINE),
    ],
)
def test_what_is_not_signed_by_a_key(
    function: Path, mine: Keys, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    made = function.with_name("archive")
    export_image(function, made, sign=mine.private)
    back = function.with_name("back.udfvm")
    with pytest.raises(udfvm.ImageError, match=message):
        import_image(changed(made, change), back, signed_by=[mine.public])
    assert not back.exists()


def test_signatures_of_others(function: Path, mine: Keys, others: Keys) -> None:
    made, back = function.with_name("archive"), function.with_name("back.udfvm")
    export_image(function, made, sign=others.private)
    with pytest.raises(udfvm.ImageError, match=NOT_MINE):
        import_image(made, back, signed_by=[mine.public])
    assert not back.exists()
    import_image(made, back, signed_by=[mine.public, others.public])


def test_another_configuration_below_a_signature(function: Path, mine: Keys) -> None:
    """The signature covers the digest of each blob, and a blob must have its digest."""
    made, back = function.with_name("archive"), function.with_name("back.udfvm")
    export_image(function, made, sign=mine.private)

    def other_layer(manifest: dict[str, Any]) -> None:
        manifest["layers"][1].update(put(made, b"another"))

    with pytest.raises(udfvm.ImageError, match=NOT_MINE):
        import_image(changed(made, other_layer), back, signed_by=[mine.public])
    damaged = function.with_name("damaged")
    export_image(function, damaged, sign=mine.private)
    largest = max((damaged / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[-1] ^= 1
    largest.write_bytes(data)
    with pytest.raises(udfvm.ImageError, match=r"damaged|decompressed"):
        import_image(damaged, back, signed_by=[mine.public])
    assert not back.exists()


def test_what_is_no_key(function: Path, mine: Keys, tmp_path: Path) -> None:
    made, back = function.with_name("archive"), function.with_name("back.udfvm")
    locked, empty = tmp_path / "locked.pem", tmp_path / "empty.pem"
    secret = serialization.BestAvailableEncryption(b"passphrase")
    key = ed25519.Ed25519PrivateKey.generate()
    locked.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, secret))
    empty.touch()
    for path, message in (
        (locked, "has a passphrase"),
        (empty, "has no private key"),
        (mine.public, "has no private key"),
        (tmp_path / "nothing", "cannot be read"),
    ):
        with pytest.raises(udfvm.OptionError, match=message):
            export_image(function, made, sign=path)
        assert not made.exists()
    export_image(function, made, sign=mine.private)
    for path, message in ((mine.private, "has no public key"), (tmp_path, "cannot be read")):
        with pytest.raises(udfvm.OptionError, match=message):
            import_image(made, back, signed_by=[path])
        assert not back.exists()
