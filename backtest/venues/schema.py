"""What a venue's rule table holds: dated rows with their sources, and the rule sets made of them for a span of time.

A `Row` is one number the venue published (or that had to be assumed, and says why). A `RuleSet` is everything in
force between two changes. A `Mode` is what a margin preset means at the venue at a date.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One number in force, with where it comes from. Marks: T text, N inferred from numbers, D derived, S second-hand,
    G general.
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


@dataclass(frozen=True)
class Tier:
    """One bracket: notional above `floor` (settlement asset) is margined at rate x notional - deduction."""

    floor: float
    rate: float
    deduction: float
    max_leverage: float


@dataclass(frozen=True)
class CollateralTier:
    """USD above `floor_usd` count ratio x value - deduction (marginal by value)."""

    floor_usd: float
    ratio: float
    deduction_usd: float = 0.0


@dataclass(frozen=True)
class TailRules:
    """Value at risk or expected shortfall of past moves: see `margin.tail`."""

    kind: str
    window_days: int
    horizon_days: int
    confidence: float
    floor: float
    stressed_weight: float


@dataclass(frozen=True)
class ScenarioRules:
    """Relative moves by asset (in the run's order of assets) and the charges of the scenario model: see
    `margin.scenarios`.
    """

    moves: tuple[tuple[float, ...], ...]
    offset: float
    basis_charge: float
    contingency: float
    initial_factor: float
    tail: TailRules | None = None


@dataclass(frozen=True)
class Level:
    """At or below this margin ratio (collateral equity / maintenance) the venue acts: warn, reduce_only,
    cancel_orders, liquidate.
    """

    ratio: float
    action: str


@dataclass(frozen=True)
class Mode:
    """What a preset means at a venue at a date."""

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


@dataclass(frozen=True)
class RuleSet:
    """Rules that do not change from `start_us` until the next set; tuples follow the run's instruments and assets."""

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
    scenario: ScenarioRules | None = None
    rows: tuple[Row, ...] = field(default=(), repr=False)
