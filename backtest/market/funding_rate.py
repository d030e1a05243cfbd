"""Funding rates as venues make them from a premium: clamped to interest, scaled to the interval, capped.

A recorded history brings its rates along; these are for made-up markets and for checking recorded ones. Rates and
premiums are fractions, positive where longs pay. Each function names the venue it is of.
"""

from __future__ import annotations

SHARE_OF_MAINTENANCE = 0.75  # Binance: cap and floor as a share of the first bracket's maintenance rate
HYPERLIQUID_CAP = 0.04  # an hour
DERIBIT_DAMPENER = 0.00025
PARADEX_DAMPENER = 0.0005
HOURS = 8.0  # the period that rates are quoted for


def clamp(value: float, low: float, high: float) -> float:
    """The value, held between two bounds."""
    return max(low, min(high, value))


def premium(impact_bid: float, impact_ask: float, reference: float) -> float:
    """[max(0, impact bid - reference) - max(0, reference - impact ask)] / reference; 0 inside the spread.

    `reference`: the index (Binance) or the oracle price (Hyperliquid).
    """
    return (max(0.0, impact_bid - reference) - max(0.0, reference - impact_ask)) / reference


def clamped_to_interest(average_premium: float, interest: float = 0.0001, width: float = 0.0005) -> float:
    """P + clamp(I - P, -width, +width): interest itself while the premium is within `width` of it.

    Binance FAQ of funding rates; Hyperliquid's docs, trading/funding.
    """
    return average_premium + clamp(interest - average_premium, -width, width)


def dampened(premium_rate: float, dampener: float) -> float:
    """max(d, P) + min(-d, P): the premium less d towards zero, 0 within d of it (Deribit, Paradex)."""
    return max(dampener, premium_rate) + min(-dampener, premium_rate)


def binance_rate(average_premium: float, hours: float, first_maintenance: float, *, scaled: bool = True) -> float:
    """Rate of one interval of `hours`: clamped, divided by 8 / hours, within 0.75 x the first bracket's maintenance.

    `scaled` False: as until 2025-09-18, when a short interval paid the whole rate. Binance announcement 2025-09-16;
    the share of maintenance is read off realised extremes.
    """
    rate = clamped_to_interest(average_premium) * (hours / HOURS if scaled else 1.0)
    cap = SHARE_OF_MAINTENANCE * first_maintenance
    return clamp(rate, -cap, cap)


def binance_mark_price_1(index: float, last_rate: float, hours_to_funding: float, hours: float = HOURS) -> float:
    """Price 1 of Binance's mark: index x (1 + last funding rate x time to funding / interval)."""
    return index * (1.0 + last_rate * hours_to_funding / hours)


def hyperliquid_hourly_rate(average_premium: float) -> float:
    """An eighth of the clamped rate of 8 hours, within 4 % an hour. Hyperliquid's docs, trading/funding."""
    return clamp(clamped_to_interest(average_premium) / HOURS, -HYPERLIQUID_CAP, HYPERLIQUID_CAP)


def deribit_rate(mark: float, index: float, cap: float | None = None) -> float:
    """Rate of 8 hours, accrued continuously: the premium mark / index - 1 dampened by 0.025 %.

    `cap`: the instrument's limit of the rate, if known. support.deribit.com article 31424939178397.
    """
    rate = dampened(mark / index - 1.0, DERIBIT_DAMPENER)
    return rate if cap is None else clamp(rate, -cap, cap)


def paradex_index_change(premium_rate: float, spot: float, seconds: float, quote: float = 1.0) -> float:
    """Growth of the funding index, in USDC per coin: dampened premium x spot / quote x seconds / 8 hours.

    A position's funding is -size x the index's growth while held. docs.paradex.trade/risk.
    """
    return dampened(premium_rate, PARADEX_DAMPENER) * spot / quote * seconds / (HOURS * 3600.0)


def drift_hourly_rate(mark_average: float, oracle_average: float, cap: float) -> float:
    """(mark TWAP - oracle TWAP) / oracle TWAP / 24, within the contract tier's `cap`. Drift's docs."""
    return clamp((mark_average - oracle_average) / oracle_average / 24.0, -cap, cap)


def dydx_cap(initial: float, maintenance: float) -> float:
    """Largest rate of 8 hours: 600 % x (initial - maintenance fraction). dYdX v4 documentation."""
    return 6.0 * (initial - maintenance)


def dydx_impact_notional(initial: float) -> float:
    """USDC that the impact prices are taken at: 500 / initial fraction. dYdX v4 documentation."""
    return 500.0 / initial
