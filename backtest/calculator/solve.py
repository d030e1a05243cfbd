"""The price at which: one price moves, everything else is as it is, and the wallet comes to its liquidation level.

The rules are not inverted but asked: a coarse walk away from today's price finds the nearest change of sign on either
side, and the root between two prices is narrowed to the last digit, so whatever bracket, haircut step or scenario holds
at the solution is the one that was asked. No change of sign up to a millionth, or a billion times, of today's price
means that this leg alone cannot liquidate the account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from backtest.calculator.book import Placed, wallet_of
from backtest.errors import InputError, is_number, nearest
from backtest.state import W_COLLATERAL, W_MAINTENANCE

Floats = npt.NDArray[np.float64]
SMALLEST = 1e-300
STEPS = 64
LARGEST_BETA = 1000.0

# Factors of today's price, from it outwards: even steps while it falls to a 64th or doubles, then even in logarithms.
DOWN = np.concatenate([1.0 - np.arange(STEPS) / STEPS, np.logspace(-2, -12, 61)])
UP = np.concatenate([1.0 + np.arange(STEPS + 1) / STEPS, np.logspace(0.32, 9, 105)])


@dataclass(frozen=True)
class Found:
    """Where an account is liquidated along a path: the coin's price in USD, its move, and the wallet that fails."""

    asset: str
    price: float
    move: float
    wallet: str


def nearest_root(headroom: Callable[[Floats], Floats], today: float) -> float | None:
    """The root of `headroom` (of prices) nearest to today's price, by ratio; None where it has none."""
    found = []
    prices = today * np.concatenate([DOWN, UP])
    values = headroom(prices)
    for way in (slice(None, len(DOWN)), slice(len(DOWN), None)):
        bracket = _first_change(values[way])
        if bracket is not None:
            ends = slice(bracket, bracket + 2)
            found.append(_narrow(headroom, prices[way][ends], values[way][ends]))
    return min(found, key=lambda price: abs(np.log(price / today)), default=None)


def _first_change(values: Floats) -> int | None:
    """Index of the first value whose next has another sign (zero counts as below)."""
    sound = values > 0.0
    changes = np.flatnonzero(sound[1:] != sound[:-1])
    return int(changes[0]) if len(changes) else None


def _narrow(headroom: Callable[[Floats], Floats], prices: Floats, ends: Floats) -> float:
    """The root between two prices, of which the headroom is known, to the last digit."""
    low, high = float(prices.min()), float(prices.max())
    for price, value in sorted(zip(prices.tolist(), ends.tolist(), strict=True)):
        if value == 0.0:
            return float(price)
    at: Callable[[float], float] = lambda price: float(headroom(np.array([price]))[0])  # noqa: E731
    return float(brentq(at, low, high, xtol=SMALLEST, rtol=4 * np.finfo(float).eps, maxiter=500))


def leg_price(placed: Placed, position: int, collateral_only: bool = False) -> float | None:
    """The mark of one contract at which its wallet comes to the venue's level; with `collateral_only`, to nothing
    (the bankruptcy price). Other prices, the coin's index among them, are held.
    """
    i, wallet = int(placed.rules.instrument[position]), wallet_of(placed, position)
    level = 0.0 if collateral_only else placed.level

    def headroom(prices: Floats) -> Floats:
        marks = np.repeat(placed.marks[:, None], len(prices), axis=1)
        marks[i] = prices
        indexes = np.repeat(placed.indexes[:, None], len(prices), axis=1)
        need = placed.weigh(marks, indexes).need[:, wallet]
        return np.asarray(need[:, W_COLLATERAL] - level * need[:, W_MAINTENANCE])

    return nearest_root(headroom, float(placed.marks[i]))


def moved_prices(placed: Placed, moves: Mapping[str, Floats | float], n: int) -> tuple[Floats, Floats]:
    """Marks [instrument, n] and indexes [asset, n] after relative moves of coins in USD.

    A coin takes its contracts along; a quote currency that moves alone moves what is quoted in it the other way.
    """
    shift = {asset: np.ones(n) for asset in (*placed.assets, "USD")}
    for asset, move in moves.items():
        if asset not in placed.assets:
            told = "a move is of a coin, with all its contracts; set the price of one" if "/" in asset else ""
            raise InputError(f"move: {asset!r} is not in this account; {told or nearest(asset, placed.assets)}")
        shift[asset] = np.maximum(1.0 + np.broadcast_to(move, n), 1e-12)
    marks = [
        mark * shift[instrument.base] / shift[instrument.quote]
        for instrument, mark in zip(placed.instruments, placed.marks, strict=True)
    ]
    indexes = [price * shift[asset] for asset, price in zip(placed.assets, placed.indexes, strict=True)]
    for i in np.flatnonzero(placed.forwards):
        marks[i] = placed.premiums_at(int(i), np.array(indexes))
    return np.array(marks).reshape(len(marks), n), np.array(indexes)


def account_price(placed: Placed, asset: str, betas: Mapping[str, float] | None = None) -> Found | None:
    """Where the account is liquidated as one coin's price moves, every contract of it along; other coins are held, or
    move `beta` times as far. None: nowhere along this path.
    """
    if asset not in placed.assets:
        raise InputError(f"liquidation: {asset!r} is not in this account; {nearest(asset, placed.assets)}")
    for other, beta in (betas or {}).items():
        if other not in placed.assets:
            raise InputError(f"beta: {other!r} is not in this account; {nearest(other, placed.assets)}")
        if other == asset:
            raise InputError(f"beta: {asset} is the coin that moves; give betas of others")
        if not is_number(beta) or not abs(beta) <= LARGEST_BETA:
            raise InputError(f"beta.{other} = {beta!r}: write a number, such as 1.2")
    today = float(placed.indexes[placed.assets.index(asset)])
    wallets = leaning(placed)

    def room(prices: Floats) -> Floats:
        move = prices / today - 1.0
        moves = {asset: move, **{other: beta * move for other, beta in (betas or {}).items()}}
        need = placed.weigh(*moved_prices(placed, moves, len(prices))).need[:, wallets]
        return np.asarray(need[:, :, W_COLLATERAL] - placed.level * need[:, :, W_MAINTENANCE])

    if not wallets:
        return None
    price = nearest_root(lambda prices: np.asarray(room(prices).min(axis=1)), today)
    if price is None:
        return None
    worst = wallets[int(room(np.array([price]))[0].argmin())]
    return Found(asset, price, price / today - 1.0, placed.plan.shape.names[worst])


def leaning(placed: Placed) -> Sequence[int]:
    """Wallets that can fail: they back something, and hold positions or owe."""
    held = placed.book.contracts[:, 0] != 0
    wallets = []
    for w in placed.backing:
        leans = bool((held & (placed.rules.position_wallet[0] == w)).any())
        owes = bool((placed.book.balance[w, :, 0] < 0).any())
        loans = placed.plan.shape.loans >= 0 and placed.plan.shape.settle[w] < 0
        if leans or owes or loans:
            wallets.append(w)
    return wallets
