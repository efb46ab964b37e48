"""Puts the digests of the written files around a predicate and writes the statement."""

from collections.abc import Mapping
from pathlib import Path

from surgery_dsl.certificate.digest import sha256_of
from surgery_dsl.certificate.model import Digest, Predicate, Statement, Subject

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
    return Statement(subject=subjects, predicate=predicate)


def write(folder: Path, statement: Statement) -> Path:
    """Write ``certificate.json`` into the folder."""
    path = folder / CERTIFICATE
    path.write_text(statement.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
    return path
