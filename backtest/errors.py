"""How the product says no to bad input: one exception, worded for the person who has to mend the file.

A rule's refusal is a value (see `engine.attempt`), a bug is an assertion, and only what a user wrote wrong is raised
here: in a file, or in the code of a strategy. What counts as a number where one is asked is said here as well.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TypeGuard


class InputError(ValueError):
    """Something the user gave is wrong: the message says what, where, the value, and the nearest valid choice."""


class NotStored(InputError):
    """Bars that a run needs are not in the store: who can do without them asks on, and nobody takes a damaged file for
    one that is not there.
    """


class StrategyError(RuntimeError):
    """A strategy's own code failed: the message says in which hook and at which bar, the cause is chained."""


def in_a_line(error: Exception) -> str:
    """What an error says in its first line; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it can be an amount, a rate or a price, of Python or of numpy: true, text and nothing are none."""
    kind = type(value)
    return kind is float or kind is int or (isinstance(value, Real) and kind is not bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a number that counts: 3 is one, 3.0 and true are none."""
    kind = type(value)
    return kind is int or (isinstance(value, Integral) and kind is not bool)


def nearest(word: object, choices: Iterable[str]) -> str:
    """The clause that ends an error message: the closest valid choice, or all of them if none is close."""
    known, written = sorted(choices), str(word)  # a strategy may ask for what is no word at all
    same = [choice for choice in known if choice.casefold() == written.strip().casefold()]
    close = same or difflib.get_close_matches(written, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(known)}" if known else "there is nothing to choose from"
