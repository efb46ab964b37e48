"""``surgery.json``: how a result came to its structure, as data that a reload replays."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.edits import Edit
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.lock import SourceDigest
from surgery_dsl.interface.model import Data
from surgery_dsl.interface.shards import WEIGHTS
from surgery_dsl.vocabulary.kinds import ModelLoaderSlot

__all__ = ["BUFFERS", "MAX_RECORD", "RECORD", "WEIGHTS", "Record", "read_record", "unreadable"]

RECORD = "surgery.json"
BUFFERS = "buffers.safetensors"
MAX_RECORD = 256 << 20


class Record(Data):
    """The structural record of a result.

    Attributes:
        format: Version of this record.
        tool: The program that wrote it.
        loader: What built the architecture in the first place; its paths are relative to the result.
        sources: The files that the loader runs, copied into the result, with their digests.
        inputs: The network's inputs, as the plan has them.
        keyword_inputs: Whether inputs are given by name.
        outputs: Names of the outputs.
        dtype: What floating-point tensors were turned into before the first step; empty where they stayed.
        edits: Structural changes in order.
        ties: Names of tensors that share memory with another: the name to its owner, which stands in the weights.
        weights: SHA-256 of ``model.safetensors``, or of its index where the weights are divided.
        shards: The files that the index names, with their digests.
        buffers: The file of what a state dict leaves out, where a host loads the weights.
        loads_with: What else loads the result, as it was tried: ``transformers.BertModel.from_pretrained``.
    """

    format: Literal["1"] = "1"
    tool: str
    loader: ModelLoaderSlot
    sources: tuple[SourceDigest, ...] = ()
    inputs: tuple[InputSpec, ...] = ()
    keyword_inputs: bool = False
    outputs: tuple[str, ...] = ()
    dtype: str = ""
    edits: tuple[Edit, ...] = ()
    ties: dict[str, str] = {}
    weights: str
    shards: tuple[SourceDigest, ...] = ()
    buffers: tuple[SourceDigest, ...] = ()
    loads_with: tuple[str, ...] = ()


def read_record(directory: Path) -> Record:
    """Read the record of a result directory.

    Raises:
        Refused: There is none, or it is not one of ours.
    """
    path = directory / RECORD
    try:
        if path.stat().st_size > MAX_RECORD:
            raise Refused(unreadable(directory, f"`{RECORD}` is larger than {MAX_RECORD >> 20} MiB"))
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        why = f"there is no `{RECORD}`" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise Refused(unreadable(directory, why)) from None
    except (ValidationError, ValueError) as error:
        first = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
        where = ".".join(str(part) for part in first["loc"]) if first else ""
        why = f"`{RECORD}` does not read at `{where}`: {first['msg']}" if first else f"`{RECORD}` does not read"
        raise Refused(unreadable(directory, why)) from None


def unreadable(directory: Path, why: str) -> Diagnostic:
    """Say that a directory is no result."""
    return Diagnostic(
        trust.RESULT_UNREADABLE,
        f"`{directory.name}` is not a result of `surgery-dsl apply`: {why}",
        help="name a directory that `surgery-dsl apply -o` wrote",
    )
