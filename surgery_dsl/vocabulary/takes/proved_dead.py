"""Take units that no input of a region can wake."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region, Take
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.regions._silent import provable, silence_on
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection
from surgery_dsl.vocabulary.takes._beyond import found_in
from surgery_dsl.vocabulary.takes._ranked import Selected
from surgery_dsl.vocabulary.units._watch import watched
from surgery_dsl.vocabulary.word import Card, Slot

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores

_ON_DATA = "take what is silent on data instead: `take = dead(…)`"


@final
class ProvedDead(Take):
    """Take the units that are proved to give 0 for every input of a region: a finding with a proof, not a ranking.

    Arguments:
        region: Where inputs lie: `domain(0, 1)`, `box(test, eps = 1/255)`.

    Static rule:
        As for `dead`: each pool may lose from none of its channels to all that `floor` and `cap` leave. Every site
        needs a ReLU behind it, directly or through norms. To remove these units is exact for the inputs of the region
        (`prove exact(STEP, on = REGION)`), where all that reads them reads them through these ReLUs, and no step has
        changed the network since. Units that are merely silent on examples (`dead`) have no such proof.

    Runtime rule:
        A channel is taken where CROWN's upper bound of the ReLU's input is at most 0 in every box and at every
        position; where several sites share an axis, at each of them. Bounds are in float64, with their own rounding
        counted in. A network that holds an operator without a bound is refused (SD512).

    Source:
        Serra, Kumar and Ramalingam, Lossless compression of deep neural networks, CPAIOR 2020 (arXiv 2001.00218),
        section 3; bounds of Zhang et al. 2018, CROWN (arXiv 1811.00866), theorem 3.2.
    """

    needs_scores: ClassVar[bool] = False
    finds: ClassVar[bool] = True
    positional = ("region",)
    card: ClassVar[Card] = Card(
        summary="Take the units that no input of a region wakes, each proved",
        source="Serra, Kumar and Ramalingam, CPAIOR 2020 (arXiv 2001.00218), section 3",
        example="proved_dead(domain(-3, 3))",
        near_miss="proved_dead(domain(1, 1))",
        near_miss_code="SD112",
        fixture="dead_mlp",
    )

    region: Annotated[Region, Slot("regions")]

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return f"proved dead for {self.region.said()}"

    def silent_on(self) -> Region:
        """Return the region on which the units give 0."""
        return self.region

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Any number of channels may be dead; what is no ReLU is refused."""
        provable(self.region, self.span, _ON_DATA, context)
        found = found_in(pools, roundings, self.name, self.span, context)
        flow = Flow(context.interface)
        seen = [at for pool in pools if pool.axis is not None for at in watched(pool, flow, layers=False)[0]]
        for operator in (context.interface.operators[at] for at in dict.fromkeys(seen)):
            if operator.kind != "relu":
                text = (
                    f"`{operator.path}` is {operator.kind}, which gives 0 at single points alone: no unit of it is dead"
                )
                fix = "leave it out with `except`, or take what is quiet on data: `dead(…)`"
                code, path = names.CRITERION_DOES_NOT_FIT, operator.path
                context.say(Diagnostic(code, text, file=context.file, span=self.span, path=path, help=fix))
        return found

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Bound what every ReLU is given, and take the channels that are 0 everywhere."""
        from surgery_dsl.vocabulary.takes import _picking

        alive = self._alive(selection.pools, runtime)
        picked = _picking.beyond(selection, alive, 0.5, roundings, largest=False)
        proved = sum(int((one == 0).sum()) for one in alive.values())
        units = sum(pool.size for pool in selection.pools)
        claim = f"{proved} of {units} units give 0 behind their ReLUs"
        runtime.remark(f"certified (real arithmetic): for {self.region.said()}, {claim}")
        return picked

    def _alive(self, pools: tuple[Pool, ...], runtime: Runtime) -> "dict[str, torch.Tensor]":
        """Return, for each pool, 0 for the units that are proved dead and 1 for others."""
        import torch

        from surgery_dsl.kernels.scores import axis_maxima

        interface = runtime.interface
        known = silence_on(self.region, runtime.model, interface, self.span, _ON_DATA, runtime)
        turns = _turns(interface)
        awake = {turns[one.path].pop(0): (~one.dead).double().cpu() for one in known}
        flow = Flow(interface)
        found = {pool.key: torch.zeros(pool.size, dtype=torch.float64) for pool in pools}
        for pool in pools:
            axis = axis_of(pool, interface)
            places = watched(pool, flow, layers=False)[0]
            for at in places:
                dim = next(d for d in interface.values[interface.operators[at].outputs[0]].dims if axis in d)
                sizes = tuple(interface.exact((one,)) or 1 for one in dim)
                if at in awake and awake[at].numel() == interface.exact(dim):
                    most = axis_maxima([awake[at]], torch.abs, 0, sizes=sizes, position=dim.index(axis))
                    found[pool.key] = torch.maximum(found[pool.key], most)
                else:  # nothing is known of it
                    found[pool.key] += 1
            if not places:
                found[pool.key] += 1
        return found


def _turns(interface: Interface) -> dict[str, list[int]]:
    """Return, by path, the positions of all ReLUs that go by it, in the order of the forward."""
    found: dict[str, list[int]] = {}
    for at, operator in enumerate(interface.operators):
        if operator.kind == "relu":
            found.setdefault(operator.path, []).append(at)
    return found
