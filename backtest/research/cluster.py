"""The points of a sweep on a Ray cluster: the histories once to every node, blocks of points to whoever is free.

A block is some seconds of work, so that handing it out costs nothing beside it and a killed worker loses little: its
block is lived again elsewhere, and rows come back with their block or not at all, so none is lost or there twice. The
points of a block that takes worker after worker down are sent one by one; the one that does so alone is a failed row.
"""

from __future__ import annotations

import pickle
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from backtest.errors import InputError
from backtest.report.points import FAILED
from backtest.research.trials import Row, Task, Trials

BLOCK_S = 3.0  # of work in a block
AHEAD = 2  # blocks under way a processor
RETRIES = 2  # of a block whose worker died

_held: dict[Any, Any] = {}
"""In a worker: what it has unpacked, the trials by their bytes and histories by their keys."""


def ray_rows(tasks: Sequence[Task], trials: Trials, workers: int, address: str | None) -> Iterator[Row]:
    """Rows as their blocks are done. `address` of a cluster; None: one on this machine with so many workers.

    InputError without ray.
    """
    ray = need_ray()
    if not tasks:
        return
    begun = not ray.is_initialized()
    if begun:
        options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
        ray.init(**options, log_to_driver=False, logging_level="ERROR")
    try:
        yield from _Blocks(ray, tasks, trials).rows()
    finally:
        if begun:
            ray.shutdown()


def need_ray() -> Any:
    """The library. InputError where it is not installed."""
    try:
        import ray
    except ImportError:
        raise InputError(
            "engine = 'ray' needs ray, which is not installed: pip install 'collateral-backtest[ray]'; or leave it out"
        ) from None
    return ray


class _Blocks:
    """Blocks under way, and the points still to be sent."""

    def __init__(self, ray: Any, tasks: Sequence[Task], trials: Trials) -> None:
        self._ray, self._waiting = ray, deque(tasks)
        self._alone: deque[Task] = deque()
        trials.lay_out()
        self._histories = {key: ray.put(prepared) for key, prepared in trials.histories.items()}
        self._trials = ray.put(ray.cloudpickle.dumps(replace(trials, histories={})))
        self._live = ray.remote(max_retries=RETRIES)(live_block)
        self._under_way: dict[Any, list[Task]] = {}
        self._point_s = BLOCK_S  # what a point takes; single ones are sent until it is known
        self._processors = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def rows(self) -> Iterator[Row]:
        """Rows of all blocks, each block's at once."""
        while self._waiting or self._alone or self._under_way:
            while (self._waiting or self._alone) and len(self._under_way) < AHEAD * self._processors:
                self._send()
            ready, _ = self._ray.wait(list(self._under_way), num_returns=1)
            for reference in ready:
                yield from self._answered(reference, self._under_way.pop(reference))

    def _send(self) -> None:
        block = [self._alone.popleft()] if self._alone else self._next()
        needed = [(key, self._histories[key]) for key in dict.fromkeys(task.history for task in block)]
        self._under_way[self._live.remote(self._trials, sys.path, needed, block)] = block

    def _next(self) -> list[Task]:
        """Points for some seconds; towards the end fewer, so that nobody is left with the last large block."""
        fair = -(-len(self._waiting) // (AHEAD * self._processors))
        many = max(1, min(int(BLOCK_S / self._point_s), fair))
        return [self._waiting.popleft() for _ in range(min(many, len(self._waiting)))]

    def _answered(self, reference: Any, block: list[Task]) -> list[Row]:
        """The rows of a block; of one whose workers died none yet."""
        try:
            rows: list[Row] = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of this program: what a point does wrong is in its row
        except self._ray.exceptions.RayError as error:
            if len(block) > 1:
                self._alone.extend(block)
                return []
            how = f"the process that lived it died ({type(error).__name__}), {RETRIES + 1} times"
            return [Row(block[0].place, FAILED, f"{how}; is there enough memory?")]
        self._point_s = max(1e-3, sum(row.seconds for row in rows) / len(rows))  # of the latest: the first may compile
        return rows


def live_block(
    packed: bytes, path: Sequence[str], histories: Sequence[tuple[str, Any]], block: list[Task]
) -> list[Row]:
    """In a worker: the rows of a block. Strategies are looked for where the sweep was started from."""
    import ray

    sys.path.extend(each for each in path if each not in sys.path)
    if packed not in _held:
        _held.clear()  # another sweep's
        _held[packed] = pickle.loads(packed)
    for key, reference in histories:
        if key not in _held:
            _held[key] = ray.get(reference)
    trials: Trials = replace(_held[packed], histories={key: _held[key] for key, _ in histories})
    return [trials.live(task) for task in block]
