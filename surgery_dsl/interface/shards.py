"""Weights in several files: how they are divided, named and indexed, as Hugging Face does. No torch.

Small weights stand in ``model.safetensors``. Larger ones stand in ``model-00001-of-00003.safetensors`` and so on, and
``model.safetensors.index.json`` says which tensor stands where (``weight_map``), so that any reader of that format
finds them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_SIZE = 5_000_000_000
"""Bytes of tensors from which on weights are divided: what Hugging Face divides by."""
MAX_INDEX = 64 << 20
_PLAIN = re.compile(r"[^./\\:][^/\\:]*\.safetensors")


def divide(sizes: Mapping[str, int], most: int) -> tuple[tuple[str, ...], ...]:
    """Divide tensors, in their order, into shards of at most ``most`` bytes; a larger tensor has one of its own."""
    shards: list[list[str]] = []
    used = 0
    for name, size in sizes.items():
        if not shards or (used and used + size > most):
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return tuple(tuple(shard) for shard in shards) or ((),)


def file_names(count: int) -> tuple[str, ...]:
    """Return the names of that many files of weights."""
    if count == 1:
        return (WEIGHTS,)
    return tuple(f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1))


def index_text(shards: Mapping[str, Iterable[str]], total: int, metadata: Mapping[str, str]) -> str:
    """Return the text of an index: tensors by file, their bytes in all, and what else there is to say."""
    places = {name: file for file, names in shards.items() for name in names}
    document = {"metadata": {"total_size": total, **metadata}, "weight_map": dict(sorted(places.items()))}
    return json.dumps(document, indent=1) + "\n"


def read_index(path: Path) -> dict[str, str]:
    """Return the file of each tensor; files stand beside the index and nowhere else.

    Raises:
        Refused: The index is missing or not sound.
    """
    try:
        if path.stat().st_size > MAX_INDEX:
            raise Refused(_malformed(path, f"it is larger than {MAX_INDEX >> 20} MiB"))
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Refused(Diagnostic(trust.FILE_MISSING, f"there is no `{path.name}`", help="restore the file")) from None
    except OSError as error:
        raise Refused(_malformed(path, error.strerror or str(error))) from None
    except (ValueError, RecursionError):
        raise Refused(_malformed(path, "it is not JSON")) from None
    places = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(places, dict) or not places:
        raise Refused(_malformed(path, "it has no `weight_map`"))
    for name, file in places.items():
        if not isinstance(file, str) or not _PLAIN.fullmatch(file):
            raise Refused(_malformed(path, f"`{name}` stands in {file!r:.60}, which is no file beside the index"))
    return places


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of weights of a folder in order: one, or the shards that its index names.

    Raises:
        Refused: The index is not sound.
    """
    if not (folder / INDEX).is_file():
        return (folder / WEIGHTS,)
    return tuple(folder / name for name in sorted(set(read_index(folder / INDEX).values())))


def _malformed(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        trust.WEIGHTS_MALFORMED,
        f"the index `{path.name}` does not read: {why}",
        help="restore the file, or write the weights again with `save_pretrained`",
    )
