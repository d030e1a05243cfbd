"""The chart of accounts: every reason for which a balance may change, each with its word in the ledger.

A kind is one line of the account's story: what was deposited, traded, paid, received, lost or forgiven. Kinds that move
money inside the account (transfers, isolated margin, loans) come in pairs that cancel.
"""

from __future__ import annotations

from backtest.state import I64

(
    DEPOSIT,
    WITHDRAWAL,
    TRANSFER,
    TRANSFER_COST,
    ALLOCATE,
    BUY,
    SELL,
    FEE,
    REALISED,
    FUNDED,
    INTEREST_PAID,
    BORROW,
    REPAY,
    CONVERTED,
    CONVERSION_COST,
    LIQUIDATION,
    INSURANCE,
    DELIVERED,
    USER_DEBT,
    SETTLED,
) = (I64(k) for k in range(20))

KIND_NAMES = (
    "deposit",
    "withdrawal",
    "transfer",
    "transfer_cost",
    "allocate",
    "buy",
    "sell",
    "fee",
    "realised",
    "funding",
    "interest",
    "borrow",
    "repay",
    "conversion",
    "conversion_cost",
    "liquidation_fee",
    "insurance",
    "delivery_fee",
    "user_debt",
    "settlement",
)

PAIRED = (TRANSFER, ALLOCATE, BORROW, REPAY, USER_DEBT)
"""Kinds whose rows sum to zero over an account's wallets, asset by asset."""
