"""Who decides: a strategy sees closed bars and may only place orders."""

from backtest.strategy.orders import Order
from backtest.strategy.strategy import Event, Strategy, load_strategy
from backtest.strategy.targets import Targets

__all__ = ["Event", "Order", "Strategy", "Targets", "load_strategy"]
