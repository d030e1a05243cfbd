"""Outages and auto-deleveragings of a config, put on the history and on the tape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtest.config import RunConfig
from backtest.config.events import Deleveraging, Outage
from backtest.engine.tape import Event
from backtest.errors import InputError, nearest
from backtest.market.grid import when
from backtest.market.history import History
from backtest.state import DELEVERAGE


def with_outages(config: RunConfig, history: History) -> History:
    """The history with nothing tradable during the outages, each a note."""
    outages = [each for each in config.events if isinstance(each, Outage)]
    tradable, notes = history.tradable, list(history.notes)
    if outages:
        tradable = history.room.zeros(history.tradable.shape, np.bool_)
        for part in history.room.parts(len(history.time)):
            tradable[:, part] = history.tradable[:, part]
    for each in config.events:
        if isinstance(each, Deleveraging):
            words = f"up to {each.share:.0%} of {each.symbol}, where it is in profit"
            notes.append(f"auto-deleveraging at {when(each.time_us)}: {words}; see fills with that cause")
    for each in outages:
        if each.time_us > history.time[-1] or each.until_us <= history.time[0]:
            span = f"{when(int(history.time[0]))} to {when(int(history.time[-1]))}"
            raise InputError(f"events: the outage of {when(each.time_us)} lies outside the run, {span}")
        first, last = np.searchsorted(history.time, (each.time_us, each.until_us)).tolist()
        tradable[:, first:last] = False
        span = f"{when(each.time_us)} to {when(each.until_us)}"
        notes.append(f"outage from {span}: no order passes in {last - first} bars")
    return replace(history, tradable=tradable, notes=tuple(notes))


def deleveragings(config: RunConfig, history: History) -> list[Event]:
    """Tape events of the auto-deleveragings, at the first open at or after their time."""
    symbols = [instrument.symbol for instrument in history.instruments if instrument.kind != "spot"]
    found = []
    for each in config.events:
        if isinstance(each, Deleveraging):
            if each.symbol not in symbols:
                raise InputError(
                    f"events: {each.symbol!r} is not a future of this run; {nearest(each.symbol, symbols)}"
                )
            bar = int(np.searchsorted(history.time, each.time_us))
            if bar >= len(history.time) or each.time_us < int(history.time[0]):
                span = f"{when(int(history.time[0]))} to {when(int(history.time[-1]))}"
                raise InputError(f"events: the deleveraging of {when(each.time_us)} lies outside the run, {span}")
            k = [instrument.symbol for instrument in history.instruments].index(each.symbol)
            found.append(Event(bar, int(DELEVERAGE), k, -1, each.share))
    return found
