"""`make bench`: the product beside a C program, vectorbt and plain Python, on the same history in the same minutes."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backtest.market.history import History
from tests.benchmark import product, reference, strategies
from tests.benchmark.limit import Limit, compiler
from tests.benchmark.market import pair_market


class Peer:
    """vectorbt in a process of its own, asked for one run at a time."""

    def __init__(self, workload: str) -> None:
        command = [sys.executable, "-m", "tests.benchmark.peer", workload]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self) -> dict[str, Any]:
        """Seconds, final equity, peak memory."""
        assert self.process.stdin and self.process.stdout
        print("run", file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Let it go."""
        self.process.communicate(timeout=60)


def pair_of(history: History, coin: int = 0) -> reference.Pair:
    """A coin's prices as the reference takes them."""
    future = coin + len(history.instruments) // 2
    mine = history.funding_instrument == future
    rate = dict(zip(history.funding_bar[mine].tolist(), history.funding_rate[mine].tolist(), strict=True))
    columns = (
        history.open[coin], history.close[coin], history.open[future], history.mark_open[future],
        history.mark_close[future],
    )  # fmt: skip
    return reference.Pair(*(column.tolist() for column in columns), rate)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and how long it took."""
    started = time.perf_counter()
    answer = function()
    return answer, time.perf_counter() - started


def w1(rounds: int) -> dict[str, Any]:
    """Carry by the minute for a year."""
    market = pair_market()
    history = market.history()
    (expected, fills), plain = timed(lambda: reference.carry(pair_of(history), 1440))
    limit = Limit(history) if compiler() else None
    peer = Peer("w1")
    kept: dict[str, list[float]] = {}
    equities = {"reference": expected}
    parts: list[dict[str, float]] = []
    for number in range(rounds + 1):  # the first warms up and compiles
        if limit:
            equities["C"], seconds = timed(limit.carry)
            kept.setdefault("C", []).append(seconds)
        result, times = product.run(product.config(market, strategies.Carry), history)
        equities["product"] = float(result.equity.iloc[-1])
        parts.append(times.of_live())
        kept.setdefault("product prepare", []).append(times.prepare)
        kept.setdefault("product live", []).append(times.live)
        kept.setdefault("product engine", []).append(times.parts["engine"])
        answer = peer.run()
        equities["vectorbt"] = answer["equity"]
        kept.setdefault("vectorbt", []).append(answer["seconds"])
        _, seconds = timed(
            lambda: [
                float(row.sum())
                for row in (history.open, history.close, history.mark_low, history.mark_high, history.mark_close)
            ]
        )
        kept.setdefault("numpy reads", []).append(seconds)
    peer.close()
    medians = {name: statistics.median(values[1:]) for name, values in kept.items()}
    return {
        "bars": len(history.time),
        "fills": fills,
        "plain python": plain,
        "medians": medians,
        "first": {k: v[0] for k, v in kept.items()},
        "parts": {name: statistics.median(each[name] for each in parts[1:]) for name in parts[0]},
        "off reference": {name: equity / expected - 1.0 for name, equity in equities.items()},
        "peer_mb": answer["peak_mb"],
    }


def main() -> None:
    """Run what is asked for and say what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="w1")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = {"w1": w1(asked.rounds)}
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
