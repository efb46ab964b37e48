"""Puts the digests of the written files around a predicate, seals the statement and writes it in its envelope."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgery_dsl.certificate.canonical import canonical
from surgery_dsl.certificate.digest import sha256_of
from surgery_dsl.certificate.envelope import sealed as enveloped
from surgery_dsl.certificate.model import Digest, Predicate, Statement, Subject
from surgery_dsl.certificate.signing import read_signing_key

CERTIFICATE = "certificate.json"

CONVENTIONS = {
    "params": "elements of parameters, tied ones once, integer-quantized weights included",
    "flops": "2 x multiply-accumulates of linear and convolution operators, for one example",
    "memory": "bytes of parameters and saved buffers",
    "nonzero": "elements of parameters that are not zero",
}


def certify(folder: Path, predicate: Predicate, known: Mapping[str, str] | None = None) -> Statement:
    """Return the statement about every file now in ``folder`` (the certificate itself excepted).

    ``known`` gives digests of files that were taken while these were written; all others are read.
    """
    digests = known or {}
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != CERTIFICATE
    )
    subjects = tuple(
        Subject(name=name, digest=Digest(sha256=digests.get(name) or sha256_of(folder / name))) for name in names
    )
    return sealed(Statement(subject=subjects, predicate=predicate))


def sealed(statement: Statement) -> Statement:
    """Return a statement with its seal, which shows accidents and careless edits, and not who made it."""
    seal = seal_of(statement.model_dump(mode="json", by_alias=True))
    return statement.replaced(predicate=statement.predicate.replaced(seal=seal))


def seal_of(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a statement whose seal is empty; it is one with a predicate."""
    empty = {**document, "predicate": {**document["predicate"], "seal": ""}}
    return hashlib.sha256(canonical(empty)).hexdigest()


def payload(statement: Statement) -> bytes:
    """Return the statement as the bytes that are signed."""
    return canonical(statement.model_dump(mode="json", by_alias=True))


def write(folder: Path, statement: Statement, key_file: str = "") -> Path:
    """Write ``certificate.json`` into the folder, as :func:`write_payload`."""
    return write_payload(folder, payload(statement), key_file)


def write_payload(folder: Path, body: bytes, key_file: str = "") -> Path:
    """Write ``certificate.json`` around a payload, whole or not at all.

    Args:
        folder: The result.
        body: The statement in its canonical form.
        key_file: Private key to sign with; empty leaves the certificate unsigned.

    Raises:
        Refused: The key cannot be used.
    """
    keys = (read_signing_key(Path(key_file)),) if key_file else ()
    path = folder / CERTIFICATE
    replace_file(path, enveloped(body, keys))
    return path


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it, so that there is never half of one."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
