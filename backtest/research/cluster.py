"""The points of a sweep on a Ray cluster: the histories once to every node, blocks of points to whoever is free.

A block is some seconds of work, so that handing it out costs nothing beside it and a killed worker loses little: its
block is lived again elsewhere, and rows come back with their block or not at all, so none is lost or there twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from backtest.errors import InputError
from backtest.research.trials import Row, Task, Trials

BLOCK_S = 3.0  # of work in a block
RETRIES = 5  # of a block whose worker died


def ray_rows(tasks: Sequence[Task], trials: Trials, workers: int, address: str | None) -> Iterator[Row]:
    """Rows as their blocks are done. `address` of a cluster; None: one on this machine with so many workers.

    The first point is lived here: it compiles what is not yet compiled, and says how long a point takes.
    InputError without ray.
    """
    ray = _ray()
    started = time.perf_counter()
    yield trials.live(tasks[0])
    size = max(1, int(BLOCK_S / max(1e-3, time.perf_counter() - started)))
    rest = tasks[1:]
    if not rest:
        return
    size = min(size, max(1, len(rest) // (4 * workers)))
    begun = not ray.is_initialized()
    if begun:
        options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
        ray.init(**options, log_to_driver=False, logging_level="ERROR")
    try:
        yield from _blocks(ray, rest, trials, size)
    finally:
        if begun:
            ray.shutdown()


def _blocks(ray: Any, tasks: Sequence[Task], trials: Trials, size: int) -> Iterator[Row]:
    held = ray.put(trials)
    live = ray.remote(max_retries=RETRIES)(live_block)
    waiting = [live.remote(held, list(tasks[k : k + size])) for k in range(0, len(tasks), size)]
    while waiting:
        ready, waiting = ray.wait(waiting)
        for block in ready:
            yield from ray.get(block)


def live_block(trials: Trials, tasks: Sequence[Task]) -> list[Row]:
    """The rows of some points, on whatever node this runs."""
    return [trials.live(task) for task in tasks]


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise InputError(
            "engine = 'ray' needs ray, which is not installed: pip install 'collateral-backtest[ray]'; or leave it out"
        ) from None
    return ray
