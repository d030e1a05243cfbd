"""What is done with rows of numbers once a rule has made them: kept, compared, counted. Each one loop, see `leaves`."""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.units import STEP

DUST = 0.01  # USD: a wallet this little under water without positions is rounding, not ruin


@kernel
def clear(out):
    """out = 0."""
    for j in range(len(out)):
        out[j] = 0.0


@kernel
def fill_with(out, value):
    """out = value."""
    for j in range(len(out)):
        out[j] = value


@kernel
def copy_row(out, other):
    """out = other, as far as out reaches."""
    for j in range(len(out)):
        out[j] = other[j]


@kernel
def keep_lower(out, other):
    """out = the lower of the two."""
    for j in range(len(out)):
        out[j] = min(out[j], other[j])


@kernel
def keep_higher(out, other):
    """out = the higher of the two."""
    for j in range(len(out)):
        out[j] = max(out[j], other[j])


@kernel
def exchange_higher(kept, coming):
    """kept = the higher of the two, coming = the lower: one place of a list of largest numbers, largest first."""
    for j in range(len(kept)):
        higher = max(kept[j], coming[j])
        coming[j] = min(kept[j], coming[j])
        kept[j] = higher


@kernel
def add_row(out, other):
    """out += other."""
    for j in range(len(out)):
        out[j] += other[j]


@kernel
def take_product(out, row, factor):
    """out -= row x factor."""
    for j in range(len(out)):
        out[j] -= row[j] * factor


@kernel
def divide_by(out, number):
    """out /= number."""
    for j in range(len(out)):
        out[j] /= number


@kernel
def many_above_row(row, other):
    """How many elements are above those of another row."""
    many = 0
    for j in range(len(row)):
        many += row[j] > other[j]
    return many


@kernel
def lower_of(out, one, other):
    """out = the lower of the two."""
    for j in range(len(out)):
        out[j] = min(one[j], other[j])


@kernel
def lowest_of(out, one, other, third):
    """out = the lowest of the three."""
    for j in range(len(out)):
        out[j] = min(min(one[j], other[j]), third[j])


@kernel
def lower_to_ratio(out, collateral, maintenance):
    """out = the lower of out and collateral / maintenance; a wallet without requirement has no ratio."""
    for j in range(len(out)):
        if maintenance[j] > 0.0:
            out[j] = min(out[j], collateral[j] / maintenance[j])


@kernel
def lower_to_headroom(out, collateral, initial, maintenance, level):
    """out = the lower of out and what is left of the collateral beyond every requirement."""
    for j in range(len(out)):
        out[j] = min(out[j], collateral[j] - max(initial[j], level * maintenance[j]))


@kernel
def is_sound(collateral, maintenance, level):
    """Whether collateral is above level x maintenance; without requirement, whether it is not below nothing."""
    return collateral > level * maintenance if maintenance > 0.0 else collateral >= -DUST


@kernel
def many_unsound(collateral, maintenance, level):
    """How many elements are unsound; see `count_unsound`."""
    many = 0
    for j in range(len(collateral)):
        many += not is_sound(collateral[j], maintenance[j], level)
    return many


@kernel
def count_unsound(out, collateral, maintenance, level):
    """out += 1 where collateral is at or below level x maintenance, or without requirement below nothing."""
    for j in range(len(out)):
        out[j] += not is_sound(collateral[j], maintenance[j], level)


@kernel
def many_above(row, level):
    """How many elements are above a level."""
    many = 0
    for j in range(len(row)):
        many += row[j] > level
    return many


@kernel
def many_below(balance, usd, worth):
    """How many of a running balance's elements are worth less than so many USD."""
    many = 0
    for j in range(len(balance)):
        many += balance[j] * STEP * usd[j] < worth
    return many
