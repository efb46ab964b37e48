"""Rebuilding a network from a result directory: architecture, edits, tensors; no pickle anywhere."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.safetensors_header import Entry, Header, read_header
from surgery_dsl.interface.shards import INDEX, WEIGHTS, weight_files
from surgery_dsl.interface.staleness import digest_of
from surgery_dsl.run import changes
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.grants import collect
from surgery_dsl.run.record import BUFFERS, RECORD, Record, read_record, unreadable
from surgery_dsl.trace.dtypes import BY_NAME, name_of

LARGE = 64 << 20
"""Bytes of weights from which on a skeleton without memory is built first: below, drawing and dropping random weights
takes less time than loading torch's kernels for the meta device."""


def load(path: Path | str, allow_code: Iterable[str] = (), device: str = "cpu", mapped: bool = False) -> nn.Module:
    """Rebuild the network that ``apply`` wrote.

    Args:
        path: The result directory.
        allow_code: Globs of user code that may run, such as ``digits:*``; those of the nearest ``pyproject.toml``
            count too.
        device: Where its tensors go.
        mapped: Whether tensors on the CPU are the files' own memory: no more is needed, but kernels may round
            otherwise, since it is aligned by chance.

    Returns:
        The network in eval mode, with every parameter and buffer as it was written.

    Raises:
        Refused: The directory is no result, was changed, or its code is not granted.
    """
    directory = Path(path)
    record = read_record(directory)
    collect(allow_code).require(record.loader.grant())
    return rebuild(directory, device, mapped)


def rebuild(directory: Path, device: str, mapped: bool = False) -> nn.Module:
    """Rebuild a network whose code is already granted; on ``meta`` its tensors have no values."""
    record = read_record(directory)
    _check_sources(directory, record)
    if device == "meta":
        return skeleton(directory, record, "meta")
    files = _weight_files(directory, record)
    headers = {path: read_header(path) for path in files}
    large = sum(header.size for header in headers.values()) > LARGE
    model = skeleton(directory, record, "meta" if large else "cpu")
    if any(tensor.is_meta for _, tensor in _hidden(model)):  # a plain attribute, which no file restores
        model = skeleton(directory, record, "cpu")
    _fill(model, headers, record, torch.device(device), mapped)
    left = [name for name, tensor in (*named_tensors(model), *_hidden(model)) if tensor.is_meta]
    if left:
        raise Refused(unreadable(directory, f"`{left[0]}` has no values"))
    return model.eval()


def skeleton(directory: Path, record: Record, device: str) -> nn.Module:
    """Build the original architecture and replay the edits on it.

    Raises:
        Refused: The code failed, or an edit does not fit what it built.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            model = record.loader.build(directory, device)
    except Refused:
        if device != "meta":
            raise
        return skeleton(directory, record, "cpu")
    if record.dtype:
        model = model.to(BY_NAME[record.dtype])
    try:
        changes.replay(model, record.edits)
    except changes.EditMisfit as error:
        raise Refused(unreadable(directory, f"an edit does not fit the network: {error}")) from None
    return model


def forms(directory: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of every written tensor, after the recorded edits gave the very same; no value is read.

    Raises:
        Refused: The record cannot be replayed, or what it gives and what stands in the files differ.
    """
    record = read_record(directory)
    headers = [read_header(path) for path in weight_files(directory)]
    entries = {name: entry for header in headers for name, entry in header.tensors.items()}
    tensors = dict(named_tensors(skeleton(directory, record, "meta")))
    _check_names(tensors, entries, record)
    _check_forms(tensors, entries)
    return {name: (entry.dtype, entry.shape) for name, entry in entries.items()}


def _check_sources(directory: Path, record: Record) -> None:
    """The code that is about to run must be the code that was recorded."""
    for source in record.sources:
        path = directory / source.path
        if not path.resolve().is_relative_to(directory.resolve()):
            raise Refused(unreadable(directory, f"`{RECORD}` names `{source.path}`, which lies outside"))
        try:
            same = digest_of(path) == source.sha256
        except OSError:
            raise Refused(unreadable(directory, f"`{source.path}` is missing")) from None
        if not same:
            raise Refused(_changed(source.path, directory))


def _weight_files(directory: Path, record: Record) -> tuple[Path, ...]:
    """Return the files of weights, each of which is as it was written."""
    files = {source.path: source.sha256 for source in record.shards}
    named = {path.name for path in weight_files(directory)}
    for name in sorted(named ^ files.keys() if files else named - {WEIGHTS}):
        raise Refused(_changed(INDEX if (directory / INDEX).is_file() else name, directory))
    expected = {INDEX if files else WEIGHTS: record.weights, **files}
    apart = {source.path: source.sha256 for source in record.buffers}
    if apart.keys() - {BUFFERS}:
        raise Refused(unreadable(directory, f"`{RECORD}` names `{min(apart)}` for buffers"))
    expected |= apart
    for name, sha256 in expected.items():
        path = directory / name
        if not path.is_file():
            read_header(path)  # says that it is missing
        if digest_of(path) != sha256:
            if name != INDEX:
                read_header(path)  # what is no sound file is said as such
            raise Refused(_changed(name, directory))
    return tuple(directory / name for name in expected if name != INDEX)


def _changed(name: str, directory: Path) -> Diagnostic:
    return Diagnostic(
        trust.RESULT_CHANGED,
        f"`{name}` in `{directory.name}` is not what `apply` wrote",
        help="apply the plan again, or restore the file",
    )


def _hidden(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors that modules hold as plain attributes."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield f"{path}.{name}" if path else name, value


def _fill(model: nn.Module, headers: Mapping[Path, Header], record: Record, device: torch.device, mapped: bool) -> None:
    """Put the files' tensors where the skeleton's stand; ties stay ties."""
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for name, held in (*module._parameters.items(), *module._buffers.items()):
            if held is not None:
                places.setdefault(id(held), []).append((module, name))
    tensors = dict(named_tensors(model))
    entries = {name: entry for header in headers.values() for name, entry in header.tensors.items()}
    _check_names(tensors, entries, record)
    _check_forms(tensors, entries)
    for path, header in headers.items():
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in header.tensors:
                old = tensors[name]
                value = file.get_tensor(name)
                if not mapped or device.type != "cpu":
                    # Fresh memory: kernels may choose their way by alignment, and a mapped file is aligned by chance.
                    value = torch.empty(old.shape, dtype=old.dtype, device=device).copy_(value)
                new = nn.Parameter(value, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else value
                for module, attribute in places[id(old)]:
                    setattr(module, attribute, new)


def _check_names(tensors: dict[str, Tensor], entries: Mapping[str, Entry], record: Record) -> None:
    expected = tensors.keys() - record.ties.keys()
    for name in sorted(entries.keys() ^ expected):
        absent = name in expected
        raise Refused(
            Diagnostic(
                trust.TENSOR_MISSING if absent else trust.TENSOR_EXTRA,
                f"`{WEIGHTS}` {'lacks' if absent else 'holds'} `{name}`, which the rebuilt network "
                f"{'has' if absent else 'does not have'}",
                path=name,
                facts={"in_file": len(entries), "in_network": len(expected)},
                help="apply the plan again",
            )
        )
    for name, owner in record.ties.items():
        if tensors.get(name) is None or tensors.get(owner) is None or tensors[name] is not tensors[owner]:
            raise Refused(
                Diagnostic(
                    trust.RESULT_CHANGED,
                    f"`{name}` does not share memory with `{owner}` in the rebuilt network",
                    path=name,
                    help="apply the plan again",
                )
            )


def _check_forms(tensors: dict[str, Tensor], entries: Mapping[str, Entry]) -> None:
    for name, entry in entries.items():
        form = (name_of(tensors[name].dtype), tuple(tensors[name].shape))
        if form != (entry.dtype, entry.shape):
            raise Refused(
                Diagnostic(
                    trust.TENSOR_SHAPE if form[1] != entry.shape else trust.TENSOR_DTYPE,
                    f"`{name}` is {entry.dtype} {list(entry.shape)} in `{WEIGHTS}` and {form[0]} {list(form[1])} in "
                    "the rebuilt network",
                    path=name,
                    facts={"in_file": str(list(entry.shape)), "in_network": str(list(form[1]))},
                    help="apply the plan again",
                )
            )
