"""``hf("dir")``: a network with its weights, as ``save_pretrained`` wrote them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.models._hosts import CONFIG, build_transformers, package, read_config
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

_FILES = ("model.safetensors.index.json", "model.safetensors")


@final
class Hf(ModelLoader):
    """Load a local directory of transformers: ``config.json`` and safetensors, in one file or in shards with an index.

    Arguments:
        directory: The directory, relative to the plan's folder.
        class: The class to build; without it, the first of the config's ``architectures``.

    Runtime rule:
        The class is looked up in the installed transformers and built from the config alone; code that comes with
        a checkpoint is never run, no hub is asked, and pickles are not read. Tensors must be exactly the network's;
        a checkpoint whose names or layout transformers converts when it loads is loaded by ``from_pretrained``. The
        plan's ``weights`` stands in the place of the directory's own. Without ``input``, inputs are made from the
        config.

    Source:
        docs/language.md, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Load a local directory that save_pretrained wrote",
        source="docs/language.md, section 2",
        example='hf("checkpoint")',
        near_miss='hf("no_such_directory")',
        near_miss_code=trust.FILE_MISSING.id,
    )
    positional: ClassVar[tuple[str, ...]] = ("directory",)
    makes_inputs: ClassVar[bool] = True

    directory: str
    class_: str = ""

    def sources(self, folder: Path) -> tuple[Path, ...]:
        """Return the config, and the index where there is one; weights are digested apart."""
        place = folder / self.directory
        index = place / _FILES[0]
        return (place / CONFIG, *([index] if index.is_file() else []))

    def moved(self, place: str) -> "Hf":
        """Return the loader of a directory that need not stand below the plan's: it may be anywhere, or the same."""
        return self.replaced(directory=place)

    def weights(self) -> str:
        """Return the directory: its safetensors are the weights."""
        return self.directory

    def build(self, folder: Path, device: str) -> "torch.nn.Module":
        """Build the architecture; its tensors hold no values yet.

        Raises:
            Refused: There is no config, transformers is missing or has no such architecture.
        """
        path = folder / self.directory / CONFIG
        return build_transformers(path, device, self.span, name=self.class_, initialize=False)

    def pretrained(self, folder: Path) -> "torch.nn.Module":
        """Load network and weights as transformers does, on the CPU; names and layouts are converted.

        Raises:
            Refused: The weights lack tensors of the network, or do not load.
        """
        import torch

        place = folder / self.directory
        read_config(place / CONFIG, self.span)
        if not any((place / name).is_file() for name in _FILES):
            raise Refused(
                Diagnostic(
                    trust.FILE_MISSING,
                    f"there are no safetensors in `{self.directory}`",
                    span=self.span,
                    help="write the checkpoint again with `save_pretrained`; pickles are not read",
                )
            )
        transformers = package("transformers", 'pip install "surgery-dsl[hf]"', self.span)
        kind = type(self.build(folder, "meta"))
        shown, level = transformers.logging.is_progress_bar_enabled(), transformers.logging.get_verbosity()
        transformers.logging.disable_progress_bar()
        transformers.logging.set_verbosity(50)  # what it would print of tensors that do not fit is said below
        try:
            model, info = kind.from_pretrained(  # type: ignore[attr-defined]
                place,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # then it tells which
                dtype="auto",
            )
        except Exception as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise Refused(self._incomplete(f"transformers does not load it: {said}")) from error
        finally:
            transformers.logging.set_verbosity(level)
            if shown:
                transformers.logging.enable_progress_bar()
        if info["mismatched_keys"]:
            raise Refused(*(self._other_shape(*found) for found in sorted(info["mismatched_keys"])))
        absent = sorted(info["missing_keys"])
        if absent:
            raise Refused(self._incomplete(f"{len(absent)} tensors have no values in it, `{absent[0]}` the first"))
        assert isinstance(model, torch.nn.Module)
        return model.eval()

    def _other_shape(self, name: str, given: Sequence[int], wanted: Sequence[int]) -> Diagnostic:
        return Diagnostic(
            trust.TENSOR_SHAPE,
            f"`{name}` is {list(given)} in `{self.directory}` and {list(wanted)} in the network of its `{CONFIG}`",
            span=self.span,
            path=name,
            facts={"in_file": str(list(given)), "in_network": str(list(wanted))},
            help=f"put the `{CONFIG}` that belongs to these weights beside them",
        )

    def _incomplete(self, why: str) -> Diagnostic:
        return Diagnostic(
            trust.TENSOR_MISSING,
            f"the checkpoint `{self.directory}` does not fill the network: {why}",
            span=self.span,
            help="name the class that was saved with `class = …`, or load the checkpoint that belongs to this config",
        )
