"""Signatures of archives of functions: Ed25519, in an annotation of the manifest.

The manifest has the digests of all that is in an archive. What is signed is the manifest as it is
parsed, without the signature, in one form of JSON: so what is checked is what is used.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from udfvm.errors import ImageError, OptionError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE: Final = "vnd.udfvm.signature"  # the annotation
_PURPOSE: Final = b"udfvm archive of a function, version 1\n"  # begins what is signed
_MAX_KEY: Final = 64 << 10  # bytes of a file
_MAX_SIGNATURE: Final = 1000  # characters


def packed_json(value: object) -> bytes:
    """Returns a value as JSON, always in the same form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def signed(manifest: dict[str, Any], key: Path) -> dict[str, Any]:
    """Returns a manifest with its signature by the private key in a file. Raises OptionError."""
    made = _private_key(key).sign(_PURPOSE + packed_json(manifest))
    annotation = base64.b64encode(made).decode()
    return {**manifest, "annotations": {SIGNATURE: annotation}}


def check_signature(
    archive: Path, manifest: Mapping[str, Any], keys: Sequence[Ed25519PublicKey]
) -> None:
    """Checks that one of some keys signed a manifest, which a stranger wrote perhaps. Raises
    ImageError where none did.
    """
    rest = dict(manifest)
    annotations = rest.pop("annotations", None)
    text = annotations.get(SIGNATURE) if type(annotations) is dict else None
    if text is None:
        raise ImageError(
            f"{archive}: it is not signed: export it with --sign, or import it with --digest"
        )
    others = {name: value for name, value in annotations.items() if name != SIGNATURE}
    if others:
        rest["annotations"] = others
    try:
        if type(text) is not str or len(text) > _MAX_SIGNATURE:
            raise binascii.Error
        signature = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error among them
        raise ImageError(f"{archive}: its signature is damaged") from None
    data = _PURPOSE + packed_json(rest)
    if not any(_is_signed(key, signature, data) for key in keys):
        raise ImageError(
            f"{archive}: none of the given keys signed it: it is of somebody else, or was changed"
        )


def _is_signed(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


# ---- Keys ----


def _private_key(path: Path) -> Ed25519PrivateKey:
    serialization, ed25519 = _cryptography()
    pem = _pem(path)
    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise OptionError(f"the key in {path} has a passphrase: udfvm takes keys without") from None
    except ValueError:
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise OptionError(
            f"{path} has no private key of Ed25519 in PEM: `openssl genpkey -algorithm ed25519`"
            " makes one"
        )
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Returns the public key in a file. Raises OptionError."""
    serialization, ed25519 = _cryptography()
    pem = _pem(path)
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise OptionError(
            f"{path} has no public key of Ed25519 in PEM: `openssl pkey -pubout -in PRIVATE.pem`"
            " prints that of a private one"
        )
    return key


def _pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY)
    except OSError as error:
        raise OptionError(f"the key in {path} cannot be read: {error.strerror}") from None


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise OptionError(
            "signatures need the package cryptography: pip install 'udfvm[signatures]'"
        ) from None
    return serialization, ed25519
