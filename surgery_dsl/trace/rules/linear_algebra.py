"""Factorisations, inverses and solutions of systems: each matrix of a batch by itself."""

from surgery_dsl.trace.atoms import Product, flat
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import State, Step


@rule(
    "_linalg_solve_ex",
    "linalg_inv_ex",
    "linalg_cholesky_ex",
    "_linalg_det",
    "_linalg_slogdet",
    "_linalg_eigh",
    "_linalg_svd",
    "linalg_qr",
    "linalg_lu_factor_ex",
    "linalg_matrix_exp",
    "linalg_pinv",
)
def of_matrices(step: Step) -> Outcome | None:
    """Dimensions in front count matrices; rows and columns keep their sizes, for all entries depend on all."""
    states = [step.states[ref] for ref in step.records[0].reads]
    if any(len(state.dims) < 2 for state in states):
        return None
    lead = _in_front(step, states)
    for state in states:
        for dim in state.dims[-2:]:
            step.axes.freeze(dim, f"{step.axes.operator} depends on all of it ({step.axes.place})")
    reason = f"{step.axes.operator} makes it ({step.axes.place})"
    out = [[*lead, *(step.axes.fresh(size, reason) for size in sizes[len(lead) :])] for sizes in step.output_sizes]
    return Outcome(out, settings=step.scalars())


def _in_front(step: Step, states: list[State]) -> list[Product]:
    """Join the dimensions in front of the matrices, which may be broadcast."""
    lead: list[Product] = [[] for _ in range(max(len(state.dims) for state in states) - 2)]
    for state in states:
        for back, dim in enumerate(reversed(state.dims[:-2]), 1):
            if flat(dim) and flat(lead[-back]):
                step.axes.unify(lead[-back], dim)
            elif flat(dim):
                lead[-back] = dim
    return lead


@rule("linalg_solve_triangular", "cholesky_solve")
def solve(step: Step) -> Outcome:
    """A system for each column (each row, where the matrix stands on the right): these are free."""
    triangular = step.operation.name == "linalg_solve_triangular"
    matrix, given = (step.of("self"), step.of("B")) if triangular else (step.of("input2"), step.of("self"))
    left = step["left"] if triangular else True
    lead = _in_front(step, [matrix, given])
    mixed = given.dims[-2 if left else -1]
    step.axes.unify(matrix.dims[-1], mixed)
    for dim in (*matrix.dims[-2:], mixed):
        step.axes.freeze(dim, f"{step.axes.operator} depends on all of it ({step.axes.place})")
    return Outcome([[*lead, *given.dims[-2:]]], settings=step.scalars())
