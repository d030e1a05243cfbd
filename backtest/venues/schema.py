"""What a venue's rule table holds: dated rows with their sources, and the rule sets made of them for a span of time.

A `Row` is one number the venue published (or that had to be assumed, and says why). A `RuleSet` is everything in
force between two changes. A `Mode` is what a margin preset means at the venue at a date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One number in force, with where it comes from.

    `mark` says how well it is known: T stated by the venue, N inferred from published numbers, D derived, S
    second-hand, G general knowledge. `rule` is the heading of the rule book it is discussed under. `counterfactual`:
    used outside the dates it held, or in a mode the venue did not offer then. `asset`: whose number it is, where the
    table speaks of assets one by one.
    """

    table: str
    key: str
    value: object
    valid_from_us: int
    source: str
    mark: str
    assumed: bool = False
    reason: str = ""
    counterfactual: bool = False
    rule: str = ""
    valid_to_us: int | None = None
    asset: str = ""


@dataclass(frozen=True)
class Tier:
    """One bracket: maintenance of a notional above `floor` (settlement asset; coin for inverse contracts) is
    rate x notional - deduction, and leverage goes up to `max_leverage`.

    Where the mode's terms say `tier_by_contracts`, `floor` is a number of contracts. Of an instrument with a `Slope`
    the one tier says the highest leverage only.
    """

    floor: float
    rate: float
    deduction: float
    max_leverage: float


@dataclass(frozen=True)
class CollateralTier:
    """A value above `floor_usd` counts ratio x value - deduction_usd, so that it is marginal by value.

    Where the asset's ratios are by quantity, both are in coins and the result is priced afterwards.
    """

    floor_usd: float
    ratio: float
    deduction_usd: float = 0.0


def deduction_above(floor: float, before: float, low: float, high: float) -> float:
    """The deduction above a floor at which a rate goes from `low` to `high`, so that the sum makes no jump there; below
    it `before` is deducted.
    """
    return before + floor * (high - low)


@dataclass(frozen=True)
class PortfolioRules:
    """A venue's own scenario model: see `margin.portfolio`. Everything by asset, in the run's order of assets.

    `model` names the page (bybit, okx, deribit, paradex, span, tims). `grids`: (price move, volatility shock, share
    that counts) by scenario. `numbers`: what the page calls by name; one that the table does not have is absent.
    `bands`: ladders by name, each (up to, rate) rising, the last up to inf. An asset that no future of the run is on
    has none of them. `spreads`: credits between two assets, by number: first, second, coins of each that make one
    spread, credit as a share of the legs' risk.
    """

    model: str
    grids: tuple[tuple[tuple[float, float, float], ...], ...]
    numbers: tuple[Mapping[str, float], ...]
    bands: tuple[Mapping[str, tuple[tuple[float, float], ...]], ...]
    spreads: tuple[tuple[int, int, float, float, float], ...] = ()


@dataclass(frozen=True)
class Slope:
    """Requirement of a position of q coins: q x (base + per_coin x q), in the settlement asset (linear: x index).

    `initial` and `maintenance` are the bases, fractions; `per_coin` a fraction a coin.
    """

    initial: float
    maintenance: float
    per_coin: float


@dataclass(frozen=True)
class Terms:
    """How a mode of a venue reads its tables, where that differs from rate x notional - deduction at mark.

    tier_flat: a bracket's rate holds for the whole size, not for the part above its floor. tier_by_contracts: brackets
    are by number of contracts. initial_at_entry, maintenance_at_entry: notional at the entry price. fee_to_close: both
    margins hold the taker fee of closing at the bankruptcy price. fee_in_maintenance: maintenance holds the taker fee
    of closing at mark. hedge_offsets: of two opposite positions on one instrument the hedged size bears fees only.
    debts_are_loans: a negative coin equity bears a loan's margins. debt_fee: share of a debt x (1 + its maintenance
    rate) that maintenance holds as well. haircut_in_initial: haircuts raise initial margin and do not lower collateral.
    debt_in_maintenance: debts raise maintenance and do not lower collateral. fixed_usd: maintenance of an account with
    positions or debts, whatever they are. keeps: what is above so many times maintenance may leave; 0: what is above
    initial margin. keeps_notional: share of the open notional that whatever leaves has to leave behind as well.
    interest_hourly: what an asset's balance, loans and open losses come to below zero pays by the hour; else loans pay
    by the hour, and a balance below zero the day at 00:00 UTC. funding_from_free: an isolated position's funding is
    taken from, and paid to, the wallet it was opened from, and only what that has not from its own margin.
    """

    tier_flat: bool = False
    tier_by_contracts: bool = False
    initial_at_entry: bool = False
    maintenance_at_entry: bool = False
    fee_to_close: bool = False
    fee_in_maintenance: bool = False
    hedge_offsets: bool = False
    debts_are_loans: bool = False
    debt_fee: float = 0.0
    haircut_in_initial: bool = False
    debt_in_maintenance: bool = False
    fixed_usd: float = 0.0
    keeps: float = 0.0
    keeps_notional: float = 0.0
    interest_hourly: bool = False
    funding_from_free: bool = False


@dataclass(frozen=True)
class TailRules:
    """Value at risk (`VaR`) or expected shortfall (`ES`) of past moves: see `margin.tail`.

    `floor` is a fraction of gross notional; `stressed_weight` the weight of the worst window ever seen.
    `filtered`: past moves are scaled to today's volatility, an exponentially weighted one that keeps `decay` of its
    variance by horizon. `buffer`: a share on top, used up as margin rises above that of the long run (ten years at
    most); `long_run_floor`: margin never below that of the long run. See `margin.procyclicality`.
    """

    kind: str
    window_days: int
    horizon_days: int
    confidence: float
    floor: float
    stressed_weight: float
    filtered: bool = False
    decay: float = 0.94
    buffer: float = 0.0
    long_run_floor: bool = False


@dataclass(frozen=True)
class ScenarioRules:
    """The grid and the charges of the scenario model: see `margin.scenarios`.

    `moves`: relative moves by asset, in the run's order of assets. `offset` c between units that lose on up-moves and
    on down-moves; `basis_charge` per square root of a year; `contingency` of gross; initial = factor x maintenance.
    """

    moves: tuple[tuple[float, ...], ...]
    offset: float
    basis_charge: float
    contingency: float
    initial_factor: float
    tail: TailRules | None = None


ACTIONS = ("warn", "reduce_only", "cancel_orders", "restored", "liquidate")


@dataclass(frozen=True)
class Level:
    """At or below this margin ratio (collateral equity / maintenance) the venue acts: warn, reduce_only,
    cancel_orders, liquidate. `restored` is no action, but the ratio up to which forced sales go on; without it they end
    where they began, at `liquidate`.
    """

    ratio: float
    action: str

    @property
    def acts(self) -> bool:
        """Whether something is done there: at `restored` it ends."""
        return self.action != "restored"


@dataclass(frozen=True)
class Mode:
    """What a preset means at a venue at a date.

    `levels` from high to low; `ladder` the rungs of a liquidation in order; `loss_beyond` who bears what is lost
    beyond the collateral; `shown_ratio` the venue's own ratio and its direction; `called` the venue's own name of the
    mode where it is another.
    """

    preset: str
    scope: str
    collateral: str  # "settlement" | "multi"
    requirement: str  # "tiers" | "scenarios" | "tail"
    isolated_allowed: bool
    inverse_in_unified: bool
    open_loss: bool
    levels: tuple[Level, ...]
    ladder: tuple[str, ...]
    loss_beyond: str  # "insurance" | "user_debt"
    available_from_us: int
    shown_ratio: str
    source: str
    counterfactual: bool = False
    called: str = ""


@dataclass(frozen=True)
class RuleSet:
    """Rules that do not change from `start_us` until the next set; tuples follow the run's instruments and assets.

    Fees are fractions of notional. By asset: a debt counts x price x (1 + ask_buffer); requirements in it count
    (1 + requirement_buffer); a forced sale costs `conversion_cost`; a balance below -`overdraft_usd` is covered by one
    (inf: never); a loan needs `borrow_initial` and `borrow_maintenance` of itself (inf: cannot be borrowed) at
    `borrow_hourly` (NaN: no rate known).

    Of the rungs of a liquidation: `slice` is the share of the positions that one forced order closes (0: the rung is
    not among them), positions of `slice_above_usd` or less are closed at once; where equity falls below `backstop_at` x
    maintenance (0: never) the rest goes to the venue with all its collateral. A forced order costs `liquidation_fee` of
    its notional and `fee_of_maintenance` of what the account's maintenance holds for as much notional.
    """

    start_us: int
    tiers: tuple[tuple[Tier, ...], ...]
    maker: tuple[float, ...]
    taker: tuple[float, ...]
    delivery_fee: tuple[float, ...]
    liquidation_fee: tuple[float, ...]
    half_spread: tuple[float, ...]
    collateral: tuple[tuple[CollateralTier, ...], ...]
    ask_buffer: tuple[float, ...]
    requirement_buffer: tuple[float, ...]
    conversion_cost: tuple[float, ...]
    overdraft_usd: tuple[float, ...]
    borrow_initial: tuple[float, ...]
    borrow_maintenance: tuple[float, ...]
    borrow_hourly: tuple[float, ...]
    impact_y: float
    levels: tuple[Level, ...] = (Level(1.0, "liquidate"),)
    owes: bool = False  # losses beyond the collateral stay the user's debt
    open_loss: bool = False  # what resting spot orders would open with lowers the collateral
    asks_initial: bool = True  # orders are asked for initial margin
    scenario: ScenarioRules | None = None
    terms: Terms = Terms()
    slopes: tuple[Slope | None, ...] = ()  # by instrument, where the requirement rises with size without brackets
    written_option: tuple[float, float, float] = (0.0, 0.0, 0.0)  # by tiers: flat share, least share, maintenance share
    collateral_by_quantity: tuple[bool, ...] = ()  # by asset: its collateral tiers are in coins
    portfolio: PortfolioRules | None = None
    settled: tuple[str, ...] = ()  # by instrument, when profit becomes cash: "" at closing, "funding", "daily"
    funding_at: tuple[str, ...] = ()  # by instrument, which price funding is paid on: "mark" or "index"
    slice: float = 0.0  # share of a position cut at once by the rungs `slice` and `step`
    slice_above_usd: float = 0.0  # a smaller position is cut whole by the rung `slice`
    backstop_at: float = 0.0  # below this share of maintenance the rung `slice` takes everything over
    fee_of_maintenance: float = 0.0  # share of the maintenance of what a forced order closes that it costs
    rows: tuple[Row, ...] = field(default=(), repr=False)
