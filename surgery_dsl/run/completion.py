"""What a lock adds to its plan. No torch."""

from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.plan import Plan


def completed(plan: Plan, lock: Lock) -> Plan:
    """Return a plan with what its lock adds: inputs that were made from the model, weights that its loader brings."""
    locked = {model.name: model for model in lock.models}
    models = []
    for block in plan.models:
        known = locked.get(block.name)
        if known is not None and known.inputs and not block.inputs:
            block = block.replaced(inputs=known.inputs, keyword_inputs=known.keyword_inputs, inferred=True)
        if known is not None and known.weights is not None and not block.weights:
            block = block.replaced(weights=block.load.weights())
        models.append(block)
    return plan.replaced(models=tuple(models))
