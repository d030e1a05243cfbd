"""What its author writes of a run: the tables of a config, each with its kinds, bounds and words."""

from backtest.config.account import PRESETS, Account
from backtest.config.run import Data, Funding, Prices, RunConfig, load_config, parsed
from backtest.config.sweep import Sweep

__all__ = ["Account", "Data", "Funding", "PRESETS", "Prices", "RunConfig", "Sweep", "load_config", "parsed"]
