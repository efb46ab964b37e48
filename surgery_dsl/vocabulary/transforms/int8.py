"""``int8()``: weights in 8 bits."""

from collections.abc import Sequence
from typing import ClassVar, Literal, final

from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run, operator
from surgery_dsl.interface.edits import ModuleSpec, SetModule
from surgery_dsl.interface.fragment import Built, own_type
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._insertion import created, refused
from surgery_dsl.vocabulary.transforms._layers import Layer, linear_layers
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import replace_at
from surgery_dsl.vocabulary.word import Card


@final
class Int8(Transform):
    """A linear layer stores its weight as 8-bit integers and restores it at each call.

    Arguments:
        per: `channel` for one scale each output, `tensor` for one in all.
        symmetric: Whether the integer 0 means 0, with integers from -127 to 127; otherwise a zero point is stored, and
            all 256 are used.

    Static rule:
        `weight` becomes int8 of the same dimensions under the same name; `scale` (and `zero_point`) are new buffers
        along the outputs, or single numbers. The bias stays. Bounded: every weight moves by at most half a step.
        Refused: a site that is no plain linear layer with a floating-point weight (SD244), tied weights without `tie
        = untie` (SD230), a shared layer without `scope` (SD310).

    Runtime rule:
        Symmetric: Δ = max abs(w) / 127, q = round(w / Δ); otherwise Δ = (max - min) / 255 over a range that includes 0.
        Δ is rounded up to 16 bits, so that the restored weight is exact in float32.

    Source:
        Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR
        2018, section 2.1.

    Raises:
        SD230, SD240, SD241, SD242, SD243, SD244, SD310.
    """

    card: ClassVar[Card] = Card(
        summary="Store the weights of linear layers in 8 bits",
        source="Jacob et al., CVPR 2018, section 2.1",
        example='int8(per = "channel", symmetric = true)',
        near_miss='int8(per = "row")',
        near_miss_code="SD107",
        function="bounded",
        interface=frozenset({"storage", "values"}),
    )

    per: Literal["channel", "tensor"] = "channel"
    symmetric: bool = True

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Store each weight as int8."""
        scene = Scene.of_static(place, context, self.span)
        layers = linear_layers(scene, draft, "int8")
        if layers is None:
            return refused(place)
        writes: set[str] = set()
        renamed: dict[str, str] = {}
        axes: frozenset[int] = frozenset()
        for layer in layers:
            for path in layer.target.paths:
                writes.add(f"{path}.{layer.weight.rpartition('.')[2]}")
                if layer.bias and not layer.bias.endswith(".bias"):
                    renamed[f"{path}.{layer.bias.rpartition('.')[2]}"] = f"{path}.bias"

            def body(draft: Draft, path: str, value: int, layer: Layer = layer) -> Built:
                return self._quantized(draft, path, value, layer)

            axes |= replace_at(draft, layer.target, layer.runs, body)
        if draft.before.ties:
            recouple(draft, axes)
        settle(draft)
        return Effect(
            function="bounded",
            reason="every weight moves by at most half a step of its scale",
            writes=frozenset(writes),
            brings=tuple(path for layer in layers for path in layer.target.paths),
            creates=created(draft) - frozenset(renamed.values()),
            renamed=renamed,
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _quantized(self, draft: Draft, path: str, value: int, layer: Layer) -> Built:
        dims = draft.values[value].dims
        result = draft.new_value(draft.values[value].dtype, (*dims[:-1], layer.out))
        along = (layer.out,) if self.per == "channel" else ()
        draft.add_module(
            path,
            own_type("quantized_linear", "QuantizedLinear"),
            {"in_features": layer.read, "out_features": layer.out},
        )
        draft.add_tensor(f"{path}.weight", "parameter", "i8", (layer.out, layer.read))
        tensors = {"weight": f"{path}.weight"}
        if layer.bias:
            draft.add_tensor(f"{path}.bias", "parameter", layer.dtype, (layer.out,))
        draft.add_tensor(f"{path}.scale", "buffer", "f64" if layer.dtype == "f64" else "f32", along)
        names = ["scale"]
        if not self.symmetric:
            draft.add_tensor(f"{path}.zero_point", "buffer", "i8", along)
            names = ["zero_point", "scale"]
        tensors |= {f"weight.{name}": f"{path}.{name}" for name in names}
        if layer.bias:
            tensors["bias"] = f"{path}.bias"
        macs = ((*(axis for dim in dims for axis in dim), *layer.out),)
        call = operator("linear", path, path, (value,), (result,), tensors=tensors, macs=macs)
        return Run(path, (value,), (result,), [call]), result

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Quantize each weight."""
        from surgery_dsl.kernels.quantizers import quantize

        layers = linear_layers(Scene.of_runtime(place, runtime, self.span), Draft(runtime.interface), "int8") or ()
        changes = []
        for layer in layers:
            weight = runtime.tensor(layer.weight).detach()
            rows = weight.t().contiguous() if layer.transposed else weight
            stored = quantize(rows, per=self.per, symmetric=self.symmetric)
            path = layer.target.path
            tensors = {f"{path}.weight": stored.values, f"{path}.scale": stored.scale}
            if stored.zero_point is not None:
                tensors[f"{path}.zero_point"] = stored.zero_point
            if layer.bias:
                tensors[f"{path}.bias"] = runtime.tensor(layer.bias).detach()
            spec = ModuleSpec(
                type="surgery_dsl.QuantizedLinear",
                arguments={
                    "in_features": stored.values.shape[1],
                    "out_features": stored.values.shape[0],
                    "bias": bool(layer.bias),
                    "per": self.per,
                    "symmetric": self.symmetric,
                },
                dtype=layer.dtype,
            )
            changes.append(Change(edit=SetModule(paths=layer.target.paths, spec=spec), tensors=tensors))
        return changes
