"""Money and contracts as whole steps.

A balance is an integer count of steps of 1e-8 (a satoshi, or a hundred-millionth of a dollar), so sums are exact
and the ledger gives every balance back to the last step. Prices, rates and requirements are floats. An amount is
rounded once, to the nearest step, at the moment it is posted. Two step integers are never multiplied: the product
would pass 2^63 silently.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError
from backtest.kernel import kernel

STEP = 1e-8
STEPS_PER_UNIT = 100_000_000
HEADROOM = 2**62 // STEPS_PER_UNIT  # largest amount the engine takes, in whole units: half of what fits


@kernel
def units(steps):
    """A float count of steps, rounded to the nearest whole step (half to even)."""
    return np.int64(np.rint(steps))


@overload
def amount_of(steps: int) -> float: ...
@overload
def amount_of(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]: ...
def amount_of(steps: Any) -> Any:
    """Steps, one number or an array, as the amount they stand for: the float nearest to it, so that 2.417 reads as it
    was written. Kernels multiply by STEP, which is quicker and may be a last bit off.
    """
    return steps / STEPS_PER_UNIT


def to_steps(amount: float, what: str) -> int:
    """An amount a person wrote, in steps. Raises InputError where it would not fit an account's integers."""
    if not isfinite(amount) or abs(amount) > HEADROOM:
        raise InputError(f"{what}: {amount!r} does not fit the ledger (largest amount {HEADROOM:,} units)")
    return round(float(amount) * STEPS_PER_UNIT)  # half to even, as `units` does
