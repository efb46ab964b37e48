"""A verification as a statement: what it says, that it is signed, and that it fits its schema."""

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from surgery_dsl.certificate.digest import sha256_of
from surgery_dsl.certificate.envelope import encoded
from surgery_dsl.certificate.signing import new_key, read_public_key
from surgery_dsl.resources import read_resource
from tests.cli.program import run

SCHEMA = json.loads(read_resource("specs/verification.schema.json"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    new_key(tmp_path / "maker")
    new_key(tmp_path / "auditor")
    return tmp_path


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    envelope = json.loads(path.read_text())
    body = base64.b64decode(envelope["payload"])
    statement = json.loads(body)
    jsonschema.Draft202012Validator(SCHEMA).validate(envelope)
    inner = {"$ref": "#/$defs/Statement", "$defs": SCHEMA["$defs"]}
    jsonschema.Draft202012Validator(inner).validate(statement)
    return envelope, statement, body


def test_a_verification_is_attested(copy: Path, keys: Path) -> None:
    assert run(keys, "sign", copy, "--key", "maker").code == 0
    options = ("--key", "maker.pub", "--attest", "seen.json", "--sign", "auditor")
    assert run(keys, "verify", copy, *options).code == 0
    envelope, statement, body = read(keys / "seen.json")
    auditor, maker = read_public_key(keys / "auditor.pub"), read_public_key(keys / "maker.pub")
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == auditor.key_id
    assert auditor.verifies(base64.b64decode(signature["sig"]), encoded(envelope["payloadType"], body))
    predicate = statement["predicate"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:surgery-dsl:verification:1"
    assert (predicate["result"], predicate["certified"], predicate["key"]) == ("passed", "accepted", maker.key_id)
    assert predicate["policy"] == {"signature": "of a given key", "reproduce": False}
    assert {"signature", "digests", "proofs"} <= set(predicate["rederived"])
    assert {"measured", "assumed"} <= set(predicate["trusted"])
    digests = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert digests == {path.name: sha256_of(path) for path in copy.iterdir()}
    first = (keys / "seen.json").read_bytes()
    run(keys, "verify", copy, *options)
    assert (keys / "seen.json").read_bytes() == first, "the same verification gives the same bytes"
    assert str(keys) not in body.decode()


def test_a_failure_is_attested_as_one(copy: Path, keys: Path) -> None:
    (copy / "report.md").write_text("better")
    assert run(keys, "verify", copy, "--attest", "seen.json").code == 4
    envelope, statement, _ = read(keys / "seen.json")
    predicate = statement["predicate"]
    assert envelope["signatures"] == []
    assert (predicate["result"], predicate["key"]) == ("failed", "")
    assert predicate["policy"] == {"signature": "not asked for", "reproduce": False}
    assert [one["name"] for one in statement["subject"]] == ["certificate.json"], "nothing is said of other files"
    assert "failed" in {check["basis"] for check in predicate["checks"]}


def test_the_attestation_lies_outside_of_the_result(copy: Path, keys: Path) -> None:
    for place in (copy / "seen.json", copy / ".." / copy.name / "seen.json"):
        assert run(keys, "verify", copy, "--attest", place).code == 2
    assert run(keys, "verify", copy, "--sign", "auditor").code == 2
    assert run(keys, "verify", copy, "--attest", keys / "nowhere" / "seen.json").code == 2
    assert run(keys, "verify", copy).code == 0


def test_a_certificate_is_no_attestation(copy: Path, keys: Path) -> None:
    """One predicate cannot be taken for the other."""
    run(keys, "verify", copy, "--attest", "seen.json")
    (copy / "certificate.json").write_bytes((keys / "seen.json").read_bytes())
    assert run(keys, "verify", copy, "--output-format", "json").codes == ["SD602"]
