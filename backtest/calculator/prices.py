"""The prices an account is shown: marks of its contracts and indexes of its coins, as given or as they follow.

What is missing follows from what is there: dollars are worth 1 USD, a coin what its pair or contract trades at, a
contract what its coin is worth, an option what Black-76 says. Each of these is noted. Prices that nothing here needs
are left aside, so that a venue's whole list may be pasted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from backtest.calculator.black import implied, premium
from backtest.calculator.instruments import DOLLARS, instrument_of
from backtest.calculator.snapshot import Snapshot
from backtest.errors import InputError
from backtest.market.schema import YEAR_US, Instrument

Floats = npt.NDArray[np.float64]
APART = 0.1  # of the index: farther from it no perpetual's mark has been for long
NAMED = 6  # of the prices left aside, so many by name


def prices_of(
    snapshot: Snapshot, instruments: Sequence[Instrument], assets: Sequence[str], notes: list[str]
) -> tuple[Floats, Floats]:
    """Marks [instrument] in quote currency and indexes [asset] in USD. InputError names every coin without a price."""
    given = _given(snapshot)
    index: dict[str, float] = {asset: given[asset] for asset in assets if asset in given}
    for dollar in (a for a in assets if a in DOLLARS and a not in index):
        index[dollar] = 1.0
        if dollar != "USD":
            notes.append(f"no price of {dollar}: taken as 1 USD")
    quoted = _quoted(snapshot, instruments, given)
    used = {*assets, *(i.symbol for i in instruments)}
    for asset in assets:
        if asset not in index:
            source = _source(asset, (*instruments, *quoted), given, index)
            if source is not None:
                index[asset] = given[source.symbol] * index.get(source.quote, 1.0)
                used.add(source.symbol)
                what = "price" if source.kind == "spot" else "mark"
                notes.append(f"no index price of {asset}: taken as the {what} of {source.symbol}")
    unknown = [asset for asset in assets if asset not in index]
    if unknown:
        told = ", ".join(f"{asset} = ..." for asset in unknown)
        raise InputError(f"no price of {', '.join(unknown)}; write [prices] {told} (USD a coin)")
    used |= {i.symbol for i in quoted if any(_same_delivery(i, option) for option in instruments)}
    _tell_unused([key for key in given if key not in used], notes)
    marks = [given.get(i.symbol) or _from_index(i, index, notes) for i in instruments]
    _tell_apart(instruments, marks, index, notes)
    return np.array(marks, float), np.array([index[asset] for asset in assets], float)


def _given(snapshot: Snapshot) -> dict[str, float]:
    """Prices as written, marks of positions among them. InputError where the two differ."""
    given = dict(snapshot.prices)
    for position in snapshot.positions:
        if position.mark is not None:
            if given.get(position.symbol, position.mark) != position.mark:
                raise InputError(
                    f"{position.symbol}: mark {position.mark:g} and price {given[position.symbol]:g} differ; write one"
                )
            given[position.symbol] = position.mark
    return given


def _quoted(
    snapshot: Snapshot, instruments: Sequence[Instrument], given: Mapping[str, float]
) -> tuple[Instrument, ...]:
    """Pairs and contracts that are priced but not held, nor ordered."""
    held = {instrument.symbol for instrument in instruments}
    return tuple(instrument_of(snapshot, key) for key in given if "/" in key and key not in held)


def _source(
    asset: str, instruments: Sequence[Instrument], given: Mapping[str, float], index: Mapping[str, float]
) -> Instrument | None:
    """What a coin's price is taken from: its pair, else its perpetual, else the contract delivered first."""
    fitting = [
        instrument
        for instrument in instruments
        if instrument.base == asset
        and instrument.symbol in given
        and instrument.kind != "option"
        and (instrument.quote == "USD" or instrument.quote in index)
    ]
    return min(fitting, key=lambda i: (i.kind != "spot", i.expiry_us or 0), default=None)


def _tell_unused(keys: Sequence[str], notes: list[str]) -> None:
    if keys:
        more = f" and {len(keys) - NAMED} others" if len(keys) > NAMED else ""
        notes.append(f"prices that nothing here needs were left aside: {', '.join(keys[:NAMED])}{more}")


def _tell_apart(
    instruments: Sequence[Instrument], marks: Sequence[float], index: Mapping[str, float], notes: list[str]
) -> None:
    """Note perpetuals whose mark is so far from the index that one of the two is old, or mistyped."""
    for instrument, mark in zip(instruments, marks, strict=True):
        if instrument.perpetual:
            fair = index[instrument.base] / index.get(instrument.quote, 1.0)
            if abs(mark / fair - 1.0) > APART:
                notes.append(
                    f"{instrument.symbol}: its mark {mark:g} is {mark / fair - 1.0:+.1%} from the index {fair:g} of "
                    f"{instrument.base}, where marks do not stay; look whether one of the two is old"
                )


def _from_index(instrument: Instrument, index: Mapping[str, float], notes: list[str]) -> float:
    if instrument.kind == "option":
        return float("nan")
    if instrument.kind != "spot":
        notes.append(f"no mark of {instrument.symbol}: taken as the index of {instrument.base}")
    return index[instrument.base] / index.get(instrument.quote, 1.0)


def options_of(
    snapshot: Snapshot,
    instruments: Sequence[Instrument],
    assets: Sequence[str],
    marks: Floats,
    indexes: Floats,
    notes: list[str],
) -> tuple[Floats, Floats]:
    """Forward and implied volatility of each option; where only one of premium and volatility is given, the other.

    `marks` of options without a premium are filled in. InputError where neither is given, or no volatility fits.
    """
    forwards, volatilities = np.zeros(len(instruments)), np.zeros(len(instruments))
    held = {position.symbol: position for position in snapshot.positions}
    index = dict(zip(assets, indexes.tolist(), strict=True))
    futures = {i.symbol: (i, float(mark)) for i, mark in zip(instruments, marks, strict=True)}
    futures |= {i.symbol: (i, snapshot.prices[i.symbol]) for i in _quoted(snapshot, instruments, snapshot.prices)}
    for i, option in enumerate(instruments):
        if option.kind != "option":
            continue
        position = held.get(option.symbol)
        same = [mark for other, mark in futures.values() if _same_delivery(other, option)]
        forward = (position and position.forward) or next(iter(same), index[option.base] / index.get(option.quote, 1.0))
        years, coined = ((option.expiry_us or 0) - snapshot.at_us) / YEAR_US, option.settle == option.base
        volatility = position.implied_volatility if position else None
        if np.isnan(marks[i]) and volatility is None:
            raise InputError(
                f"{option.symbol}: give its mark (premium a coin in {option.settle}) or implied_volatility"
            )
        if np.isnan(marks[i]):
            marks[i] = premium(forward, option.strike, years, float(volatility or 0.0), option.call, coined)
            notes.append(f"no mark of {option.symbol}: priced by Black-76 on a forward of {forward:g}")
        if volatility is None:
            volatility = implied(float(marks[i]), forward, option.strike, years, option.call, coined)
        if volatility is None:
            raise InputError(_no_volatility(option, float(marks[i]), forward))
        forwards[i], volatilities[i] = forward, volatility
    return forwards, volatilities


def _same_delivery(future: Instrument, option: Instrument) -> bool:
    return (
        option.kind == "option" and future.dated and (future.base, future.expiry_us) == (option.base, option.expiry_us)
    )


def _no_volatility(option: Instrument, mark: float, forward: float) -> str:
    """Why an option's mark cannot be: in the wrong currency, or below what the option is worth at once."""
    told = f"{option.symbol}: no volatility gives a premium of {mark:g} on a forward of {forward:g}"
    if option.settle == option.base and mark > 1.0:
        return (
            f"{told}; the premium of an option paid in {option.base} is in {option.base} a coin: {mark / forward:.6g}?"
        )
    return f"{told}; give its implied_volatility too, or the forward of its expiry"
