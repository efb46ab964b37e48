"""What people call the words of a kind: folders have plural names, messages speak of one word."""

_TITLES = {
    "sites": 'sites such as `linear("**")`',
    "units": "a unit",
    "criteria": "a criterion",
    "takes": "a take",
    "modes": "a mode",
    "transforms": "a transform",
    "initializers": "an initializer",
    "losses": "a loss",
    "penalties": "a penalty",
    "optimizers": "an optimizer",
    "schedules": "a schedule",
    "rates": "learning rates",
    "batches": "a way to batch",
    "trainables": "what is trained",
    "quantities": "a quantity",
    "predicates": "a property",
    "regions": "a region",
    "models": "a model loader",
    "datasets": "a data loader",
    "environments": "an environment",
    "searchers": "a search method",
    "privacies": "a privacy mechanism",
    "memories": "a memory",
    "bridges": "a bridge",
}


def title(kind: str) -> str:
    """Return what one word of a kind is called: ``criteria`` gives ``a criterion``."""
    if kind in _TITLES:
        return _TITLES[kind]
    one = kind.removesuffix("s")
    return f"{'an' if one[:1] in 'aeiou' else 'a'} {one}"


def either(parts: list[str]) -> str:
    """Join alternatives: ``a, b or c``."""
    return " or ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
