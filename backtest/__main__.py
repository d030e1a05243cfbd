"""`python -m backtest`, the same as the command `backtest`."""

from __future__ import annotations

from backtest.cli import app

if __name__ == "__main__":
    app()
