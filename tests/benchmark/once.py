"""One run of a workload in a process of its own, for the most memory it takes: `python -m tests.benchmark.once w1`.

Prints the peak before living (the history made and laid on its grid) and after.
"""

from __future__ import annotations

import json
import sys

from tests.benchmark import product
from tests.benchmark.market import pair_market, universe
from tests.benchmark.process import peak_mb
from tests.benchmark.strategies import Carry, TopFunding


def main(workload: str) -> None:
    """Live once through W1 or W2."""
    market = pair_market() if workload == "w1" else universe()
    settings = product.config(market, Carry if workload == "w1" else TopFunding, leverage=2.0)
    history = market.history()
    before = peak_mb()
    product.run(settings, history)
    print(json.dumps({"before_mb": before, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1])
