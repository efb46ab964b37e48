"""Certificates as plain JSON, without the code that makes and reads them; only reports are made by it."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from surgery_dsl.certificate.model import Statement
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.files import RENDERERS
from surgery_dsl.report.result import result_of


def statement_of(folder: Path) -> dict[str, Any]:
    """Return the statement in a result's certificate."""
    envelope = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return found


def canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def put(folder: Path, body: bytes) -> None:
    """Write a payload into the envelope that is there, its signatures as they are."""
    path = folder / "certificate.json"
    envelope = json.loads(path.read_text(encoding="utf-8"))
    envelope["payload"] = base64.b64encode(body).decode()
    path.write_text(json.dumps(envelope), encoding="utf-8")


def edit(folder: Path, change: Callable[[dict[str, Any]], object], seal: bool = True) -> None:
    """Change the statement as somebody would who knows this format: seal it anew, unless told not to."""
    document = statement_of(folder)
    change(document)
    predicate = document.get("predicate")
    if seal and isinstance(predicate, dict):
        predicate["seal"] = ""
        predicate["seal"] = hashlib.sha256(canonical(document)).hexdigest()
    put(folder, canonical(document))


def certify(folder: Path) -> None:
    """Name every file of a result with the digest that it has, as somebody would who spoiled it with care."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    subjects = [
        {"name": name, "digest": {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}}
        for name in names
        if name != "certificate.json"
    ]
    edit(folder, lambda document: document.update(subject=subjects))


def put_anyway(folder: Path, name: str, data: bytes) -> None:
    """Put other bytes in place of a file, wherever in the result its digest stands, and certify all of it."""
    before = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / name).write_bytes(data)
    after = hashlib.sha256(data).hexdigest()
    record = folder / "surgery.json"
    record.write_text(record.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")

    def renamed(document: dict[str, Any]) -> None:
        document.update(json.loads(json.dumps(document).replace(before, after)))

    edit(folder, renamed)
    certify(folder)


def report_again(folder: Path) -> None:
    """Let the reports of a result say what its certificate says now."""
    made = document(result_of(folder, Statement.model_validate(statement_of(folder))))
    for ending, render in RENDERERS.items():
        (folder / f"report.{ending}").write_text(render(made), encoding="utf-8")
    certify(folder)
