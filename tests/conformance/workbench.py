"""A folder with everything that the plans of the suite name, and locks that are made once for each network."""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file, save_model

from benchmarks.zoo import vision_stub
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.lock import make_lock
from tests.conformance import networks
from tests.conformance.words import Entry

GRANTS = Grants(patterns=("*",))
FILE = "plan.surg"


class Workbench:
    """The folder that the plans stand in. Final."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks: dict[str, Lock] = {}
        self._folders = 0
        self._accepted: dict[Entry, list[Path]] = {}
        # A file that only hands on: the plans' code is compiled anew for every run, and there are many runs.
        (folder / "networks.py").write_text(f"from {networks.__name__} import *\n", encoding="utf-8")
        for name in networks.INPUTS:
            save_model(getattr(networks, name)(), str(folder / f"{name}.safetensors"))
        (folder / "words.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 4, encoding="utf-8")
        pairs = "".join(f'{{"prompt": "{n}+1", "completion": "={n + 1}"}}\n' for n in range(32))
        (folder / "pairs.jsonl").write_text(pairs, encoding="utf-8")
        inputs, labels = networks.data(count=32)
        save_file({"x": inputs, "y": labels}, folder / "examples.safetensors")
        import numpy as np

        np.savez(folder / "examples.npz", x=inputs.numpy(), y=labels.numpy())
        _checkpoint(folder / "checkpoint")
        vision_stub.install()  # timm does not import without torchvision

    def new_folder(self) -> Path:
        """Make an empty folder."""
        self._folders += 1
        made = self.folder / f"result{self._folders}"
        made.mkdir()
        return made

    def read(self, text: str) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
        """Lower a plan that stands in this folder."""
        return read_plan(text, str(self.folder / FILE))

    def accepted(self, entry: Entry) -> list[Path]:
        """Return the templates in which ``check`` has nothing against the example."""
        if entry not in self._accepted:
            self._accepted[entry] = [path for path in entry.templates() if not self.errors(entry.example(path))]
        return self._accepted[entry]

    def template(self, entry: Entry) -> Path:
        """Return where the example stands; where it stands nowhere, the plainest template, whose findings tell why."""
        return next(iter(self.accepted(entry)), entry.templates()[0])

    def example(self, entry: Entry) -> str:
        """Return the plan with a word's example."""
        return entry.example(self.template(entry))

    def errors(self, text: str) -> list[Diagnostic]:
        """Return what refuses a plan before it runs."""
        return [found for found in self.findings(text) if found.severity == "error"]

    def lock(self, plan: Plan) -> Lock:
        """Return the lock of a plan; plans with the same models and data share it."""
        key = plan.replaced(steps=(), digest="", params=()).model_dump_json(exclude={"spans", "span"})
        if key not in self._locks:
            self._locks[key] = make_lock(plan, self.folder, GRANTS)
        return self._locks[key]

    def findings(self, text: str) -> tuple[Diagnostic, ...]:
        """Return what reading, locking and checking a plan find, in the order a user meets it."""
        plan, found = self.read(text)
        if plan is None:
            return found
        try:
            lock = self.lock(plan)
        except Refused as refused:
            return (*found, *refused.diagnostics)
        from surgery_dsl.proof.check import check

        return (*found, *check(plan, lock).diagnostics)


def _checkpoint(folder: Path) -> None:
    """Write a small language model as transformers does."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=37, num_key_value_heads=2, max_position_embeddings=32, **sizes)
    config.architectures = ["LlamaForCausalLM"]
    model = LlamaForCausalLM(config)
    folder.mkdir()
    (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
    save_model(model, str(folder / "model.safetensors"))


@cache
def single_threaded() -> None:
    """Small networks are slower on several threads, and other tests want the cores."""
    torch.set_num_threads(1)
