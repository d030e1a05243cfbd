"""Options on a future: what Black's formula of 1976 says one is worth, undiscounted, in the quote currency or the coin.

Venues of crypto options quote on the future of the same expiry and add no interest, so nothing is discounted. An
inverse option pays in the coin, so its value in coins is the value in the quote currency over the forward. Source:
Black, The pricing of commodity contracts, Journal of Financial Economics 3 (1976).
"""

from __future__ import annotations

import math

from backtest.kernel import kernel


@kernel
def option_value(forward, strike, years, volatility, call, coined):
    """Value of an option on one coin: call 1, put -1; `coined` 1: in the coin. At no time or volatility: intrinsic."""
    spread = volatility * math.sqrt(max(years, 0.0))
    if spread <= 0.0 or strike <= 0.0:
        value = max(call * (forward - strike), 0.0)
    else:
        above = math.log(forward / strike) / spread + 0.5 * spread
        value = call * (forward * normal(call * above) - strike * normal(call * (above - spread)))
    return value / forward if coined > 0.0 else value


@kernel
def normal(x):
    """Probability that a standard normal variable lies below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
