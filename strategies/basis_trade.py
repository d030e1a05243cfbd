"""Buy the coin, sell its dated future when the future is dear, and let time bring them together.

Enters when the nearest suitable future's annualised basis is at least `entry_annualised`, leaves early at
`exit_annualised` if one is given, else holds to delivery; `roll_days` before expiry it moves to the next one if that
is worth an entry. With a coin deposit and an inverse future the coin itself is the collateral and the long leg. Where
the account may borrow, `reverse` buys a future that is cheap by as much against borrowed coins. A future whose leg was
refused or liquidated is not tried again; one that met a closed market is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from backtest import Order, Strategy
from backtest.strategy import Bar, Desk, Market, Params, whole_lots

if TYPE_CHECKING:
    from backtest.market.schema import Instrument

DAY = 1 / 365
DEAR, CHEAP = 1.0, -1.0  # sign of the coins held against the future


class BasisTradeParams(Params):
    """`leg` holds the coin: a spot pair or a perpetual. `family` is the future's symbol without its date."""

    leg: str = "BTC/USDT"
    family: str = "BTC/USDT:USDT"
    entry_annualised: float = Field(0.08, gt=0)
    exit_annualised: float | None = None  # None: hold to delivery
    equity_share: float = Field(0.5, gt=0, le=5)
    min_days: float = Field(7, ge=0)
    roll_days: float = Field(1, ge=0)
    reverse: bool = False  # not with an inverse family, whose long leg is the deposit


class BasisTrade(Strategy):
    """See the file."""

    Params = BasisTradeParams
    params: BasisTradeParams

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The coin's leg and every dated future of the family."""
        return [self.params.leg, *sorted(s for s in instruments if s.startswith(self.params.family + "-"))]

    def start(self, market: Market) -> None:
        """Nothing is open."""
        self.base = market.instrument(self.params.leg).base
        self.family = [s for s in market.futures(self.base) if s.startswith(self.params.family + "-")]
        self.market, self.entered, self.given_up = market, "", set[str]()
        self.kept: float | None = None  # coins that were there before the first trade

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Look at what the account really holds: close what is over, watch what runs, enter what is dear."""
        held = [future for future in self.family if desk.position(future) != 0.0]
        if desk.open_orders():
            return  # the last decision is still being filled
        if not held and self.entered:
            if bar.tradable(self.entered) and bar.tradable(self.params.leg):
                self.given_up.add(self.entered)  # it was the rules that said no, not a closed market
            self.close([], desk)
        elif not held:
            self.enter(bar, desk)
        elif bar.years_to_expiry(held[0]) <= 0.0:
            self.close([], desk)  # delivered at the next open, when the coins are sold
        elif all(bar.tradable(symbol) for symbol in (*held, self.params.leg)):
            self.watch(held, bar, desk)

    def watch(self, held: Sequence[str], bar: Bar, desk: Desk) -> None:
        """Leave early, or roll: the coins stay, the future is exchanged for the next one if that is worth it."""
        p, future = self.params, held[0]
        side = DEAR if desk.position(future) < 0.0 else CHEAP
        if p.exit_annualised is not None and side * bar.annualised_basis(future) <= p.exit_annualised:
            self.close(held, desk)
        elif bar.years_to_expiry(future) < p.roll_days * DAY:
            later = self.best(bar, side, bar.years_to_expiry(future))
            if later is not None:
                size = desk.position(future) + desk.position(later)
                desk.together([Order(future, target=0.0), Order(later, target=size)])
                self.entered = later

    def close(self, futures: Sequence[str], desk: Desk) -> None:
        """Buy these futures back and bring the coins to what they were; an inverse future's coins are the deposit."""
        orders = [Order(future, target=0.0) for future in futures]
        if not self.inverse() and self.kept is not None and desk.position(self.params.leg) != self.kept:
            orders.append(Order(self.params.leg, target=self.kept))
        self.entered = ""
        if orders:
            desk.together(orders)

    def enter(self, bar: Bar, desk: Desk) -> None:
        """Both legs as one order, coin for coin."""
        p = self.params
        may_reverse = p.reverse and not self.inverse() and (":" in p.leg or desk.can_borrow(self.base))
        sides = (DEAR, CHEAP) if may_reverse else (DEAR,)
        found = [(f, side) for side in sides if (f := self.best(bar, side, p.min_days * DAY)) is not None]
        if not found or desk.equity <= 0.0 or not bar.tradable(p.leg):
            return
        self.entered, side = found[0]
        self.kept = desk.position(p.leg) if self.kept is None else self.kept
        coins = side * p.equity_share * desk.equity / bar.index[self.base]
        terms = self.market.instrument(self.entered)
        contracts = whole_lots(desk.contracts_of(self.entered, base=-coins), terms.lot)
        legs = [Order(self.entered, target=contracts)]
        if not self.inverse():  # as many coins as the contracts are worth
            coins = -contracts * terms.contract_size
            legs.insert(0, Order(p.leg, target=self.kept + desk.contracts_of(p.leg, base=coins)))
        desk.together(legs)

    def best(self, bar: Bar, side: float, soonest: float) -> str | None:
        """Nearest future listed now, beyond so many years, that is dear (or cheap) enough; None if there is none."""
        listed = set(self.market.futures(self.base, at=bar.time)) - self.given_up
        for future in self.family:
            far = future in listed and bar.tradable(future) and bar.years_to_expiry(future) > soonest
            if far and side * bar.annualised_basis(future) >= self.params.entry_annualised:
                return future
        return None

    def inverse(self) -> bool:
        """Whether the family is margined in the coin itself."""
        return any(self.market.instrument(future).kind == "inverse" for future in self.family)
