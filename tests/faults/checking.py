"""A folder to check plans in, where the network of each plan is traced once."""

import hashlib
import re
import warnings
from pathlib import Path

import pytest

from benchmarks.zoo import vision_stub
from surgery_dsl.run.prepare import Checked, check
from tests.faults.architectures import CONFIGS, write_configs

FIRST_STEP = re.compile(r"^(?:param|recover|identify|excise|replace|control) ", re.MULTILINE)


class Workplace:
    """Checks plans; locks are kept by the text above a plan's first step. Final."""

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "plan.surg"
        self._locks = folder / "locks"
        self._locks.mkdir()
        self._known: dict[str, Checked] = {}
        write_configs(folder)
        patients = Path(__file__).with_name("patients.py")
        (folder / patients.name).write_text(patients.read_text(encoding="utf-8"), encoding="utf-8")

    def once(self, text: str) -> Checked:
        """Check a plan that several tests look at."""
        if text not in self._known:
            self._known[text] = self.check(text)
        return self._known[text]

    def check(self, text: str, fixes: bool = True) -> Checked:
        """Check a plan from its text; look for edits only where these are asked for."""
        first = FIRST_STEP.search(text)
        network = text[: first.start()].rstrip() if first else text.rstrip()
        kept = self._locks / hashlib.sha256(network.encode()).hexdigest()
        lock = self._plan.with_name("plan.surg.lock")
        lock.unlink(missing_ok=True)
        if kept.exists():
            lock.write_bytes(kept.read_bytes())
        else:
            _import_what_builds(network)
        self._plan.write_text(text, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say of their own future while they build a network
            found = check(self._plan, allow_code=["patients:*"], fixes=fixes)
        if found.lock_made:
            kept.write_bytes(lock.read_bytes())
        return found


def _import_what_builds(network: str) -> None:
    """Skip where a library is missing; transformers must be imported before the stand-ins that timm needs."""
    if "hf_config(" in network or "timm(" in network:
        transformers = pytest.importorskip("transformers")
        for architecture, _ in CONFIGS.values():
            getattr(transformers, architecture)
    if "timm(" in network:
        vision_stub.install()
        pytest.importorskip("timm")
