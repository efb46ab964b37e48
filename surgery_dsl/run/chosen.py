"""A run of a plan whose search was made: the network must be the one that the search tested, and the result says so.

Data that chose can be evidence of the very claims it chose by, and of nothing else: plans that begin with the result
find it among the data that had a part in making the network.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from safetensors.torch import save

from surgery_dsl.certificate.evidence import TouchedData
from surgery_dsl.certificate.search_record import SearchRecord
from surgery_dsl.certificate.searched import read_record
from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.statistics.recheck import CHOSEN_ON
from surgery_dsl.language.plan import Search
from surgery_dsl.proof.searching import chose_on, search_of

if TYPE_CHECKING:
    from surgery_dsl.run.evidence_record import RunEvidence
    from surgery_dsl.run.prepare import Checked
    from surgery_dsl.run.session import Session


class Chosen:
    """The search that a plan names, for one run of it. Final.

    Attributes:
        record: How the value was chosen; ``None`` where nothing was searched, or the search is open.
    """

    def __init__(self, checked: "Checked") -> None:
        """Read the record, which was held against the plan already.

        Raises:
            Refused: It cannot be read any more.
        """
        self._search = None if checked.plan is None else search_of(checked.plan)
        self.record: SearchRecord | None = None
        if self._search is not None and self._search.record:
            self._path = checked.path.parent / self._search.record
            self.record = read_record(self._path)

    def refuse_other(self, session: "Session", evidence: "RunEvidence") -> None:
        """Refuse a network that is not, value for value, the one that the search accepted.

        Raises:
            Refused: It began with other weights, or measures otherwise.
        """
        found = next(self._other(session, evidence), None)
        if found is not None:
            raise Refused(found)

    def _other(self, session: "Session", evidence: "RunEvidence") -> Iterator[Diagnostic]:
        if self.record is None or self._search is None:
            return
        patient = session.plan.patient
        then = self.record.weights.get(patient.name, "")
        now = "" if session.facts is None else session.facts.digest
        if then and now and then != now:
            yield self._differs(session, f"the weights of `{patient.name}` are not those that were searched", then, now)
        samples = evidence.samples()
        for line in self.record.accepted().lines:
            items = samples[line.block, line.text].items if (line.block, line.text) in samples else "nothing"
            if items != line.items:
                text = f"`{line.text}` has other values than the network had that the search accepted"
                yield self._differs(session, text, line.items, items)

    def _differs(self, session: "Session", text: str, then: str, now: str) -> Diagnostic:
        search: Search | None = self._search
        assert search is not None
        return Diagnostic(
            trust.SEARCH_CHANGED,
            text,
            file=session.file,
            span=search.span,
            facts={"recorded": then, "found": now},
            notes=(f"recorded is {then[:16]}, found is {now[:16]}", "what was tested must be what is certified"),
            help="run `surgery-dsl search` again, on this machine and with these files",
        )

    def note(self, session: "Session", evidence: "RunEvidence") -> None:
        """Write into the result how the value was chosen, and on which examples."""
        if self.record is None or self._search is None:
            return
        evidence.search = self.record.replaced(folder=".")  # a result names no place outside of it
        evidence.files[self._search.record] = evidence.search.written()
        names = chose_on(session.plan)
        facts = session.data_facts
        evidence.touched += tuple(
            TouchedData(name=name, digest=facts[name].digest, count=facts[name].count, steps=(self._search.name,))
            for name in names
        )
        rows = {facts[name].digest: session.touched.examples(session.data(name)).sort().values for name in names}
        evidence.files[CHOSEN_ON] = save(dict(sorted(rows.items())))
