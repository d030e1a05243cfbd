"""What a sweep tries: values of any setting of a run, by its dotted path, and the windows they are judged on.

`[sweep.grid]` tries every combination of some values, `[[sweep.list]]` the points written out, `[sweep.random]` and
`[sweep.latin_hypercube]` points drawn from ranges. Several of them may stand side by side: their points are tried one
after the other. A path is written bare (`strategy.params.band = [0.02, 0.05]`) or in quotes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import TypeAliasType

from backtest.config.types import DURATION_SCHEMA, Duration, Section, duration_us
from backtest.errors import InputError

CENTURY_DAYS = 36_525


def _span(text: str) -> str:
    duration_us(text, CENTURY_DAYS)
    return text


Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Value = bool | int | float | str | list[Any]
Settings = TypeAliasType("Settings", "dict[str, Value | Settings]")
Choices = TypeAliasType("Choices", "dict[str, Annotated[list[Any], Field(min_length=1)] | Choices]")
Ranges = TypeAliasType("Ranges", "dict[str, Pair | Range | Ranges]")
"""Tables by path as a file has them, nested where a path is written bare: a value, a list of them, a range."""
Span = Annotated[str, AfterValidator(_span), DURATION_SCHEMA]


class Range(Section):
    """Where a value is drawn from: evenly between `low` and `high` (`[low, high]` for short), or one `of` a list.

    `log`: evenly by orders of magnitude. `whole`: whole numbers, both ends included.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    of: list[Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        if isinstance(given, list):
            if len(given) != 2:
                raise InputError(f"{given!r} is no range; write [low, high], or {{ of = [...] }} for a choice")
            return {"low": given[0], "high": given[1]}
        return given

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.of is not None:
            if not self.of or self.low is not None or self.high is not None or self.log or self.whole:
                raise InputError("a choice is written { of = [...] } with values in it, and nothing else beside it")
            return self
        if self.low is None or self.high is None:
            raise InputError("a range has two ends; write [low, high], or { of = [...] } for a choice")
        if self.high <= self.low:
            raise InputError(f"high ({self.high:g}) is not above low ({self.low:g}): swap them")
        if self.log and self.low <= 0.0:
            raise InputError(f"low = {self.low:g} has no logarithm; write more than 0, or leave `log` out")
        if self.whole and (self.low % 1 or self.high % 1):
            raise InputError(f"[{self.low:g}, {self.high:g}] has no whole ends; write whole numbers, or leave it out")
        return self

    def at(self, share: float) -> Any:
        """The value at a share of the range, 0 <= share < 1."""
        if self.of is not None:
            return self.of[int(share * len(self.of))]
        assert self.low is not None and self.high is not None
        low, high = (self.low, self.high + 1) if self.whole else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        return min(math.floor(value), int(self.high)) if self.whole else value


class Sample(Section):
    """`n` points drawn from `ranges` by path; the same `seed` draws the same points."""

    n: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    ranges: dict[str, Range]

    @field_validator("ranges", mode="before", json_schema_input_type=Ranges)
    @classmethod
    def _by_path(cls, value: object) -> object:
        return _flat(value, lambda _, leaf: not isinstance(leaf, Mapping) or _is_range(leaf))

    @field_validator("ranges")
    @classmethod
    def _some(cls, value: dict[str, Range]) -> dict[str, Range]:
        if not value:
            raise InputError("no range to draw from; write strategy.params.band = [0.01, 0.1]")
        return value


class Split(Section):
    """Points chosen on one span of the data and judged on the next, with a fresh account.

    `walk_forward`: `train` and `test` one after the other, moved on by `step` (`test` if it is not said), as often as
    they fit. `holdout`: once, `test` being what is left if it is not said. The `statistic` chooses, its better
    value (the lowest of a drawdown, a volatility, a capital), or as `choose` says; of equal ones, the first point.
    """

    kind: Literal["walk_forward", "holdout"]
    train: Span
    test: Span | None = None
    step: Span | None = None
    statistic: str = "Sharpe"
    choose: Literal["highest", "lowest"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "walk_forward" and self.test is None:
            raise InputError("test is missing: a walk forward has a test window after each train window, such as '60d'")
        if self.kind == "holdout" and self.step is not None:
            raise InputError(f"step = {self.step!r} would do nothing in a holdout, which has one window; leave it out")
        for name in ("train", "test", "step"):
            text = getattr(self, name)
            if text is not None and duration_us(text, CENTURY_DAYS) == 0:
                raise InputError(f"{name} = {text!r} is no time at all; write '60d' or the like")
        return self


class Sweep(Section):
    """What is tried, on which windows, and whether equity is kept: `curves` says at which distance, such as '1d'."""

    grid: dict[str, list[Any]] = {}
    list_: list[dict[str, Any]] = Field([], alias="list")
    random: Sample | None = None
    latin_hypercube: Sample | None = None
    split: Split | None = None
    curves: Duration | None = None

    @field_validator("grid", mode="before", json_schema_input_type=Choices)
    @classmethod
    def _grid_by_path(cls, value: object) -> object:
        found = _flat(value, lambda _, leaf: not isinstance(leaf, Mapping))
        for path, values in found.items() if isinstance(found, dict) else ():
            if not isinstance(values, list) or not values:
                raise InputError(f"{path} = {values!r}: write the values to try in a list, such as [0.02, 0.05]")
        return found

    @field_validator("list_", mode="before", json_schema_input_type=list[Settings])
    @classmethod
    def _list_by_path(cls, value: object) -> object:
        if not isinstance(value, list):
            raise InputError("it is one table, and a sweep has a list of them; write [[sweep.list]] with two brackets")
        found = [_flat(each, lambda key, leaf: "." in key or not isinstance(leaf, Mapping)) for each in value]
        if {} in found:
            raise InputError(f"[{found.index({})}] changes nothing; write a setting and its value in it")
        return found

    @field_validator("curves")
    @classmethod
    def _some_time(cls, value: str | None) -> str | None:
        if value is not None and duration_us(value) == 0:
            raise InputError(f"{value!r} is no distance between two values; write '1d' or the like")
        return value

    @model_validator(mode="after")
    def _tries_something(self) -> Self:
        if not (self.grid or self.list_ or self.random or self.latin_hypercube):
            raise InputError(
                "nothing to try; write [sweep.grid], [[sweep.list]], [sweep.random] or [sweep.latin_hypercube]"
            )
        return self


def _is_range(table: Mapping[str, Any]) -> bool:
    """Whether a table is a range written out, and no table of settings that happen to be called like its keys."""
    return isinstance(table.get("of"), list) or any(isinstance(table.get(end), int | float) for end in ("low", "high"))


def _flat(given: object, is_value: Callable[[str, object], bool], under: str = "") -> Any:
    """Nested tables as one table by dotted path, down to what is a value; anything else than a table as it is."""
    if not isinstance(given, Mapping):
        return given
    found: dict[str, Any] = {}
    for key, value in given.items():
        path = f"{under}{key}"
        found |= {path: value} if is_value(str(key), value) else _flat(value, is_value, f"{path}.")
    return found
