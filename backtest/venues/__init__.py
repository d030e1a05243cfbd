"""The venues' rules as dated, sourced tables: what was in force when, and where the number comes from."""

from backtest.venues.describe import describe
from backtest.venues.load import Venue, load, names

__all__ = ["Venue", "describe", "load", "names"]
