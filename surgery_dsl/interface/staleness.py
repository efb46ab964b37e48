"""Whether a lock still describes what a plan names. No torch, no user code; digests and headers alone.

A lock is stale where the plan declares a model or a data set otherwise, or where a file that defines the structure
changed: shapes and budgets would be proved of another network. Other *weights* are not drift: their names, shapes and
dtypes are compared with the lock from the file's header, and a proof that rests on their values treats them as
unknown when the digest differs.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.data import first_misfit
from surgery_dsl.interface.lock import Lock, ModelLock, is_sealed
from surgery_dsl.interface.model import Data, Interface
from surgery_dsl.interface.safetensors_header import Header, files_of, read_weights

if TYPE_CHECKING:
    from surgery_dsl.language.plan import DataSet, Model, Plan

MODEL_FIELDS = ("load", "inputs", "keyword_inputs", "outputs")
DATA_FIELDS = ("load", "batch", "split")
MAX_LOCK = 256 << 20
FEW = 3
"""As many missing, or additional, tensors are told one by one; more have one cause, and are told together."""


@dataclass(frozen=True, slots=True)
class Staleness:
    """What :func:`compare` found.

    Attributes:
        found: Diagnostics; the lock may be used where none is an error.
        other_weights: Names of the models whose weights file is not the one that the lock saw.
    """

    found: tuple[Diagnostic, ...]
    other_weights: frozenset[str]


def lock_path(plan: Path) -> Path:
    """Return where the lock of a plan stands: ``plan.surg.lock``."""
    return plan.with_name(plan.name + ".lock")


def read_lock(path: Path) -> Lock:
    """Read a lock file.

    Raises:
        Refused: It is too large, not JSON, does not hold a lock of this format, or was edited.
        FileNotFoundError: There is none.
    """
    try:
        if path.stat().st_size > MAX_LOCK:
            raise Refused(_unreadable(path, f"it is larger than {MAX_LOCK >> 20} MiB"))
        data = path.read_bytes()
        lock = Lock.model_validate_json(data)
        if not is_sealed(data):
            raise Refused(_unreadable(path, "it was changed after it was written"))
        return lock
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refused(_unreadable(path, error.strerror or str(error))) from None
    except ValidationError as error:
        raise Refused(_unreadable(path, first_misfit(error))) from None


def _unreadable(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        trust.LOCK_UNREADABLE,
        f"the lock file `{path.name}` cannot be read: {why}",
        file=str(path),
        help=f"make it again with `surgery-dsl lock {path.name.removesuffix('.lock')}`",
    )


def declaration(block: Data, fields: Iterable[str]) -> str:
    """Return the attributes of a block that shaped its part of the lock, without their places in the text."""
    dumped = block.model_dump(mode="json", include=set(fields))
    return json.dumps(_without_spans(dumped), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _without_spans(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_spans(item) for key, item in value.items() if key != "span"}
    return [_without_spans(item) for item in value] if isinstance(value, list) else value


def declared_model(model: "Model") -> str:
    """Return the declaration of a model: what its plan says, not what its lock adds."""
    said = model.replaced(inputs=(), keyword_inputs=False) if model.inferred else model
    return declaration(said, MODEL_FIELDS)


def declared_data(data: "DataSet") -> str:
    """Return the declaration of a data set."""
    return declaration(data, DATA_FIELDS)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; raise ``OSError`` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(path: Path) -> str:
    """Return the digest of weights: the SHA-256 of the file; of several, that of :func:`digest_of_files`.

    Raises:
        OSError: A file cannot be read.
        Refused: The index is not sound.
    """
    files = files_of(path)
    return digest_of_files({file.name: digest_of(file) for file in files})


def digest_of_files(digests: dict[str, str]) -> str:
    """Return one digest for files of weights: of one its own, of several that of what ``sha256sum`` says of them."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()).hexdigest()


def compare(plan: "Plan", lock: Lock, folder: Path, allow_pickle: bool = False) -> Staleness:
    """Compare a lock with the plan and the files it names; an allowed pickle is compared by its digest alone."""
    found: list[Diagnostic] = []
    other: set[str] = set()
    locked = {model.name: model for model in lock.models}
    for model in plan.models:
        if model.name not in locked:
            found.append(_stale(plan, f"the lock has no model `{model.name}`", model.span))
            continue
        found += _structure(plan, model, locked[model.name], folder)
        if model.weights:
            findings, same = _weights(plan, model, locked[model.name], folder, allow_pickle)
            found += findings
            if not same:
                other.add(model.name)
    facts = {data.name: data for data in lock.data}
    for data in plan.data:
        if data.name not in facts:
            found.append(_stale(plan, f"the lock has no data set `{data.name}`", data.span))
        elif facts[data.name].declared != declared_data(data):
            found.append(_stale(plan, f"the plan loads `{data.name}` otherwise than the lock says", data.span))
    return Staleness(tuple(found), frozenset(other))


def _structure(plan: "Plan", model: "Model", lock: ModelLock, folder: Path) -> Iterator[Diagnostic]:
    if lock.declared != declared_model(model):
        message = f"the plan declares the model `{model.name}` otherwise than the lock says"
        yield _stale(plan, message, model.spans.get("load", model.span))
        return
    if model.target != "none" and (lock.host is None or lock.host.host != model.target):
        message = f"the lock does not say what `target = {model.target}` can load"
        yield _stale(plan, message, model.spans.get("target", model.span))
        return
    for source in lock.sources:
        try:
            digest = digest_of(folder / source.path)
        except OSError:
            yield _stale(plan, f"`{source.path}`, which the lock was made from, is not there", model.spans.get("load"))
            continue
        if digest != source.sha256:
            yield _stale(
                plan,
                f"`{source.path}` changed since the lock was made",
                model.spans.get("load"),
                {"locked": source.sha256[:12], "found": digest[:12]},
            )


def _stale(plan: "Plan", message: str, span: Span | None, facts: dict[str, str] | None = None) -> Diagnostic:
    return Diagnostic(
        trust.STALE_LOCK,
        message,
        file=plan.file,
        span=span,
        facts=facts or {},
        notes=("what was proved from this lock would be about another network",),
        help=f"look at the change, then run `surgery-dsl lock {plan.file}`",
    )


def _weights(
    plan: "Plan", model: "Model", lock: ModelLock, folder: Path, allow_pickle: bool
) -> tuple[list[Diagnostic], bool]:
    path = folder / model.weights
    span = model.spans.get("weights", model.spans.get("load", model.span))
    findings: list[Diagnostic] = []
    try:
        findings += compare_weights(read_weights(path), lock.interface, model.weights)
    except Refused as refused:
        findings += (d for d in refused.diagnostics if not (allow_pickle and d.code is trust.PICKLE_REFUSED))
    if findings:
        return [placed(finding, plan.file, span) for finding in findings], False
    if lock.weights is None:
        return [], False
    return [], not _reads_values(plan) or lock.weights.digest == weights_digest(path)


def placed(diagnostic: Diagnostic, file: str, span: Span | None) -> Diagnostic:
    """Return a diagnostic with the plan's file and line, where it does not yet have them."""
    return replace(diagnostic, file=diagnostic.file or file, span=diagnostic.span or span)


def _reads_values(plan: "Plan") -> bool:
    """Whether a proof rests on values that the lock saw; only then are the weights read for their digest."""
    lines = (line for step in plan.steps if step.block == "control" for line in step.obligations)
    return any("nonzero" in line.text for line in lines)


# ---- weights against the interface -------------------------------------------------------------------------------


def compare_weights(header: Header, interface: Interface, name: str) -> Iterator[Diagnostic]:
    """Yield what keeps the tensors of a file from being exactly those of a network.

    Tied tensors stand once, under any of their names; buffers that are not persistent do not stand there.
    """
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    groups: dict[str, list[str]] = {}
    for tensor in interface.tensors:
        if tensor.persistent:
            shape = tuple(interface.exact(dim) or 0 for dim in tensor.dims)
            expected[tensor.name] = tensor.dtype, shape
            groups.setdefault(tensor.tied_to or tensor.name, []).append(tensor.name)
    extra = [tensor for tensor in header.tensors if tensor not in expected]
    absent = [names for names in groups.values() if not any(member in header.tensors for member in names)]
    if len(extra) > FEW:
        yield _extra(extra, expected, header, name)
    else:
        yield from (_extra([tensor], expected, header, name) for tensor in extra)
    if len(absent) > FEW:
        yield _absent(absent, expected, header, name)
    else:
        yield from (_absent([names], expected, header, name) for names in absent)
    unlike = [found for tensor, form in expected.items() for found in _unlike(tensor, *form, header, name)]
    yield from unlike[:FEW]
    if len(unlike) > FEW:
        yield _more_unlike([found.path for found in unlike[FEW:]], name)
    for names in groups.values():
        present = [member for member in names if member in header.tensors]
        if len(present) > 1:
            yield Diagnostic(
                trust.TIED_TWICE,
                f"`{present[0]}` and `{present[1]}` share memory in the network and stand twice in `{name}`",
                path=present[1],
                help="write the file with `safetensors.torch.save_model`, which writes tied tensors once",
            )


def _text(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} [{', '.join(str(size) for size in shape)}]"


def _extra(tensors: list[str], expected: dict[str, Any], header: Header, name: str) -> Diagnostic:
    one = len(tensors) == 1
    what = f"`{tensors[0]}`, which" if one else f"{len(tensors)} tensors that"
    return Diagnostic(
        trust.TENSOR_EXTRA,
        f"`{name}` holds {what} the network does not have",
        path=tensors[0],
        facts={"in_file": len(header.tensors), "in_network": len(expected)},
        notes=() if one else (f"they are {_some(tensors)}",),
        help=f"load the network that these weights belong to, or write the weights again without {_them(one)}",
    )


def _absent(groups: list[list[str]], expected: dict[str, Any], header: Header, name: str) -> Diagnostic:
    first, *others = groups[0]
    one = len(groups) == 1
    what = f"`{first}`, {_text(*expected[first])}" if one else f"{len(groups)} of the network's tensors"
    notes = [] if one else [f"they are {_some([names[0] for names in groups])}"]
    if one and others:
        notes.append(f"it would also do under {', '.join(f'`{other}`' for other in others)}")
    return Diagnostic(
        trust.TENSOR_MISSING,
        f"`{name}` lacks {what}",
        path=first,
        facts={"in_file": len(header.tensors), "in_network": len(expected)},
        notes=tuple(notes),
        help=f"load the network that these weights belong to, or write the weights again with {_them(one)}",
    )


def _them(one: bool) -> str:
    return "it" if one else "them"


def _some(tensors: list[str]) -> str:
    return ", ".join(f"`{tensor}`" for tensor in tensors[:8]) + (" …" if len(tensors) > 8 else "")


def _more_unlike(tensors: list[str], name: str) -> Diagnostic:
    return Diagnostic(
        trust.TENSOR_SHAPE,
        f"{len(tensors)} more tensors of `{name}` have another shape or dtype than in the network",
        path=tensors[0],
        facts={"tensors": len(tensors)},
        notes=(f"they are {_some(tensors)}",),
        help="load the network that these weights belong to",
    )


def _unlike(tensor: str, dtype: str, shape: tuple[int, ...], header: Header, name: str) -> Iterator[Diagnostic]:
    entry = header.tensors.get(tensor)
    if entry is None:
        return
    if entry.shape != shape:
        yield Diagnostic(
            trust.TENSOR_SHAPE,
            f"`{tensor}` is {_text(entry.dtype, entry.shape)} in `{name}` and {_text(dtype, shape)} in the network",
            path=tensor,
            facts={"in_file": str(list(entry.shape)), "in_network": str(list(shape))},
            help="load the network that these weights belong to",
        )
    elif entry.dtype != dtype:
        yield Diagnostic(
            trust.TENSOR_DTYPE,
            f"`{tensor}` is {entry.dtype} in `{name}` and {dtype} in the network",
            path=tensor,
            facts={"in_file": entry.dtype, "in_network": dtype},
            help=f"write the weights in {dtype}, or build the network in {entry.dtype}",
        )
