"""What the words that insert children share."""

from collections.abc import Sequence

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.coupling import merge
from surgery_dsl.interface.draft import Draft
from surgery_dsl.vocabulary.context import Effect, Place, Runtime
from surgery_dsl.vocabulary.transforms._places import Scene, Target
from surgery_dsl.vocabulary.transforms._surgery import runs_of
from surgery_dsl.vocabulary.transforms._values import is_real, name_is_free, shape_text, size_text, works_on_channels


def checked_hosts(scene: Scene, draft: Draft) -> tuple[Target, ...] | None:
    """Return the hosts, each with a free name and real numbers flowing; ``None`` after reporting."""
    targets = scene.targets()
    if targets is None:
        return None
    fits = True
    for target, runs in zip(targets, runs_of(draft, targets), strict=True):
        fits = name_is_free(scene, draft, target) and _is_followed(scene, target) and fits
        for run in runs:
            value = run.inputs[0] if scene.place.where == "before" else run.outputs[0]
            fits = is_real(scene, draft, target, value) and fits
    return targets if fits else None


def _is_followed(scene: Scene, target: Target) -> bool:
    """Report a host that hands its input on, where nobody can tell who reads the input and who what was handed on."""
    interface = scene.interface
    for position in target.calls:
        call = interface.calls[position]
        (value,) = call.outputs
        if value not in call.inputs:
            continue
        readers = sum(operator.inputs.count(value) for operator in interface.operators[call.last :])
        readers += sum(port.value == value for port in interface.outputs)
        if readers > 1:
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"`{target.path}` hands its input on as it is, and {readers} places read it: which of them read it "
                f"through `{target.path}` cannot be told",
                path=target.path,
                facts={"readers": readers},
                help="name the module before or behind it",
            )
            return False
    return True


def keep_step(scene: Scene, draft: Draft, target: Target, values: Sequence[int]) -> bool:
    """Join the features of every run of a shared module, which one set of weights will read; report other widths."""
    first, *others = values
    at = 1 if works_on_channels(draft, first) else -1
    for other in others:
        one, two = draft.values[first].dims[at], draft.values[other].dims[at]
        if one != two and not merge(draft, [one], [two]):
            scene.say(
                shapes.WIDTH_MISMATCH,
                f"`{target.path}` runs on {size_text(draft, one)} and on {size_text(draft, two)} features, which one "
                "layer cannot read",
                path=target.path,
                facts={"first": size_text(draft, one), "other": size_text(draft, two)},
                help="name sites that are not shared",
            )
            return False
    return True


def join_ends(scene: Scene, draft: Draft, ends: Sequence[tuple[Target, int, int]], why: str) -> bool:
    """Make what modules take and what they give keep step; report those that cannot, and ``why`` they must.

    ``ends`` are modules with the value that each takes and the one that it gives.
    """
    values = draft.values
    alike = [
        (values[a].dims, values[b].dims)
        for _, a, b in ends
        if values[a].dtype == values[b].dtype and len(values[a].dims) == len(values[b].dims)
    ]
    taken, given = ([dim for pair in alike for dim in pair[side]] for side in (0, 1))
    if len(alike) == len(ends) and merge(draft, taken, given):
        return True
    joined = [_joins(scene, draft, target, source, result, why) for target, source, result in ends]
    return all(joined)


def _joins(scene: Scene, draft: Draft, target: Target, source: int, result: int, why: str) -> bool:
    taken, given = draft.values[source], draft.values[result]
    path = target.path or "the network"
    if taken.dtype != given.dtype:
        scene.say(
            shapes.SITE_DOES_NOT_FIT,
            f"`{path}` takes {taken.dtype} and gives {given.dtype} numbers",
            path=target.path,
            help="name modules that keep the dtype",
        )
        return False
    if len(taken.dims) == len(given.dims) and merge(draft, taken.dims, given.dims):
        return True
    sizes = [(size_text(draft, a), size_text(draft, b)) for a, b in zip(taken.dims, given.dims, strict=False)]
    whole = (shape_text(draft, source), shape_text(draft, result))
    odd = next((pair for pair in sizes if pair[0] != pair[1]), whole) if len(taken.dims) == len(given.dims) else whole
    scene.say(
        shapes.WIDTH_MISMATCH,
        f"`{path}` takes {whole[0]} and gives {whole[1]}: {why}",
        path=target.path,
        facts={"in": odd[0], "out": odd[1]},
        help="name modules that give as many features as they take",
    )
    return False


def host_has_no(place: Place, runtime: Runtime, target: Target) -> None:
    """Refuse a host that has an attribute of the step's name, which only the live module shows.

    Raises:
        Refused: With SD247.
    """
    has_no(runtime, place, target.path, place.name)


def has_no(runtime: Runtime, place: Place, path: str, name: str) -> None:
    """Refuse a host at ``path`` that has an attribute called ``name``, or a forward of its own instance.

    Raises:
        Refused: With SD247.
    """
    host = runtime.model.get_submodule(path)
    if hasattr(host, name) or "forward" in vars(host):
        what = f"an attribute `{name}`" if hasattr(host, name) else "a forward of its own instance"
        raise Refused(
            Diagnostic(
                shapes.NAME_TAKEN,
                f"`{path or 'the network'}` already has {what}",
                file=runtime.file,
                span=place.span,
                path=path,
                help="give the step another name" if hasattr(host, name) else "name another host",
            )
        )


def created(draft: Draft) -> frozenset[str]:
    """Return the names of the tensors that a draft has and the interface before it had not."""
    return frozenset(draft.tensors.keys() - draft.before.tensor_by_name.keys())


def refused(place: Place) -> Effect:
    """Return what stands for the effect of a step that was refused."""
    return Effect(function="changing", matched=len(place.sites))
