"""Running every architecture in a process of its own, with limits, and writing one JSON line for each.

The parent imports the libraries once; each architecture then runs in a fork of it. An architecture that has a line
already is left out, so an interrupted run goes on where it was.
"""

import argparse
import fnmatch
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.zoo.networks import Architecture

MEMORY = 8 << 30
"""Bytes of address space that one architecture may use."""


def zoo(suite: str = "all") -> list[Architecture]:
    """Return the architectures of a suite, or of both."""
    found: list[Architecture] = []
    if suite in ("all", "transformers"):
        from benchmarks.zoo import architectures_hf

        found += architectures_hf.architectures()
    if suite in ("all", "timm"):
        from benchmarks.zoo import architectures_timm

        found += architectures_timm.architectures()
    return found


def judge(architecture: Architecture, axes: int | None, seed: int, float32: bool) -> dict[str, Any]:
    """Build, trace and judge one architecture; return its line."""
    from benchmarks.zoo.networks import prepare
    from benchmarks.zoo.oracle import Judge, carried, first_line
    from surgery_dsl.diagnostics.diagnostic import Refused
    from surgery_dsl.trace.capture import trace

    line: dict[str, Any] = {"name": architecture.name, "suite": architecture.suite, "family": architecture.family}
    try:
        network = prepare(architecture, seed)
    except Exception as error:  # noqa: BLE001 - an entry that does not build is a line of the table
        return line | {
            "unusable": f"{type(error).__name__}: {first_line(error)}",
            "trace": traceback.format_exc()[-1500:],
        }
    begin = time.process_time()
    try:
        interface = trace(network.model, network.specs, network.outputs)
    except Refused as refused:
        return line | {"refused": [f"{d.code.id}: {d.message}" for d in refused.diagnostics]}
    except Exception as error:  # noqa: BLE001 - a tracer that raises is the finding
        return line | {
            "crashed": f"{type(error).__name__}: {first_line(error)}",
            "trace": traceback.format_exc()[-1500:],
        }
    line["trace_s"] = round(time.process_time() - begin, 2)
    line["operators"] = len(interface.operators)
    frozen = [a for a in carried(interface) if interface.axes[a].frozen and (interface.exact_size(a) or 2) > 1]
    line["frozen"] = dict(Counter(interface.axes[a].frozen for a in frozen))
    try:
        oracle = Judge(network, interface, seed, float32)
    except ValueError as error:
        return line | {"unusable": str(error)}
    free = oracle.prunable()
    line["axes"] = len(free) + len(frozen)
    chosen = free if axes is None or axes >= len(free) else sorted(random.Random(seed).sample(free, axes))
    begin = time.process_time()
    line["verdicts"] = [oracle.axis(axis).data() for axis in chosen]
    line["joint"] = oracle.joint().data()
    line["judge_s"] = round(time.process_time() - begin, 2)
    return line


def _quiet() -> None:
    """Stay offline, single-threaded and silent."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def _import_all(package: str) -> None:
    """Import a package and all below it, so that every fork runs the same code."""
    import importlib
    import pkgutil

    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        importlib.import_module(module.name)


def _warm(architecture: Architecture) -> None:
    """Import what an architecture is built from, so that forks share it."""
    if architecture.suite == "transformers":
        import transformers

        getattr(transformers, architecture.name, None)


def _in_fork(architecture: Architecture, options: argparse.Namespace) -> dict[str, Any]:
    """Judge an architecture in a fork, within limits of time and memory."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(options.seconds)
            with os.fdopen(writer, "w") as out:
                json.dump(judge(architecture, options.axes, options.seed, options.float32), out)
            status = 0
        except BaseException:  # noqa: BLE001 - a fork must never return into its parent's loop
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as given:
        text = given.read()
    _, status = os.waitpid(child, 0)
    base = {"name": architecture.name, "suite": architecture.suite, "family": architecture.family}
    if status == 0 and text:
        found: dict[str, Any] = json.loads(text)
        return found
    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
    return base | {"unusable": f"more than {options.seconds} s" if late else f"the process ended with {status}"}


def main(arguments: list[str] | None = None) -> int:
    """Run the zoo; return the number of wrong verdicts, at most 99."""
    parser = argparse.ArgumentParser(prog="benchmarks.zoo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for results.jsonl")
    parser.add_argument("--suite", choices=("all", "transformers", "timm"), default="all")
    parser.add_argument("--only", action="append", help="names, as globs")
    parser.add_argument("--sample", type=int, help="so many architectures, drawn with the seed")
    parser.add_argument("--axes", default="all", help="all, or how many of each architecture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=240, help="limit for one architecture")
    parser.add_argument("--float32", action="store_true", help="run each exact removal in float32 too")
    parser.add_argument("--again", action="store_true", help="judge also what has a line already")
    options = parser.parse_args(arguments)
    options.axes = None if options.axes == "all" else int(options.axes)
    _quiet()
    for package in ("surgery_dsl.trace", "surgery_dsl.interface", "surgery_dsl.modules", "benchmarks.zoo"):
        _import_all(package)
    chosen = [
        a for a in zoo(options.suite) if not options.only or any(fnmatch.fnmatch(a.name, p) for p in options.only)
    ]
    if options.sample:
        names = sorted(a.name for a in chosen)
        drawn = set(random.Random(options.seed).sample(names, min(options.sample, len(names))))
        chosen = [a for a in chosen if a.name in drawn]
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "results.jsonl"
    done = set()
    if results.exists() and not options.again:
        done = {json.loads(text)["name"] for text in results.read_text().splitlines()}
    wrong = 0
    for number, architecture in enumerate(chosen, 1):
        if architecture.name in done:
            continue
        _warm(architecture)
        line = _in_fork(architecture, options)
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        verdicts = [*line.get("verdicts", []), *([line["joint"]] if "joint" in line else [])]
        wrong += sum(verdict["kind"] == "wrong" for verdict in verdicts)
        print(f"{number}/{len(chosen)} {architecture.name}: {summary(line)}", file=sys.stderr, flush=True)
    return min(wrong, 99)


def summary(line: dict[str, Any]) -> str:
    """Return one line of text for one result."""
    for key in ("unusable", "refused", "crashed"):
        if key in line:
            return f"{key}: {line[key]}"
    kinds = Counter(verdict["kind"] for verdict in line["verdicts"])
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
    spent = f"trace {line['trace_s']} s, judge {line['judge_s']} s"
    return f"{counts or 'no axis free'}; {sum(line['frozen'].values())} frozen; joint {line['joint']['kind']}; {spent}"
