"""What Bybit shows as the cost of an order: its initial margin, the fee to open and the fee to close at bankruptcy.

A run asks an order for initial margin and takes fees as they fall due; this is the figure of the order form.
Source: testnet.bybit.com help "Order Cost (USDT Contract)" of 2024-10-30; ukcamo.com/14820 for the inverse one.
"""

from __future__ import annotations


def linear_order_cost(size: float, price: float, leverage: float, taker: float, *, buy: bool = True) -> float:
    """Cost in the quote currency of an order for `size` coins at `price`; `taker` a fraction of notional."""
    notional = size * price
    at_bankruptcy = notional * (1.0 - 1.0 / leverage if buy else 1.0 + 1.0 / leverage)
    return notional / leverage + notional * taker + at_bankruptcy * taker


def inverse_order_cost(contracts: float, price: float, leverage: float, taker: float, *, buy: bool = True) -> float:
    """Cost in the coin of an order for contracts of one dollar each: their value is larger where a buy is bankrupt."""
    notional = contracts / price
    at_bankruptcy = notional * (1.0 + 1.0 / leverage if buy else 1.0 - 1.0 / leverage)
    return notional / leverage + notional * taker + at_bankruptcy * taker
