"""Certificates as plain JSON, without the code that makes and reads them."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
