"""The static rule of every block: where a plan stands after a step.

:func:`advance` is a function of its arguments alone. ``check`` calls it with what could be selected, ``apply`` again
with what was: the prediction that the network is then held to.
"""

from dataclasses import replace

from surgery_dsl.diagnostics.codes import budgets, names
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.calling import called
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Excise, Identify, Plan, Recover, Replace, Step, Target
from surgery_dsl.proof import bookkeeping, selections, size_ties
from surgery_dsl.proof.contract import SIDES, compare
from surgery_dsl.proof.recovery import names_broken, training_effect
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.context import Effect, Place, Static
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.predicates._holding import tensors_at, tensors_below
from surgery_dsl.vocabulary.selection import Selection, Site


def advance(state: State, step: Step, plan: Plan, *, picked: Selection | None = None) -> State:
    """Return the state after one run of a step; findings go to the state's sink.

    Args:
        state: Where the plan stands.
        step: The block; for a stage of a schedule, as :func:`surgery_dsl.proof.sequence.sequence` gives it.
        plan: The whole plan.
        picked: For ``identify``: what was selected, where that is known; else every selection that could be.

    A step that cannot be followed leaves the interface as it was and its name in ``state.broken``.
    """
    if isinstance(step, Identify):
        return _identify(state, step, picked)
    if isinstance(step, Excise):
        return _excise(state, step)
    if isinstance(step, Replace):
        return _replace(state, step)
    if isinstance(step, Recover):
        return _recover(state, step, plan)
    return state


def _broken(state: State, name: str) -> State:
    return replace(state, broken=state.broken | {name})


# ---- identify ----------------------------------------------------------------------------------------------------


def _identify(state: State, step: Identify, picked: Selection | None) -> State:
    if any(target.step in state.broken for target in step.sites):
        return _broken(state, step.name)
    selection = picked
    if selection is None:
        from surgery_dsl.proof.identify import static_identify

        sink = Sink(state.file)
        named = {
            target.step: selections.sites_now(state, target.step, sink, target.span)
            for target in step.sites
            if target.step in state.selections
        }
        if not sink.failed:
            known = {name: found for name, found in named.items() if found is not None}
            context = replace(state.static(step.name, sink), selections={**state.selections, **known})
            selection = static_identify(step, context, state.brought)
        state.sink.extend(sink.found)
        if sink.failed:
            selection = None
    if selection is None:
        return _broken(state, step.name)
    there = tensors_at(state.interface, selection.sites)
    covered = bookkeeping.coverage(state.interface, there)
    held = bookkeeping.of_base(state.base, state.history, there)
    done = replace(
        state,
        selections={**state.selections, step.name: selection},
        sizes={**state.sizes, step.name: state.interface},
        coverage={**state.coverage, step.name: covered},
        held={**state.held, step.name: held},
        broken=state.broken - {step.name},
    )
    return done.ran(step.name, state)


# ---- excise ------------------------------------------------------------------------------------------------------


def _excise(state: State, step: Excise) -> State:
    if step.name in state.broken or step.name not in state.selections:
        return _broken(state, step.name)
    sink = Sink(state.file)
    context = state.static(step.name, sink, tie=step.tie or "", changes=step.changes)
    selection = selections.as_of(state, step.name, sink, step.span)
    effect = after = None
    if selection is not None:
        context = replace(context, selections={**state.selections, step.name: selection})
        draft = Draft(state.interface)
        effect = step.mode.transfer(selection, draft, context)
        after = None if sink.failed else draft.finish()
    if effect is None or after is None or selection is None:
        state.sink.extend(sink.found)
        return _broken(state, step.name)
    shrunk: bookkeeping.Hold = "written" if effect.zeros else "sliced"
    return _finish(state, step, effect, after, sink, selection, selection.sites, shrunk)


# ---- replace -----------------------------------------------------------------------------------------------------


def _replace(state: State, step: Replace) -> State:
    sink = Sink(state.file)
    context = state.static(step.name, sink, step.scope or "", step.tie or "", step.changes)
    place = place_of(state, step, context, sink)
    if place is None or not _stands(step, place, context):
        state.sink.extend(sink.found)
        return _broken(state, step.name)
    if not place.sites:  # optional, and nothing matched
        state.sink.extend(sink.found)
        return _note(state, step.name, Effect(function="none"), state.interface, None, frozenset(), "written")
    selection = selections.as_of(state, place.selection, sink, place.span) if place.selection else None
    if selection is not None:
        context = replace(context, selections={**state.selections, place.selection: selection})
    draft = Draft(state.interface)
    effect = step.transform.transfer(place, draft, context)
    if sink.failed:
        state.sink.extend(sink.found)
        return _broken(state, step.name)
    return _finish(state, step, effect, draft.finish(), sink, selection, place.sites, "written")


def place_of(state: State, step: Replace, context: Static, sink: Sink) -> Place | None:
    """Resolve the sites that a step names; ``None`` after reporting, or where an earlier step is broken."""
    sites: list[Site] = []
    selection = ""
    for target in step.sites:
        if target.model:
            sink.say(
                Diagnostic(
                    names.SITES_DO_NOT_FIT,
                    f"`{step.name}` names sites of the model `{target.model}`; steps change the patient alone",
                    file=state.file,
                    span=target.span or step.spans.get(step.where, step.span),
                    facts={"model": target.model},
                    help=f"write the pattern without `{target.model}.`, which names sites of the patient",
                )
            )
        elif target.word is not None:
            sites.extend(_resolved(target.word, step, state, sink))
        elif target.step in state.broken:
            return None
        elif target.step in state.selections:
            selected = selections.as_of(state, target.step, sink, target.span)
            if selected is None:
                return None
            selection = target.step
            sites.extend(selected.sites)
        elif state.brought.get(target.step):
            sites.extend(Site(word="module", path=path, module=path) for path in state.brought[target.step])
        else:
            sink.say(_brought_nothing(state, step, target))
    sites = list(dict.fromkeys(sites))
    span = step.spans.get(step.where, step.span)
    if step.expect is not None and len(sites) != step.expect and not sink.failed:
        shown = ", ".join(f"`{site.path}`" for site in sites[:8])
        sink.say(
            Diagnostic(
                names.EXPECT_MISMATCH,
                f"`{step.name}` matches {len(sites)} sites, the plan expects {step.expect}",
                file=state.file,
                span=step.spans.get("expect", span),
                facts={"matched": len(sites), "expected": step.expect},
                notes=(f"matched: {shown}{' …' if len(sites) > 8 else ''}",) if sites else (),
                help=f"write `expect = {len(sites)}`, or a narrower pattern",
            )
        )
    if not sites and not step.optional and not sink.failed:
        text = f"`{step.name}` names no site: what it names holds none here"
        fix = "name sites by their paths, or write `optional = true`"
        sink.say(Diagnostic(names.SITES_DO_NOT_FIT, text, file=state.file, span=span, help=fix))
    if sink.failed:
        return None
    return Place(
        where=step.where,
        sites=tuple(sites),
        selection=selection,
        name=step.name,
        span=span,
        scope=step.scope or "",
        tie=step.tie or "",
    )


def _resolved(word: SiteWord, step: Replace, state: State, sink: Sink) -> tuple[Site, ...]:
    """Resolve a pattern; an optional step may match nothing."""
    inner = Sink(state.file)
    sites = word.resolve(state.interface, state.static(step.name, inner))
    sink.extend(d for d in inner.found if not (step.optional and d.code is names.SELECTOR_UNMATCHED))
    return sites


def _brought_nothing(state: State, step: Replace, target: Target) -> Diagnostic:
    return Diagnostic(
        names.SITES_DO_NOT_FIT,
        f"`{target.step}` brought no modules into the network that are still there",
        file=state.file,
        span=target.span or step.spans.get(step.where, step.span),
        facts={"modules": 0},
        help="name a replace step that brings modules in, or sites by their paths",
    )


def _stands(step: Replace, place: Place, context: Static) -> bool:
    """Report a transform that cannot act at this place, and a shared module without ``scope``."""
    transform = step.transform
    if step.where not in transform.places:
        places = " or ".join(f"`{name}`" for name in sorted(transform.places))
        context.say(
            Diagnostic(
                budgets.PLACE_DOES_NOT_FIT,
                f"`{transform.name}` stands {places} sites, not `{step.where}`",
                file=context.file,
                span=place.span,
                facts={"asked": step.where, "places": ", ".join(sorted(transform.places))},
                help=f"write `{sorted(transform.places)[0]} = …`",
            )
        )
        return False
    if place.selection and not transform.accepts_selection:
        context.say(
            Diagnostic(
                budgets.PLACE_DOES_NOT_FIT,
                f"`{transform.name}` acts on whole sites; `{place.selection}` selects single units of them",
                file=context.file,
                span=place.span,
                facts={"asked": "selection", "places": "sites"},
                help="name the sites themselves, for example `at = linear(…)`",
            )
        )
        return False
    return bool(step.scope) or _no_shared(place, context)


def _no_shared(place: Place, context: Static) -> bool:
    interface = context.interface
    for site in place.sites:
        places = shared_places(site, interface)
        if len(places) < 2:
            continue
        module = interface.module_by_path[site.module]
        owner = module.same_as or module.path
        runs = sum(call.module == owner for call in interface.calls) or len(places)
        single = called(interface.aliases.get(owner, (owner,)), interface) if place.where == "at" else ()
        notes = ["it runs as " + ", ".join(f"`{name}`" for name in places[:6])]
        if single and set(single) != set(places):
            notes.append("its calls are " + ", ".join(f"`{name}`" for name in single[:6]))
        what, alone = "one module", "`scope = site` to change this one alone"
        if site.is_call_of_module:
            what = "one call of a module"
        elif single:
            alone = f'`scope = site` and the calls that are meant, as in `{site.word}("{single[0]}")`'
        context.say(
            Diagnostic(
                budgets.SHARED_MODULE,
                f"`{site.path}` is {what} that runs {runs} times",
                file=context.file,
                span=place.span,
                path=site.path,
                facts={"runs": runs},
                notes=tuple(notes),
                help=f"write `scope = all` to change every run of it, or {alone}",
            )
        )
        return False
    return True


def shared_places(site: Site, interface: Interface) -> list[str]:
    """Return every path, call or run of the module object that a site is; one entry where it is not shared."""
    module = interface.module_by_path.get(site.module)
    if module is None or ("#" in site.path and not site.is_call_of_module):
        return [site.path]
    owner = module.same_as or module.path
    paths = interface.aliases.get(owner, (owner,))
    if len(paths) > 1:
        return list(paths)
    runs = sum(call.module == owner for call in interface.calls)
    single = called(paths, interface)
    if len(single) == runs > 1:
        return list(single)
    return [f"{module.path} (run {n + 1})" for n in range(runs)] or [site.path]


# ---- recover -----------------------------------------------------------------------------------------------------


def _recover(state: State, step: Recover, plan: Plan) -> State:
    sink = Sink(state.file)
    effect = training_effect(state, step, plan, sink)
    state.sink.extend(sink.found)
    if sink.failed or names_broken(step, state):
        return _broken(state, step.name)
    return _note(state, step.name, effect, state.interface, None, effect.writes, "trained")


# ---- what holds for every step -----------------------------------------------------------------------------------


def _finish(
    state: State,
    step: Excise | Replace,
    effect: Effect,
    after: Interface,
    sink: Sink,
    selection: Selection | None,
    sites: tuple[Site, ...],
    hold: bookkeeping.Hold,
) -> State:
    takes = selection is None or any(taken.most for taken in selection.taken)
    if not effect.changed and sites and takes:  # that nothing was found to take is said when it happens
        sink.say(_changes_nothing(state, step, effect))
    for side in SIDES:
        if side not in step.changes:
            compare(state, step, side, after, sink)
    size_ties.compare(state.interface, after, step.name, step.span, sink)
    state.sink.extend(sink.found)
    if sink.failed:
        return _broken(state, step.name)
    writes = bookkeeping.all_writes(effect, state.interface, after)
    every = isinstance(step, Replace) and step.scope == "all"
    paths = [site.module if every and site.is_call_of_module else site.path for site in sites]
    full = effect.replaced(writes=writes, calls=called(paths, state.interface))
    return _note(state, step.name, full, after, selection, tensors_at(state.interface, sites), hold)


def _note(
    state: State,
    name: str,
    effect: Effect,
    after: Interface,
    selection: Selection | None,
    held: frozenset[str],
    hold: bookkeeping.Hold,
) -> State:
    before = state.interface
    versions = bookkeeping.versions(state.versions, before, after, selection)
    fixed = bookkeeping.global_sum(selection, before, after, versions) if selection is not None else None
    sums = (*state.sums, *bookkeeping.carried(state.sums, selection, state.versions, versions))
    held_zeros, total = bookkeeping.zeros(state.zeros, state.zeros_total, effect, before, after, hold)
    groups = bookkeeping.zero_groups(state.zero_groups, state.zeros, effect, before, after, hold)
    replaced = bookkeeping.of_base(state.base, state.history, tensors_below(before, effect.brings))
    done = replace(
        state,
        interface=after,
        effects={**state.effects, name: effect},
        history=(*state.history, (name, effect)),
        brought=bookkeeping.brought(state.brought, name, effect, after),
        zeros=held_zeros,
        zeros_total=(max(total[0], bookkeeping.least_zeros(groups, held_zeros)), total[1]),
        zero_groups=groups,
        versions=versions,
        sums=(*sums, fixed) if fixed is not None else sums,
        coverage={**state.coverage, name: bookkeeping.coverage(before, held)},
        held={**state.held, name: state.held.get(name, frozenset()) | replaced},
        broken=state.broken - {name},
    )
    return done.ran(name, state)


def _changes_nothing(state: State, step: Excise | Replace, effect: Effect) -> Diagnostic:
    span = step.transform.span if isinstance(step, Replace) else step.mode.span or step.span
    return Diagnostic(
        budgets.CHANGES_NOTHING,
        f"`{step.name}` matches {effect.matched} sites and would change none of them",
        file=state.file,
        span=span or step.span,
        facts={"matched": effect.matched, "changed": effect.changed},
        notes=(effect.reason,) if effect.reason else (),
        help="remove the step, or name what it should become",
    )
