"""From the venues' rule sets and the accounts' own choices to the Rules: the arrays that margin and orders read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtest.engine.plan import Plan
from backtest.engine.shape import Shape
from backtest.errors import InputError, nearest
from backtest.market.history import History
from backtest.market.last import Last
from backtest.market.schema import Instrument, YEAR_US
from backtest.margin.portfolio import PAGES
from backtest.margin.portfolio.unit import GRID_ROWS, NUMBERS
from backtest.state import (
    AUTO_TRANSFER, BORROWS, BORROW_INITIAL, BORROW_MAINTENANCE, BY_QUANTITY, CANCEL_ORDERS, CHOICES, CLOSE_ALL,
    CONVERSION, CUTS, DEBT_BUFFER, DELIVERY_FEE, FLOOR, GUARD_RATIO, GUARD_USE, HALF_SPREAD, I64, INVERSE, LINEAR,
    LIQUIDATION_FEE, MAKER, MAX_LEVERAGE, NEED_BUFFER, OVERDRAFT, PAGE_NAMES, PATH, PATH_NAMES, REDUCE, REFILL_COST,
    REFILL_DELAY, REFILL_SELLS, REFILL_TARGET, REFILL_TRIGGER, REPAY_DEBTS, RISK_NUMBERS, SELL_COLLATERAL, SLICE_DOWN,
    SLIPPAGE, SPOT, STEP_DOWN, SWITCHES, TAKER, TAKE_OVER, TIER_DOWN, TOP_UP_CAP, TOP_UP_TARGET, TOP_UP_TRIGGER, TOUCH,
    TRANSFER_FEE, TWO_SIDED, TWO_TIERS_DOWN, UNBOUND, VOLUME_SHARE, Rules,
)  # fmt: skip
from backtest.units import HEADROOM, to_steps

if TYPE_CHECKING:
    from backtest.venues.schema import RuleSet

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
KINDS = {
    "spot": int(SPOT),
    "linear": int(LINEAR),
    "inverse": int(INVERSE),
    "option": int(LINEAR),  # its premium is valued as a price
}
RUNGS = {
    "cancel_orders": int(CANCEL_ORDERS),
    "reduce": int(REDUCE),
    "sell_collateral": int(SELL_COLLATERAL),
    "takeover": int(TAKE_OVER),
    "close": int(CLOSE_ALL),
    "tier_down": int(TIER_DOWN),
    "two_tiers_down": int(TWO_TIERS_DOWN),
    "slice": int(SLICE_DOWN),
    "step": int(STEP_DOWN),
    "repay": int(REPAY_DEBTS),
}
TERM_NAMES = (  # of `Terms`, in the order of the state's columns from TIER_FLAT on
    "tier_flat",
    "tier_by_contracts",
    "initial_at_entry",
    "maintenance_at_entry",
    "fee_to_close",
    "fee_in_maintenance",
    "hedge_offsets",
    "debts_are_loans",
    "haircut_in_initial",
    "debt_in_maintenance",
    "interest_hourly",
    "funding_from_free",
)
MARGIN_CALLS = ("liquidate", "reduce_only", "restored")


_LAST: Last[tuple[Rules, Ints]] = Last()


def make_rules(plans: Sequence[Plan], history: History) -> tuple[Rules, Ints]:
    """The Rules of some accounts over a history, and which rule set is in force: int64 [account, bar].

    The last ones are kept, for nothing changes them: most points of a sweep differ in their strategy alone.
    """
    return _LAST.of(history, list(plans), lambda: _made(plans, history))


def floats(numbers: Any) -> Floats:
    """Numbers as compiled code takes them: of whole ones numpy would make another type, and all be compiled anew."""
    return np.array(numbers, np.float64)


def _made(plans: Sequence[Plan], history: History) -> tuple[Rules, Ints]:
    sets = [rule_set for plan in plans for rule_set in plan.sets]
    instruments, assets = history.instruments, history.assets
    wallets = max(len(plan.shape.names) for plan in plans)
    sides = 2 if any(plan.two_sided for plan in plans) else 1
    ladder = np.zeros((len(plans), 1 + max(len(plan.mode.ladder) for plan in plans)), I64)
    for row, plan in enumerate(plans):
        ladder[row, : len(plan.mode.ladder)] = [RUNGS[rung] for rung in plan.mode.ladder]
    rules = Rules(
        shape=np.arange(len(plans), dtype=I64),
        ladder=ladder,
        level=floats([_levels(rule_set) for rule_set in sets]),
        term=np.array([_term_columns(s) for s in sets], I64),
        due=floats([[s.terms.debt_fee, s.terms.fixed_usd, s.terms.keeps, s.terms.keeps_notional] for s in sets]),
        choice=floats([_choices(plan) for plan in plans]),
        switch=np.array([_switches(plan) for plan in plans], I64),
        leverage=floats(
            [[plan.leverage_of(i.symbol) if i.kind != "spot" else 1.0 for i in instruments] for plan in plans]
        ),
        counts=floats([[0.0 if asset in plan.off else 1.0 for asset in assets] for plan in plans]),
        instrument=np.tile(np.arange(len(instruments), dtype=I64), sides),
        **_wallet_tables([plan.shape for plan in plans], wallets, len(assets), sides * len(instruments)),
        **_terms(instruments, assets, sides),
        rung_number=floats([[s.slice, s.slice_above_usd, s.backstop_at, s.fee_of_maintenance] for s in sets]),
        funding_at=np.array([[word == "index" for word in s.funding_at or [""] * len(instruments)] for s in sets], I64),
        **_rule_tables(sets, len(instruments), len(assets)),
    )
    return rules, _rules_at(plans, history)


def _levels(rule_set: RuleSet) -> list[float]:
    """Margin ratios at which the venue liquidates, at which it lets only reduce (0 where it has no such level), and up
    to which forced sales go on.
    """
    at = {action: max((v.ratio for v in rule_set.levels if v.action == action), default=0.0) for action in MARGIN_CALLS}
    liquidate = at["liquidate"] or 1.0
    return [liquidate, at["reduce_only"], at["restored"] or liquidate]


def _term_columns(rule_set: RuleSet) -> list[int]:
    """What the mode says of losses and orders, how it reads its tables, and whose page of portfolio margin holds."""
    page = PAGE_NAMES.index(rule_set.portfolio.model) if rule_set.portfolio else 0
    own = [rule_set.owes, rule_set.open_loss, rule_set.asks_initial]
    return [*own, *(getattr(rule_set.terms, name) for name in TERM_NAMES), page]


def _choices(plan: Plan) -> Floats:
    row = np.zeros(CHOICES)
    row[SLIPPAGE], row[VOLUME_SHARE] = plan.slippage, plan.volume_share
    row[GUARD_RATIO], row[GUARD_USE] = plan.guard_ratio, plan.guard_use
    row[[TOP_UP_TRIGGER, TOP_UP_TARGET]] = plan.top_up[:2]
    row[TOP_UP_CAP] = min(plan.top_up[2], HEADROOM)
    row[[REFILL_TRIGGER, REFILL_TARGET, REFILL_COST]] = plan.refill
    row[TRANSFER_FEE] = plan.transfer_cost
    return row


def _switches(plan: Plan) -> Ints:
    row = np.zeros(SWITCHES, I64)
    row[UNBOUND], row[CUTS], row[AUTO_TRANSFER] = plan.unbound, plan.cuts, plan.auto_transfer
    row[TWO_SIDED] = plan.two_sided
    row[BORROWS], row[TOUCH] = plan.borrows, plan.touch
    row[REFILL_SELLS], row[REFILL_DELAY] = plan.refill_sells, plan.refill_delay_us
    row[PATH] = PATH_NAMES.index(plan.path)
    return row


def _wallet_tables(shapes: Sequence[Shape], wallets: int, assets: int, positions: int) -> dict[str, Any]:
    """Layouts as arrays; missing wallets are ones that back nothing."""

    def padded(rows: list[list[int]], empty: int) -> Ints:
        return np.array([row + [empty] * (wallets - len(row)) for row in rows], I64)

    return {
        "model": padded([shape.model for shape in shapes], 0),
        "settle": padded([shape.settle for shape in shapes], -1),
        "isolates": padded([shape.isolates for shape in shapes], -1),
        "parent": padded([shape.parent for shape in shapes], -1),
        "position_wallet": np.array([(shape.position_wallet * 2)[:positions] for shape in shapes], I64),
        "spot_wallet": np.array([shape.spot for shape in shapes], I64),
        "cash_wallet": np.array([[shape.cash.get(asset, -1) for asset in range(assets)] for shape in shapes], I64),
        "transit_wallet": np.array([shape.transit for shape in shapes], I64),
        "loan_wallet": np.array([shape.loans for shape in shapes], I64),
        "debt_wallet": np.array([shape.debts for shape in shapes], I64),
    }


def _terms(instruments: Sequence[Instrument], assets: Sequence[str], sides: int) -> dict[str, Any]:
    """Contract terms by instrument."""
    expiry = floats([(i.expiry_us or 0) / YEAR_US for i in instruments])
    return {
        "kind": np.array([KINDS[i.kind] for i in instruments], I64),
        "base": np.array([assets.index(i.base) for i in instruments], I64),
        "settlement": np.array([assets.index(i.settle) for i in instruments], I64),
        "size": floats([i.contract_size for i in instruments]),
        "lot": np.array([to_steps(i.lot, f"{i.symbol} lot") or 1 for i in instruments], I64),
        "tick": floats([i.tick for i in instruments]),
        "min_notional": floats([i.min_notional for i in instruments]),
        "expiry": expiry,
        "option": np.array([[i.strike, i.call] for i in instruments], np.float64).reshape(-1, 2),
        "by_expiry": np.argsort(np.tile(expiry, sides), kind="stable").astype(I64),
    }


def _rule_tables(sets: Sequence[RuleSet], instruments: int, assets: int) -> dict[str, Any]:
    """Rule sets as arrays, padded with tiers that nothing reaches."""
    tiers = max([1] + [len(rows) for s in sets for rows in s.tiers])
    ratios = max([1] + [len(rows) for s in sets for rows in s.collateral])
    tier, ratio = np.zeros((len(sets), instruments, 4, tiers)), np.zeros((len(sets), assets, 3, ratios))
    tier[:, :, FLOOR], ratio[:, :, FLOOR] = np.inf, np.inf
    tier[:, :, MAX_LEVERAGE] = np.inf
    for at, rule_set in enumerate(sets):
        for i, rows in enumerate(rule_set.tiers):
            for k, row in enumerate(rows):
                tier[at, i, :, k] = row.floor, row.rate, -row.deduction, row.max_leverage
        for a, steps in enumerate(rule_set.collateral):
            for k, step in enumerate(steps):
                ratio[at, a, :, k] = step.floor_usd, step.ratio, -step.deduction_usd
    scenarios = scenario_tables(sets, assets)
    return {
        "tier": tier,
        "ratio": ratio,
        "fee": floats(
            [
                _by_column(
                    {
                        MAKER: s.maker,
                        TAKER: s.taker,
                        DELIVERY_FEE: s.delivery_fee,
                        LIQUIDATION_FEE: s.liquidation_fee,
                        HALF_SPREAD: s.half_spread,
                    }
                )
                for s in sets
            ]
        ),
        "coin": floats([_coin_columns(s) for s in sets]),
        "impact": floats([s.impact_y for s in sets]),
        "slope": _slopes(sets, instruments),
        "written": floats([s.written_option for s in sets]),
        **scenarios,
        **portfolio_tables(sets, assets),
    }


def _by_column(columns: dict[Any, Sequence[float]]) -> Floats:
    """Columns in the order of their numbers."""
    return floats([columns[key] for key in sorted(columns)]).T


def _coin_columns(rule_set: RuleSet) -> Floats:
    loans = {
        key: [x if np.isfinite(x) else 0.0 for x in values]
        for key, values in (
            (BORROW_INITIAL, rule_set.borrow_initial),
            (BORROW_MAINTENANCE, rule_set.borrow_maintenance),
        )
    }
    return _by_column(
        {
            DEBT_BUFFER: rule_set.ask_buffer,
            NEED_BUFFER: rule_set.requirement_buffer,
            CONVERSION: rule_set.conversion_cost,
            OVERDRAFT: rule_set.overdraft_usd,
            BY_QUANTITY: rule_set.collateral_by_quantity or [0.0] * len(rule_set.ask_buffer),
            **loans,
        }
    )


def scenario_tables(sets: Sequence[RuleSet], assets: int) -> dict[str, Any]:
    """Moves by base coin and the numbers of the scenario and tail models; sets without them move nothing."""
    rows = [s.scenario for s in sets]
    width = max([1] + [len(moves) for row in rows if row for moves in row.moves])
    move, risk = np.zeros((len(sets), assets, width)), np.zeros((len(sets), RISK_NUMBERS))
    for at, row in enumerate(rows):
        if row is not None:
            for a, moves in enumerate(row.moves):
                move[at, a, : len(moves)] = moves
            tail = row.tail
            risk[at] = [
                row.offset,
                row.basis_charge,
                row.contingency,
                row.initial_factor,
                tail.floor if tail else 0.0,
                tail.confidence if tail else 0.0,
                tail.stressed_weight if tail else 0.0,
                bool(tail and tail.kind == "ES"),
                tail.buffer if tail else 0.0,
                bool(tail and tail.long_run_floor),
            ]
    return {"move": move, "risk": risk}


def _slopes(sets: Sequence[RuleSet], instruments: int) -> Floats:
    """Requirements that rise with size without brackets; 0 where there is none."""
    table = np.zeros((len(sets), instruments, 3))
    for at, rule_set in enumerate(sets):
        for i, slope in enumerate(rule_set.slopes):
            if slope is not None:
                table[at, i] = slope.initial, slope.maintenance, slope.per_coin
    return table


def portfolio_tables(sets: Sequence[RuleSet], assets: int) -> dict[str, Any]:
    """Numbers, scenarios and ladders of the portfolio pages in force, by coin; sets without one are all zero.

    InputError where a table names a number or a ladder that its page does not know.
    """
    pages = [rule_set.portfolio for rule_set in sets if rule_set.portfolio]
    width = max([1] + [len(cells) for page in pages for cells in page.grids])
    steps = max([1] + [len(rows) for page in pages for bands in page.bands for rows in bands.values()])
    ladders = max([1] + [len(PAGES[page.model].LADDERS) for page in pages])
    number, grid = np.zeros((len(sets), assets, NUMBERS)), np.zeros((len(sets), assets, GRID_ROWS, width))
    band = np.zeros((len(sets), assets, ladders, 2, steps))
    band[:, :, :, 0] = np.inf
    for at, rule_set in enumerate(sets):
        if rule_set.portfolio is None:
            continue
        page, names = rule_set.portfolio, PAGES[rule_set.portfolio.model]
        for a in range(assets):
            number[at, a, : len(names.NAMES)] = _named(page.model, "number", names.NAMES, page.numbers[a], 0.0)
            for s, cell in enumerate(page.grids[a]):
                grid[at, a, :, s] = cell
            for k, rows in enumerate(_named(page.model, "ladder", names.LADDERS, page.bands[a], ())):
                if rows:
                    band[at, a, k, :, : len(rows)] = np.array(rows).T
                    band[at, a, k, 1, len(rows) :] = rows[-1][1]
    return {"number": number, "grid": grid, "band": band, "spread": _spreads(sets)}


def _spreads(sets: Sequence[RuleSet]) -> Floats:
    """Credits between two units [set, spread, 5]; a first unit of -1 is no spread."""
    pages = [rule_set.portfolio.spreads if rule_set.portfolio else () for rule_set in sets]
    table = np.full((len(sets), max(1, *(len(rows) for rows in pages)), 5), -1.0)
    for at, rows in enumerate(pages):
        for k, row in enumerate(rows):
            table[at, k] = row
    return table


def _named(page: str, what: str, names: Sequence[str], given: Mapping[str, Any], none: Any) -> list[Any]:
    """Values in the order in which a page calls them; `none` where a table of that time did not have one."""
    for name in given:
        if name not in names:
            raise InputError(f"portfolio margin of {page}: no {what} {name!r}; {nearest(name, names)}")
    return [given.get(name, none) for name in names]


def _rules_at(plans: Sequence[Plan], history: History) -> Ints:
    """Index of the rule set in force, by account and bar."""
    at: Ints = history.room.zeros((len(plans), len(history.time)), I64)
    first = 0
    for row, plan in enumerate(plans):
        begins = np.searchsorted(history.time, [rule_set.start_us for rule_set in plan.sets])
        begins[0] = 0
        for part in history.room.parts(len(history.time)):
            for k, begin in enumerate(begins.tolist(), first):
                if k and begin < part.stop:  # a set is in force until the next begins; the first is what zeros say
                    at[row, max(begin, part.start) : part.stop] = k
        first += len(plan.sets)
    return at
