"""A span: some bars of one account, or some accounts at one moment.

Margin is written once, over a span. `Bars` is a stretch of bars during which one account's contracts do not change;
`Lanes` are accounts of one shape side by side at one moment (one account at one moment is the smallest of them). Only
this file knows the two apart: compiled code takes one expression or the other by the span's type, plain Python asks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from backtest.units import STEP


class Bars(NamedTuple):
    """Bars first..last-1 of one account."""

    account: int
    first: int
    last: int


class Lanes(NamedTuple):
    """Accounts first..last-1 at one moment: rules of `bar`, prices in column `column` of the price table."""

    bar: int
    column: int
    first: int
    last: int


def _is_bars(span):
    return isinstance(span, types.BaseNamedTuple) and span.instance_class is Bars


def first_bar(span):
    """The bar whose rules are in force for the whole span."""
    return span.first if isinstance(span, Bars) else span.bar


def first_account(span):
    """The account whose shape, held lists and signs stand for the span."""
    return span.account if isinstance(span, Bars) else span.first


def held(row, span, j):
    """Element j of an amount kept per account, in units."""
    return row[span.account] * STEP if isinstance(span, Bars) else row[span.first + j] * STEP


def price(row, span, j):
    """Element j of a price kept per bar."""
    return row[span.first + j] if isinstance(span, Bars) else row[span.column]


def dated(row, span, j):
    """Element j of something kept per bar and the same at every moment of it, such as its time."""
    return row[span.first + j] if isinstance(span, Bars) else row[span.bar]


def owned(running, balance, span, j):
    """Element j of a balance, in units: it may move inside a stretch (funding, interest), so bars read the running
    one.
    """
    return running[j] * STEP if isinstance(span, Bars) else balance[span.first + j] * STEP


@overload(first_bar)
def _first_bar(span):
    return (lambda span: span.first) if _is_bars(span) else (lambda span: span.bar)


@overload(first_account)
def _first_account(span):
    return (lambda span: span.account) if _is_bars(span) else (lambda span: span.first)


# An unsigned index tells the compiler that no row is read from its end, which is what lets these loops vectorise.
@overload(held)
def _held(row, span, j):
    if _is_bars(span):
        return lambda row, span, j: row[np.uintp(span.account)] * STEP
    return lambda row, span, j: row[np.uintp(span.first + j)] * STEP


@overload(price)
def _price(row, span, j):
    if _is_bars(span):
        return lambda row, span, j: row[np.uintp(span.first + j)]
    return lambda row, span, j: row[np.uintp(span.column)]


@overload(dated)
def _dated(row, span, j):
    if _is_bars(span):
        return lambda row, span, j: row[np.uintp(span.first + j)]
    return lambda row, span, j: row[np.uintp(span.bar)]


@overload(owned)
def _owned(running, balance, span, j):
    if _is_bars(span):
        return lambda running, balance, span, j: running[np.uintp(j)] * STEP
    return lambda running, balance, span, j: balance[np.uintp(span.first + j)] * STEP
