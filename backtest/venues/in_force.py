"""One moment's rules for one run: every number of a rule set, found in the venue's dated tables.

What is needed of an instrument is needed from its listing on, so a future that is listed inside a run never refuses
the run's start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backtest.errors import InputError, nearest
from backtest.market.schema import Instrument
from backtest.venues.brackets import flat_tiers
from backtest.venues.check import SLICING, TERMS, scenarios_of
from backtest.venues.lookup import Lookup, plain
from backtest.venues.schema import (
    CollateralTier,
    Level,
    PortfolioRules,
    RuleSet,
    ScenarioRules,
    Slope,
    TailRules,
    Terms,
    Tier,
    deduction_above,
)
from backtest.venues.table import Entry

INFINITE = float("inf")
UNKNOWN = float("nan")


class Asked(Lookup):
    """A question at a moment, answered number by number."""

    def rule_set(self) -> RuleSet:
        """Every number in force at the moment."""
        instruments, assets = self.question.instruments, self.question.assets
        fees = [self._fees(instrument) for instrument in instruments]
        collateral, by_quantity = zip(*map(self._collateral, assets), strict=True) if assets else ((), ())
        buffers = tuple(
            self._ask_buffer(asset, steps[0].ratio) for asset, steps in zip(assets, collateral, strict=True)
        )
        loans = [self._loan(asset) for asset in assets]
        slopes = tuple(self._slope(instrument) for instrument in instruments)
        y, half_spread = self._impact()
        return RuleSet(
            start_us=self.at_us,
            tiers=tuple(
                self._tiers(instrument) if slope is None else flat_tiers(slope.maintenance, 1 / slope.initial)
                for instrument, slope in zip(instruments, slopes, strict=True)
            ),
            maker=tuple(maker for maker, _, _ in fees),
            taker=tuple(taker for _, taker, _ in fees),
            delivery_fee=tuple(delivery for _, _, delivery in fees),
            liquidation_fee=tuple(self._liquidation_fee(instrument) for instrument in instruments),
            half_spread=(half_spread,) * len(instruments),
            collateral=tuple(collateral),
            ask_buffer=buffers,
            requirement_buffer=buffers,
            conversion_cost=tuple(self._of_asset("conversion", asset, 0.0, {"mode": self.mode}) for asset in assets),
            overdraft_usd=(self._overdraft(),) * len(assets),
            borrow_initial=tuple(loan["initial"] for loan in loans),
            borrow_maintenance=tuple(loan["maintenance"] for loan in loans),
            borrow_hourly=tuple(loan["hourly"] for loan in loans),
            impact_y=y,
            levels=self._levels(),
            **self._terms(),
            scenario=self._scenario(),
            slopes=slopes,
            written_option=self._written_option(),
            collateral_by_quantity=tuple(by_quantity),
            portfolio=self._portfolio(),
            settled=tuple(self._settled(instrument) for instrument in instruments),
            funding_at=tuple(self._funding_at(instrument) for instrument in instruments),
            rows=tuple(self.rows),
        )

    # --- of instruments

    def lists(self, instrument: Instrument) -> bool:
        """Whether the tables know a contract at all: its fees, and the brackets or the slope that margin it."""
        try:
            self._fees(instrument)
            if self._slope(instrument) is None:
                self._tiers(instrument)
        except InputError:
            return False
        return True

    def _fees(self, instrument: Instrument) -> tuple[float, float, float]:
        """Maker, taker and delivery fee; of options those of futures where the venue has no row of theirs."""
        asked = {"product": instrument.kind, "settle": instrument.settle}
        if instrument.kind == "option" and not self._fitting("fee", asked):
            asked["product"] = "inverse" if instrument.settle == instrument.base else "linear"
        entry, early = self._known("fee", "fees", instrument, asked)
        key = self._whom(entry)
        maker, taker = (float(self._note(entry, f"{key}: {side}", entry.values[side], early)) for side in SIDES)
        if not instrument.dated:
            return maker, taker, 0.0
        entry, early = self._known("delivery", "delivery terms", instrument, asked)
        fee = self._note(entry, f"{self._whom(entry)}: fee", entry.values["fee"], early)
        return maker, taker, taker if fee == "taker" else float(fee)

    def _liquidation_fee(self, instrument: Instrument) -> float:
        if instrument.kind == "spot":
            return 0.0
        asked = {"product": instrument.kind, "settle": instrument.settle, "mode": self.mode}
        at_us = self._when_listed(instrument)
        return float(self._of_asset("liquidation_fee", instrument.base, 0.0, asked, at_us))

    def _tiers(self, instrument: Instrument) -> tuple[Tier, ...]:
        if instrument.kind in ("spot", "option"):
            return ()
        at_us = self._when_listed(instrument)
        if not self.venue.brackets.by_key and not self.venue.entries["tiers"]:
            raise InputError(
                f"{self.venue.name}: neither brackets nor a slope of {instrument.symbol} are known; venue "
                "'generic' has some for any contract"
            )
        if not self.venue.brackets.by_key:
            rate, leverage = self._of_asset("tiers", instrument.base, None, {"product": instrument.kind}, at_us)
            return flat_tiers(rate, leverage)
        try:
            key = self.venue.brackets.key_of(instrument)
        except InputError as error:
            raise InputError(f"{self.venue.name}: {error}") from None
        entry, early = self._choose(self.venue.brackets.by_key[key], at_us, f"brackets of {instrument.symbol}")
        also = self.venue.brackets.why_assumed(instrument, at_us)
        self._watch_seen(instrument)
        tiers: tuple[Tier, ...] = self.venue.brackets.in_contracts_of(instrument, entry.values["tiers"])
        self.rows[entry.row(instrument.symbol, tiers, early, also)] = None
        return tiers

    def _written_option(self) -> tuple[float, float, float]:
        """What written options ask by tiers; nothing where the run has none, or scenarios margin them.

        InputError where the venue has no rule of them in the mode.
        """
        instrument = next((each for each in self.question.instruments if each.kind == "option"), None)
        modes = self._fitting("mode", {"preset": self.mode})
        if instrument is None or any(entry.values["requirement"] != "tiers" for entry in modes):
            return (0.0, 0.0, 0.0)
        rows = self._fitting("option", {"mode": self.mode})
        if not rows:
            raise InputError(
                f"{self.venue.name}: no margin rule of options such as {instrument.symbol} is known in this "
                f"mode; {self._where_options()}"
            )
        entry, early = self._choose(rows, self._when_listed(instrument), f"options such as {instrument.symbol}")
        flat, least, maintenance = (
            float(self._note(entry, f"{self._whom(entry)}: {name}", entry.values[name], early))
            for name in ("flat", "least", "maintenance")
        )
        return flat, least, maintenance

    def _where_options(self) -> str:
        """Where options can be margined: in a mode of this venue whose scenarios revalue them, or at others."""
        modes = [
            entry.where["preset"][0]
            for entry in self.venue.entries["mode"]
            if entry.values["requirement"] == "scenarios" and entry.holds(self.at_us)
        ]
        if modes and self.venue.entries["portfolio"]:
            return f"ask in mode {' or '.join(repr(mode) for mode in dict.fromkeys(modes))}"
        return "ask at venue 'deribit', or in mode 'portfolio' at 'bybit' or 'okx'"

    def _slope(self, instrument: Instrument) -> Slope | None:
        """How an instrument's requirement rises with size; None where it has brackets instead."""
        asked = {"product": instrument.kind, "settle": instrument.settle}
        rows = [entry for entry in self._fitting("slope", asked) if entry.names(instrument.base)]
        if not rows:
            return None
        entry, early = self._choose(rows, self._when_listed(instrument), f"slope of {instrument.symbol}")
        numbers = tuple(float(number) for number in entry.of(instrument.base))
        return Slope(*self._note(entry, self._whom_of(entry, instrument.base), numbers, early, instrument.base))

    def _settled(self, instrument: Instrument) -> str:
        """When profit becomes cash, where it does before a position is closed."""
        contract = "dated" if instrument.dated else "perpetual"
        asked = {"product": instrument.kind, "settle": instrument.settle, "contract": contract, "mode": self.mode}
        return str(self._where_held("settlement", asked, "when", ""))

    def _funding_at(self, instrument: Instrument) -> str:
        """Which price funding is paid on."""
        asked = {"product": instrument.kind, "settle": instrument.settle}
        return str(self._where_held("funding", asked, "price", "mark"))

    def _watch_seen(self, instrument: Instrument) -> None:
        """The day a dated future is first seen with its brackets ends an assumption."""
        seen = self.venue.brackets.seen_us.get(instrument.symbol)
        if seen is not None:
            self.changes.add(seen)

    # --- of assets

    def _collateral(self, asset: str) -> tuple[tuple[CollateralTier, ...], bool]:
        """Shares of an asset that count, by how much of it there is, and whether that is in coins.

        All of it counts where a mode has no table of ratios.
        """
        ratio, entry = self._said_of("collateral", asset, 1.0, {"mode": self.mode})
        steps = ratio if isinstance(ratio, tuple) else ((0.0, float(ratio)),)
        by_quantity = entry is not None and isinstance(ratio, tuple) and entry.values["by"] == "quantity"
        return marginal(steps), by_quantity

    def _ask_buffer(self, asset: str, ratio: float) -> float:
        """What debts and requirements cost on top: its own buffer, or the haircut of what counts at all."""
        asked = {"mode": self.mode}
        own = [e for e in self.venue.entries["ask_buffer"] if e.fits(asked) and e.names(asset)]
        if any(entry.holds(self.at_us) for entry in own):
            return float(self._of_asset("ask_buffer", asset, 0.0, asked))
        self._watch(own)
        like = [e for e in self.venue.entries["ask_buffer"] if e.fits(asked) and e.values.get("as_haircut")]
        if not like or ratio == 0.0:
            return 0.0
        entry, early = self._choose(like, self.at_us, f"ask buffer of {asset}")
        return float(self._note(entry, f"{self._whom(entry)}, {asset}", round(1.0 - ratio, 12), early))

    def _overdraft(self) -> float:
        """USD below zero at which a balance is covered by selling others."""
        rows = [e for e in self._fitting("conversion", {"mode": self.mode}) if "overdraft_usd" in e.values]
        if not rows:
            return INFINITE
        entry, early = self._choose(rows, self.at_us, "auto-exchange threshold")
        return float(self._note(entry, f"{self._whom(entry)}: overdraft_usd", entry.values["overdraft_usd"], early))

    def _loan(self, asset: str) -> dict[str, float]:
        """What a loan needs, as a fraction of it, and its hourly rate; infinite where it cannot be borrowed."""
        fitting = self._fitting("borrow", {"mode": self.mode, "leverage": self.question.loan_leverage})
        if not fitting:
            self._refuse_leverage()
        rows = [entry for entry in fitting if "initial" in entry.values or entry.speaks_of(asset)]
        if not rows:
            return {"initial": INFINITE, "maintenance": INFINITE, "hourly": UNKNOWN}
        entry, early = self._choose(rows, self.at_us, "loan terms", lambda entry: entry.names(asset))
        terms = {name: entry.values.get(name) for name in ("initial", "maintenance", "hourly")}
        whom, of = self._whom(entry), ""
        if "initial" not in entry.values:
            whom, of = self._whom_of(entry, asset), asset
            terms["initial"], terms["maintenance"] = entry.of(asset)
        return {
            name: UNKNOWN if value is None else float(self._note(entry, f"{whom}: {name}", value, early, of))
            for name, value in terms.items()
        }

    def _refuse_leverage(self) -> None:
        """InputError where the mode has loans, but at other leverages than the account's."""
        of_mode = [e for e in self.venue.entries["borrow"] if self.mode in e.where["mode"] and "leverage" in e.where]
        if of_mode:
            known = ", ".join(str(each) for each in sorted({e.where["leverage"][0] for e in of_mode}))
            raise InputError(f"{self.venue.name}: no loans at {self.question.loan_leverage}x; valid: {known}")

    # --- of the account

    def _levels(self) -> tuple[Level, ...]:
        entry, early = self._choose(self._fitting("mode", {"preset": self.mode}), self.at_us, f"mode {self.mode}")
        levels = levels_of(entry.values)
        self._note(entry, f"{self.mode}: levels", levels, early or self.question.counterfactual)
        self._note(entry, f"{self.mode}: ladder", tuple(entry.values["ladder"]), early or self.question.counterfactual)
        return levels

    def _terms(self) -> dict[str, Any]:
        """Who bears a loss beyond the collateral, what orders are asked for, and how the mode reads its tables."""
        entry, early = self._choose(self._fitting("mode", {"preset": self.mode}), self.at_us, f"mode {self.mode}")
        early = early or self.question.counterfactual
        usual = {"loss_beyond": "insurance", "open_loss": False, "asks_initial": True}
        found = {
            name: self._note(entry, f"{self.mode}: {name}", entry.values.get(name, value), early)
            for name, value in usual.items()
        }
        own = {
            name: self._note(entry, f"{self.mode}: {name}", entry.values[name], early)
            for name in (*TERMS, *SLICING)
            if name in entry.values
        }
        slicing = {name: float(own.pop(name)) for name in SLICING if name in own}
        return {"owes": found.pop("loss_beyond") == "user_debt", "terms": Terms(**own), **slicing, **found}

    def _impact(self) -> tuple[float, float]:
        entry, early = self._choose(self.venue.entries["impact"], self.at_us, "price impact")
        y, half_spread = (float(self._note(entry, name, entry.values[name], early)) for name in ("y", "half_spread"))
        return y, half_spread

    def _scenario(self) -> ScenarioRules | None:
        if not self.venue.entries["scenario"]:
            return None
        entry, early = self._choose(self.venue.entries["scenario"], self.at_us, "scenarios")
        values = entry.values
        reaches = [float(values["ranges"].get(asset, values["other_range"])) for asset in self.question.assets]
        for asset, reach in zip(self.question.assets, reaches, strict=True):
            self._note(entry, f"range of {asset}", reach, early)
        numbers = {name: float(self._note(entry, name, values[name], early)) for name in CHARGES}
        for name, value in values.get("tail", {}).items():
            self._note(entry, f"tail {name}", value, early)
        tail = TailRules(**values["tail"]) if "tail" in values else None
        return ScenarioRules(moves=tuple(grid(reach, values["steps"]) for reach in reaches), tail=tail, **numbers)

    def _portfolio(self) -> PortfolioRules | None:
        """The venue's own scenario model for the coins that futures of the run are on; None where it has none."""
        rows = self._of_model()
        if not rows:
            return None
        coins = {instrument.base for instrument in self.question.instruments if instrument.kind != "spot"}
        found = [self._of_coin(rows, asset) if asset in coins else NOTHING for asset in self.question.assets]
        return PortfolioRules(
            model=rows[0].where["model"][0],
            grids=tuple(grid for grid, _, _ in found),
            numbers=tuple(numbers for _, numbers, _ in found),
            bands=tuple(bands for _, _, bands in found),
            spreads=self._spreads(rows[0].where["model"][0]),
        )

    def _spreads(self, model: str) -> tuple[tuple[int, int, float, float, float], ...]:
        """Credits of a model between two coins of the run, in the table's order."""
        rows, assets = self._fitting("spread", {"model": model}), self.question.assets
        self._watch(rows)
        found = []
        for entry in rows:
            coins = entry.values["coins"]
            if entry.holds(self.at_us) and all(coin in assets for coin in coins):
                (first, many), (second, other) = coins.items()
                credit = float(
                    self._note(entry, f"{self._whom(entry)}: {first} against {second}", entry.values["credit"], False)
                )
                found.append((assets.index(first), assets.index(second), float(many), float(other), credit))
        return tuple(found)

    def _of_model(self) -> list[Entry]:
        """Rows of the scenario model that is asked for, or of the venue's own; none where the mode has no scenarios."""
        rows, model = self.venue.entries["portfolio"], self.question.model
        if model is not None and model not in [row.where["model"][0] for row in rows]:
            known = {row.where["model"][0] for row in rows}
            raise InputError(f"{self.venue.name}: no scenario model {model!r}; {nearest(model, known)}")
        modes = self._fitting("mode", {"preset": self.mode})
        if not any(entry.values["requirement"] == "scenarios" for entry in modes):
            return []
        if model is None:  # a grid of the project's own comes first
            return [] if self.venue.entries["scenario"] else list(rows)
        return [row for row in rows if row.where["model"][0] == model]

    def _of_coin(self, rows: Sequence[Entry], asset: str) -> OfCoin:
        """Grid, numbers and ladders of one coin."""
        speaking = [entry for entry in rows if entry.speaks_of(asset)]
        if not speaking:
            known = sorted({name for entry in rows for name in entry.values.get("assets", ())})
            raise InputError(
                f"{self.venue.name}, table portfolio: nothing is known of {asset} in portfolio margin; "
                f"known: {', '.join(known)}"
            )
        entry, early = self._choose(
            speaking, self.at_us, f"portfolio margin of {asset}", lambda entry: entry.names(asset)
        )
        whom = self._whom_of(entry, asset)
        grid = self._note(entry, f"{whom}: scenarios", scenarios_of(entry.values), early, asset)
        numbers = {
            name: float(self._note(entry, f"{whom}: {name}", value, early, asset))
            for name, value in entry.values["numbers"].items()
        }
        bands = {
            name: self._note(entry, f"{whom}: bands {name}", plain(steps), early, asset)
            for name, steps in entry.values.get("bands", {}).items()
        }
        return grid, numbers, bands


OfCoin = tuple[
    tuple[tuple[float, float, float], ...], Mapping[str, float], Mapping[str, tuple[tuple[float, float], ...]]
]
NOTHING: OfCoin = ((), {}, {})
SIDES = ("maker", "taker")
CHARGES = ("offset", "basis_charge", "contingency", "initial_factor")


def marginal(steps: Sequence[Sequence[float]]) -> tuple[CollateralTier, ...]:
    """Ratios that hold for what lies above their floors, with the deductions that make the sum continuous."""
    tiers: list[CollateralTier] = []
    for floor, ratio in steps:
        deduction = deduction_above(floor, tiers[-1].deduction_usd, tiers[-1].ratio, ratio) if tiers else 0.0
        tiers.append(CollateralTier(float(floor), float(ratio), deduction))
    return tuple(tiers)


def grid(reach: float, steps: int) -> tuple[float, ...]:
    """Relative moves from -reach to +reach in equal steps, 0 among them where their number is odd."""
    return tuple(reach * (2 * k - (steps - 1)) / (steps - 1) for k in range(steps))


def levels_of(values: Mapping[str, Any]) -> tuple[Level, ...]:
    """The levels of a mode, highest first."""
    return tuple(Level(float(level["ratio"]), level["action"]) for level in values["levels"])
