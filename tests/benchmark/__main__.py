"""`make bench`: the product beside a C program, vectorbt and plain Python, on the same history in the same minutes."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmark.around import processes
from tests.benchmark.growth import growth
from tests.benchmark.more import liquidations, real, scenarios
from tests.benchmark.process import ROOT
from tests.benchmark.rounds import Section
from tests.benchmark.screen import show
from tests.benchmark.workloads import WORKLOADS

SECTIONS: dict[str, Callable[[int, bool], Section]] = {
    **WORKLOADS,
    "process": processes,
    "scenarios": scenarios,
    "liquidations": liquidations,
    "real": real,
    "growth": growth,
}


def machine() -> dict[str, Any]:
    """What it ran on."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "pandas", "pyarrow", "vectorbt")},
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def main() -> None:
    """Run the sections asked for, show each as it ends, write everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant runs (default 3)")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections out of {', '.join(SECTIONS)}")
    parser.add_argument("--full", action="store_true", help="the long ones as well")
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "bench" / "bench.json")
    asked = parser.parse_args()
    names = asked.only.split(",")
    for name in names:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}; choose of {', '.join(SECTIONS)}")
    console, begun = Console(width=132), time.perf_counter()
    told: dict[str, Any] = {"machine": machine(), "sections": {}}
    console.print(", ".join(f"{key} {value}" for key, value in told["machine"].items() if key != "load"))
    for name in names:
        section = SECTIONS[name](asked.rounds, asked.full)
        show(section, console)
        told["sections"][name] = section.as_json()
        told["seconds"] = time.perf_counter() - begun
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    console.print(f"{told['seconds']:.0f} s in all; written to {asked.json}")
    if any(section["wrong"] for section in told["sections"].values()):
        raise SystemExit("not all ended with the reference's equity: see above")


if __name__ == "__main__":
    main()
