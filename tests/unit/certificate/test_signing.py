"""Signatures against the vectors of their standards, and keys that stay where they are."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from surgery_dsl.certificate.envelope import decoded, encoded, sealed
from surgery_dsl.certificate.signing import SigningKey, key_id_of, new_key, read_public_key, read_signing_key
from surgery_dsl.diagnostics.diagnostic import Refused
from tests.cli.program import run

VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465"
        "5141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0"
        "0d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc0"
        "27beceea1ec40a",
    ),
]
"""RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature."""


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_the_vectors_of_rfc_8032(secret: str, public: str, message: str, signature: str, tmp_path: Path) -> None:
    raw = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    path = tmp_path / "key"
    path.write_bytes(raw.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    key = read_signing_key(path)
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert key.key_id == key_id_of(bytes.fromhex(public))
    beside = tmp_path / "key.pub"
    beside.write_bytes(raw.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    reader = read_public_key(beside)
    assert reader.key_id == key.key_id
    assert reader.verifies(bytes.fromhex(signature), bytes.fromhex(message))
    assert not reader.verifies(bytes.fromhex(signature), bytes.fromhex(message) + b"!")
    assert not reader.verifies(b"", bytes.fromhex(message))


def test_the_encoding_of_the_dsse_protocol() -> None:
    kind = "http://example.com/HelloWorld"
    assert encoded(kind, b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert encoded("ü", "ß".encode()) == "DSSEv1 2 ü 2 ß".encode()
    assert encoded("", b"") == b"DSSEv1 0  0 "


def test_an_envelope_has_the_form_of_the_protocol(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    key = read_signing_key(tmp_path / "key")
    envelope = json.loads(sealed(b"{}", (key,)))
    assert envelope.keys() == {"payload", "payloadType", "signatures"}
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert base64.b64decode(envelope["payload"]) == b"{}"
    (signature,) = envelope["signatures"]
    message = b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
    assert read_public_key(tmp_path / "key.pub").verifies(base64.b64decode(signature["sig"]), message)
    assert sealed(b"{}", (key,)) == sealed(b"{}", (key,)), "the same key and statement give the same bytes"
    assert json.loads(sealed(b"{}"))["signatures"] == []


def test_both_alphabets_of_base64_are_read_and_nothing_else() -> None:
    data = bytes(range(250, 256)) * 3 + b"~~?"
    assert decoded(base64.b64encode(data).decode()) == data
    assert decoded(base64.urlsafe_b64encode(data).decode()) == data
    for text in ("aGk", "aGk=\n", "aGl=", "a-b/", "aGk==", " aGk=", "aG k="):
        with pytest.raises(ValueError, match="base64"):
            decoded(text)


# ---- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_private_key_is_its_owners_alone(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        name = new_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key.pub").stat().st_mode) == 0o644 & ~mask
    assert read_signing_key(tmp_path / "key").key_id == name == read_public_key(tmp_path / "key.pub").key_id
    assert (tmp_path / "key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("name", ["key", "key.pub"])
@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_overwritten_and_nothing_left(tmp_path: Path, name: str, link: bool) -> None:
    if link:
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / name).write_text("mine")
    with pytest.raises(Refused, match="SD610"):
        new_key(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert link or (tmp_path / name).read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="SD610"):
        new_key(tmp_path / "nowhere" / "key")


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    for mode in (0o640, 0o604, 0o660):
        (tmp_path / "key").chmod(mode)
        with pytest.raises(Refused, match="others than its owner"):
            read_signing_key(tmp_path / "key")


def _pem(key: object, tmp_path: Path, password: bytes = b"") -> Path:
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    path = tmp_path / "other"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))  # type: ignore[attr-defined]
    path.chmod(0o600)
    return path


def test_what_is_no_key_is_refused_without_being_quoted(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    secret = (tmp_path / "key").read_text()
    (tmp_path / "broken").write_text(secret.replace("-----END", "x-----END"))
    (tmp_path / "long").write_bytes(b"x" * 100_000)
    for name in ("broken", "long"):
        (tmp_path / name).chmod(0o600)
    cases = [
        (read_signing_key, tmp_path / "nowhere", "no such file"),
        (read_signing_key, tmp_path, "no such file"),
        (read_signing_key, tmp_path / "broken", "not a private key"),
        (read_signing_key, tmp_path / "long", "larger"),
        (read_signing_key, _pem(generate_private_key(SECP256R1()), tmp_path), "not an Ed25519"),
        (read_public_key, tmp_path / "key", "holds a private key"),
        (read_public_key, tmp_path / "broken", "holds a private key"),
        (read_public_key, tmp_path / "long", "larger"),
    ]
    for read, path, why in cases:
        with pytest.raises(Refused, match=why) as refused:
            read(path)
        assert secret.splitlines()[1] not in str(refused.value)
        assert refused.value.diagnostics[0].help
    with pytest.raises(Refused, match="encrypted"):
        read_signing_key(_pem(Ed25519PrivateKey.generate(), tmp_path, b"word"))
    (tmp_path / "key.pub").chmod(0o600)
    with pytest.raises(Refused, match="public key"):
        read_signing_key(tmp_path / "key.pub")


def test_private_material_is_never_shown(tmp_path: Path) -> None:
    ran = run(tmp_path, "key", "new", "key")
    secret = (tmp_path / "key").read_text().splitlines()[1]
    assert ran.code == 0
    assert ran.out.strip() == read_public_key(tmp_path / "key.pub").key_id
    again = run(tmp_path, "key", "new", "key")
    assert (again.code, "SD610" in again.err) == (1, True)
    key = read_signing_key(tmp_path / "key")
    assert isinstance(key, SigningKey)
    shown = ran.out + ran.err + again.out + again.err + repr(key) + str(key)
    assert secret not in shown
    assert secret[20:] not in shown
