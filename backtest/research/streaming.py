"""Where the bars of a run lie: in memory, or in files of which a stretch is held at once, as the config or their size
asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.config.types import duration_us
from backtest.market.history import rows_of
from backtest.market.room import MEMORY, Room, Scratch, can_stream
from backtest.market.schema import INTERVALS
from backtest.state import BLOCK

if TYPE_CHECKING:
    from backtest.config import RunConfig

HELD = 8_000_000  # bytes of bars held at once of a history that is streamed because it is large
LARGE = 100_000_000  # bytes: a history of more is streamed
PATH_ROWS = 16  # series by bar that an account makes, about


def is_streamed(config: RunConfig) -> bool:
    """Whether a config asks for its bars to be streamed; one that says nothing leaves it to the size of its history."""
    return config.data.stream is not None and duration_us(config.data.stream) > 0


def room_for(config: RunConfig, symbols: int, assets: int) -> Room:
    """Where the bars of a run will lie: all in memory, or in files of which a chunk is held at once."""
    data = config.data
    bars = (data.end_us - data.start_us) // INTERVALS[data.interval]
    rows = rows_of(symbols, assets)[0] + PATH_ROWS * len(config.account)
    if data.stream is None:
        large = 8 * rows * bars > LARGE and can_stream()
        return Scratch(max(BLOCK, HELD // (8 * rows))) if large else MEMORY
    chunk = duration_us(data.stream) // INTERVALS[data.interval]
    return Scratch(chunk) if chunk else MEMORY
