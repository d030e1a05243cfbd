"""Who lives the points: this process, or several beside it that share the histories.

Compiled code lets go of Python's lock, yet most of a run is Python's own (a strategy's decisions, frames, figures), so
threads would take turns: points are lived in processes. Where the system can fork, a worker sees the parent's
histories as they lie in memory; elsewhere they are written to one file that every worker maps, copying nothing.

A worker holds one point at a time. Where it dies (killed, out of memory), that point is given to a new one; a point
that takes a second worker down is a failed row.
"""

from __future__ import annotations

import mmap
import multiprocessing
import pickle
import signal
import struct
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from backtest.errors import InputError
from backtest.report.points import FAILED
from backtest.research.trials import Place, Row, Task, Trials

START = "fork" if sys.platform == "linux" else "spawn"
DEATHS = 2  # of workers, after which the point they held is to blame
ALIGNED = 64


def local_rows(tasks: Sequence[Task], trials: Trials, workers: int, start: str = START) -> Iterator[Row]:
    """Rows as they are ready, in no order. With one worker the points are lived here, one after the other."""
    if min(workers, len(tasks)) < 2:
        yield from map(trials.live, tasks)
        return
    with tempfile.TemporaryDirectory(prefix="backtest-sweep-") as folder:
        trials.lay_out()
        handed: Trials | Path = trials
        if start != "fork":
            handed = Path(folder) / "trials"
            check_importable(trials)
            write_pack(trials, handed)
        crew = _Crew(handed, min(workers, len(tasks)), start)
        try:
            yield from crew.rows(tasks)
        finally:
            crew.dismiss()


def check_importable(trials: Trials) -> None:
    """InputError for a strategy that another process could not find again."""
    kind = trials.base.config.strategy.class_
    if isinstance(kind, type) and kind.__module__ == "__main__":
        raise InputError(
            f"{kind.__name__} is defined in a notebook or script, where worker processes cannot find it; "
            "put it into a module, or sweep with workers = 1"
        )


class _Worker:
    """One process and its end of the pipe; `task` is what it lives now."""

    def __init__(self, context: Any, handed: Trials | Path, others: Sequence[Connection]) -> None:
        """`others`: the parent's ends of the other pipes, where a forked process would have them too."""
        self.pipe, theirs = context.Pipe()
        not_its_own = [*others, self.pipe] if context.get_start_method() == "fork" else []
        self.process = context.Process(target=_serve, args=(theirs, handed, not_its_own), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(OSError):  # it has died: found when its row is waited for
            self.pipe.send(task)

    def answer(self) -> Row | None:
        """The row of its task, None where the process has died over it."""
        try:
            answered: Row | BaseException = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answered, BaseException):
            raise answered
        return answered


class _Crew:
    """Some workers, each replaced when it dies."""

    def __init__(self, handed: Trials | Path, many: int, start: str) -> None:
        self._context, self._handed = multiprocessing.get_context(start), handed
        self.deaths: Counter[Place] = Counter()
        self.workers: list[_Worker] = []
        for _ in range(many):
            self.workers.append(self._hired())

    def _hired(self) -> _Worker:
        return _Worker(self._context, self._handed, [worker.pipe for worker in self.workers if not worker.pipe.closed])

    def rows(self, tasks: Sequence[Task]) -> Iterator[Row]:
        waiting = deque(tasks)
        while True:
            for worker in self.workers:
                if worker.task is None and waiting:
                    worker.give(waiting.popleft())
            busy = {worker.pipe: k for k, worker in enumerate(self.workers) if worker.task is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                k = busy[pipe]
                task, row = self.workers[k].task, self.workers[k].answer()
                assert task is not None
                self.workers[k].task = None
                if row is None:
                    row = self._buried(k, task, waiting)
                if row is not None:
                    yield row

    def _buried(self, k: int, task: Task, waiting: deque[Task]) -> Row | None:
        """Replace a dead worker; its point is lived again, or is a failed row if it has done this before."""
        process = self.workers[k].process
        process.join()
        self.workers[k].pipe.close()
        self.workers[k] = self._hired()
        self.deaths[task.place] += 1
        if self.deaths[task.place] < DEATHS:
            waiting.appendleft(task)
            return None
        return Row(task.place, FAILED, died_words(process.exitcode))

    def dismiss(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()


def died_words(code: int | None) -> str:
    """Why a point has no figures whose process died, every time."""
    how = f"ended with code {code}"
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    return f"the process that lived it {how}, {DEATHS} times; is there enough memory?"


def _serve(pipe: Connection, handed: Trials | Path, not_its_own: Sequence[Connection]) -> None:
    """A worker's life: take a task, send its row, until the parent hangs up or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted as well, and ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for each in not_its_own:  # held open here, they would hide from all workers that the parent was killed
        each.close()
    try:
        trials = open_pack(handed) if isinstance(handed, Path) else handed
    except Exception as error:
        pipe.send(RuntimeError(f"a worker could not start: {type(error).__name__}: {error}"))
        return
    with suppress(EOFError, OSError):
        while True:
            pipe.send(trials.live(pipe.recv()))


def write_pack(trials: Trials, path: Path) -> None:
    """Trials as one file: the objects, then every array, aligned, to be mapped and not read."""
    buffers: list[pickle.PickleBuffer] = []
    arrays: list[memoryview] = []
    objects = pickle.dumps(trials, protocol=5, buffer_callback=buffers.append)
    arrays = [memoryview(objects), *(each.raw() for each in buffers)]
    with path.open("wb") as file:
        file.write(struct.pack(f"<{len(arrays) + 1}q", len(arrays), *(each.nbytes for each in arrays)))
        for each in arrays:
            file.write(b"\0" * (-file.tell() % ALIGNED))
            file.write(each)


def open_pack(path: Path) -> Trials:
    """Trials whose arrays lie in the file: pages are shared by all who map it, and a private copy once written to."""
    with path.open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    (many,) = struct.unpack_from("<q", mapped)
    at, parts = 8 * (many + 1), []
    for length in struct.unpack_from(f"<{many}q", mapped, 8):
        at += -at % ALIGNED
        parts.append(mapped[at : at + length])
        at += length
    trials: Trials = pickle.loads(parts[0], buffers=parts[1:])
    return trials
