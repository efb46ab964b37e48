"""Deciding ``measure`` lines with ``confidence``: from the values of untouched examples to a verdict and its evidence.

A line has passed where its bound keeps the limit, has failed where the bound from the other side breaks it, and is too
weak where neither does. What the line says was fixed before a value was seen: the limit and the clip by the plan, the
examples by the lock, their order by both.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction

import torch
from safetensors.torch import save
from torch import Tensor

from surgery_dsl.certificate.evidence import SampledTerm, StatisticalEvidence
from surgery_dsl.certificate.wording import BY_STATISTICS, point_words, population_words, rounded, sampled_words
from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.evidence.statistics.deciding import Bounds, Sample, bounds, needed
from surgery_dsl.evidence.statistics.order import seed_of
from surgery_dsl.evidence.statistics.recheck import FOLDER
from surgery_dsl.language.plan import Control, Obligation
from surgery_dsl.proof import statistical
from surgery_dsl.proof.searching import chosen_text
from surgery_dsl.proof.verdict import Verdict, exact_text, verdict_of
from surgery_dsl.run.points import Values
from surgery_dsl.run.session import Session
from surgery_dsl.vocabulary.values import number_text


@dataclass(frozen=True)
class Shown:
    """What a line with confidence came to.

    Attributes:
        verdict: ``passed``, ``failed`` or ``too weak``.
        findings: What to report.
        evidence: What it rests on; ``None`` where nothing was computed.
        content: The file of values.
    """

    verdict: Verdict
    findings: tuple[Diagnostic, ...] = ()
    evidence: StatisticalEvidence | None = None
    content: bytes = b""


def decide(control: Control, obligation: Obligation, values: Values, session: Session) -> Shown:
    """Bound one line on its data.

    Raises:
        Refused: The network fails while it is measured.
    """
    return _Line(control, obligation, values, session).shown()


class _Line:
    """One line with confidence. Final."""

    def __init__(self, control: Control, obligation: Obligation, values: Values, session: Session) -> None:
        self.block, self.obligation, self.values, self.session = control.name, obligation, values, session
        self.form = statistical.form_of(obligation, session.data_facts, session.file)
        self.facts = session.data_facts[self.form.data]
        self.joint = statistical.sharing(session.plan)

    def shown(self) -> Shown:
        rows = self.session.touched.examples(self.session.data(self.form.data))
        overlap = self._overlap(rows)
        if overlap is not None:
            verdict = self._verdict("failed").replaced(reason="examples of the evidence made the network")
            return Shown(verdict, (overlap,))
        sample = self._sample()
        if not sample.finite:
            return self._not_finite(sample)
        found = bounds(sample)
        evidence, content = self._evidence(sample, found, rows)
        return self._judged(sample, found, evidence, content)

    def _sample(self) -> Sample:
        form = self.form
        items = torch.stack([self.values.items(term.point, term.word) for term in form.terms])
        return Sample(
            items=items,
            factors=tuple(term.factor for term in form.terms),
            clip=form.clip,
            low=form.low,
            high=form.high,
            threshold=form.threshold,
            counts=form.counted(self.facts),
            below=form.relation in ("<=", "<"),
            risk=statistical.risk(form, self.session.plan),
            seed=seed_of(self.facts.digest, self.obligation.text),
        )

    # ---- what is no evidence -------------------------------------------------------------------------------------

    def _overlap(self, rows: Tensor) -> Diagnostic | None:
        """Report examples of the evidence that some step, or an earlier plan, has read."""
        session = self.session
        made = session.touched.rows(session.data)
        names = {one.digest: one for one in session.touched.record(session.data_facts)}
        for digest, others in made.items():
            shared = int(torch.isin(rows, others).sum())
            if not shared:
                continue
            one = names.get(digest)
            by = f" by `{'`, `'.join(one.steps)}`" if one is not None else ""
            where = f"`{one.name}`" if one is not None else "the data of an earlier result"
            return Diagnostic(
                runs.EVIDENCE_OVERLAPS,
                f"{shared} of the {len(rows)} examples of `{self.form.data}` stand in {where}, which was read{by}",
                file=session.file,
                span=self.obligation.span,
                facts={"shared": shared, "examples": len(rows)},
                notes=("a network does better on the examples that made it than on the population",),
                help="measure on examples that no step has read, or leave `confidence` out",
            )
        return None

    def _not_finite(self, sample: Sample) -> Shown:
        bad = int((~sample.items.isfinite().all(0)).sum())
        text = f"the values of {bad} of {sample.items.shape[1]} examples are not finite"
        finding = Diagnostic(
            runs.GATE_FAILED,
            f"`{self.obligation.text}` does not hold: {text}",
            file=self.session.file,
            span=self.obligation.span,
            facts={"examples": bad},
            help="change less, or recover longer",
        )
        return Shown(self._verdict("failed").replaced(reason=text), (finding,))

    # ---- verdict -------------------------------------------------------------------------------------------------

    def _verdict(self, status: str) -> Verdict:
        verdict = verdict_of(self.obligation, self.block, "metric", "failed", BY_STATISTICS)
        return verdict.replaced(status=status, facts={"n": self.facts.count})

    def _judged(self, sample: Sample, found: Bounds, evidence: StatisticalEvidence, content: bytes) -> Shown:
        limit, bound, other = self.form.limit, Fraction(found.bound), Fraction(found.opposite)
        numbers = {
            "value": exact_text(bound),
            "limit": exact_text(limit),
            "margin": exact_text(limit - bound if sample.below else bound - limit),
        }
        relation = self.form.relation
        if _holds(relation, bound, limit):
            verdict = self._verdict("passed").replaced(**numbers, reason=evidence.says)
            return Shown(verdict, (), evidence, content)
        if not _holds(relation, other, limit):
            verdict = self._verdict("failed").replaced(**numbers, reason=f"{evidence.says} {self._other(found)}")
            return Shown(verdict, (self._failed(evidence, found),), evidence, content)
        count = needed(sample, limit)
        resolves = (
            f"about {count:,} examples like these could show it"
            if count is not None
            else "the examples' own value breaks the limit, so that more like them would not show it"
        )
        verdict = self._verdict("too weak").replaced(**numbers, reason=f"{evidence.says} {resolves}")
        return Shown(verdict, (self._too_weak(evidence, count, resolves),), evidence, content)

    def _other(self, found: Bounds) -> str:
        below = self.form.relation in (">=", ">")
        return f"It is {'at most' if below else 'at least'} {rounded(found.opposite, up=below)}."

    def _failed(self, evidence: StatisticalEvidence, found: Bounds) -> Diagnostic:
        return Diagnostic(
            runs.GATE_FAILED,
            f"`{self.obligation.text}` does not hold: {self._other(found)[0].lower()}{self._other(found)[1:-1]}, "
            f"the limit is {number_text(self.form.limit)}",
            file=self.session.file,
            span=self.obligation.span,
            facts={"value": found.value, "limit": float(self.form.limit), "examples": evidence.count},
            notes=(evidence.says,),
            help="change less, recover longer, or relax the limit",
        )

    def _too_weak(self, evidence: StatisticalEvidence, count: int | None, resolves: str) -> Diagnostic:
        bound = rounded(float.fromhex(evidence.bound), up=self.form.relation in ("<=", "<"))
        facts: dict[str, str | int | float] = {"examples": evidence.count, "limit": float(self.form.limit)}
        if count is None:
            return self._too_weak_finding(evidence, bound, resolves, facts, "change less, or relax the limit")
        facts["needed"] = count
        ways = [f"about {count:,} examples", "a wider margin", "less confidence"]
        if self.form.clip is not None:
            ways.insert(1, f"a smaller clip than {self.form.clip:g}")
        fix = f"use {', '.join(ways[:-1])} or {ways[-1]}"
        return self._too_weak_finding(evidence, bound, resolves, facts, fix)

    def _too_weak_finding(
        self,
        evidence: StatisticalEvidence,
        bound: str,
        resolves: str,
        facts: dict[str, str | int | float],
        fix: str,
    ) -> Diagnostic:
        return Diagnostic(
            runs.GATE_TOO_WEAK,
            f"`{self.obligation.text}` cannot be decided by {evidence.count} examples: the bound is {bound}, "
            f"the limit {number_text(self.form.limit)}; {resolves}",
            file=self.session.file,
            span=self.obligation.span,
            facts=facts,
            notes=(evidence.says,),
            help=fix,
        )

    # ---- evidence ------------------------------------------------------------------------------------------------

    def _evidence(self, sample: Sample, found: Bounds, rows: Tensor) -> tuple[StatisticalEvidence, bytes]:
        form = self.form
        content = save({"terms": sample.items.contiguous(), "rows": rows})
        line = 0 if self.obligation.span is None else self.obligation.span.line
        evidence = StatisticalEvidence(
            population=self._population(),
            says="",
            form=form.kind,
            method=found.method,
            relation=form.relation,
            data=form.data,
            data_digest=self.facts.digest,
            count=len(rows),
            distinct=len(set(rows.tolist())),
            confidence=str(form.confidence),
            joint=self.joint,
            risk=str(sample.risk),
            terms=tuple(
                SampledTerm(factor=str(term.factor), quantity=term.word.written(), point=point_words(term.point))
                for term in form.terms
            ),
            clip="" if form.clip is None else str(Fraction(str(form.clip))),
            low=str(form.low),
            high=str(form.high),
            threshold="" if form.threshold is None else str(form.threshold),
            seed=sample.seed,
            value=found.value.hex(),
            bound=found.bound.hex(),
            opposite=found.opposite.hex(),
            bernstein="" if found.bernstein is None else found.bernstein.hex(),
            limit=str(form.limit),
            items=hashlib.sha256(content).hexdigest(),
            file=f"{FOLDER}/{self.block}-line-{line}.safetensors",
            touched=self.session.touched.record(self.session.data_facts),
        )
        return evidence.replaced(says=sampled_words(evidence)), content

    def _population(self) -> str:
        text = population_words(self.facts.count, self.form.data, chosen_text(self.session.plan))
        silent = self.session.touched.earlier.silent
        return f"{text}; {', '.join(f'`{one}`' for one in silent)} does not say which data made it" if silent else text


def _holds(relation: str, value: Fraction, limit: Fraction) -> bool:
    return {"<=": value <= limit, "<": value < limit, ">=": value >= limit, ">": value > limit}[relation]
