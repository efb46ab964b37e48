"""``peak_memory``: an estimate of what inference holds in memory at once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities import _counting, _liveness
from surgery_dsl.vocabulary.quantities._stated import Sizes, check_stated, least_sizes
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class PeakMemory(Quantity):
    """Bytes that inference holds at once, estimated: parameters, buffers, and the largest sum of live activations.

    Arguments:
        sizes: The free input sizes that the estimate is for, by name: ``peak_memory(N = 8, H = 224, W = 224)``. All of
            them must be stated.
        dtype: What real parameters, buffers and activations are, if another dtype than their own (``"bf16"``).

    Static rule:
        Σ bytes of all parameters and buffers, tied ones once, plus the greatest sum over the recorded operators of the
        activations that are held while one runs. An activation is held from the operator that writes it to the last
        that reads it, or to the end of the module that it was handed to; the network's inputs are held throughout, its
        outputs to the end. A view lies in the memory of what it shows; a view of transposed or repeated entries is
        written anew. Operators in place count as if they wrote anew, and weights of experts stay where they are.
        Counted only where sizes are known: with open choices the sum lies between that of the smallest and that of the
        largest network. Not counted: what an operator holds inside (workspaces, scores of a fused attention, steps of a
        GELU or norm that a module writes out), gradients and what autograd saves, optimizers, caches of keys and
        values, tables made of constants, variables of the forward that outlive their last use, and what an allocator
        keeps, rounds up or cannot fill. On the CPU, live tensors of real networks came to 1.0 to 1.5 times the
        estimate. A size that is not stated, or that the inputs do not leave free, is an error.

    Runtime rule:
        The same estimate over the interface that the network was compared with after the last step.

    Source:
        Liveness by last use: Aho et al., Compilers (2006), section 9.2.5; as counted by Pisarchyk and Lee,
        arXiv:2001.03288.
    """

    unit = "bytes"
    least = 0
    static = True
    positional = ("**sizes",)
    card: ClassVar[Card] = Card(
        summary="Estimate what inference holds in memory at once",
        source="Liveness by last use: Aho et al., Compilers (2006), section 9.2.5; Pisarchyk and Lee, arXiv:2001.03288",
        example="peak_memory(N = 1)",
        near_miss="peak_memory(N = 0)",
        near_miss_code="SD112",
    )

    sizes: Sizes = {}
    dtype: Literal["", "f16", "bf16", "f32", "f64"] = ""

    def nominal(self) -> Mapping[str, int]:
        """Return the sizes that are stated."""
        return self.sizes

    def check(self, context: Static) -> None:
        """Report sizes that are not stated, or that the inputs do not leave free."""
        check_stated(self.name, self.sizes, self.span, context)
        missing = [free for free in context.interface.free if free.name not in self.sizes]
        if not missing:
            return
        stated = {**self.sizes, **{free.name: free.least for free in missing}}
        call = f"{self.name}({', '.join(f'{name} = {size}' for name, size in stated.items())})"
        open_ = ", ".join(f"`{free.name}`" for free in missing)
        context.say(
            Diagnostic(
                names.MISSING_ARGUMENT,
                f"`{self.name}` is for inputs of one size, and {open_} {'is' if len(missing) == 1 else 'are'} open",
                file=context.file,
                span=self.span,
                help=f"state {'it' if len(missing) == 1 else 'them'}: `{call}`",
            )
        )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return tensors as a polynomial, and activations as numbers at the smallest and largest open sizes."""
        products = [
            (_liveness.element_bytes(tensor.dtype, self.dtype), _counting.dims_of(tensor))
            for tensor in interface.tensors
            if not tensor.tied_to
        ]
        tensors = _counting.total(interface, products)
        low, high = _liveness.peaks(
            interface,
            least_sizes(interface, self.sizes),
            lambda dtype: _liveness.element_bytes(dtype, self.dtype),
        )
        return tensors + Polynomial.constant(low), tensors + Polynomial.constant(high)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the estimate over the interface: it is compared with the network after every step."""
        context = Static(interface, interface, {}, None, {}, {}, "", runtime.file, Sink(runtime.file))
        low, high = (bound.substitute(interface.exact_size).value for bound in self.bounds(interface, context))
        if low is None or low != high:
            raise LookupError("a size is open")
        return float(low)
