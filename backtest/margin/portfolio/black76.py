"""What an option is worth: Black's formula on the future of its expiry, without discounting.

A European call on a forward F, struck at K, with T years left and volatility v is worth F N(d1) - K N(d2) in the quote
currency, d1 = (ln(F / K) + v^2 T / 2) / (v sqrt(T)), d2 = d1 - v sqrt(T); a put is worth the call less F - K. An
inverse option pays the same in the coin, so its premium is that divided by F. At expiry, or without volatility, the
intrinsic value is left. Source: Black, "The pricing of commodity contracts", J. Financial Economics 3 (1976).
"""

from __future__ import annotations

from math import erf, exp, log, pi, sqrt

from backtest.kernel import kernel


@kernel
def normal(x):
    """Probability that a standard normal variable is below x."""
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))


@kernel
def bell(x):
    """Density of a standard normal variable at x."""
    return exp(-0.5 * x * x) / sqrt(2.0 * pi)


@kernel
def first_d(forward, strike, years, volatility):
    """d1 of the formula; years and volatility above zero."""
    spread = volatility * sqrt(years)
    return log(forward / strike) / spread + 0.5 * spread


@kernel
def option_value(forward, strike, years, volatility, call, coined):
    """Premium a coin: in the quote currency, or in the coin where `coined` is 1. `call` is +1, or -1 for a put."""
    if years <= 0.0 or volatility <= 0.0 or forward <= 0.0:
        value = max(0.0, call * (forward - strike))
    else:
        d1 = first_d(forward, strike, years, volatility)
        d2 = d1 - volatility * sqrt(years)
        value = call * (forward * normal(call * d1) - strike * normal(call * d2))
    return value / forward if coined > 0.0 and forward > 0.0 else value


@kernel
def option_delta(forward, strike, years, volatility, call):
    """Change of the premium in the quote currency for a change of 1 of the forward."""
    if years <= 0.0 or volatility <= 0.0:
        return call if call * (forward - strike) > 0.0 else 0.0
    return call * normal(call * first_d(forward, strike, years, volatility))


@kernel
def option_gamma(forward, strike, years, volatility):
    """Change of the delta for a change of 1 of the forward."""
    if years <= 0.0 or volatility <= 0.0:
        return 0.0
    return bell(first_d(forward, strike, years, volatility)) / (forward * volatility * sqrt(years))


@kernel
def option_vega(forward, strike, years, volatility):
    """Change of the premium in the quote currency for a change of 1.00 (a hundred points) of volatility."""
    if years <= 0.0 or volatility <= 0.0:
        return 0.0
    return forward * bell(first_d(forward, strike, years, volatility)) * sqrt(years)


@kernel
def option_theta(forward, strike, years, volatility):
    """Change of the premium in the quote currency as a day passes."""
    if years <= 0.0 or volatility <= 0.0:
        return 0.0
    return -forward * bell(first_d(forward, strike, years, volatility)) * volatility / (2.0 * sqrt(years)) / 365.0
