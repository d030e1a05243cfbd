"""The venues' rules as dated, sourced tables: what was in force when, and where the number comes from."""

from backtest.venues.load import describe, load, names

__all__ = ["describe", "load", "names"]
