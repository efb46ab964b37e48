"""Whatever byte of a result is changed, and whatever field of its certificate, is found, or said to stay unseen.

A certificate that nobody signed protects against accidents. Whoever changes files and certificate together, and seals
the statement anew, is found by a signature alone.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surgery_dsl.certificate.build import write
from surgery_dsl.certificate.integrity import files_of, read_statement
from surgery_dsl.certificate.signing import new_key
from surgery_dsl.certificate.verify import verify
from tests.certificates import canonical, certify, edit, put, put_anyway, statement_of

FILES = (
    "certificate.json",
    "model.safetensors",
    "plan.surg",
    "plan.surg.lock",
    "report.html",
    "report.md",
    "small.py",
    "surgery.json",
)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key"
    new_key(path)
    return path


@pytest.fixture(scope="session")
def signed_result(result: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(result, tmp_path_factory.mktemp("signed") / "out"))
    write(folder, read_statement(folder), str(key))
    return folder


@pytest.fixture
def signed(signed_result: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed_result, tmp_path / "signed"))


def codes(folder: Path, key: Path | None = None) -> list[str]:
    public = None if key is None else key.with_name(key.name + ".pub")
    return [found.code.id for found in verify(folder, public).diagnostics]


def places(size: int) -> list[int]:
    return sorted({0, 1, size // 7, size // 3, size // 2, 2 * size // 3, size - 2, size - 1})


def test_these_are_all_the_files(result: Path, signed_result: Path, key: Path) -> None:
    assert set(files_of(result)) == {path.name for path in result.iterdir()} - {"certificate.json"}
    assert set(files_of(result)) >= set(FILES) - {"certificate.json"}
    assert codes(result) == []
    assert codes(signed_result, key) == []
    assert verify(signed_result, f"{key}.pub").key_id
    assert not verify(signed_result).key_id


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("with_signature", [False, True], ids=["unsigned", "signed"])
def test_any_byte_of_any_file(copy: Path, signed: Path, key: Path, name: str, with_signature: bool) -> None:
    folder, by = (signed, key) if with_signature else (copy, None)
    data = (folder / name).read_bytes()
    for at in places(len(data)):
        for flip in (0x01, 0x20, 0x80):
            changed = bytearray(data)
            changed[at] ^= flip
            (folder / name).write_bytes(changed)
            if name == "certificate.json" and data[at : at + 1].isspace() and bytes([data[at] ^ flip]).isspace():
                continue  # white space around the envelope says nothing
            assert codes(folder, by), f"{name}: byte {at}, bit {flip:#x}"
    for changed in (data[:-2], data[: len(data) // 2], b"", data + b" x", data + data):
        (folder / name).write_bytes(changed)
        assert codes(folder, by), f"{name} cut or grown to {len(changed)} bytes"


def test_any_file_at_all(copy: Path) -> None:
    for path in sorted(copy.rglob("*")):
        data = path.read_bytes()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        assert codes(copy), path
        path.write_bytes(data)
    assert codes(copy) == []


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(document, dict | list) and document:
        for name, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from leaves(value, (*path, name))
    else:
        yield path, document


def other(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return [*value, "more"] if isinstance(value, list) else {"more": "more"}


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    document = json.loads(json.dumps(document))
    at = document
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = change(at[path[-1]])
    return document


def test_any_field_of_the_statement(copy: Path, signed: Path, key: Path) -> None:
    """Unsigned, a changed field breaks the seal; signed, the signature, even where the seal is made anew."""
    document = statement_of(copy)
    every = list(leaves(document))
    assert len(every) > 100
    for path, value in every:
        put(copy, canonical(changed(document, path, lambda _, value=value: other(value))))
        assert codes(copy), path
    for path, value in every[:: len(every) // 25]:
        edit(signed, lambda d, path=path, value=value: d.update(changed(document, path, lambda _: other(value))))
        assert codes(signed, key) == ["SD608"], path


def test_what_is_found_even_where_the_seal_is_made_anew(copy: Path) -> None:
    """What can be derived again is, whatever the certificate says: files, proofs, the verdict, what was read."""
    document = statement_of(copy)
    free = []
    for path, value in leaves(document):
        if path[-1] == "seal":
            continue
        edit(copy, lambda d, path=path, value=value: d.update(changed(document, path, lambda _: other(value))))
        if not codes(copy):
            free.append(path)
    derived = [path for path in free if path[:3] == ("predicate", "claims", "proved") or path[0] != "predicate"]
    assert derived == []
    tops = {path[1] for path in free}
    assert "verdict" not in tops
    assert {path[3:] for path in free if path[1] == "inputs"} <= {("name",), ("digest", "sha256")}
    # the rest is the word of the run, and the output says so
    edit(copy, lambda d: d.update(document))
    basis = {(found.basis, found.check) for found in verify(copy).findings}
    assert ("trusted", "signature") in basis
    assert ("trusted", "measured") in basis


def test_consistent_tampering_is_found_by_a_signature_alone(copy: Path, signed: Path, key: Path) -> None:
    for folder in (copy, signed):
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[-1] ^= 1
        put_anyway(folder, "model.safetensors", bytes(data))
    verification = verify(copy)
    assert verification.held
    said = next(found for found in verification.findings if found.check == "signature")
    assert (said.basis, "stays unseen" in said.text) == ("trusted", True)
    assert codes(signed, key) == ["SD608"]
    assert "nothing was checked" in next(f.text for f in verify(signed).findings if f.check == "signature")


def test_weights_and_their_record_go_together(copy: Path) -> None:
    """A loader reads the weights that the record names."""
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    certify(copy)
    assert codes(copy) == ["SD611"]


# ---- files of two results ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_files_of_another_result(copy: Path, other_result: Path, name: str) -> None:
    assert (copy / name).read_bytes() != (other_result / name).read_bytes(), "the two results differ"
    shutil.copy(other_result / name, copy / name)
    assert codes(copy)


def test_another_certificate_of_the_same_key(signed: Path, other_result: Path, key: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(other_result, tmp_path / "more"))
    write(folder, read_statement(folder), str(key))
    assert codes(folder, key) == []
    shutil.copy(folder / "certificate.json", signed / "certificate.json")
    assert set(codes(signed, key)) == {"SD603"}


def test_a_plan_and_its_lock_of_another_result_even_certified(copy: Path, other_result: Path) -> None:
    for name in ("plan.surg", "plan.surg.lock"):
        shutil.copy(other_result / name, copy / name)

    def certify_anyway(document: dict[str, Any]) -> None:
        for subject in document["subject"]:
            subject["digest"]["sha256"] = hashlib.sha256((copy / subject["name"]).read_bytes()).hexdigest()

    edit(copy, certify_anyway)
    assert "SD611" in codes(copy)


# ---- keys and signatures -------------------------------------------------------------------------------------------


def test_a_key_in_the_file_is_not_believed(signed: Path, key: Path, tmp_path: Path) -> None:
    """Someone else signs with a key of their own, under the name of ours."""
    new_key(tmp_path / "mine")
    ours = json.loads((signed / "certificate.json").read_text())["signatures"][0]
    write(signed, read_statement(signed), str(tmp_path / "mine"))
    assert codes(signed, tmp_path / "mine") == []
    assert codes(signed, key) == ["SD608"]
    envelope = json.loads((signed / "certificate.json").read_text())
    envelope["signatures"][0]["keyid"] = ours["keyid"]
    (signed / "certificate.json").write_text(json.dumps(envelope))
    assert codes(signed, key) == ["SD608"]
    envelope["signatures"].append(ours)
    (signed / "certificate.json").write_text(json.dumps(envelope))
    assert codes(signed, key) == [], "one good signature among others is enough"


def test_an_unsigned_certificate_does_not_stand_where_a_key_is_given(copy: Path, key: Path) -> None:
    (found,) = verify(copy, f"{key}.pub").diagnostics
    assert (found.code.id, "not signed at all" in found.message) == ("SD608", True)
    assert [f.code.id for f in verify(copy, require_signature=True).diagnostics] == ["SD608"]


def test_a_requirement_without_a_key_is_not_met_by_any_signature(signed: Path) -> None:
    assert [f.code.id for f in verify(signed, require_signature=True).diagnostics] == ["SD608"]


def test_nothing_of_a_statement_is_read_before_its_signature(signed: Path, key: Path) -> None:
    put(signed, b'{"a": 1, "a": NaN}' + b"[" * 5000)
    assert codes(signed, key) == ["SD608"]
    assert codes(signed) == ["SD601"]


# ---- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"_type":"a","_type":"a"}',
        b'{"predicate":{"surgery":{"magnitude":NaN}}}',
        b'{"predicate":{"surgery":{"magnitude":1e400}}}',
        b'{"n":' + b"9" * 5000 + b"}",
        b"[" * 5000,
        b"",
        b"\xff",
    ],
)
def test_a_statement_that_is_no_document(copy: Path, body: bytes) -> None:
    put(copy, body)
    assert codes(copy) == ["SD601"]


def test_a_statement_in_another_layout(copy: Path) -> None:
    put(copy, json.dumps(statement_of(copy), indent=1).encode())
    assert codes(copy) == ["SD601"]


@pytest.mark.parametrize("text", ["1e999999999", "9" * 10_000, "1/0", "nan", "1e400"])
def test_numbers_in_text_that_take_for_ever(copy: Path, text: str) -> None:
    edit(copy, lambda d: d["predicate"]["claims"]["measured"][-1].update(value=text, limit=text, margin=text))
    verify(copy)


def test_links_and_pipes_are_no_files_of_a_result(copy: Path, tmp_path: Path) -> None:
    import os

    shutil.move(copy / "small.py", tmp_path / "small.py")
    (copy / "small.py").symlink_to(tmp_path / "small.py")
    assert codes(copy) == ["SD605"]
    (copy / "small.py").unlink()
    shutil.copy(tmp_path / "small.py", copy / "small.py")
    (copy / "more").symlink_to(tmp_path, target_is_directory=True)
    assert codes(copy) == ["SD605"]
    (copy / "more").unlink()
    os.mkfifo(copy / "pipe")
    assert codes(copy) == ["SD605"]


def test_a_name_that_leads_out_of_the_result(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")

    def add(document: dict[str, Any]) -> None:
        digest = hashlib.sha256(b"x").hexdigest()
        document["subject"].append({"name": "../outside", "digest": {"sha256": digest}})

    edit(copy, add)
    assert codes(copy) == ["SD602"]


def test_a_file_that_is_named_twice(copy: Path) -> None:
    edit(copy, lambda d: d["subject"].append(d["subject"][0]))
    assert codes(copy) == ["SD602"]
