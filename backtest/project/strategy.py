"""Hold coins, and short as many of them as a perpetual while the short is paid for it.

Longs pay shorts when funding is positive. Coins and short together earn the funding, whatever the price does; where
funding falls below `least` a year the short is dropped, and the coins are held alone. A strategy sees closed bars and
may only place orders: what is decided at a close fills at the next open.
"""

from __future__ import annotations

from collections.abc import Mapping

from backtest import Strategy
from backtest.market.schema import Instrument
from backtest.strategy import Bar, Desk, Params


class PaidHedgeParams(Params):
    """Set in the config under [strategy] params; unknown ones are refused."""

    coin: str = "ETH"
    least: float = 0.05  # funding a year, below which the short is dropped
    settlements: int = 21  # that it is averaged over: a week of them


class PaidHedge(Strategy):
    """See the file."""

    Params = PaidHedgeParams
    params: PaidHedgeParams
    schedule = "funding"  # asked at every settlement; also "every bar", "8h", "1d", or at fills and liquidations

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """What is traded."""
        return [self.perpetual]

    @property
    def perpetual(self) -> str:
        """As ccxt writes it."""
        return f"{self.params.coin}/USDT:USDT"

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Short all coins, or none."""
        paid = bar.annualised_funding(self.perpetual, self.params.settlements)  # unknown at first, which is no reason
        coins = desk.balance(self.params.coin) if paid > self.params.least else 0.0
        desk.target(self.perpetual, base=-coins)
