"""``repeat(times = 1)``: layers come again, as copies."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import names, shapes
from surgery_dsl.interface.arranging import Arrangement, arrange, edit_of, lists_of
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.loops import loops_of
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.modes import _modules
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.transforms._insertion import created, refused
from surgery_dsl.vocabulary.word import Card


@final
class Repeat(Transform):
    """Copies of the entries of a list, behind them in the list and in the forward.

    Arguments:
        times: How many copies of each entry.
        order: `each`: the copies of an entry follow it; `block`: the copies of all follow the last of them, which is
            depth up-scaling.

    Static rule:
        The sites are entries of one ModuleList or Sequential. Those behind them move down, which renames their tensors;
        what counts the entries (`layer_idx`, the depth and the lists of a config with one item for each layer) is set
        to agree. What the forward does around an entry, it does around the copy too; lists that it goes through side
        by side grow alike. With `tie = keep` the copies share the parameters, else they have their own. Refused: what
        is no entry of a list (SD232), an entry that does not give what it takes (SD231), one with a tensor that other
        layers read (SD243).

    Runtime rule:
        The copies start with equal values.

    Source:
        Kim et al., "SOLAR 10.7B", arXiv:2312.15166 (order = "block"); Wu et al., "LLaMA Pro", arXiv:2401.02415
        (order = "each").

    Raises:
        SD118, SD231, SD232, SD233, SD243.
    """

    places: ClassVar[frozenset[str]] = frozenset({"after"})
    positional: ClassVar[tuple[str, ...]] = ("times",)
    card: ClassVar[Card] = Card(
        summary="Let layers of a list come again, as copies",
        source="Kim et al., arXiv:2312.15166; Wu et al., arXiv:2401.02415",
        example="repeat()",
        near_miss="repeat(times = 0)",
        near_miss_code="SD112",
        function="changing",
        interface=frozenset({"topology"}),
        fixture="residual",
    )

    times: Annotated[int, Field(ge=1, le=64)] = 1
    order: Literal["each", "block"] = "each"

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Put copies into the draft."""
        report = _modules.Report(context, self.span, place.span, "leave it as it is")
        pool = self._pool(place, report)
        if pool is None or not _modules.is_list(pool, context.interface, report):
            return refused(place)
        loops = _modules.passes(pool.key, pool.modules, draft, report)
        order = self._order(pool, draft)
        if loops is None or not _modules.fits(pool.key, loops, order, context.interface, report):
            return refused(place)
        arrangement = Arrangement(lists_of(pool.key, loops), order, place.tie == "keep")
        before = tuple(draft.tensors)
        arrange(draft, loops, arrangement)
        settle(draft)
        after = {name: arrangement.names(name)[0] for name in before}
        copies = [f"{path}.{slot}" if path else str(slot) for path in arrangement.lists for slot in arrangement.copies]
        inside = tuple(path + "." for path in copies)
        return Effect(
            function="changing",
            reason=f"{len(pool.modules)} layers run {self.times + 1} times, each with weights "
            + ("of the first" if arrangement.tie else "of its own"),
            brings=tuple(path for path in copies if path in draft.modules),
            creates=frozenset(name for name in created(draft) | set(draft.tensors) if name.startswith(inside)),
            renamed={old: new for old, new in after.items() if old != new},
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Return the one edit that copies and moves."""
        modules = tuple(site.module for site in place.sites)
        if place.selection:
            picked = runtime.picked(place.selection)
            modules = tuple(
                pool.modules[index]
                for pool, taken in zip(picked.selection.pools, picked.indices, strict=True)
                for index in taken
            )
        parent = modules[0].rpartition(".")[0]
        draft = Draft(runtime.interface)
        loops = loops_of(draft, parent)
        lists = lists_of(parent, loops) if isinstance(loops, list) else (parent,)
        order = self._order(Pool(key=parent, size=len(modules), sites=(), modules=modules), draft)
        arrangement = Arrangement(lists, order, place.tie == "keep")
        return [Change(edit=edit_of(arrangement, runtime.interface))]

    def _pool(self, place: Place, report: _modules.Report) -> Pool | None:
        """Return the entries that come again; ``None`` after reporting."""
        modules = tuple(dict.fromkeys(site.module for site in place.sites))
        odd = next((site for site in place.sites if site.path != site.module or not site.module), None)
        if odd is not None:
            text = f"`{odd.path or '.'}` is no entry of a list, so it cannot come again"
            report.say(shapes.NOT_A_LIST_ENTRY, text, odd.path, "name entries of a ModuleList or Sequential")
            return None
        if place.selection:
            selection = report.context.selections[place.selection]
            if selection.unit != "modules" or not selection.indices or None in selection.indices:
                text = f"which layers `{place.selection}` takes is not known before weights are read"
                report.say(shapes.OPEN_STRUCTURE, text, modules[0], "name the layers: take = only([3])")
                return None
            chosen = zip(selection.pools, selection.indices, strict=True)
            modules = tuple(pool.modules[index] for pool, taken in chosen for index in taken or ())
        parents = list(dict.fromkeys(path.rpartition(".")[0] for path in modules))
        if len(parents) > 1:
            text = f"entries of one list come again together, and these stand in {len(parents)}"
            report.say(names.SEVERAL_PARENTS, text, parents[0], "write one step for each list", parents=len(parents))
            return None
        return Pool(key=parents[0], size=len(modules), sites=place.sites, modules=modules)

    def _order(self, pool: Pool, draft: Draft) -> tuple[int, ...]:
        """Return the old number of each entry of the longer list."""
        chosen = sorted(int(path.rpartition(".")[2]) for path in pool.modules)
        order: list[int] = []
        for number in _modules.numbers(draft, pool.key):
            order.append(number)
            if self.order == "each" and number in chosen:
                order += [number] * self.times
            elif self.order == "block" and number == chosen[-1]:
                order += chosen * self.times
        return tuple(order)
