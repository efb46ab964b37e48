"""Ed25519 keys in local files, and what they sign (RFC 8032). The one module that knows ``cryptography``.

A private key is PKCS #8 in PEM, readable by its owner alone; nothing here returns, prints or records it. A key goes by
the SHA-256 of its raw public key. Where a key comes from, and whom it stands for, is for those who exchange it to
settle: there is no certificate authority in this.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, final

from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LARGEST = 16 << 10
"""Bytes of a key file beyond which it is not read; one has 119."""
NEW_KEY = "make a pair with `surgery-dsl key new KEYFILE`"


@final
class PublicKey:
    """A key that signatures are checked by."""

    def __init__(self, key: "Ed25519PublicKey") -> None:
        self._key = key
        self.key_id = key_id_of(key.public_bytes_raw())

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the holder of the private key signed this message."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@final
class SigningKey:
    """A private key; it shows nothing but its id."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.key_id = key_id_of(key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes; the same key and message give the same one."""
        return self._key.sign(message)


def key_id_of(raw: bytes) -> str:
    """Return the id of a public key: the SHA-256 of its 32 bytes, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def new_key(path: Path) -> str:
    """Make a pair: the private key at ``path``, mode 0600, the public one beside it as ``path`` with ``.pub``.

    Returns:
        The key's id.

    Raises:
        Refused: One of the files is there already, or cannot be written; nothing is left behind then.
    """
    _require()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + ".pub")
    if os.path.lexists(beside):
        raise Refused(_exists(beside))
    _create(path, private, 0o600)
    try:
        _create(beside, public, 0o644)
    except Refused:
        path.unlink()
        raise
    return key_id_of(key.public_key().public_bytes_raw())


def read_signing_key(path: Path) -> SigningKey:
    """Read a private key.

    Raises:
        Refused: It cannot be read, is none of Ed25519, is encrypted, or others than its owner can read it.
    """
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        why = f"others than its owner can use it (mode {stat.S_IMODE(path.stat().st_mode):04o})"
        raise Refused(_unreadable(path, why, "`chmod 600` it, and consider whether it is still yours alone"))
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise Refused(_unreadable(path, "it is encrypted", "decrypt it into a file of your own")) from None
    except (ValueError, UnsupportedAlgorithm):  # what the parser says may quote the file
        why = "it holds a public key" if b"PUBLIC KEY" in data else "it is not a private key in PEM"
        raise Refused(_unreadable(path, why, NEW_KEY)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(_unreadable(path, "it is not an Ed25519 key", NEW_KEY))
    return SigningKey(key)


def read_public_key(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        Refused: It cannot be read, is none of Ed25519, or is a private key.
    """
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise Refused(_unreadable(path, "it holds a private key", f"give the public one, `{path.name}.pub`"))
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise Refused(_unreadable(path, "it is not a public key in PEM", NEW_KEY)) from None
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(_unreadable(path, "it is not an Ed25519 key", NEW_KEY))
    return PublicKey(key)


def _require() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        message = "signatures need the package `cryptography`, which is not installed"
        raise Refused(Diagnostic(codes.KEY_UNREADABLE, message, help="`pip install cryptography`")) from None


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise Refused(_unreadable(path, "there is no such file", NEW_KEY))
        if path.stat().st_size > LARGEST:
            raise Refused(_unreadable(path, f"it is larger than {LARGEST} bytes", NEW_KEY))
        return path.read_bytes()
    except OSError as error:
        raise Refused(_unreadable(path, error.strerror or str(error), "make it readable to yourself")) from None


def _create(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet; its mode holds from its first byte on."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Refused(_exists(path)) from None
    except OSError as error:
        message = f"the key `{path}` cannot be written: {error.strerror or error}"
        raise Refused(Diagnostic(codes.KEY_EXISTS, message, file=str(path), help="name another place")) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _exists(path: Path) -> Diagnostic:
    message = f"`{path}` is there already: a key is never overwritten"
    return Diagnostic(codes.KEY_EXISTS, message, file=str(path), help="name another file")


def _unreadable(path: Path, why: str, help_text: str) -> Diagnostic:
    return Diagnostic(codes.KEY_UNREADABLE, f"the key `{path}` cannot be used: {why}", file=str(path), help=help_text)
