"""What the venue says of an account: plain frames of its positions, wallets, assets and scenarios, and the rules used.

Amounts are in USD unless a column says otherwise: of a position, notional, profit and margins stand in its settlement
asset, and once more in USD. `margin_ratio` is collateral over maintenance (it falls towards the level); `venue_ratio`
is the venue's own, in the words of `venue_ratio_is`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.calculator.book import Placed, Weighed, place_snapshot, wallet_of
from backtest.calculator.instruments import DOLLARS
from backtest.calculator.move import after_changes, check_numbers
from backtest.calculator.ratio import lowest_ratios, state_at
from backtest.calculator.shown import Asked, shown
from backtest.calculator.snapshot import Position, Snapshot, is_option, read_snapshot
from backtest.calculator.solve import Found, account_price, leg_price, moved_prices
from backtest.errors import InputError
from backtest.margin.portfolio import PAGES
from backtest.margin.portfolio.unit import FIRST_PART
from backtest.state import NEED_BUFFER, W_COLLATERAL, W_INITIAL, W_MAINTENANCE
from backtest.units import STEP
from backtest.venues.schema import PortfolioRules
from backtest.venues.table import day

INFINITE = math.inf
SCENARIO_COLUMNS = ["wallet", "unit", "price_move", "volatility_shock", "profit", "profit_in", "worst"]
LABELS = {
    "equity": "Equity [USD]",
    "collateral_equity": "Collateral Equity [USD]",
    "initial_margin": "Initial Margin [USD]",
    "maintenance_margin": "Maintenance Margin [USD]",
    "open_loss": "Open Loss of Orders [USD]",
    "available": "Available [USD]",
    "margin_ratio": "Margin Ratio",
    "worst_wallet": "Worst Wallet",
    "liquidation_level": "Liquidated at or below",
    "state": "State",
    "venue_ratio": "Venue's Ratio",
    "venue_ratio_is": "which is",
    "utilization": "Utilization",
    "leverage": "Leverage",
}


def margin(account: str | Path | Mapping[str, Any] | Snapshot, **what_if: Any) -> Answer:
    """The venue's own numbers for an account: a snapshot as a file, a dict, or the answers of ccxt.

    `what_if` takes what `Answer.what_if` takes: move, basis, haircut, funding, prices, add. InputError says what was
    wrong in the snapshot, where, and what would do.
    """
    answer = Answer(place_snapshot(read_snapshot(account)))
    return answer.what_if(**what_if) if any(value is not None for value in what_if.values()) else answer


class Answer:
    """An account on the scales. Frames are made when they are first looked at."""

    def __init__(self, placed: Placed, notes: Sequence[str] = ()) -> None:
        self.placed, self.snapshot = placed, placed.snapshot
        self.notes = [*placed.notes, *notes]

    # What it is

    @cached_property
    def _weighed(self) -> Weighed:
        return self.placed.now()

    def _need(self, wallet: int) -> list[float]:
        return [float(x) for x in self._weighed.need[0, wallet]]

    @cached_property
    def wallets(self) -> pd.DataFrame:
        """One row a wallet that backs something."""
        rows = [self._wallet_row(w) for w in self.placed.backing]
        return pd.DataFrame(rows, columns=list(self._wallet_row(0)))

    def _wallet_row(self, w: int) -> dict[str, Any]:
        collateral, initial, maintenance, open_loss, _ = self._need(w)
        settle = self.placed.plan.shape.settle[w]
        return {
            "wallet": self.placed.plan.shape.names[w],
            "asset": self.placed.assets[settle] if settle >= 0 else "all",
            "collateral_equity": collateral,
            "initial_margin": initial,
            "maintenance_margin": maintenance,
            "open_loss": open_loss,
            "available": self._free(w),
            "margin_ratio": collateral / maintenance if maintenance > 0.0 else INFINITE,
            "venue_ratio": self._venue_ratio(collateral, maintenance),
            "utilization": initial / collateral if collateral > 0.0 else (INFINITE if initial > 0.0 else 0.0),
        }

    def _free(self, w: int) -> float:
        """What of a wallet's collateral is neither required nor set aside."""
        collateral, initial, _, open_loss, reserved = self._need(w)
        return max(0.0, collateral - initial - open_loss - reserved)

    def _venue_ratio(self, collateral: float, maintenance: float) -> float:
        """The venue's own: maintenance over equity where it rises, equity over maintenance where it falls."""
        if "rises" in self.placed.mode.shown_ratio:
            return maintenance / collateral if collateral > 0.0 else (INFINITE if maintenance > 0.0 else 0.0)
        return collateral / maintenance if maintenance > 0.0 else INFINITE

    @cached_property
    def account(self) -> pd.Series:
        """The account as a whole: sums over its wallets, and the ratio of the worst of them, named."""
        wallets = self.wallets
        total = wallets[["collateral_equity", "initial_margin", "maintenance_margin", "open_loss"]].sum()
        shared = wallets[~wallets["wallet"].isin([i.symbol for i in self.placed.instruments])]
        worst = wallets.loc[wallets["margin_ratio"].idxmin()] if len(wallets) else None
        ratio = float(worst["margin_ratio"]) if worst is not None else INFINITE
        equity = float(self._weighed.equity[0])
        gross = float(self._gross_usd())
        collateral = float(total["collateral_equity"])
        return pd.Series({
            "equity": equity,
            **{name: float(value) for name, value in total.items()},
            "available": float(shared["available"].sum()),  # what is isolated opens nothing else
            "margin_ratio": ratio,
            "worst_wallet": worst["wallet"] if worst is not None and ratio < INFINITE else "",
            "liquidation_level": self.placed.level,
            "state": state_at(self.placed, self._weighed.need),
            "venue_ratio": float(worst["venue_ratio"]) if worst is not None else 0.0,
            "venue_ratio_is": self.placed.mode.shown_ratio,
            "utilization": float(total["initial_margin"]) / collateral if collateral > 0.0 else INFINITE,
            "leverage": gross / equity if equity > 0.0 else INFINITE,
        }, name=self.snapshot.name)  # fmt: skip

    def _gross_usd(self) -> float:
        return sum(abs(float(row["notional_usd"])) for row in self._basics)

    # Positions

    @cached_property
    def _basics(self) -> list[dict[str, Any]]:
        """What no solver is needed for."""
        return [self._position_row(position) for position in self.snapshot.positions]

    def _position_row(self, position: Position) -> dict[str, Any]:
        placed, number = self.placed, self.placed.number(position)
        i = int(placed.rules.instrument[number])
        instrument, mark, settle = placed.instruments[i], float(placed.marks[i]), int(placed.rules.settlement[i])
        contracts = position.signed(instrument.contract_size)
        entry = position.entry or mark
        value, usd = instrument.worth(mark), float(placed.indexes[settle])
        in_asset = usd * self._dearer(settle, wallet_of(placed, number))
        initial, maintenance = self._asked(number, in_asset)
        return {
            "symbol": position.symbol,
            "side": "long" if contracts > 0 else "short",
            "contracts": contracts,
            "entry": entry,
            "mark": mark,
            "wallet": placed.plan.shape.names[wallet_of(placed, number)],
            "settle": instrument.settle,
            "notional": abs(contracts * value),
            "unrealised_pnl": contracts * (value - instrument.worth(entry)),
            "initial_margin": initial,
            "maintenance_margin": maintenance,
            "notional_usd": abs(contracts * value) * usd,
            "initial_margin_usd": initial * in_asset,
            "maintenance_margin_usd": maintenance * in_asset,
            "leverage": placed.plan.leverage_of(position.symbol),
        }

    def _asked(self, number: int, in_asset: float) -> tuple[float, float]:
        """Initial and maintenance margin of a position in its settlement asset: by tiers beside others, else alone."""
        if self._tiers:
            initial, maintenance = self._weighed.asked[number]
            return float(initial), float(maintenance)
        alone = self.placed.now(self.placed.with_only(number)).need[0, wallet_of(self.placed, number)]
        return float(alone[W_INITIAL]) / in_asset, float(alone[W_MAINTENANCE]) / in_asset

    def _dearer(self, a: int, wallet: int) -> float:
        """How much more a requirement in an asset counts in a wallet that sums them asset by asset: by its buffer."""
        by_asset = self.placed.plan.shape.settle[wallet] < 0 and self._tiers
        return 1.0 + (float(self.placed.rules.coin[0, a, NEED_BUFFER]) if by_asset else 0.0)

    @property
    def _tiers(self) -> bool:
        return self.placed.mode.requirement == "tiers"

    @property
    def margins(self) -> list[dict[str, Any]]:
        """What each position asks for, in the snapshot's order, without liquidation prices; by scenarios, what it would
        ask for alone.
        """
        return self._basics

    @cached_property
    def positions(self) -> pd.DataFrame:
        """One row a position, with its liquidation prices. By tiers its margins are what it asks beside the others, and
        add up (`margins_are` additive); by scenarios they are those of the position alone (`standalone`).
        """
        rows = []
        for position, row in zip(self.snapshot.positions, self._basics, strict=True):
            number = self.placed.number(position)
            exact = leg_price(self.placed, number)
            rows.append({
                **row,
                "margins_are": self._margins_are,
                "bankruptcy_price": leg_price(self.placed, number, collateral_only=True),
                "liquidation_price": exact,
                "liquidation_price_shown": self._shown(number, row, exact),
            })  # fmt: skip
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["symbol", "liquidation_price"])

    @cached_property
    def _margins_are(self) -> str:
        """`additive` where the positions' maintenance and that of what is owed come to the account's."""
        owed = float(self.placed.now(self.placed.settled()).need[0, :, W_MAINTENANCE].sum())
        alone = owed + sum(float(row["maintenance_margin_usd"]) for row in self._basics)
        total = float(self._weighed.need[0, :, W_MAINTENANCE].sum())
        sums = (alone, alone + self.placed.rule_set.terms.fixed_usd)
        return "additive" if any(math.isclose(x, total, rel_tol=1e-6, abs_tol=1e-9) for x in sums) else "standalone"

    def _shown(self, number: int, row: Mapping[str, Any], exact: float | None) -> str:
        placed, i = self.placed, int(self.placed.rules.instrument[number])
        instrument, wallet = placed.instruments[i], wallet_of(placed, number)
        terms = self.snapshot.instruments.get(instrument.symbol)
        collateral, _, maintenance, *_ = self._need(wallet)
        return shown(
            Asked(
                venue=self.snapshot.venue,
                mode=self.snapshot.mode,
                exact=exact,
                long=row["side"] == "long",
                isolated=int(placed.rules.isolates[0, wallet]) >= 0,
                mark=float(row["mark"]),
                coins=abs(float(row["contracts"])) * instrument.contract_size,
                tick=terms.tick if terms else None,
                inverse=instrument.kind == "inverse",
                collateral_usd=collateral,
                maintenance_usd=maintenance,
            )
        )

    # Assets, scenarios, rules

    @cached_property
    def assets(self) -> pd.DataFrame:
        """One row an asset: what is there, what of it counts where it stands alone, and what is available of it."""
        return pd.DataFrame([self._asset_row(a) for a in range(len(self.placed.assets))])

    def _asset_row(self, a: int) -> dict[str, Any]:
        placed, shape = self.placed, self.placed.plan.shape
        unit, index = STEP / placed.fineness, float(placed.indexes[a])
        owed = -int(placed.book.balance[shape.loans, a, 0]) if shape.loans >= 0 else 0
        balance = int(placed.book.balance[:, a, 0].sum()) + owed
        mine = [row for row in self._basics if row["settle"] == placed.assets[a]]
        profit = sum(float(row["unrealised_pnl"]) for row in mine if not is_option(row["symbol"]))
        options = sum(math.copysign(row["notional"], row["contracts"]) for row in mine if is_option(row["symbol"]))
        net = (balance - owed) * unit + profit + options
        wallet = shape.cash.get(a, shape.spot)
        steps = int(np.rint(net / unit))
        counts = float(placed.now(placed.with_coin(wallet, a, steps)).need[0, wallet, W_COLLATERAL])
        return {
            "asset": placed.assets[a],
            "index": index,
            "balance": balance * unit,
            "borrowed": owed * unit,
            "unrealised_pnl": profit,
            "option_value": options,
            "net": net,
            "worth": net * index,
            "counts": counts,
            "available": self._free(wallet) / (index * self._dearer(a, wallet)) if shape.model[wallet] else 0.0,
        }

    @cached_property
    def scenarios(self) -> pd.DataFrame:
        """Where margin is by scenarios: profit of each coin under each move, in `profit_in` (USD or the coin); `worst`
        marks the one that counts.
        """
        rules, page = self.placed.rule_set.scenario, self.placed.rule_set.portfolio
        if self._tiers or (rules is None and page is None):
            return pd.DataFrame(columns=SCENARIO_COLUMNS)
        frames = []
        for w in self.placed.backing:
            for a in range(len(self.placed.assets)):
                cells = self._own_cells(w, a) if page is None else self._page_cells(a)
                if len(cells):
                    profit = cells[:, 2]
                    frames.append(
                        pd.DataFrame({
                            "wallet": self.placed.plan.shape.names[w], "unit": self.placed.assets[a],
                            "price_move": cells[:, 0], "volatility_shock": cells[:, 1], "profit": profit,
                            "profit_in": parts_in(page, self.placed.assets[a]),
                            "worst": profit == profit.min(),
                        })
                    )  # fmt: skip
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=SCENARIO_COLUMNS)

    def _own_cells(self, wallet: int, a: int) -> Any:
        """The project's own grid: [scenario, (move, volatility shock, profit)] of one coin; none if nothing moves."""
        rules, exposure = self.placed.rule_set.scenario, float(self._weighed.exposure[0, wallet, a])
        moves = np.array(rules.moves[a] if rules is not None else ())
        if not exposure or not moves.any():
            return np.zeros((0, 3))
        return np.column_stack([moves, np.zeros(len(moves)), exposure * moves])

    def _page_cells(self, a: int) -> Any:
        """A venue's own page: what it left in the book of one unit, the scenarios that it adds at the end."""
        page = self.placed.rule_set.portfolio
        assert page is not None, "no page of portfolio margin"
        cells = self._weighed.cell[a].T
        listed = len(page.grids[a])
        used = np.flatnonzero(cells.any(axis=1))
        last = max(listed, int(used[-1]) + 1) if len(used) else 0
        return cells[:last] if cells[:last, 2].any() else np.zeros((0, 3))

    @cached_property
    def units(self) -> pd.DataFrame:
        """Where margin is by a venue's own page: what each coin's unit was charged, and the parts the page names.

        Margins are in USD, `delta` is in coins (a page that counts it in USD: over the coin's index), the page's parts
        are in `parts_in`, USD or the coin; spot in use, hedging spot and the delta left are coins at any page.
        """
        page, rows = self.placed.rule_set.portfolio, []
        for a, charge in enumerate(self._weighed.charge if page is not None and not self._tiers else ()):
            if charge.any() and page is not None:
                coin = self.placed.assets[a]
                parts = zip(PAGES[page.model].PARTS, charge[int(FIRST_PART) :], strict=False)
                price = float(self.placed.indexes[a]) if PAGES[page.model].DELTA_IN == "USD" else 1.0
                rows.append({
                    "unit": coin, "maintenance_margin": charge[0], "initial_margin": charge[1],
                    "delta": charge[2] / price, "parts_in": parts_in(page, coin),
                    **{name: float(part) for name, part in parts},
                })  # fmt: skip
        return pd.DataFrame(rows)

    @cached_property
    def rules(self) -> pd.DataFrame:
        """The rows that were in force, with their dates, sources and marks; the account's own numbers last."""
        return pd.DataFrame(
            [
                {
                    "table": row.table, "key": row.key, "value": row.value,
                    "from": day(row.valid_from_us) if row.valid_from_us else "", "source": row.source, "mark": row.mark,
                    "assumed": row.assumed, "reason": row.reason, "counterfactual": row.counterfactual,
                }
                for row in self.placed.rule_set.rows
            ],
            columns=["table", "key", "value", "from", "source", "mark", "assumed", "reason", "counterfactual"],
        )  # fmt: skip

    # Prices that move

    def liquidation(self, asset: str, betas: Mapping[str, float] | None = None) -> Found | None:
        """Where the account is liquidated as a coin moves with every contract of it; others held, or by their beta."""
        return account_price(self.placed, asset, betas)

    @cached_property
    def liquidations(self) -> pd.DataFrame:
        """The account's liquidation price along each coin that its positions or coins move with, others held."""
        rows = []
        for asset in dict.fromkeys([*(i.base for i in self.placed.instruments), *self.placed.assets]):
            if asset in DOLLARS or asset not in self.placed.assets:
                continue
            found = self.liquidation(asset)
            rows.append({
                "asset": asset, "price_now": float(self.placed.indexes[self.placed.assets.index(asset)]),
                "liquidation_price": found and found.price, "move": found and found.move,
                "wallet": found.wallet if found else "cannot be liquidated by this coin alone",
            })  # fmt: skip
        return pd.DataFrame(rows, columns=["asset", "price_now", "liquidation_price", "move", "wallet"])

    def what_if(self, **changes: Any) -> Answer:
        """The account after changes, in this order: `haircut`, `add` (an order), `funding`, `move`, `basis`, `prices`.

        move        {"BTC": -0.3}: relative moves of coins, their contracts along
        basis       0.02, or by coin or symbol: what is added to mark / index - 1 of futures
        prices      {"BTC/USDT:USDT": 60_000}: any mark or index
        haircut     {"BTC": 0.1}: the haircut becomes that; 0.05: every haircut there is rises by so much
        funding     0.0001, or by symbol: one payment at this rate, at today's marks
        add         an order: "BTC/USDT:USDT -1" at the market, "BTC/USDT:USDT -1 @ 70000" at a limit, or a dict
        """
        return Answer(*after_changes(self.placed, changes))

    def move(self, moves: Mapping[str, float]) -> Answer:
        """The account after relative moves of coins."""
        return self.what_if(move=moves)

    def grid(self, first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> pd.DataFrame:
        """Margin ratio under every pair of moves of two coins: rows the first's moves, columns the second's."""
        for coins in (first, second):
            if not isinstance(coins, Mapping) or len(coins) != 1:
                raise InputError(f"grid: {coins!r}: write one coin and its moves, such as {{'BTC': [-0.3, 0.0]}}")
            for coin, steps in coins.items():
                for step in steps:
                    check_numbers("move", {coin: step})
        ((one, down), (two, across)) = (*first.items(), *second.items())
        a, b = (axis.ravel() for axis in np.meshgrid(np.array(down, float), np.array(across, float), indexing="ij"))
        ratio = lowest_ratios(self.placed, *moved_prices(self.placed, {one: a, two: b}, len(a)))
        return pd.DataFrame(
            ratio.reshape(len(down), len(across)),
            index=pd.Index(list(down), name=one),
            columns=pd.Index(list(across), name=two),
        )

    # Faces

    @property
    def figures(self) -> pd.DataFrame:
        """The account's numbers with labels for people, one column."""
        return self.account.rename(LABELS).to_frame()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every frame by name."""
        return {
            "positions": self.positions, "wallets": self.wallets, "assets": self.assets,
            "liquidations": self.liquidations, "scenarios": self.scenarios, "units": self.units, "rules": self.rules,
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values: numbers, text, None (also for infinite: no requirement), lists and dicts."""
        return {
            "venue": self.snapshot.venue,
            "mode": self.snapshot.mode,
            "at": day(self.snapshot.at_us),
            "account": {key: plain(value) for key, value in self.account.items()},
            **{name: [plain_row(row) for row in frame.to_dict("records")] for name, frame in self.tables().items()},
            "notes": self.notes,
        }

    @property
    def title(self) -> str:
        """Whose account, under which rules."""
        also = ", counterfactual" if self.placed.mode.counterfactual else ""
        said = self.snapshot
        return f"{said.name}: {said.venue}, {said.mode}, rules of {day(said.at_us)}{also}"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from html import escape

        from backtest.report.html import words

        parts = [f"<h3>{escape(self.title)}</h3>", self.figures.map(words).to_html(header=False)]
        for name in ("positions", "wallets", "liquidations", "scenarios"):
            frame = self.tables()[name]
            if len(frame):
                parts.append(f"<h4>{name}</h4>" + frame.to_html(index=False, na_rep="--"))
        parts += [f"<p>{escape(note)}</p>" for note in self.notes]
        return "\n".join(parts)

    def __repr__(self) -> str:
        return f"{self.title}\n{self.figures.to_string(header=False)}"


def parts_in(page: PortfolioRules | None, coin: str) -> str:
    """What a page counts its scenarios and parts in; the project's own grid counts in USD."""
    return coin if page and PAGES[page.model].PARTS_IN == "coin" else "USD"


def plain(value: Any) -> Any:
    """A value of a frame as JSON has it."""
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a frame as JSON has it."""
    return {str(key): plain(value) for key, value in row.items()}
