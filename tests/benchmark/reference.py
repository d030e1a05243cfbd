"""What the accounts of the benchmark must end with, in plain Python and nothing of the product.

The rules are the product's documented ones: a decision at a close is filled at the next open; funding comes before, on
the position held coming into the stamp, at the mark's open; a buyer's fee is taken out of the coins, a seller's and a
future's out of the dollars; sizes and fees are whole steps of 1e-8; equity values coins at their close and contracts at
the mark's. `Pair` holds lists of prices by bar, and the rate of the bars at whose open funding is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHARE, CASH, TOP, WINDOW = 0.5, 1_000_000.0, 10, 21
SPOT_FEE, FUTURE_FEE = 0.001, 0.0005  # the venue's table in 2024 and after: regular user, taker


@dataclass
class Pair:
    """One coin: open and close of the spot pair, open of the perpetual, open and close of its mark, funding by bar."""

    spot_open: Sequence[float]
    spot_close: Sequence[float]
    future_open: Sequence[float]
    mark_open: Sequence[float]
    mark_close: Sequence[float]
    rate: dict[int, float]


def steps(amount: float) -> float:
    """An amount in whole steps."""
    return round(amount * 1e8) / 1e8


@dataclass
class Holding:
    """Coins and contracts of one coin; `cost` is what the contracts were worth when opened."""

    coins: float = 0.0
    contracts: float = 0.0
    cost: float = 0.0

    def worth(self, pair: Pair, bar: int) -> float:
        """USD at the close of a bar."""
        return self.coins * pair.spot_close[bar] + self.contracts * pair.mark_close[bar] - self.cost

    def funding(self, pair: Pair, bar: int) -> float:
        """USD received at the open of a bar."""
        return -self.contracts * pair.mark_open[bar] * pair.rate[bar] if bar in pair.rate else 0.0

    def trade(self, coins: float, contracts: float, pair: Pair, bar: int) -> float:
        """Both legs to their targets at the open of a bar; returns what that does to the dollars."""
        return self.trade_spot(steps(coins), pair.spot_open[bar]) + self.trade_future(
            steps(contracts), pair.future_open[bar]
        )

    def trade_spot(self, target: float, price: float) -> float:
        """Coins to a target."""
        bought = target - self.coins
        fee = round(round(bought * 1e8) * SPOT_FEE) / 1e8 if bought > 0 else 0.0
        self.coins = target - fee
        return -bought * price - (-bought * price * SPOT_FEE if bought < 0 else 0.0)

    def trade_future(self, target: float, price: float) -> float:
        """Contracts to a target: cost leaves with what is closed and comes with what is opened."""
        change, realised = target - self.contracts, 0.0
        if self.contracts * change < 0:
            closed = max(change, -self.contracts) if change < 0 else min(change, -self.contracts)
            released = self.cost * -closed / self.contracts
            realised, self.cost = -closed * price - released, self.cost - released
            self.cost += (change - closed) * price
        else:
            self.cost += change * price
        self.contracts = target
        return realised - abs(change) * price * FUTURE_FEE


def carry(pair: Pair, day: int, hedge: float = 1.0, band: float = 0.01) -> tuple[float, int]:
    """Final equity and fills of Carry; `day` is the number of bars in one."""
    cash, held, wish, fills = CASH, Holding(), None, 0
    for bar in range(len(pair.spot_open)):
        cash += held.funding(pair, bar)
        if wish is not None:
            cash, wish, fills = cash + held.trade(wish, -hedge * wish, pair, bar), None, fills + 2
        if (bar + 1) % day == 0:
            equity = cash + held.worth(pair, bar)
            if abs(held.coins * pair.spot_close[bar] / equity / SHARE - 1.0) > band:
                wish = SHARE * equity / pair.spot_close[bar]
    return cash + held.worth(pair, len(pair.spot_open) - 1), fills


def top_funding(pairs: Sequence[Pair], day: int) -> tuple[float, int]:
    """Final equity and fills of TopFunding; `day` is the number of bars in one."""
    cash, held, wish, fills, last = CASH, [Holding() for _ in pairs], None, 0, len(pairs[0].spot_open) - 1
    stamps = sorted(pairs[0].rate)
    for bar in range(last + 1):
        cash += sum(one.funding(pair, bar) for one, pair in zip(held, pairs, strict=True))
        if wish is not None:
            for one, pair, coins in zip(held, pairs, wish, strict=True):
                if coins or one.coins or one.contracts:
                    cash, fills = cash + one.trade(coins, -coins, pair, bar), fills + 2
            wish = None
        past = [stamp for stamp in stamps if stamp <= bar + 1][-WINDOW:] if (bar + 1) % day == 0 else []
        if len(past) == WINDOW:
            equity = cash + sum(one.worth(pair, bar) for one, pair in zip(held, pairs, strict=True))
            paid = [sum(pair.rate[stamp] for stamp in past) for pair in pairs]
            best = sorted(range(len(pairs)), key=lambda k: -paid[k])[:TOP]
            wish = [SHARE * equity / TOP / pair.spot_close[bar] if k in best else 0.0 for k, pair in enumerate(pairs)]
    return cash + sum(one.worth(pair, last) for one, pair in zip(held, pairs, strict=True)), fills
