"""Exporting the network of a result as a program: a ``torch.export`` archive, or ONNX; checked, or not kept."""

import importlib
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import hosts
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.expression import Expression, linear, linear_text
from surgery_dsl.interface.inputs import InputSpec, free_names
from surgery_dsl.kernels.differences import distance
from surgery_dsl.run.determinism import deterministic
from surgery_dsl.run.outputs import all_outputs, call
from surgery_dsl.run.record import Record, read_record
from surgery_dsl.run.restore import load
from surgery_dsl.run.written import written
from surgery_dsl.trace.dtypes import BY_NAME

Format = Literal["torch", "onnx"]
ENDINGS: Final[Mapping[Format, str]] = {"torch": ".pt2", "onnx": ".onnx"}
PACKAGES: Final[Mapping[Format, tuple[str, ...]]] = {"torch": (), "onnx": ("onnx", "onnxscript", "onnxruntime")}
TOLERANCE = 1e-4
"""Greatest difference that is kept, as a share of the network's greatest output (at least of 1)."""
SIZES = (3, 5)
"""Free sizes at which the program is compared with the network, where their ranges hold them."""
SEED = 7


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        format: Its format.
        difference: Greatest absolute difference of an output from the network's.
        limit: What it had to stay within.
        sizes: The free sizes at which they were compared.
        outputs: How many numbers were compared.
    """

    path: Path
    format: Format
    difference: float
    limit: float
    sizes: tuple[dict[str, int], ...]
    outputs: int


def export(
    folder: Path | str,
    file: Path | str | None = None,
    *,
    format: Format = "torch",
    allow_code: Iterable[str] = (),
    tolerance: float = TOLERANCE,
    force: bool = False,
) -> Exported:
    """Write the network of a result as a program, and compare what the file computes with the network.

    The program takes the inputs of the plan, by name where there are several, at every size that the plan leaves
    free, and returns the tensors of the network's outputs in order. The file is read again (by ``torch.export.load``,
    or by onnxruntime) and run on seeded inputs at two sizes.

    Args:
        folder: The result directory.
        file: Where to write; ``None`` takes the directory's name with the format's ending, in the working directory.
        format: ``torch`` (``torch.export``, ``.pt2``) or ``onnx``.
        allow_code: Globs of user code that may run.
        tolerance: Greatest difference allowed, as a share of the network's greatest output, at least of 1.
        force: Replace a file that is there.

    Returns:
        What was written and how near it comes.

    Raises:
        Refused: SD810 to SD814, or what :func:`surgery_dsl.load` refuses; then nothing is written.
    """
    directory = Path(folder)
    record = read_record(directory)
    place = Path(file) if file is not None else Path(f"{directory.resolve().name}{ENDINGS[format]}")
    _refuse_place(place, directory, force)
    for package in PACKAGES[format]:
        _require(package)
    if not record.inputs:
        raise Refused(
            Diagnostic(
                hosts.NO_INPUTS,
                f"`{directory.name}` does not say what inputs its network takes",
                help='write `input = x("f32", [N, 3, 32, 32])` in its `model` block and apply the plan again',
            )
        )
    model = load(directory, allow_code).requires_grad_(False)
    trials = [_inputs(record, sizes) for sizes in _sizes(record.inputs)]
    with _quiet(), torch.no_grad(), deterministic():
        wanted = [all_outputs(call(model, inputs, record.keyword_inputs)) for inputs in trials]
        with written(place, str(place), "`-o`"), tempfile.TemporaryDirectory(dir=_folder_of(place)) as temporary:
            draft = Path(temporary) / place.name
            program = _Program(model, tuple(spec.name for spec in record.inputs), record.keyword_inputs)
            write = _write_torch if format == "torch" else _write_onnx
            found = write(program, record, trials, draft)
            difference, limit, count = _compare(found, wanted, tolerance, place, format)
            for path in sorted(Path(temporary).iterdir(), key=lambda path: path == draft):
                os.replace(path, place.with_name(path.name))  # what the program refers to first, then the program
    return Exported(place, format, difference, limit, tuple(_sizes(record.inputs)), count)


class _Program(nn.Module):
    """A network whose outputs are a tuple of its tensors: what every format can hold."""

    def __init__(self, network: nn.Module, names: Sequence[str], by_keyword: bool) -> None:
        super().__init__()
        self.network = network
        self.names, self.by_keyword = tuple(names), by_keyword
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, inputs, strict=True))
        return tuple(all_outputs(call(self.network, given, self.by_keyword)))


# ---- the formats -------------------------------------------------------------------------------------------------


def _write_torch(
    program: _Program, record: Record, trials: Sequence[Mapping[str, Tensor]], draft: Path
) -> list[list[Tensor]]:
    exported = _exported(program, record, trials)
    torch.export.save(exported, draft)
    again = torch.export.load(draft).module()
    return [list(again(*inputs.values())) for inputs in trials]


def _write_onnx(
    program: _Program, record: Record, trials: Sequence[Mapping[str, Tensor]], draft: Path
) -> list[list[Tensor]]:
    import onnxruntime

    exported = _exported(program, record, trials)
    count = len(exported.graph_signature.user_outputs)
    names = record.outputs if len(record.outputs) == count else [f"output_{n}" for n in range(count)]
    try:
        converted = torch.onnx.export(
            exported,
            input_names=[spec.name for spec in record.inputs],
            output_names=list(names) if count > 1 or record.outputs else ["output"],
            dynamic_shapes=(
                tuple({k: linear_text(dim) for k, dim in open_.items()} for open_ in _open_dims(record)),
            ),  # how the free sizes are called in the file
            verbose=False,
        )
        assert converted is not None
        converted.save(draft)
        session = onnxruntime.InferenceSession(str(draft), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Refused(_failed(error, "ONNX")) from error
    found = []
    for inputs in trials:
        feeds = {
            spec.name: (value.float() if value.dtype is torch.bfloat16 else value).numpy()
            for spec, value in zip(record.inputs, inputs.values(), strict=True)
        }
        try:
            found.append([torch.as_tensor(value) for value in session.run(None, feeds)])
        except Exception as error:
            raise Refused(_failed(error, "ONNX")) from error
    return found


def _exported(
    program: _Program, record: Record, trials: Sequence[Mapping[str, Tensor]]
) -> torch.export.ExportedProgram:
    free = {size.name: size for spec in record.inputs for size in spec.free}
    dims = {
        name: torch.export.Dim(
            name, min=free[name].least if name in free else 1, max=free[name].most if name in free else None
        )
        for name in free_names(record.inputs)
    }
    shapes = tuple({k: _exported_size(dim, dims) for k, dim in open_.items()} for open_ in _open_dims(record))
    try:
        return torch.export.export(program, tuple(trials[0].values()), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:
        raise Refused(_failed(error, "torch.export")) from error


def _open_dims(record: Record) -> tuple[dict[int, Expression], ...]:
    return tuple({k: dim for k, dim in enumerate(spec.dims) if not isinstance(dim, int)} for spec in record.inputs)


def _exported_size(size: Expression, dims: Mapping[str, Any]) -> Any:
    """Return a size as torch.export takes it: dimensions of its own, multiplied and moved."""
    name, factor, rest = linear(size)
    dim = dims[name] if factor == 1 else factor * dims[name]
    return dim + rest if rest else dim


def _failed(error: Exception, what: str) -> Diagnostic:
    text = " ".join(str(error).split())
    return Diagnostic(
        hosts.NOT_EXPORTED,
        f"{what} does not follow this network: {type(error).__name__}: {text[:300]}",
        notes=("nothing was written",),
        help="fix the sizes that the forward holds as numbers (a number in the plan's `input` in the place of a "
        "name), or use the network with `surgery_dsl.load`",
    )


# ---- trying it ---------------------------------------------------------------------------------------------------


def _sizes(specs: Iterable[InputSpec]) -> list[dict[str, int]]:
    """Return two assignments of the free sizes, within their ranges; one where nothing is free."""
    specs = tuple(specs)
    free = {size.name: size for spec in specs for size in spec.free}
    names = free_names(specs)
    found: list[dict[str, int]] = []
    for start in SIZES:
        sizes = {}
        for number, name in enumerate(names):
            size = start + 2 * number  # sizes that differ from one another, so that none passes for another
            if name in free:
                most = free[name].most
                size = max(free[name].least, size if most is None else min(size, most))
            sizes[name] = size
        if sizes not in found:
            found.append(sizes)
    return found


def _inputs(record: Record, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    inputs = {}
    for spec in record.inputs:
        shape = spec.shape(sizes)
        dtype = BY_NAME[spec.dtype]
        if dtype.is_floating_point:
            wide = BY_NAME[record.dtype] if record.dtype else dtype
            inputs[spec.name] = torch.randn(shape, generator=generator).to(wide)
        else:
            inputs[spec.name] = torch.randint(0, spec.below or 2, shape, generator=generator).to(dtype)
    return inputs


def _compare(
    found: Sequence[Sequence[Tensor]], wanted: Sequence[Sequence[Tensor]], tolerance: float, place: Path, format: Format
) -> tuple[float, float, int]:
    greatest, difference, count = 1.0, 0.0, 0
    for ours, theirs in zip(wanted, found, strict=True):
        if [tuple(t.shape) for t in ours] != [tuple(t.shape) for t in theirs]:
            raise Refused(
                Diagnostic(
                    hosts.EXPORT_DIFFERS,
                    f"the exported program gives {[list(t.shape) for t in theirs]} where the network gives "
                    f"{[list(t.shape) for t in ours]}",
                    file=str(place),
                    notes=("nothing was written",),
                    help="fix the free sizes of the plan's `input`, or use the network with `surgery_dsl.load`",
                )
            )
        for left, right in zip(ours, theirs, strict=True):
            if left.numel():
                gap = distance(left, right).greatest
                difference = gap if gap != gap else max(difference, gap)
                greatest = max(greatest, float(left.abs().max()))
            count += left.numel()
    limit = tolerance * greatest
    if not difference <= limit:
        raise Refused(
            Diagnostic(
                hosts.EXPORT_DIFFERS,
                f"outputs of the exported program differ from the network's by up to {difference:.3g}; at most "
                f"{limit:.3g} is kept",
                file=str(place),
                facts={"difference": difference, "limit": limit},
                notes=("nothing was written",),
                help=f"pass `--tolerance {2 * difference / greatest:.1g}` if that is near enough"
                if difference == difference
                else f"the {format} program gives NaN: use the network with `surgery_dsl.load`",
            )
        )
    return difference, limit, count


# ---- parts -------------------------------------------------------------------------------------------------------


def _folder_of(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.parent


def _refuse_place(place: Path, directory: Path, force: bool) -> None:
    why = help_text = ""
    if place.resolve().is_relative_to(directory.resolve()):
        why = f"it lies in `{directory.name}`, whose files are certified"
        help_text = "write it beside the result"
    elif place.is_dir():
        why, help_text = "it is a directory", "name a file"
    elif place.exists() and not force:
        why, help_text = "it exists", "choose another file with `-o`, or pass `--force` to replace it"
    if why:
        message = f"`{place}` cannot take the exported program: {why}"
        raise Refused(Diagnostic(hosts.EXPORT_PLACE, message, file=str(place), help=help_text))


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise Refused(
            Diagnostic(
                hosts.PACKAGE_MISSING,
                f"ONNX needs the package `{package}`, which cannot be imported: {error}",
                help='install it with `pip install "surgery-dsl[onnx]"`',
            )
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn of their own affairs; nothing in them is for the user."""
    import logging

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def describe(exported: Exported) -> dict[str, Any]:
    """Return what was written, as data."""
    return {
        "file": str(exported.path),
        "format": exported.format,
        "difference": exported.difference,
        "limit": exported.limit,
        "sizes": list(exported.sizes),
        "outputs": exported.outputs,
    }
