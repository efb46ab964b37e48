"""Writes ``specs/*.schema.json`` from the pydantic models, or checks that they are in step.

``python -m surgery_dsl.devtools.specs`` writes, ``--check`` compares and exits 1 where a file is stale. The dialect
is 2020-12.
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from surgery_dsl.certificate.attest import VerificationStatement
from surgery_dsl.certificate.envelope import Envelope
from surgery_dsl.certificate.model import Statement
from surgery_dsl.certificate.search_record import SearchRecord
from surgery_dsl.diagnostics.render_json import DiagnosticJson
from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.meaning import Meaning
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.preview import Preview

FOLDER = Path(__file__).parent.parent.parent / "specs"


def models() -> dict[str, type]:
    """Return what each schema is of."""
    from surgery_dsl.run.record import Record  # the run layer holds them; importing them takes no torch
    from surgery_dsl.run.saved_plan import SavedPlan

    return {
        "certificate": Statement,
        "diagnostic": DiagnosticJson,
        "lock": Lock,
        "meaning": Meaning,
        "plan": Plan,
        "preview": Preview,
        "record": Record,
        "saved_plan": SavedPlan,
        "search": SearchRecord,
        "verification": VerificationStatement,
    }


ENVELOPED = ("certificate", "verification")
"""What stands in a file as the payload of an envelope."""


def schema(name: str) -> str:
    """Return one schema as the text of its file."""
    model = models()[name]
    mode: Literal["serialization"] = "serialization"
    body: dict[str, Any]
    if issubclass(model, BaseModel):
        body = model.model_json_schema(by_alias=True, mode=mode)
    else:
        body = TypeAdapter(model).json_schema(by_alias=True, mode=mode)
    if name in ENVELOPED:
        body = _enveloped(body)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:surgery-dsl:{name}:1"}
    return json.dumps(head | body, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def _enveloped(statement: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an envelope; that of the statement in it is its definition ``Statement``."""
    body = Envelope.model_json_schema(by_alias=True, mode="serialization")
    body["properties"]["payload"]["contentSchema"] = {"$ref": "#/$defs/Statement"}
    definitions = statement.pop("$defs")
    body["$defs"] = {**body["$defs"], **definitions, "Statement": statement}
    return body


def stale() -> list[str]:
    """Return the names of schemas whose file differs from what the models say."""
    return [
        name
        for name in models()
        if not (path := FOLDER / f"{name}.schema.json").is_file() or path.read_text(encoding="utf-8") != schema(name)
    ]


def main() -> None:
    """Write the schemas, or check them with ``--check``."""
    if "--check" in sys.argv[1:]:
        if names := stale():
            sys.exit(f"stale: {', '.join(names)}; run python -m surgery_dsl.devtools.specs")
        return
    FOLDER.mkdir(exist_ok=True)
    for name in models():
        (FOLDER / f"{name}.schema.json").write_text(schema(name), encoding="utf-8")


if __name__ == "__main__":
    main()
