"""Hyperliquid's portfolio margin: what spot tokens let one borrow, and when the loan is taken over.

Source: docs, trading/portfolio-margin, read at github.com/dzmbs/hyperliquid-docs (commit 24c1248c, 2026-08-22).
"""

from __future__ import annotations


def borrow_capacity(balance: float, price: float, loan_to_value: float) -> float:
    """USDC that `balance` tokens at `price` let one borrow: balance x price x LTV."""
    return balance * price * loan_to_value


def locked_collateral(borrowed: float, price: float, loan_to_value: float) -> float:
    """Tokens that a loan of `borrowed` USDC locks: borrowed / (LTV x price)."""
    return borrowed / (loan_to_value * price)


def partial_threshold(loan_to_value: float) -> float:
    """Loan / collateral value above which the loan is taken over in steps: LTV + (1 - LTV) / 2."""
    return loan_to_value + (1.0 - loan_to_value) / 2.0


def full_threshold(loan_to_value: float) -> float:
    """Loan / collateral value above which it is taken over whole: LTV + 2/3 x (1 - LTV)."""
    return loan_to_value + 2.0 / 3.0 * (1.0 - loan_to_value)
