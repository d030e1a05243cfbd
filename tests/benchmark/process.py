"""Processes of the benchmark: how long one takes from its start to its end, and the most memory it ever held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
clock = time.process_time
"""Seconds of the processor: where others share the machine, a wall clock would measure them too."""
WATCHER = """
import json, os, sys, time
begun = time.perf_counter()
_, status, used = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0)
seconds, code = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
told = {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024, "code": code}
open(os.environ["WATCHED"], "w").write(json.dumps(told))
"""
"""A small process between: a child's peak counts what its parent held when it was forked."""


def peak_mb() -> float:
    """The most memory this process has held at once, in megabytes (of 1,048,576 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1024 * 1024 if sys.platform == "darwin" else 1024)


def watched(command: Sequence[str], folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, float]:
    """Seconds, seconds of processor and peak memory of one process, run from the project's folder; what it says goes to
    `folder`.
    """
    told = folder / "watched.json"
    environment = {**os.environ, "WATCHED": str(told), **(extra or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as a user's machine: what was read once is there compiled
    with (folder / "output.txt").open("w", encoding="utf-8") as output:
        subprocess.run(
            [sys.executable, "-S", "-c", WATCHER, *command], cwd=ROOT, env=environment, stdout=output, stderr=output,
            check=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(told.read_text(encoding="utf-8"))
    if found["code"] != 0:
        said = (folder / "output.txt").read_text(encoding="utf-8")
        raise RuntimeError(f"{' '.join(command)} ended with {found['code']}: {said[-2000:]}")
    return found


def memory_of(workload: str) -> tuple[float, str]:
    """The most memory one run takes in a process of its own, and in words what of it came before the run."""
    command = [sys.executable, "-m", "tests.benchmark.once", workload]
    told = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    return told["peak_mb"], f"memory: {told['before_mb']:,.0f} MB before the run begins, the history made and laid out"


class Peer:
    """vectorbt in a process of its own, asked for one run at a time."""

    def __init__(self, workload: str) -> None:
        command = [sys.executable, "-m", "tests.benchmark.peer", workload]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self) -> dict[str, Any]:
        """Seconds, final equity, peak memory so far."""
        assert self.process.stdin and self.process.stdout
        print("run", file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "vectorbt's process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let it go."""
        self.process.communicate(timeout=60)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and the processor seconds of this process that it took."""
    started = clock()
    answer = function()
    return answer, clock() - started


def waited(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and how long one waits for it: for what reads files or runs in several processes."""
    started = time.perf_counter()
    answer = function()
    return answer, time.perf_counter() - started
