"""Who decides: a strategy sees closed bars and may only place orders."""

from backtest.strategy.bar import Bar
from backtest.strategy.desk import Desk, Desks, Port
from backtest.strategy.market import Market
from backtest.strategy.orders import OpenOrder, Order
from backtest.strategy.sizing import beta, rolling_beta, whole_lots
from backtest.strategy.strategy import Event, Params, Strategy, load_strategy
from backtest.strategy.targets import Targets

__all__ = [
    "Bar", "Desk", "Desks", "Event", "Market", "OpenOrder", "Order", "Params", "Port", "Strategy", "Targets", "beta",
    "load_strategy", "rolling_beta", "whole_lots",
]  # fmt: skip
