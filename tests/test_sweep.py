"""Sweeps: which points are tried, that each is a run like any other, and that nothing is lost or lived twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import backtest
from backtest.config import load_config
from backtest.errors import InputError
from backtest.research.points import points_of
from backtest.research.trials import Row
from backtest.research.walk_forward import windows_of
from backtest.research.workers import local_rows

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strategies are looked for from the project's folder."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


def config(sweep: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The hedged long of the sample over some days of June 2024, with something to try."""
    return {
        "name": "tried",
        "data": {"store": str(ROOT / "data/sample"), "start": "2024-06-01", "end": "2024-06-09"},
        "prices": {"gaps": "hold"}, "rules": {"outside": "nearest"},
        "account": [{"margin": "portfolio", "leverage": 5, "deposit": {"USDT": 30_000, "ETH": 40}}],
        "strategy": {"class": "strategies.hedged_long:HedgedLong", "params": {"hedge_share": 1.0, "band": 0.05}},
        "sweep": sweep, **changed,
    }  # fmt: skip


SHARES = {"grid": {"strategy.params.hedge_share": [0.5, 1.0], "account.margin": ["multi_asset", "portfolio"]}}


def told(points: pd.DataFrame) -> list[str]:
    """The frame less the time it took, as text: equal to the last digit or not at all."""
    return points.drop(columns="seconds").to_csv(index=False, float_format="%.17g").splitlines()


# What is tried


def drawn(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    found = load_config(config(sweep)).sweep
    assert found is not None
    return points_of(found)


def test_a_grid_tries_every_combination_and_its_last_setting_moves_first() -> None:
    assert drawn({"grid": {"a.b": [1, 2], "c": ["x", "y"]}}) == [
        {"a.b": 1, "c": "x"}, {"a.b": 1, "c": "y"}, {"a.b": 2, "c": "x"}, {"a.b": 2, "c": "y"},
    ]  # fmt: skip


def test_what_comes_up_twice_is_tried_once() -> None:
    assert drawn({"grid": {"a": [1, 2]}, "list": [{"a": 2}, {"a": 3, "b": 1}]}) == [
        {"a": 1},
        {"a": 2},
        {"a": 3, "b": 1},
    ]


def test_nested_tables_are_paths() -> None:
    assert drawn({"grid": {"strategy": {"params": {"band": [0.1]}}}}) == [{"strategy.params.band": 0.1}]


def test_drawn_points_lie_in_their_ranges_and_are_the_same_for_the_same_seed() -> None:
    sweep = {"random": {"n": 50, "seed": 4, "ranges": {"a": [1.0, 2.0], "b": {"low": 1, "high": 3, "whole": True}}}}
    points = drawn(sweep)
    assert points == drawn(sweep)
    assert all(1.0 <= point["a"] < 2.0 for point in points)
    assert {point["b"] for point in points} == {1, 2, 3}


def test_a_latin_hypercube_has_one_point_in_every_tenth_of_each_range() -> None:
    points = drawn({"latin_hypercube": {"n": 10, "seed": 1, "ranges": {"a": [0, 10], "b": [100, 200]}}})
    assert sorted(int(point["a"]) for point in points) == list(range(10))
    assert sorted(int((point["b"] - 100) / 10) for point in points) == list(range(10))


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize(
    "path, nearest",
    [
        ("strategy.params.hedge_shar", "strategy.params.hedge_share"),
        ("account.margn", "account.margin"),
        ("guards.max_utilisation", "guards.max_utilization"),
    ],
)
def test_a_setting_that_no_run_has_is_refused_with_the_nearest(path: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no setting '{path}' that could be tried; did you mean '{nearest}'"):
        backtest.sweep(config({"grid": {path: [1, 2]}}))


# A point is a run


@pytest.mark.usefixtures("in_project")
def test_a_point_has_the_figures_of_the_run_that_it_is() -> None:
    points = backtest.sweep(config(SHARES)).points
    alone = config({"grid": {"execution.slippage_bps": [0]}})
    alone["strategy"]["params"]["hedge_share"] = 0.5
    alone["account"][0]["margin"] = "multi_asset"
    del alone["sweep"]
    figures = backtest.run(alone).stats
    first = points.iloc[0]
    assert (first["strategy.params.hedge_share"], first["account.margin"]) == (0.5, "multi_asset")
    for label in ("Total Return [%]", "Fees", "Funding", "Lowest Margin Ratio", "Least Capital"):
        assert first[label] == figures[label], label


@pytest.mark.usefixtures("in_project")
def test_a_point_that_cannot_be_run_is_a_row_with_its_reason_and_not_the_end() -> None:
    found = backtest.sweep(config({"grid": {"strategy.params.hedge_share": [1.0, 5.0, 0.5]}})).points
    assert found["status"].tolist() == ["ok", "refused", "ok"]
    assert "hedge_share" in found["error"].iloc[1] and "2" in found["error"].iloc[1]


@pytest.mark.usefixtures("in_project")
def test_the_best_point_says_of_how_many_it_is_the_best() -> None:
    result = backtest.sweep(config(SHARES))
    best = result.best("Total Return [%]")
    assert best["trials"] == 4
    assert best["Total Return [%]"] == result.points["Total Return [%]"].max()
    with pytest.raises(InputError, match="no statistic 'Sharp' to choose by; did you mean 'Sharpe'"):
        result.best("Sharp")


# Whoever lives them


@pytest.mark.usefixtures("in_project")
def test_two_workers_find_what_one_does_to_the_last_digit() -> None:
    assert told(backtest.sweep(config(SHARES), workers=2).points) == told(backtest.sweep(config(SHARES)).points)


@pytest.mark.usefixtures("in_project")
def test_an_interrupted_sweep_goes_on_and_lives_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lived: list[int] = []

    def stopping(tasks: Any, trials: Any, workers: int) -> Iterator[Row]:
        for task in tasks:
            if len(lived) == 3:
                raise KeyboardInterrupt
            lived.append(task.point)
            yield trials.live(task)

    monkeypatch.setattr("backtest.research.sweep.local_rows", stopping)
    with pytest.raises(KeyboardInterrupt):
        backtest.sweep(config(SHARES), out=tmp_path / "out")
    assert not (tmp_path / "out" / "points.parquet").exists()

    def going_on(tasks: Any, trials: Any, workers: int) -> Iterator[Row]:
        lived.extend(task.point for task in tasks)
        yield from local_rows(tasks, trials, workers)

    monkeypatch.setattr("backtest.research.sweep.local_rows", going_on)
    result = backtest.sweep(config(SHARES), out=tmp_path / "out")
    assert lived == [0, 1, 2, 3]
    monkeypatch.undo()
    assert told(result.points) == told(backtest.sweep(config(SHARES)).points)
    assert told(pd.read_parquet(tmp_path / "out" / "points.parquet")[list(result.points.columns)]) == told(
        result.points
    )


@pytest.mark.usefixtures("in_project")
def test_a_sweep_killed_outright_goes_on_from_its_last_part(tmp_path: Path) -> None:
    path, out = tmp_path / "tried.json", tmp_path / "out"
    grid = {"strategy.params.band": [round(0.01 * k, 2) for k in range(1, 25)]}
    path.write_text(json.dumps(config({"grid": grid})), encoding="utf-8")
    command = [sys.executable, "-m", "backtest", "sweep", str(path), "--out", str(out), "--workers", "2", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list(out.glob("points/part-*.parquet")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    workers = children_of(process.pid)
    process.kill()
    process.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["trials"] == 24
    assert [row["point"] for row in said["points"]] == list(range(24))
    assert {row["status"] for row in said["points"]} == {"ok"}
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "workers outlive the sweep that was killed"


def children_of(pid: int) -> list[int]:
    """Processes that another started, where the system tells."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in found.read_text().split()] if found.exists() else []


@pytest.mark.usefixtures("in_project")
def test_rows_of_another_sweep_are_not_gone_on_with(tmp_path: Path) -> None:
    backtest.sweep(config({"grid": {"strategy.params.band": [0.1]}}), out=tmp_path)
    with pytest.raises(InputError, match=r"holds the points of another sweep.*\n.*strategy.params.band"):
        backtest.sweep(config({"grid": {"strategy.params.band": [0.2]}}), out=tmp_path)


def mortal(folder: Path, bands: list[float]) -> dict[str, Any]:
    """A sweep whose third point kills the process that lives it, the first time."""
    flag = folder / "died"
    (folder / "mortal.py").write_text(
        "import os, signal\n"
        "from strategies.hedged_long import HedgedLong\n"
        "class Mortal(HedgedLong):\n"
        "    def start(self, market):\n"
        f"        if self.params.band == 0.3 and not os.path.exists({str(flag)!r}):\n"
        f"            open({str(flag)!r}, 'w').close()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        super().start(market)\n",
        encoding="utf-8",
    )
    given = config({"grid": {"strategy.params.band": bands}})
    given["strategy"]["class"] = "mortal:Mortal"
    return given


@pytest.mark.usefixtures("in_project")
def test_a_worker_that_is_killed_is_replaced_and_its_point_lived_again(tmp_path: Path) -> None:
    given = mortal(tmp_path, [0.1, 0.2, 0.3, 0.4])
    sys.path.insert(0, str(tmp_path))
    try:
        found = backtest.sweep(given, workers=2).points
    finally:
        sys.path.remove(str(tmp_path))
    assert (tmp_path / "died").exists()
    assert (found["point"].tolist(), set(found["error"])) == ([0, 1, 2, 3], {""})


@pytest.mark.slow
@pytest.mark.usefixtures("in_project")
def test_a_ray_cluster_of_two_finds_the_same_even_if_a_worker_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is an extra, and not installed")
    given, flag = mortal(tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), tmp_path / "died"
    os.environ["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    sys.path.insert(0, str(tmp_path))
    try:
        found = backtest.sweep(given, engine="ray", workers=2).points
        assert flag.exists()
        assert told(found) == told(backtest.sweep(given).points)
    finally:
        sys.path.remove(str(tmp_path))
        del os.environ["PYTHONPATH"]


# Chosen on one span, judged on the next


def test_windows_follow_each_other_as_often_as_they_fit() -> None:
    found = load_config(
        config(
            {"grid": {"a": [1]}, "split": {"kind": "walk_forward", "train": "3d", "test": "2d", "statistic": "Sharpe"}}
        )
    )
    assert found.sweep is not None and found.sweep.split is not None
    days = [(w.start.day, w.middle.day, w.end.day) for w in windows_of(found.sweep.split, found.data)]
    assert days == [(1, 4, 6), (3, 6, 8)]  # the next would end on the 10th
    assert windows_of(found.sweep.split, found.data)[0].start == datetime(2024, 6, 1, tzinfo=UTC)


@pytest.mark.usefixtures("in_project")
def test_each_window_judges_its_choice_on_the_days_after_it_with_a_fresh_account() -> None:
    split = {"kind": "walk_forward", "train": "3d", "test": "2d", "statistic": "Total Return [%]"}
    result = backtest.sweep(config({"grid": {"strategy.params.hedge_share": [0.0, 1.0]}, "split": split}))
    assert result.windows is not None
    assert result.windows["trials"].tolist() == [2, 2]
    train = result.points[(result.points["window"] == 0) & (result.points["part"] == "train")]
    pick = int(result.windows["point"].iloc[0])
    assert train.set_index("point").loc[pick, "Total Return [%]"] == train["Total Return [%]"].max()
    alone = config({})
    del alone["sweep"]
    alone["data"] |= {"start": "2024-06-04", "end": "2024-06-06"}
    alone["strategy"]["params"]["hedge_share"] = float(pick)
    assert result.windows["out_of_sample"].iloc[0] == backtest.run(alone).stats["Total Return [%]"]
