"""The points of a sweep: which settings are tried together, and the run that each of them is."""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.config import RunConfig, Sweep, load_config
from backtest.config.sweep import Sample
from backtest.research.settings import check_path, put_all
from backtest.strategy.strategy import Strategy, load_class

Point = dict[str, Any]
"""Values by path."""


def points_of(sweep: Sweep) -> list[Point]:
    """Every point, in the order they are counted in: grid (its last path moves first), list, random, Latin hypercube.

    What comes up twice is tried once.
    """
    once: dict[str, Point] = {}
    for point in [*_grid(sweep.grid), *sweep.list_, *_random(sweep.random), *_latin_hypercube(sweep.latin_hypercube)]:
        once.setdefault(json.dumps(point, sort_keys=True, default=str), point)
    return list(once.values())


def _grid(values: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    if values:
        for row in product(*values.values()):
            yield dict(zip(values, row, strict=True))


def _random(sample: Sample | None) -> Iterator[Point]:
    if sample is not None:
        yield from _drawn(sample, np.random.default_rng(sample.seed).random((sample.n, len(sample.ranges))))


def _latin_hypercube(sample: Sample | None) -> Iterator[Point]:
    """One value in each n-th of every range, paired at random."""
    if sample is not None:
        from scipy.stats import qmc

        cube = qmc.LatinHypercube(len(sample.ranges), seed=np.random.default_rng(sample.seed))
        yield from _drawn(sample, cube.random(sample.n))


def _drawn(sample: Sample, shares: npt.NDArray[np.float64]) -> Iterator[Point]:
    for row in shares:
        yield {path: each.at(float(share)) for (path, each), share in zip(sample.ranges.items(), row, strict=True)}


def paths_of(points: Sequence[Point]) -> list[str]:
    """The settings that are tried, in the order they first come up."""
    return list(dict.fromkeys(path for point in points for path in point))


def strategies_of(points: Sequence[Point], config: RunConfig) -> list[type[Strategy]]:
    """Every strategy that is run: the config's, and those that points name. InputError for one that is not found."""
    named = [config.strategy.class_, *(point["strategy.class"] for point in points if "strategy.class" in point)]
    return [load_class(each) for each in dict.fromkeys(named)]


def source_digests(strategies: Sequence[type[Strategy]]) -> dict[str, str]:
    """SHA-256 of the files that strategies are written in, those they inherit from included; by `module:Class`.

    A class typed into a session has no file, and is "unknown".
    """
    kinds = [
        each for kind in strategies for each in kind.__mro__ if issubclass(each, Strategy) and each is not Strategy
    ]
    return {f"{kind.__module__}:{kind.__qualname__}": _source_digest(kind) for kind in dict.fromkeys(kinds)}


def _source_digest(kind: type) -> str:
    try:
        file = inspect.getsourcefile(kind)
        return "unknown" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return "unknown"


def check_points(points: Sequence[Point], config: RunConfig) -> None:
    """InputError for a path that no setting of the run has, with the nearest one."""
    strategies, resolved = strategies_of(points, config), config.resolved()
    for path in paths_of(points):
        check_path(path, resolved, strategies)


class Base:
    """A sweep's own run, from which every point's run is made."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self._settings = pickle.dumps(config.resolved())  # copied for every point, and read faster than copied

    def at(self, point: Point) -> RunConfig:
        """The run with a point's values, validated as any run's. InputError in the words of a config's mistakes."""
        settings = pickle.loads(self._settings)
        settings["strategy"]["class"] = self.config.strategy.class_  # the class itself, where it was given
        put_all(settings, point)
        config = load_config(settings)
        config.data._beside = self.config.data._beside
        return config
