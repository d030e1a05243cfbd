"""The command `backtest`: its verbs, what they print, and how they tell what goes wrong."""

from backtest.cli.app import app

__all__ = ["app"]
