"""What a perpetual is worth against spot, where rates are constant."""

from __future__ import annotations

from backtest.errors import InputError


def perpetual_over_spot(payments: float, interest: float, quote_rate: float, base_rate: float) -> float:
    """Fair price of a linear perpetual / spot: (kappa - iota) / (kappa + r_b - r_a).

    `payments` kappa: funding payments per year (1095 where it is paid every 8 hours); `interest` iota: the interest
    component; `quote_rate` r_a and `base_rate` r_b: rates of the currencies; all per year, as fractions. It is 1
    where iota = r_a - r_b. Raises InputError where kappa + r_b <= r_a: the price is then not finite.
    Source: Ackerer, Hugonnier and Jermann, arXiv 2310.11771.
    """
    if payments + base_rate <= quote_rate:
        raise InputError(
            f"perpetual_over_spot: payments {payments:g} + base_rate {base_rate:g} must exceed quote_rate"
            f" {quote_rate:g}; nothing else pulls the price to spot"
        )
    return (payments - interest) / (payments + base_rate - quote_rate)
