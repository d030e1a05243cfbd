"""Buy the coin, sell its dated future when the future is dear, and let time bring them together.

Enters when the nearest suitable future's annualised basis is at least `entry_annualised`, leaves early at
`exit_annualised`, else holds to delivery; `roll_days` before expiry it may move to the next one. With a coin
deposit and an inverse future the coin itself is the collateral. Where the account may borrow, a future that is
cheap by as much is bought against borrowed coins.
"""

from __future__ import annotations

from pydantic import Field

from backtest.strategy.bar import Bar
from backtest.strategy.desk import Desk
from backtest.strategy.orders import Order
from backtest.strategy.strategy import Params, Strategy

DAY = 1 / 365


class BasisTradeParams(Params):
    """`leg` holds the coin: a spot pair or a perpetual. `family` is the future's symbol without its date."""

    leg: str = "BTC/USDT"
    family: str = "BTC/USDT:USDT"
    entry_annualised: float = Field(0.08, gt=0)
    exit_annualised: float = 0.0
    equity_share: float = Field(0.5, gt=0, le=5)
    min_days: float = Field(7, ge=0)
    roll_days: float = Field(1, ge=0)
    reverse: bool = False


class BasisTrade(Strategy):
    """See the file."""

    Params = BasisTradeParams
    schedule = "every bar"

    def symbols(self, instruments):  # type: ignore[no-untyped-def]
        """The coin's leg and every dated future of the family."""
        family = [s for s in instruments if s.startswith(self.params.family + "-")]
        return [self.params.leg, *sorted(family)]

    def start(self, market):  # type: ignore[no-untyped-def]
        """Nothing is open."""
        self.market = market
        self.base = market.instrument(self.params.leg).base
        self.future: str | None = None
        self.kept: float | None = None  # coins that were there before the first trade

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Forget what was delivered, leave what has converged, enter what is dear."""
        if self.future is None:
            self.enter(bar, desk)
        elif bar.years_to_expiry(self.future) <= 0.0:
            self.unwind_leg(desk)
        else:
            self.watch(bar, desk)

    def watch(self, bar: Bar, desk: Desk) -> None:
        """Leave early, or before expiry if the next one is worth rolling into: the coins stay, the future is
        exchanged.
        """
        future, p = str(self.future), self.params
        dear = desk.position(future) <= 0.0
        later = self.best(bar, later_than=future) if bar.years_to_expiry(future) < p.roll_days * DAY else None
        if later is not None:
            desk.together([Order(future, target=0.0), Order(later, target=desk.position(future))])
            self.future = later
        elif p.exit_annualised > 0.0 and bar.annualised_basis(future) * (1.0 if dear else -1.0) <= p.exit_annualised:
            desk.together([Order(future, target=0.0), Order(p.leg, target=self.kept)])
            self.future = None

    def unwind_leg(self, desk: Desk) -> None:
        """The future became money at delivery; the coins bought for it are sold."""
        desk.together([Order(self.params.leg, target=self.kept)])
        self.future = None

    def enter(self, bar: Bar, desk: Desk) -> None:
        """Both legs as one order, coin for coin."""
        future = self.best(bar)
        if future is None or not bar.tradable(self.params.leg):
            return
        dear = bar.annualised_basis(future) > 0.0
        coins = self.params.equity_share * desk.equity / bar.index[self.base] * (1.0 if dear else -1.0)
        if self.kept is None:
            self.kept = desk.position(self.params.leg)
        self.future = future
        inverse = self.market.instrument(future).kind == "inverse"
        legs = [desk.as_target(future, base=-coins)]
        if not inverse:  # with an inverse future the deposited coin is the long leg
            legs.insert(0, Order(self.params.leg, target=self.kept + desk.contracts_of(self.params.leg, base=coins)))
        desk.together(legs)

    def best(self, bar: Bar, later_than: str | None = None) -> str | None:
        """Nearest future, listed now, far enough from expiry, whose basis is worth it; None if there is none."""
        soonest = bar.years_to_expiry(later_than) if later_than else self.params.min_days * DAY
        for future in self.market.futures(self.base, at=bar.time):
            basis = bar.annualised_basis(future)
            if bar.tradable(future) and bar.years_to_expiry(future) > soonest and self.worth(basis):
                return str(future)
        return None

    def worth(self, basis: float) -> bool:
        """Dear enough to sell, or cheap enough to buy where that is wished."""
        return basis >= self.params.entry_annualised or (self.params.reverse and basis <= -self.params.entry_annualised)
