"""Whether a certificate is one, whose it is, and whether the files beside it are those that it speaks of.

In this order: the size and form of the file, the signature by the caller's key over the very bytes that are parsed
afterwards, the schema, the seal, and the digests both ways.
"""

import hashlib
import json
import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from surgery_dsl.certificate.build import CERTIFICATE, seal_of
from surgery_dsl.certificate.canonical import LARGEST, canonical, parse
from surgery_dsl.certificate.digest import sha256_of
from surgery_dsl.certificate.envelope import Envelope, Signature, decoded, encoded
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.model import Statement
from surgery_dsl.certificate.signing import PublicKey
from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.plain import plain
from surgery_dsl.resources import read_resource

PLAN, LOCK = "plan.surg", "plan.surg.lock"
PROOF_FILES = (PLAN, LOCK)
"""Files that the static proofs are made from; a result has them whatever its certificate says."""
AGAIN = "do not rely on this result: apply the plan again"
RESTORE = "restore the file, or apply the plan again"
_Model = TypeVar("_Model", bound=BaseModel)


def read_statement(folder: Path) -> Statement:
    """Return what the certificate of a result says, without checking any of it against the files.

    Raises:
        OSError: There is no certificate.
        ValueError: It is not one.
    """
    return Statement.model_validate(parse(read_payload(folder)))


def read_payload(folder: Path) -> bytes:
    """Return the very bytes of the statement, which a signature covers; errors as of :func:`read_statement`."""
    return decoded(Envelope.model_validate(parse((folder / CERTIFICATE).read_bytes())).payload)


def read_envelope(folder: Path, log: Log) -> tuple[Envelope, bytes]:
    """Return the envelope and its payload; raise :class:`Refused` where the file is no envelope."""
    path = folder / CERTIFICATE
    if not path.is_file() or path.is_symlink():
        help_text = "name a directory that `surgery-dsl apply` wrote"
        raise _refused(codes.UNREADABLE, f"there is no `{CERTIFICATE}` in this directory", help_text)
    if path.stat().st_size > LARGEST:
        message = f"the certificate has {path.stat().st_size} bytes; at most {LARGEST} are read"
        raise _refused(codes.UNREADABLE, message, "it is not one of ours")
    data = path.read_bytes()
    log.certificate = hashlib.sha256(data).hexdigest()
    try:
        document = parse(data)
    except ValueError as error:
        raise _refused(codes.UNREADABLE, f"the certificate is not JSON: {error}", RESTORE) from None
    if not isinstance(document, dict):
        raise _refused(codes.UNREADABLE, "the certificate is not a JSON object", RESTORE)
    envelope = _validated(Envelope, document)
    try:
        body = decoded(envelope.payload)
    except ValueError as error:
        raise _refused(codes.UNREADABLE, f"the payload cannot be read: {error}", RESTORE) from None
    log.rederived("certificate", f"an envelope of {len(data)} bytes around a statement of {len(body)}")
    return envelope, body


def check_signature(envelope: Envelope, body: bytes, key: PublicKey | None, required: bool, log: Log) -> None:
    """Check whether the caller's key signed the payload; keys that the file names are not believed.

    Raises:
        Refused: It did not.
    """
    names = ", ".join(signature.keyid[:16] for signature in envelope.signatures)
    if key is None:
        if required:
            message = "a signature is required, and no key was given to check it by"
            raise _refused(codes.NO_SIGNATURE, message, "pass `--key KEYFILE.pub`")
        elif envelope.signatures:
            text = f"signed, says the file, by key {names}…; nothing was checked: no `--key` was given"
            log.trusted("signature", text)
        else:
            log.trusted("signature", "unsigned: whoever changes files and certificate together stays unseen")
        return
    message_bytes = encoded(envelope.payloadType, body)
    for signature in envelope.signatures:
        if key.verifies(_raw(signature), message_bytes) and signature.keyid == key.key_id:
            log.key_id = key.key_id
            log.rederived("signature", f"Ed25519 by the given key {key.key_id[:16]}…")
            log.trusted("signature", "that the given key is its owner's alone")
            return
    what = f"signed by {names}…, not by it" if envelope.signatures else "not signed at all"
    message = f"the given key {key.key_id[:16]}… did not sign this certificate: it is {what}"
    raise _refused(codes.NO_SIGNATURE, message, "ask for a certificate signed by this key; do not rely on this one")


def _raw(signature: Signature) -> bytes:
    try:
        return decoded(signature.sig)
    except ValueError:
        return b""


def check_statement(body: bytes, log: Log) -> Statement:
    """Return the statement; raise :class:`Refused` where it does not fit its schema or its seal."""
    try:
        document = parse(body)
    except ValueError as error:
        raise _refused(codes.UNREADABLE, f"the statement is not JSON: {error}", RESTORE) from None
    statement = _validated(Statement, document)
    log.rederived("schema", "certificate.schema.json, version 1")
    if canonical(document) != body:
        message = "the statement is not written in its canonical form"
        raise _refused(codes.UNREADABLE, message, AGAIN)
    if seal_of(document) != statement.predicate.seal:
        raise _refused(codes.SCHEMA, "the statement was changed after it was sealed", AGAIN)
    log.rederived("seal", "the statement is as it was sealed; a seal shows accidents, not who made it")
    return statement


def _validated(model: type[_Model], document: Any) -> _Model:
    """Hold a document against the published schema, and then against what no schema says."""
    import jsonschema

    schema = json.loads(read_resource("specs/certificate.schema.json"))
    if model is Statement:
        schema = {"$ref": "#/$defs/Statement", "$defs": schema["$defs"]}
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(document), key=lambda e: list(e.absolute_path))
    if errors:
        place = ".".join(str(part) for part in errors[0].absolute_path) or "the document"
        message = f"`{place}` does not fit the schema: {errors[0].message[:200]}"
        notes = (f"{len(errors)} places in all",) if len(errors) > 1 else ()
        raise Refused(Diagnostic(codes.SCHEMA, message, file=CERTIFICATE, notes=notes, help=AGAIN))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _refused(codes.SCHEMA, f"`{place}`: {problem['msg']}", AGAIN) from None


def check_digests(folder: Path, statement: Statement, log: Log) -> bool:
    """Compare files with subjects both ways; the certificate itself is not among them.

    Raises:
        Refused: The statement contradicts itself.
    """
    claimed = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if len(claimed) != len(statement.subject):
        raise _refused(codes.SCHEMA, "the statement names a file twice", AGAIN)
    strange = _strange_name(claimed)
    if strange:
        raise _refused(codes.SCHEMA, strange, AGAIN)
    present = files_of(folder)
    for name in sorted(claimed.keys() | present.keys() | set(PROOF_FILES)):
        found = _difference(name, claimed, present)
        if found is not None:
            log.broke("digests", found)
    if log.diagnostics:
        return False
    log.rederived("digests", f"SHA-256 of {len(claimed)} files: none missing, none extra, none changed")
    return True


def _strange_name(names: Iterable[str]) -> str:
    """Return which name is none of a file in a result, on whatever system it lies.

    A path that leads out, one that hides characters, and two that some file system takes for one are no names.
    """
    seen: dict[str, str] = {}
    for name in names:
        if name.startswith("/") or "\\" in name or ":" in name or {"", ".", ".."} & set(name.split("/")):
            return f"`{name}` is no path inside of a result"
        if plain(name) != name:
            return f"`{plain(name)}` hides characters in its name"
        other = seen.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other != name:
            return f"`{name}` and `{other}` are one name to some file systems"
    return ""


def files_of(folder: Path) -> dict[str, Path | None]:
    """Return all that lies in a result but its certificate, by name; ``None`` for what is not a file of its own.

    A link leads out of the result, or may tomorrow: what it leads to is not certified by what stands here.
    """
    found: dict[str, Path | None] = {}
    for place, folders, names in os.walk(folder):
        for name in (*names, *(name for name in folders if (Path(place) / name).is_symlink())):
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if relative != CERTIFICATE:
                found[relative] = path if stat.S_ISREG(path.lstat().st_mode) else None
    return found


def _difference(name: str, claimed: Mapping[str, str], present: Mapping[str, Path | None]) -> Diagnostic | None:
    if name not in present:
        message = f"`{name}` is certified but missing" if name in claimed else f"`{name}` is missing"
        return Diagnostic(codes.FILE_MISSING, message, file=name, help=RESTORE)
    path = present[name]
    if path is None:
        message = f"`{name}` is no file of the result, but leads out of it"
        return Diagnostic(codes.FILE_EXTRA, message, file=name, help="put the file itself in its place")
    if name not in claimed:
        message = f"`{name}` is not part of the certificate"
        return Diagnostic(codes.FILE_EXTRA, message, file=name, help="keep files of your own outside of the result")
    try:
        found = sha256_of(path)
    except OSError as error:
        message = f"`{name}` cannot be read: {error.strerror or error}"
        return Diagnostic(codes.FILE_MISSING, message, file=name, help=RESTORE)
    if found == claimed[name]:
        return None
    facts = {"certified": claimed[name], "found": found}
    message = f"`{name}` was changed after it was certified"
    return Diagnostic(codes.TAMPERED, message, file=name, facts=facts, help=RESTORE)


def _refused(code: Code, message: str, help_text: str) -> Refused:
    return Refused(Diagnostic(code, message, file=CERTIFICATE, help=help_text))
