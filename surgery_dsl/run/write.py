"""Writing a result: into a temporary directory beside the place, then one rename; or nothing at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from torch import nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.lock import SourceDigest
from surgery_dsl.interface.shards import SHARD_SIZE
from surgery_dsl.interface.staleness import digest_of
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.output_place import in_the_way
from surgery_dsl.run.record import BUFFERS, RECORD, Record
from surgery_dsl.run.weights_writer import write_shards, write_tensors
from surgery_dsl.run.written import written


def ties_of(model: nn.Module) -> dict[str, str]:
    """Return, for each name that shares a tensor with an earlier one, that first name."""
    owners: dict[int, str] = {}
    ties: dict[str, str] = {}
    for name, tensor in named_tensors(model):
        owner = owners.setdefault(id(tensor), name)
        if owner != name:
            ties[name] = owner
    return ties


def write_weights(model: nn.Module, folder: Path, most: int = SHARD_SIZE) -> tuple[SourceDigest, ...]:
    """Write every parameter and buffer, tied ones once, those included that a state dict leaves out.

    Returns:
        The files with their digests: one, or shards of at most ``most`` bytes and last their index.
    """
    ties = ties_of(model)
    return write_shards({name: tensor for name, tensor in named_tensors(model) if name not in ties}, ties, folder, most)


def write_apart(
    model: nn.Module, folder: Path, most: int = SHARD_SIZE
) -> tuple[tuple[SourceDigest, ...], tuple[SourceDigest, ...]]:
    """Write as :func:`write_weights`, what a state dict leaves out in a file of its own: hosts know nothing of it.

    Returns:
        The files of weights, and ``buffers.safetensors`` where there is anything for it.
    """
    ties = ties_of(model)
    saved = model.state_dict(keep_vars=True).keys()
    tensors = {name: tensor for name, tensor in named_tensors(model) if name not in ties}
    files = write_shards({n: t for n, t in tensors.items() if n in saved}, ties, folder, most)
    rest = {name: tensor for name, tensor in tensors.items() if name not in saved}
    if not rest:
        return files, ()
    write_tensors(rest, folder / BUFFERS, {"format": "pt"})
    return files, (SourceDigest(path=BUFFERS, sha256=digest_of(folder / BUFFERS)),)


def write_record(record: Record, folder: Path) -> None:
    """Write ``surgery.json``."""
    fields = record.model_dump(mode="json")  # defaults too: they tell the kinds of edits apart
    lines = [f" {json.dumps(key)}: {_compact(value)}" for key, value in fields.items()]
    (folder / RECORD).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _compact(value: object) -> str:
    """Write lists of objects one object a line, and everything else in one line."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n ]"
    return json.dumps(value, ensure_ascii=False)


def copy_sources(pairs: list[tuple[Path, str]], folder: Path) -> tuple[SourceDigest, ...]:
    """Copy the files that build the architecture into the result, so that it loads wherever it is moved."""
    found = []
    for path, name in pairs:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        found.append(SourceDigest(path=name, sha256=digest_of(target)))
    return tuple(found)


@contextmanager
def staged(output: Path, force: bool, file: str, command: Literal["apply", "search"] = "apply") -> Iterator[Path]:
    """Yield a temporary directory; on leaving without an exception it becomes ``output``.

    An earlier result in the way is set aside first and deleted last, so that a failure leaves it as it was.

    Raises:
        Refused: The place is taken, or the disk is full or read-only.
    """
    refuse_taken(output, force, command)
    temporary: Path | None = None
    missing = [folder for folder in (output.parent, *output.parent.parents) if not folder.exists()]
    try:
        with written(output, file, "the place of `-o`"):
            output.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            refuse_taken(output, force, command)  # a run takes long: others may have written there meanwhile
            become(temporary, output)
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # it is not empty: it holds the result
                folder.rmdir()


def refuse_taken(output: Path, force: bool, command: Literal["apply", "search"] = "apply") -> None:
    """Raise :class:`Refused` where something is in the way of a result."""
    found = in_the_way(output, force, command=command)
    if found is not None:
        raise Refused(found)


def become(temporary: Path, output: Path) -> None:
    """Rename the temporary directory to its place."""
    aside: Path | None = None
    if output.exists():
        if any(output.iterdir()):
            aside = Path(tempfile.mkdtemp(prefix=f".{output.name}.old.", dir=output.parent)) / output.name
            output.rename(aside)
        else:
            output.rmdir()
    try:
        temporary.rename(output)
    except BaseException:
        if aside is not None:
            aside.rename(output)
            aside.parent.rmdir()
        raise
    if aside is not None:
        shutil.rmtree(aside.parent, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
