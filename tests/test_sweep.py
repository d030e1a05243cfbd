"""Sweeps: which points are tried, that each is a run like any other, and that nothing is lost or lived twice."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sweep_found import config
from typer.testing import CliRunner

import backtest
from backtest.cli import app
from backtest.config import Prices, load_config
from backtest.engine.tape import layout_of
from backtest.errors import InputError
from backtest.market.align import align
from backtest.market.store import Store
from backtest.research.points import Base, points_of
from backtest.research.run import read
from backtest.research.trials import Row
from backtest.research.walk_forward import chosen, windows_of
from backtest.research.workers import local_rows

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strategies are looked for from the project's folder."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


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


@pytest.mark.parametrize(
    "path, value, read",
    [
        ("account.leverage", 3, lambda run: run.account[0].leverage == {"default": 3.0}),
        ("account.0.leverage.default", 3, lambda run: run.account[0].leverage == {"default": 3.0}),
        ("account.deposit.USDT", 7, lambda run: run.account[0].deposit == {"USDT": 7.0, "ETH": 40.0}),
        ("account.refill", {"trigger": 1.5, "target": 2.0}, lambda run: run.account[0].refill.target == 2.0),
        ("guards.max_utilization", 0.5, lambda run: run.guards.max_utilization == 0.5),
        ("data.start", date(2024, 6, 3), lambda run: run.data.start == datetime(2024, 6, 3, tzinfo=UTC)),
    ],
)
def test_a_value_stands_where_its_path_says(path: str, value: object, read: Any) -> None:
    base = Base(load_config(config({"grid": {path: [value]}})))
    assert read(base.at({path: value}))


def test_a_preset_takes_the_place_of_axes_written_out() -> None:
    given = config({"grid": {"a": [1]}})
    given["account"][0] |= {"scope": "cross", "collateral_axis": "settlement", "requirement": "tiers"}
    del given["account"][0]["margin"]
    assert Base(load_config(given)).at({"account.margin": "portfolio"}).account[0].margin == "portfolio"


@pytest.mark.parametrize(
    "sweep, words",
    [
        ({"grid": {"a.b": 0.5}}, "sweep.grid: a.b = 0.5: write the values to try in a list"),
        ({"random": {"n": 2, "ranges": {"a": [3, 1]}}}, "high .1. is not above low .3.: swap them"),
        ({"random": {"n": 2, "ranges": {"a": {"low": 0, "high": 1, "log": True}}}}, "low = 0 has no logarithm"),
        ({"random": {"n": 2, "ranges": {"a": {"low": 1, "hihg": 2}}}}, "unknown key .* did you mean 'high'"),
        ({"latin_hypercub": {"n": 2}}, "did you mean 'latin_hypercube'"),
        ({}, "nothing to try"),
        ({"grid": {"a": [1]}, "split": {"kind": "walk_forward", "train": "9d"}}, "test is missing"),
    ],
)
def test_a_mistake_in_a_sweep_is_told_with_its_cure(sweep: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_config(config(sweep))


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
    found = {label: first[label] for label in figures.index}
    assert {k: v for k, v in found.items() if v == v} == {k: v for k, v in figures.items() if v == v}  # NaN: neither
    assert [k for k, v in found.items() if v != v] == [k for k, v in figures.items() if v != v]


@pytest.mark.usefixtures("in_project")
def test_the_market_is_read_once_for_all_points_of_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[int, int]] = []

    def counting(config: Any, *asked: Any) -> Any:
        spans.append((config.data.start.day, config.data.end.day))
        return read(config, *asked)

    monkeypatch.setattr("backtest.research.histories.read", counting)
    grid = {"data.end": ["2024-06-03", "2024-06-04"], "strategy.params.band": [0.1, 0.2], "account.leverage": [2, 3]}
    assert len(backtest.sweep(config({"grid": grid})).points) == 8
    assert spans == [(1, 3), (1, 4)]


@pytest.mark.usefixtures("in_project")
def test_a_point_that_cannot_be_run_is_a_row_with_its_reason_and_not_the_end() -> None:
    found = backtest.sweep(config({"grid": {"strategy.params.hedge_share": [1.0, 5.0, 0.5]}})).points
    assert found["status"].tolist() == ["ok", "refused", "ok"]
    assert "hedge_share" in found["error"].iloc[1] and "2" in found["error"].iloc[1]


def careless(folder: Path, ratio: str) -> None:
    """A module with a strategy whose hedge ratio is an expression that fails."""
    (folder / "careless.py").write_text(
        "from strategies.hedged_long import HedgedLong\n"
        "class Careless(HedgedLong):\n"
        "    def ratio(self, bar):\n"
        f"        return {ratio}\n",
        encoding="utf-8",
    )


@pytest.mark.usefixtures("in_project")
def test_a_strategy_that_fails_at_a_point_is_a_row_that_says_where(tmp_path: Path) -> None:
    careless(tmp_path, "0.1 / (self.params.hedge_share - 1.0)")
    with findable(tmp_path):
        given = config({"grid": {"strategy.params.hedge_share": [1.0, 0.5]}})
        given["strategy"]["class"] = "careless:Careless"
        found = backtest.sweep(given).points
    assert found["status"].tolist() == ["failed", "ok"]
    assert "Careless.on_bar at the bar of 2024-06-01" in found["error"].iloc[0]
    assert "ZeroDivisionError" in found["error"].iloc[0]


@pytest.mark.usefixtures("in_project")
def test_a_sweep_of_which_no_point_can_be_run_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"no point can be run; the first: .*end .2024-05-01 00:00. is not after"):
        backtest.sweep(config({"grid": {"data.end": ["2024-05-01", "2024-05-02"]}}))


@pytest.mark.usefixtures("in_project")
def test_equity_is_kept_at_the_close_of_every_day_and_at_the_end(tmp_path: Path) -> None:
    given = config({"list": [{"strategy.params.band": 0.1}], "curves": "1d"})
    given["data"]["end"] = "2024-06-03T06:00:00Z"  # the last bar opens at 05:00
    curves = backtest.sweep(given, out=tmp_path).curves
    del given["sweep"]
    given["strategy"]["params"]["band"] = 0.1
    equity = backtest.run(given).equity
    opens = [pd.Timestamp(text, tz="UTC") for text in ("2024-06-01 23:00", "2024-06-02 23:00", "2024-06-03 05:00")]
    assert curves["time"].tolist() == opens
    assert curves["equity"].tolist() == [equity[each] for each in opens]


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
def test_the_order_in_which_points_are_lived_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    forwards = told(backtest.sweep(config(SHARES)).points)
    monkeypatch.setattr("backtest.research.sweep.local_rows", lambda tasks, *rest: local_rows(tasks[::-1], *rest))
    assert told(backtest.sweep(config(SHARES)).points) == forwards


@pytest.mark.slow
@pytest.mark.usefixtures("in_project")
def test_workers_that_start_afresh_map_the_histories_and_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = told(backtest.sweep(config(SHARES)).points)
    monkeypatch.setattr("backtest.research.sweep.local_rows", lambda *given: local_rows(*given, start="spawn"))
    assert told(backtest.sweep(config(SHARES), workers=2).points) == alone


@pytest.mark.usefixtures("in_project")
def test_a_market_that_travels_is_read_where_it_lies_and_nobody_lays_it_out_again() -> None:
    """Spot and two perpetuals, one paid in coin: its worth by the mark is a series of its own, and travels too."""
    symbols = ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"]
    history = align(
        Store("data/sample"), "binance", symbols, ["USDT", "USD", "BTC"], 1_717_372_800_000_000, 1_717_632_000_000_000,
        "1h", Prices(),
    )  # fmt: skip
    here = layout_of(history)
    buffers: list[pickle.PickleBuffer] = []
    packed = pickle.dumps(history, protocol=5, buffer_callback=buffers.append)
    sent = [memoryview(bytes(each.raw())) for each in buffers]  # as a cluster hands it out: not to be written to
    assert sum(each.nbytes for each in sent) < 1.1 * here.table.rows[: here.table.used].nbytes + 100_000
    found = pickle.loads(packed, buffers=sent)
    there = layout_of(found)
    assert not there.table.rows.flags.writeable and there.table.used == here.table.used
    assert np.shares_memory(there.table.rows, np.frombuffer(max(sent, key=len)))
    assert np.shares_memory(found.mark_low, there.table.rows)
    for name in ("value_row", "index_row", "last_row", "mark_row", "volume_row"):
        assert np.array_equal(getattr(there, name), getattr(here, name)), name
    for field in fields(history):
        assert field.name in ("table", "room") or str(getattr(found, field.name)) == str(getattr(history, field.name))


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


GATED = """
import os, pathlib, time
from strategies.hedged_long import HedgedLong
class Gated(HedgedLong):
    def start(self, market):
        with open({log!r}, "a") as log:
            log.write(f"{{self.params.band}}\\n")
        if not os.path.exists({gate!r}):
            time.sleep(0.15)
        while self.params.band == 0.2 and not os.path.exists({gate!r}):
            time.sleep(0.05)
        super().start(market)
"""


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_is_stopped_goes_on_from_its_last_part(
    tmp_path: Path, how: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out, log, gate = (tmp_path / name for name in ("tried.json", "out", "log", "gate"))
    (tmp_path / "gated.py").write_text(GATED.format(log=str(log), gate=str(gate)), encoding="utf-8")
    given = config({"grid": {"strategy.params.band": [round(0.01 * k, 2) for k in range(41)]}})
    given["strategy"]["class"] = "gated:Gated"
    path.write_text(json.dumps(given), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, "-m", "backtest", "sweep", str(path), "--out", str(out), "--workers", "2", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 500
        while not list(out.glob("points/part-*.parquet")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)  # it cannot end before the gate is open
        workers = children_of(process.pid)
        process.send_signal(how)
    gate.touch()
    done = {band for part in out.glob("points/*.parquet") for band in pd.read_parquet(part)["strategy.params.band"]}
    assert 0 < len(done) < 41
    while any(is_alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in workers if is_alive(pid)], "workers outlive the sweep that was stopped"
    again = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert [(row["point"], row["status"]) for row in again["points"]] == [(k, "ok") for k in range(41)]
    lived = [float(band) for band in log.read_text().split()]
    assert [band for band in sorted(done) if lived.count(band) != 1] == []  # nothing of a part is lived again


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Processes that another started, where the system tells."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in found.read_text().split()] if found.exists() else []


@pytest.mark.usefixtures("in_project")
def test_rows_of_another_sweep_are_not_gone_on_with(tmp_path: Path) -> None:
    backtest.sweep(config({"grid": {"strategy.params.band": [0.1]}}), out=tmp_path)
    with pytest.raises(InputError, match=r"holds the points of another sweep.*\n.*strategy.params.band"):
        backtest.sweep(config({"grid": {"strategy.params.band": [0.2]}}), out=tmp_path)


def mortal(folder: Path, bands: list[float], always: bool = False) -> dict[str, Any]:
    """A sweep whose point at 0.3 kills the process that lives it, the first time or every time."""
    flag = folder / "died"
    (folder / "mortal.py").write_text(
        "import os, signal\n"
        "from strategies.hedged_long import HedgedLong\n"
        "class Mortal(HedgedLong):\n"
        "    def start(self, market):\n"
        f"        if self.params.band == 0.3 and ({always} or not os.path.exists({str(flag)!r})):\n"
        f"            open({str(flag)!r}, 'w').close()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        super().start(market)\n",
        encoding="utf-8",
    )
    given = config({"grid": {"strategy.params.band": bands}})
    given["strategy"]["class"] = "mortal:Mortal"
    return given


@contextmanager
def findable(folder: Path) -> Iterator[None]:
    """Strategies in a folder of the test's own are found, and forgotten afterwards."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in ("mortal", "careless"):
            sys.modules.pop(name, None)


@pytest.mark.usefixtures("in_project")
def test_a_worker_that_is_killed_is_replaced_and_its_point_lived_again(tmp_path: Path) -> None:
    given = mortal(tmp_path, [0.1, 0.2, 0.3, 0.4])
    with findable(tmp_path):
        found = backtest.sweep(given, workers=2).points
    assert (tmp_path / "died").exists()
    assert (found["point"].tolist(), set(found["error"])) == ([0, 1, 2, 3], {""})


@pytest.mark.usefixtures("in_project")
def test_a_point_that_kills_every_worker_is_a_failed_row_and_the_others_are_lived(tmp_path: Path) -> None:
    given = mortal(tmp_path, [0.1, 0.2, 0.3, 0.4], always=True)
    with findable(tmp_path):
        found = backtest.sweep(given, workers=2).points
    assert found["status"].tolist() == ["ok", "ok", "failed", "ok"]
    assert "was killed by SIGKILL, 2 times" in found["error"].iloc[2]


@pytest.mark.usefixtures("in_project")
def test_a_strategy_whose_file_has_changed_is_another_sweep(tmp_path: Path) -> None:
    given = mortal(tmp_path, [0.1])
    with findable(tmp_path):
        backtest.sweep(given, out=tmp_path / "out")
        with (tmp_path / "mortal.py").open("a", encoding="utf-8") as file:
            file.write("# another day\n")
        with pytest.raises(InputError, match=r"holds the points of another sweep.*\nthe file of mortal:Mortal has"):
            backtest.sweep(given, out=tmp_path / "out")


@pytest.mark.slow
@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize("always", [False, True])
def test_a_ray_cluster_of_two_finds_the_same_even_if_a_worker_is_killed(tmp_path: Path, always: bool) -> None:
    pytest.importorskip("ray", reason="ray is an extra, and not installed")
    given = mortal(tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], always)
    with findable(tmp_path):
        found = backtest.sweep(given, engine="ray", workers=2).points
        given["sweep"]["grid"]["strategy.params.band"].remove(0.3)
        alone = backtest.sweep(given).points
    assert (tmp_path / "died").exists()
    assert found["status"].tolist() == ["ok", "ok", "failed" if always else "ok", "ok", "ok", "ok"]
    others = found[found["point"] != 2].drop(columns="point")
    assert told(others) == told(alone.drop(columns="point"))


def test_a_cluster_without_ray_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'collateral-backtest\[ray\]'"):
        backtest.sweep(config(SHARES), engine="ray")


# On the command line


@pytest.mark.parametrize(
    "path, values, code, said",
    [
        ("strategy.params.bnad", [0.1], 2, "did you mean 'strategy.params.band'"),
        ("strategy.params.band", [0.1, 5.0], 0, "2 points tried. Without figures: 1 row, the first"),
    ],
)
@pytest.mark.usefixtures("in_project")
def test_the_command_says_what_it_found_or_what_is_wrong(
    tmp_path: Path, path: str, values: list[float], code: int, said: str
) -> None:
    file, out = tmp_path / "tried.json", tmp_path / "out"
    file.write_text(json.dumps(config({"grid": {path: values}})), encoding="utf-8")
    done = CliRunner().invoke(app, ["sweep", str(file), "--out", str(out)])
    assert done.exit_code == code
    assert said in done.output
    assert out.exists() == (code == 0)


@pytest.mark.usefixtures("in_project")
def test_a_quiet_sweep_prints_nothing_and_is_listed_afterwards(tmp_path: Path) -> None:
    file, out = tmp_path / "tried.json", tmp_path / "out"
    file.write_text(json.dumps(config({"grid": {"strategy.params.band": [0.1, 5.0]}})), encoding="utf-8")
    done = CliRunner().invoke(app, ["sweep", str(file), "--out", str(out), "--quiet"])
    assert (done.exit_code, done.output) == (0, "")
    (row,) = json.loads(CliRunner().invoke(app, ["list", str(tmp_path), "--json"]).stdout)["results"]
    assert (row["kind"], row["many"], row["damaged"]) == ("sweep", 2, None)
    assert row["verdict"].endswith("1 failed")  # a band of 500 % is refused


@pytest.mark.usefixtures("in_project")
def test_a_sweep_whose_every_point_fails_ends_as_a_failed_run_does(tmp_path: Path) -> None:
    careless(tmp_path, "1 / 0")
    given = config({"grid": {"strategy.params.band": [0.1, 0.2]}})
    given["strategy"]["class"] = "careless:Careless"
    (tmp_path / "tried.json").write_text(json.dumps(given), encoding="utf-8")
    with findable(tmp_path):
        words = ["sweep", str(tmp_path / "tried.json"), "--out", str(tmp_path / "out"), "--json"]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 3
    assert [row["status"] for row in json.loads(done.stdout)["points"]] == ["failed", "failed"]


# Chosen on one span, judged on the next


def split_of(**split: Any) -> Any:
    """A split, read from a config."""
    found = load_config(config({"grid": {"a": [1]}, "split": split})).sweep
    assert found is not None and found.split is not None
    return found.split


@pytest.mark.parametrize(
    "split, days",
    [
        (
            {"kind": "walk_forward", "train": "3d", "test": "2d", "step": "1d"},
            [(1, 4, 6), (2, 5, 7), (3, 6, 8), (4, 7, 9)],
        ),
        ({"kind": "holdout", "train": "5d"}, [(1, 6, 9)]),
        ({"kind": "holdout", "train": "5d", "test": "1d"}, [(1, 6, 7)]),
    ],
)
def test_windows_of_eight_days(split: dict[str, str], days: list[tuple[int, int, int]]) -> None:
    data = load_config(config({"grid": {"a": [1]}})).data
    assert [(w.start.day, w.middle.day, w.end.day) for w in windows_of(split_of(**split), data)] == days


def test_windows_that_do_not_fit_are_refused() -> None:
    data = load_config(config({"grid": {"a": [1]}})).data
    with pytest.raises(InputError, match="train = '7d' and test = '2d' do not fit"):
        windows_of(split_of(kind="walk_forward", train="7d", test="2d"), data)


@pytest.mark.parametrize("choose, point", [("highest", 2), ("lowest", 4)])
def test_a_window_chooses_the_first_of_the_best_points_that_lived(choose: str, point: int) -> None:
    nan = float("nan")
    rows = pd.DataFrame(
        {"window": 0, "part": "train", "point": range(6), "status": ["ok", "failed", "ok", "ok", "ok", "ok"],
         "Sharpe": [1.0, nan, 2.0, 2.0, -1.0, nan]}
    )  # fmt: skip
    split = split_of(kind="walk_forward", train="3d", test="2d", choose=choose)
    windows = windows_of(split, load_config(config({"grid": {"a": [1]}})).data)[:1]
    assert chosen(rows, windows, split) == {0: point}


@pytest.mark.parametrize(
    ("statistic", "point"), [("Max Drawdown [%]", 1), ("Least Capital", 1), ("Total Return [%]", 2), ("Fills", 2)]
)
def test_a_window_that_is_not_told_which_way_takes_the_better_one(statistic: str, point: int) -> None:
    """The least drawdown and capital, the most return; of what is neither good nor bad the most."""
    rows = pd.DataFrame(
        {"window": 0, "part": "train", "point": range(3), "status": "ok", statistic: [5.0, 1.0, 9.0]}
    )  # fmt: skip
    split = split_of(kind="walk_forward", train="3d", test="2d", statistic=statistic)
    windows = windows_of(split, load_config(config({"grid": {"a": [1]}})).data)[:1]
    assert chosen(rows, windows, split) == {0: point}


@pytest.mark.usefixtures("in_project")
def test_the_leaders_by_drawdown_are_those_who_lost_least() -> None:
    result = backtest.sweep(config(SHARES))
    drawdowns = result.leaders("Max Drawdown [%]")["Max Drawdown [%]"].tolist()
    assert drawdowns == sorted(drawdowns) and drawdowns[0] == result.best("Max Drawdown [%]")["Max Drawdown [%]"]
    assert result.best("Max Drawdown [%]", lowest=False)["Max Drawdown [%]"] == drawdowns[-1]


@pytest.mark.usefixtures("in_project")
def test_a_statistic_that_is_none_is_told_before_all_points_are_lived(tmp_path: Path) -> None:
    split = {"kind": "holdout", "train": "5d", "statistic": "Sharp"}
    grid = {"strategy.params.band": [0.1, 0.2]}
    with pytest.raises(InputError, match=r"sweep\.split\.statistic = 'Sharp': did you mean 'Sharpe'"):
        backtest.sweep(config({"grid": grid, "split": split}), out=tmp_path)
    assert not list(tmp_path.glob("points/part-*"))


@pytest.mark.usefixtures("in_project")
def test_a_part_that_is_none_is_named_before_a_sweep_goes_on_from_it(tmp_path: Path) -> None:
    def given() -> dict[str, Any]:
        return config({"grid": {"strategy.params.band": [0.1, 0.2]}})

    backtest.sweep(given(), out=tmp_path)
    (part,) = (tmp_path / "points").glob("part-*.parquet")
    stranger = part.with_name("part-one.parquet")
    stranger.write_bytes(part.read_bytes())
    with pytest.raises(InputError, match=r"part-one\.parquet: a part is called part-00001\.parquet"):
        backtest.sweep(given(), out=tmp_path)
    stranger.unlink()
    pd.read_parquet(part).drop(columns="point").to_parquet(part)
    with pytest.raises(InputError, match=f"{part.name}: has no column 'point'; remove it"):
        backtest.sweep(given(), out=tmp_path)


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
