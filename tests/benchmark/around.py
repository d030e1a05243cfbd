"""What lies around a run: processes from their start to a saved result, memory, and the modes compared.

A process is timed from outside, kernels compiled before; the first run after an install has none and compiles them.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import backtest
from backtest.research import compare as comparing
from backtest.research import run as runs
from tests.benchmark import product
from tests.benchmark.market import Market, made, pair_market
from tests.benchmark.process import waited, watched
from tests.benchmark.rounds import Row, Section, in_rounds, measured
from tests.benchmark.strategies import Carry, CarryAsTable

MODES = ("isolated", "cross", "multi_asset", "portfolio")


START_2016_US = 1_451_606_400_000_000


def stored(market: Market, folder: Path, **more: Any) -> Path:
    """The market as a Parquet store and a run over it, both in a folder; returns the run's file."""
    market.write(folder / "store")
    settings = {**product.config(market, Carry), **more}
    settings["data"]["store"] = str(folder / "store")
    settings["strategy"]["class"] = f"{Carry.__module__}:{Carry.__name__}"
    path = folder / "w1.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def processes(rounds: int, full: bool) -> Section:
    """W1 as a command: from Parquet to a saved result, beside vectorbt's process over the same files."""
    section = Section("process", "W1 as a process: from Parquet to a saved result (vectorbt: to an equity curve)")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        path, written = waited(lambda: stored(pair_market(), folder))
        command = [sys.executable, "-m", "backtest", "run", str(path), "--out", str(folder / "result"), "--json"]
        peer = [sys.executable, "-m", "tests.benchmark.peer", "w1", str(folder / "store")]
        seen: dict[str, dict[str, float]] = {}

        def process(who: str, parts: list[str], **extra: str) -> dict[str, float]:
            seen[who] = watched(parts, folder, extra)
            return {"": seen[who]["seconds"]}

        told = in_rounds(
            {
                "product: python -m backtest run": lambda: process("product: python -m backtest run", command),
                "vectorbt": lambda: process("vectorbt", peer),
                "product: python -m backtest --version": lambda: process(
                    "product: python -m backtest --version", [*command[:3], "--version"]
                ),
            },
            max(1, rounds // 2),
        )
        seconds = {who: [each[""] for each in rows] for who, rows in told.items()}
        for who, times in seconds.items():
            row = measured(who, times, seconds, pair_market().bars)
            row.peak_mb, row.note = seen[who]["peak_mb"], f"{seen[who]['cpu']:.1f} s of processor"
            section.rows.append(row)
            section.rounds[who] = times
        section.rows += in_this_process(path, folder)
        if full:
            empty = folder / "kernels"
            process("first run", command, BACKTEST_CACHE=str(empty))
            section.rows.append(Row("product: first run after install", seen["first run"]["seconds"], note="compiles"))
            section.rows.append(tenfold(folder / "ten", section.rows[0]))
        else:
            section.rows.append(Row("product: first run after install", note="compiles: with --full"))
            section.rows.append(Row("product: ten times the history, streamed", note="with --full"))
        size = sum(each.stat().st_size for each in folder.joinpath("store").rglob("*.parquet")) / 2**20
        section.notes.append(f"the store: {size:.0f} MB, written in {written:.1f} s; its files are in the page cache")
    return section


def tenfold(folder: Path, once: Row) -> Row:
    """Ten times W1's history in a process of its own, beside W1 itself: its memory should hardly be more."""
    folder.mkdir()
    market = made("1m", 10 * pair_market().bars, START_2016_US, ("BTC",), 11)
    path = stored(market, folder, rules={"outside": "nearest", "counterfactual": True})
    command = [sys.executable, "-m", "backtest", "run", str(path), "--out", str(folder / "result"), "--json"]
    seen = watched(command, folder)
    more = f", {seen['peak_mb'] / once.peak_mb:.2f} times W1's memory" if once.peak_mb else ""
    row = Row(
        "product: ten times the history, streamed", seen["seconds"], note=f"{seen['cpu']:.1f} s of processor{more}"
    )
    row.peak_mb = seen["peak_mb"]
    return row


def in_this_process(path: Path, folder: Path) -> list[Row]:
    """The same in a process that has run before, part by part; and the comparison of four modes."""
    runs.live(runs.prepare(path)).save(folder / "before")
    prepared, reading = waited(lambda: runs.prepare(path))
    result, living = waited(lambda: runs.live(prepared))
    _, saving = waited(lambda: result.save(folder / "again"))
    rows = [
        Row("product: in a process that has run before", reading + living + saving),
        Row("  prepare: read and lay on the grid", reading),
        Row("  live", living),
        Row("  save: frames and picture", saving),
    ]
    reads: list[float] = []

    def prepare(*given: Any) -> Any:
        answer, seconds = waited(lambda: runs.prepare(*given))
        reads.append(seconds)
        return answer

    kept, comparing.prepare = comparing.prepare, prepare
    try:
        _, whole = waited(lambda: backtest.compare(path, MODES))
    finally:
        comparing.prepare = kept
    note = f"{', '.join(MODES)}: each on its own, and one's fills replayed in all"
    alone = [waited(lambda mode=mode: lived_and_read(path, prepared, mode))[1] for mode in MODES]  # type: ignore[misc]
    mean, read = sum(alone) / len(alone), sum(reads)
    times = f"{(whole - read) / mean:.1f} times the mean of one mode's run and figures, {mean * 1e3:.0f} ms"
    with_read = f"; {whole / (read + mean):.1f} times one `run` from Parquet to figures"
    return [
        *rows, Row("product: compare, four modes", whole, note=note + with_read),
        Row("  without reading", whole - read, note=times), side_by_side(prepared),
    ]  # fmt: skip


def side_by_side(prepared: runs.Prepared) -> Row:
    """One experiment of a declared strategy: each mode on its own, on as many threads as there are cores."""
    in_memory = runs.prepare(prepared.config.streamed("0s"))
    strategy = in_memory.config.strategy.model_copy(update={"class_": CarryAsTable})
    config = in_memory.config.model_copy(update={"strategy": strategy})
    declared = replace(in_memory, config=config)
    declared = replace(declared, targets=comparing.target_rows(declared.strategy(), declared.history))
    accounts = {mode: comparing.account_under(config.account[0], mode) for mode in MODES}
    alone, together = list[float](), list[float]()
    for _ in range(4):  # the first warms up
        alone.append(waited(lambda: [comparing.signals_run(declared, each, None) for each in accounts.values()])[1])
        steps = comparing._Steps(None, None, len(MODES))
        together.append(waited(lambda steps=steps: dict(comparing.lived_by_mode(declared, accounts, steps)))[1])  # type: ignore[misc]
    mean, side = statistics.median(alone[1:]) / len(MODES), statistics.median(together[1:])
    threads = min(len(MODES), os.cpu_count() or 1)
    note = (
        f"one experiment of the declared strategy, on {threads} threads: {side / mean:.1f} times the mean of its runs"
    )
    return Row("  four modes side by side", side, note=f"{note}, {mean * 1e3:.0f} ms")


def lived_and_read(path: Path, prepared: runs.Prepared, mode: str) -> None:
    """One mode's run, over a history that was read before, and its figures."""
    account = comparing.account_under(prepared.config.account[0], mode)
    config = prepared.config.model_copy(update={"account": [account]})
    _ = runs.live(replace(prepared, config=config)).figures
