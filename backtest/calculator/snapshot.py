"""An account as its owner reads it off the screen: where, what is held, at which prices, and which rules to change.

How it is written stands in `account.toml` beside this file, with a word to every key; `backtest margin --example`
prints it. The same tables may be JSON, or a dict; the answers of ccxt are taken as they are (`ccxt_account`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from backtest.calculator.snapshot_words import as_python, check_asset, check_wallets, check_words
from backtest.config import parsed
from backtest.config.types import SYMBOL_SCHEMA, Moment, NotNegative, Positive, Section, microseconds
from backtest.config.words import sentence
from backtest.errors import InputError, is_number, nearest
from backtest.market.schema import kind_of, parse_option, parse_symbol
from backtest.units import HEADROOM
from backtest.venues.table import day

Amount = Annotated[float, Field(ge=-HEADROOM, le=HEADROOM)]
Price = Annotated[float, Field(gt=0, le=1e15)]
Leverage = Annotated[float, Field(ge=1)]
Term = Annotated[float, Field(gt=0, le=1e12)]
MOST_VOLATILE = 10.0  # a year; above it the number is a percentage
OPTION = re.compile(r"[^:]*:[^-]*-.+-.*")


def is_option(symbol: str) -> bool:
    """Whether a symbol names a strike."""
    return OPTION.fullmatch(symbol) is not None


def parts_of(symbol: str) -> tuple[str, str, str | None, int | None]:
    """Base, quote, settlement asset and expiry of any symbol, options among them. InputError for what is none."""
    if is_option(symbol):
        return parse_option(symbol)[:4]
    return parse_symbol(symbol)


def product_of(symbol: str) -> str:
    """`spot`, `linear`, `inverse` or `option`."""
    return "option" if is_option(symbol) else kind_of(symbol)


def _symbol(symbol: str) -> str:
    parts_of(symbol)
    return symbol


Symbol = Annotated[str, AfterValidator(_symbol), SYMBOL_SCHEMA]


class Position(Section):
    """One position. Signed `contracts`, or `size` in base coins; with `side`, both are without sign."""

    symbol: Symbol
    contracts: Amount | None = None
    size: Amount | None = None
    side: Literal["long", "short"] | None = None
    entry: Price | None = None
    mark: Price | None = None
    isolated: bool = False
    margin: Amount | None = None
    leverage: Leverage | None = None
    implied_volatility: Positive | None = None
    forward: Price | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_margin_apart(cls, given: object) -> object:
        """A position with a margin of its own is an isolated one."""
        if isinstance(given, Mapping) and given.get("margin") is not None and "isolated" not in given:
            return {**given, "isolated": True}
        return given

    @model_validator(mode="after")
    def _of_one_size(self) -> Self:
        if (self.contracts is None) == (self.size is None):
            raise InputError(f"{self.symbol}: give contracts, or size in base coins (one of the two)")
        amount = self.contracts if self.contracts is not None else self.size
        if not amount:
            raise InputError(f"{self.symbol}: holds nothing; leave the position out")
        if amount < 0 and self.side == "long":
            raise InputError(f"{self.symbol}: {amount:g} is short but side = 'long'; write one of them")
        if product_of(self.symbol) == "spot":
            base = self.symbol.split("/")[0]
            raise InputError(f"{self.symbol}: coins are no position; write [wallets] {base} = {amount:g}")
        if self.margin is not None and not self.isolated:
            raise InputError(
                f"{self.symbol}: margin = {self.margin:g} belongs to an isolated position, and isolated = false"
            )
        if self.margin is not None and self.margin < 0:
            raise InputError(
                f"{self.symbol}: margin = {self.margin:g}: an isolated wallet cannot hold less than nothing"
            )
        if (self.implied_volatility or self.forward) and not is_option(self.symbol):
            raise InputError(f"{self.symbol}: implied_volatility and forward are an option's; leave them out")
        if self.implied_volatility is not None and self.implied_volatility > MOST_VOLATILE:
            share = self.implied_volatility / 100.0
            raise InputError(
                f"{self.symbol}: implied_volatility = {self.implied_volatility:g} is a share a year; write {share:g}"
            )
        if self.size is not None and product_of(self.symbol) == "inverse":
            raise InputError(f"{self.symbol}: is counted in contracts of dollars, not in coins; write contracts")
        return self

    def signed(self, contract_size: float) -> float:
        """Contracts with their sign."""
        amount = self.contracts if self.contracts is not None else float(self.size or 0.0) / contract_size
        return -abs(amount) if self.side == "short" else amount


class RestingOrder(Section):
    """A limit order that waits: signed contracts, or with `side` buy or sell without sign."""

    symbol: Symbol
    contracts: Amount
    price: Price
    side: Literal["buy", "sell"] | None = None
    position_side: Literal["long", "short"] | None = None
    reduce_only: bool = False

    @model_validator(mode="after")
    def _of_one_side(self) -> Self:
        if not self.contracts:
            raise InputError(f"{self.symbol}: an order for nothing; leave it out")
        if self.contracts < 0 and self.side == "buy":
            raise InputError(f"{self.symbol}: {self.contracts:g} sells but side = 'buy'; write one of them")
        return self

    @property
    def signed(self) -> float:
        """Contracts with their sign."""
        return -abs(self.contracts) if self.side == "sell" else self.contracts


class Terms(Section):
    """Contract terms that a symbol does not say."""

    contract_size: Term | None = None
    tick: Term | None = None
    lot: Term | None = None
    min_notional: NotNegative = 0.0


class Snapshot(Section):
    """One account at one moment. See the head of this file for how it is written."""

    venue: str = "binance"
    mode: str = "cross"
    model: Literal["span", "tims"] | None = None
    at: Moment | None = None
    name: str = "account"
    wallets: dict[str, Amount | dict[str, Amount]] = {}
    loans: dict[str, Annotated[float, Field(gt=0, le=HEADROOM)]] = {}
    positions: list[Position] = []
    orders: list[RestingOrder] = []
    leverage: dict[str, Leverage] = {}
    collateral: dict[str, bool] = {}
    prices: dict[str, Price] = {}
    instruments: dict[str, Terms] = {}
    rules: dict[str, Any] = {}
    hedge: bool = False
    outside: Literal["refuse", "nearest"] = "refuse"
    counterfactual: bool = False
    _at_us: int

    def model_post_init(self, context: int | None) -> None:
        """The clock is read once, or the moment of the account that this one was made of (`context`) is kept: around
        midnight an answer is not to mix the rules of two days.
        """
        self._at_us = microseconds(self.at or datetime.now(UTC)) if self.at or context is None else context

    @model_validator(mode="before")
    @classmethod
    def _as_in_a_run(cls, given: Any) -> Any:
        """`[rules] outside` and `counterfactual` may stand where a run has them; other words are told apart first."""
        given = as_python(given)
        if isinstance(given, Mapping):
            known = {"account": frozenset(cls.model_fields), "position": frozenset(Position.model_fields)}
            check_words(given, known)
        if not isinstance(given, Mapping) or not isinstance(given.get("rules"), Mapping):
            return given
        said = {key: value for key, value in given["rules"].items() if key in ("outside", "counterfactual")}
        rules = {key: value for key, value in given["rules"].items() if key not in said}
        return {**given, **said, "rules": rules}

    @field_validator("leverage", mode="before", json_schema_input_type=Leverage | dict[str, Leverage])
    @classmethod
    def _one_for_all(cls, value: object) -> object:
        if not is_number(value) and not isinstance(value, Mapping):
            raise InputError(f"leverage = {value!r}: write a number, or a table such as {{ default = 5 }}")
        return value if isinstance(value, Mapping) else {"default": value}

    @field_validator("wallets", mode="before")
    @classmethod
    def _by_asset(cls, value: object) -> object:
        check_wallets(value)
        return value

    @field_validator("loans", "collateral")
    @classmethod
    def _of_assets(cls, value: dict[str, Any], field: ValidationInfo) -> dict[str, Any]:
        for asset in value:
            check_asset(str(field.field_name), asset)
        return value

    @field_validator("prices")
    @classmethod
    def _of_what_has_one(cls, value: dict[str, float]) -> dict[str, float]:
        for key in value:
            if "/" in key:
                parts_of(key)
            else:
                check_asset("prices", key)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (self.wallets or self.positions or self.loans):
            raise InputError("the account is empty; write [wallets] USDT = 10_000, or [[positions]]")
        known = {*self.symbols, *(key for key in self.prices if "/" in key)}
        for name, table in (("leverage", self.leverage), ("instruments", self.instruments)):
            for symbol in table:
                if symbol not in known and (name, symbol) != ("leverage", "default"):
                    raise InputError(f"{name}: {symbol!r} is not in this account; {nearest(symbol, known)}")
        self._one_position_a_side()
        for symbol in self.symbols:
            expiry_us = parts_of(symbol)[3]
            if expiry_us is not None and expiry_us <= self.at_us:
                raise InputError(
                    f"{symbol}: was delivered on {day(expiry_us)}, rules are of {day(self.at_us)}; leave "
                    "it out, or ask at an earlier date"
                )
        return self

    def _one_position_a_side(self) -> None:
        """InputError for two positions on one symbol that are not a long and a short, or are isolated."""
        seen: dict[tuple[str, bool], Position] = {}
        for position in self.positions:
            key = (position.symbol, position.signed(1.0) < 0)
            if key in seen:
                raise InputError(f"{position.symbol}: stands twice on one side; add the two up")
            other = seen.get((position.symbol, not key[1]))
            if other is not None and (other.isolated or position.isolated):
                raise InputError(
                    f"{position.symbol}: both sides of one contract, isolated, have wallets apart; ask of each alone"
                )
            seen[key] = position

    def _repr_html_(self) -> str:
        from backtest.report.cells import snapshot_cell

        return snapshot_cell(self)

    @property
    def at_us(self) -> int:
        """The moment whose rules hold, microseconds UTC; where none is given, that at which the account was written."""
        return self._at_us

    @property
    def symbols(self) -> list[str]:
        """Every symbol of the account, as first named: held, ordered, or priced and given a leverage or terms."""
        named = [p.symbol for p in self.positions] + [o.symbol for o in self.orders]
        meant = [key for key in self.prices if key in self.leverage or key in self.instruments]
        return list(dict.fromkeys([*named, *meant]))

    @property
    def two_sided(self) -> bool:
        """Hedge mode: said so, or seen by a long and a short on one symbol."""
        return self.hedge or len({p.symbol for p in self.positions}) < len(self.positions)

    def leverage_of(self, position: Position) -> float:
        """The leverage of a position: its own, its symbol's, or the account's."""
        return position.leverage or self.leverage.get(position.symbol, self.leverage.get("default", 1.0))

    def with_(self, **changes: Any) -> Snapshot:
        """The same account with some fields changed, checked anew; without a date, at the same moment."""
        given = {key: value for key, value in self.model_dump().items() if key in self.model_fields_set}
        return _checked({**given, **changes}, "account", None if self.at else self._at_us)


def read_snapshot(given: str | Path | Mapping[str, Any] | Snapshot, source: str = "account") -> Snapshot:
    """A snapshot from a TOML or JSON file, a dict, or the answers of ccxt (`fetch_positions`, `fetch_balance`).

    `source` stands before each mistake in a dict, as the file's name does in a file.
    InputError: a line a mistake, with the key, the value and the nearest valid one.
    """
    if isinstance(given, Snapshot):
        return given
    if not isinstance(given, str | Path | Mapping):
        raise InputError(f"{given!r} is no account; give a .toml or .json file, or a dict")
    table = dict(given) if isinstance(given, Mapping) else parsed(Path(given), "an account")
    source = source if isinstance(given, Mapping) else str(given)
    if "fetch_balance" in table or "fetch_positions" in table:
        from backtest.calculator.ccxt_account import from_ccxt

        positions, balance = table.pop("fetch_positions", []), table.pop("fetch_balance", {})
        for key in ("positions", "balance"):
            if key in table:
                raise InputError(f"{source}: {key} stands beside what ccxt answered; write fetch_{key}, or all by hand")
        return from_ccxt(positions, balance, **{"source": source, **{str(key): value for key, value in table.items()}})
    return _checked(table, source)


def _checked(table: Mapping[str, Any], source: str, at_us: int | None = None) -> Snapshot:
    """A table as an account; without a date of its own, of the moment `at_us` (None: of now)."""
    try:
        return Snapshot.model_validate(table, context=at_us)
    except ValidationError as error:
        lines = list(dict.fromkeys(sentence(item, Snapshot) for item in error.errors()))
        raise InputError("\n".join(f"{source}: {line}" for line in lines)) from None
