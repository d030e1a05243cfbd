"""Calling a strategy's own code: which hooks it has, and where it failed when it did."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import cached_property, lru_cache
from inspect import getattr_static, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from pathlib import Path
from sysconfig import get_path

import backtest
from backtest.errors import InputError, StrategyError, nearest
from backtest.market.grid import when
from backtest.strategy.orders import Order
from backtest.strategy.strategy import Strategy

HOOKS = ("symbols", "start", "on_bar", "on_event", "targets")
LIBRARIES = (str(Path(backtest.__file__).parent), *{get_path(kind) for kind in ("stdlib", "purelib", "platlib")})


class asking:
    """Say where a hook failed: its name and the bar's open. Bad input stays InputError, all else is StrategyError.

    `time_us`: the open, or how it is found out when it has to be told.
    """

    def __init__(
        self,
        strategy: Strategy,
        hook: str,
        time_us: int | Callable[[], int] | None = None,
        words: str = "at the bar of",
    ) -> None:
        self._strategy, self._hook, self._time_us, self._words = strategy, hook, time_us, words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception | SystemExit):  # a strategy that exits fails, and does not end a sweep
            where = f"{type(self._strategy).__name__}.{self._hook}{self._at()}"
            if isinstance(error, InputError):
                raise InputError(f"{error} (in {where})") from error
            raise StrategyError(f"{where}: {in_words(error)}") from error

    def _at(self) -> str:
        if self._time_us is None:
            return ""
        return f" {self._words} {when(self._time_us() if callable(self._time_us) else self._time_us)}"


def refuse_orders(answer: object) -> None:
    """InputError for orders that a hook returned instead of placing them: nobody would read them."""
    some = answer if isinstance(answer, list | tuple) else [answer]
    if any(isinstance(each, Order) for each in some):
        raise InputError("orders were returned, and nobody reads them: place them, such as desk.together([...])")


def in_words(error: BaseException) -> str:
    """An exception with its kind, and the file and line it came from: of code that is nobody's library, if it went
    through any.
    """
    places = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<")]
    own = [each for each in places if not each.filename.startswith(LIBRARIES)] or places
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{_instead(error)}{place}"


def _instead(error: BaseException) -> str:
    """What a thing of ours that was asked for something it has not does have."""
    asked: object = getattr(error, "obj", None)
    if not isinstance(error, AttributeError) or not type(asked).__module__.startswith("backtest."):
        return ""
    return f"; {nearest(error.name, [each for each in dir(asked) if not each.startswith('_')])}"


def overrides(kind: type[Strategy], hook: str) -> bool:
    """Whether a class, or one it inherits from, has its own version of a hook."""
    return getattr(kind, hook) is not getattr(Strategy, hook)


def _takes(kind: type[Strategy], hook: str) -> bool:
    """Whether a class's hook, however it is bound to a strategy, takes what the hook is given."""
    if isinstance(getattr_static(kind, hook), property | cached_property) or not callable(getattr(kind, hook)):
        return False
    many = len(signature(getattr(Strategy, hook)).parameters) - 1
    try:
        signature(getattr(object.__new__(kind), hook)).bind(*[None] * many)
    except TypeError:
        return False
    except ValueError:  # written in C, it does not say
        return True
    return True


def _as_written(asked: object) -> str:
    """What a hook takes, or what stands in its place."""
    return str(signature(asked)) if callable(asked) else f" = {asked!r}"


@lru_cache(maxsize=32)  # a sweep makes its strategy anew at every point
def check_hooks(kind: type[Strategy]) -> None:
    """InputError for a strategy that would never be asked, asked in vain, or in two ways of which only one can hold."""
    for hook in HOOKS:
        asked = getattr(kind, hook)
        if isgeneratorfunction(asked) or iscoroutinefunction(asked) or isasyncgenfunction(asked):
            word = "a `yield` in it" if isgeneratorfunction(asked) else "an `async` before it"
            raise InputError(f"{kind.__name__}.{hook} has {word}, so that asking it does nothing; take that out")
        if not _takes(kind, hook):
            given = ", ".join(signature(getattr(Strategy, hook)).parameters)
            raise InputError(f"{kind.__name__}.{hook}{_as_written(asked)} cannot be asked: write {hook}({given})")
    acts = [hook for hook in ("on_bar", "on_event") if overrides(kind, hook)]
    if overrides(kind, "targets") and acts:
        raise InputError(f"{kind.__name__} has both targets and {acts[0]}: write one, the other would never be asked")
    if not acts and not overrides(kind, "targets"):
        own = [
            name
            for each in kind.__mro__
            if issubclass(each, Strategy) and each is not Strategy
            for name, value in vars(each).items()
            if callable(value) and not name.startswith("__") and name not in (*HOOKS, "Params")
        ]
        hints = [(name, nearest(name, HOOKS[2:])) for name in own]
        wrong = next((f"; of {name!r}: {hint}" for name, hint in hints if hint.startswith("did you")), "")
        raise InputError(f"{kind.__name__} never decides: write on_bar, on_event or targets{wrong}")
