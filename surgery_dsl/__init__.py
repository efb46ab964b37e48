"""Plans for operating on trained neural networks: proved before, transactional while, certified after.

The functions below return values and never print; what is wrong with a plan comes back as diagnostics.

- :func:`lock` traces the models of a plan and writes its lock file.
- :func:`check` proves a plan from the plan and its lock, without torch.
- :func:`plan` says what a plan would change, with reasons, and saves it for review.
- :func:`diff` says what a change to a plan loosens.
- :func:`search` chooses the value that a plan's ``search`` asks for, and writes the plan with it.
- :func:`apply` executes a plan, or a saved one, and writes a result directory, or nothing.
- :func:`replay` runs both networks again on an input that stands against a ``certify`` line.
- :func:`verify` checks a result directory again.
- :func:`load` rebuilds the network of a result directory, without pickle.
- :func:`operator_rule`, :func:`operator_signature` and :func:`module_signature` say how axes flow through operators and
  modules of your own (``docs/operators.md``).
- :func:`export` writes it as a ``torch.export`` or ONNX program.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgery_dsl.report.same import verify
    from surgery_dsl.run.apply import apply
    from surgery_dsl.run.difference import diff
    from surgery_dsl.run.export import export
    from surgery_dsl.run.planning import plan
    from surgery_dsl.run.prepare import check, lock
    from surgery_dsl.run.restore import load
    from surgery_dsl.run.searching import search
    from surgery_dsl.run.witness import replay
    from surgery_dsl.trace.declared import module_signature, operator_rule, operator_signature

__all__ = [
    "apply",
    "check",
    "diff",
    "export",
    "load",
    "lock",
    "module_signature",
    "operator_rule",
    "operator_signature",
    "plan",
    "replay",
    "search",
    "verify",
]

_WHERE = {
    "apply": "surgery_dsl.run.apply",
    "check": "surgery_dsl.run.prepare",
    "diff": "surgery_dsl.run.difference",
    "export": "surgery_dsl.run.export",
    "load": "surgery_dsl.run.restore",
    "lock": "surgery_dsl.run.prepare",
    "module_signature": "surgery_dsl.trace.declared",
    "operator_rule": "surgery_dsl.trace.declared",
    "operator_signature": "surgery_dsl.trace.declared",
    "plan": "surgery_dsl.run.planning",
    "search": "surgery_dsl.run.searching",
    "replay": "surgery_dsl.run.witness",
    "verify": "surgery_dsl.report.same",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for: none of them loads torch before it is called."""
    if name not in _WHERE:
        raise AttributeError(f"module 'surgery_dsl' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)
