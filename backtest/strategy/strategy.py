"""The base of every strategy, and how one is found by name.

A strategy says which instruments it needs, when it wants to be asked, and what it wants: as a callback that sees
the bar that has just closed and writes orders for the next one, or as a table of targets made at once.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from backtest.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from backtest.market.schema import Instrument
    from backtest.strategy.bar import Bar
    from backtest.strategy.desk import Desk
    from backtest.strategy.market import Market
    from backtest.strategy.targets import Targets

EVENT_KINDS = ("fill", "refusal", "liquidation", "delivery")


class Params(BaseModel):
    """Parameters of a strategy: validated, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Event:
    """Something that happened to the account in the bar that closed: a fill, a refusal, a liquidation, a delivery."""

    kind: str
    time: pd.Timestamp
    symbol: str
    contracts: float
    price: float
    reason: str = ""
    position_side: str = ""  # in hedge mode "long" or "short"


class Strategy:
    """Override `symbols`, and either `on_bar` (and `on_event`) or `targets`.

    `schedule`: "every bar", an interval such as "8h" (bars whose close falls on it), "funding" (bars at whose close a
    funding stamp falls), or a tuple of event kinds out of "fill", "refusal", "liquidation", "delivery". It is read
    once, after `start`, which may still set it.
    """

    Params: ClassVar[type[BaseModel]] = Params
    schedule: str | tuple[str, ...] = "every bar"

    def __init__(self, **params: Any) -> None:
        self.params: Any = validated(type(self), params)

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The symbols the run must load, given what the store has."""
        raise InputError(f"{type(self).__name__} must say which symbols it trades: write its method `symbols`")

    def start(self, market: Market) -> None:
        """Asked once before the first bar; `market` knows instruments and dates, and no price yet."""

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Asked at the close of every bar of the schedule."""

    def on_event(self, event: Event, desk: Desk) -> None:
        """Asked for every event of a bar, before `on_bar`."""

    def targets(self, market: Market) -> Targets | None:
        """The whole strategy as a table; None where it is a callback."""
        return None


def validated(kind: type[Strategy], params: Mapping[str, Any]) -> BaseModel:
    """The parameters as the strategy's model. InputError names the key, the value and the nearest valid key."""
    known = kind.Params.model_fields
    for key in params:
        if key not in known and kind.Params.model_config.get("extra") != "allow":
            # pydantic's own default would let a misspelt parameter pass in silence
            raise InputError(f"[strategy.params] {key}: {kind.__name__} has no such parameter; {nearest(key, known)}")
    try:
        return kind.Params(**params)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{key} = {first.get('input')!r}" if key else kind.__name__
        raise InputError(f"[strategy.params] {where}: {first['msg']}") from None


def load_strategy(named: Any, params: Mapping[str, Any]) -> Strategy:
    """A strategy from `module:Class` (or the class itself) and its parameters. InputError says what was not found, or
    why the file cannot be read.
    """
    from backtest.strategy.hooks import asking

    found = load_class(named)
    try:
        strategy: Strategy = found(**dict(params))
    except InputError:
        raise
    except Exception:
        with asking(found.__new__(found), "__init__"):
            raise
    return strategy


def load_class(named: Any) -> type[Strategy]:
    """The strategy that `module:Class` names, or the class itself. InputError as for `load_strategy`."""
    from backtest.strategy.hooks import check_hooks

    found: Any = named if isinstance(named, type) else _class_of(str(named))
    if not issubclass(found, Strategy):
        raise InputError(f"[strategy] class: {found.__name__} is no Strategy")
    check_hooks(found)
    return found  # type: ignore[no-any-return]


def _class_of(named: str) -> type:
    """The class that `module:Class` names."""
    module_name, _, class_name = named.partition(":")
    where = f"[strategy] class = {named!r}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(f"{where}: no module {error.name!r}; is the command run from the project's folder?") from error
    except SyntaxError as error:
        raise InputError(f"{where}: {error.filename}:{error.lineno}: {error.msg}") from error
    except InputError:
        raise
    except Exception as error:
        places = [place for place in traceback.extract_tb(error.__traceback__) if "importlib" not in place.filename]
        at = f"{places[-1].filename}:{places[-1].lineno}: " if places else ""
        raise InputError(f"{where}: the file fails when it is read: {at}{type(error).__name__}: {error}") from error
    known = [name for name, value in vars(module).items() if _is_strategy(value)]
    if class_name not in known:
        missing = f"{module_name} has no strategy {class_name!r}"
        raise InputError(f"{where}: {missing}; {nearest(class_name, known)}")
    return getattr(module, class_name)  # type: ignore[no-any-return]


def _is_strategy(value: object) -> bool:
    """Whether it is somebody's strategy; the bare base, which every strategy's file imports, is none."""
    return isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
