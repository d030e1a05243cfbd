"""Two pairs of books on random small histories: the compiled accountant and the one kept by hand in exact fractions.

Balances, contracts and costs must agree to the last step; collateral and requirements to 1e-9.
"""

from __future__ import annotations

import pytest
from oracle import run as by_hand
from oracle_scenarios import random_scenario
from scenario_engine import run as by_engine

pytestmark = pytest.mark.jit_off

SEEDS = range(24)


@pytest.mark.parametrize("kind", ["calm", "liquidation"])
@pytest.mark.parametrize("seed", SEEDS)
def test_engine_and_oracle_keep_the_same_books(seed: int, kind: str) -> None:
    scenario = random_scenario(seed, kind)
    expected, found = by_hand(scenario), by_engine(scenario)
    for name, books in expected.items():
        for part in ("balances", "contracts", "cost", "refused", "liquidations"):
            assert found[name][part] == books[part], f"{name}: {part}"
        assert found[name]["equity"] == pytest.approx([float(x) for x in books["equity"]], rel=1e-9, abs=1e-9)
        for bar, wallets in enumerate(books["wallets"]):
            for wallet, margin in wallets.items():
                exact = [float(x) for x in margin]
                assert found[name]["wallets"][bar][wallet] == pytest.approx(exact, rel=1e-9, abs=1e-9), wallet
