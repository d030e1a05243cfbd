"""What changes, what is agreed, and what the market did: the Book, the Rules and the Tape.

The engine passes these three bundles of arrays and nothing else. The Book is the accounts: balances, contracts and
costs in whole steps, the ledger, orders and incidents. The Rules are the venues' numbers, one set of tables for
every stretch of time in which they do not change, and each account's own choices. The Tape is the market: a table
of series by bar, row maps that say which series is whose price at which point of the bar, and the events.

Axes, always in this order: wallet, asset, instrument or position, then account or bar.
"""

from __future__ import annotations

import numpy as np

from backtest.bundle import Bundle

I64 = np.int64
NOTHING = I64(-1)
HERE, ONE = I64(0), I64(1)
BLOCK = 512  # bars of one stretch looked at together: as many as leave its rows near in the cache

# Points of a bar, in the order the default path visits them; EACH: every leg at its worst; MOMENT: in between.
OPEN, LOW, HIGH, CLOSE, EACH, MOMENT = (I64(k) for k in range(6))
POINT_NAMES = ("open", "low", "high", "close", "each", "moment")
PATH_CLOSE, PATH_LOW_HIGH, PATH_EACH = (I64(k) for k in range(3))
PATH_NAMES = ("close", "low_then_high", "each_worst")

SPOT, LINEAR, INVERSE = (I64(k) for k in range(3))

INTERNAL = ("transit", "loans", "debts")  # wallets of an account's own bookkeeping, which no hand moves money through

# What a wallet backs, and how its requirement is found.
BACKS_NOTHING, TIERS, SCENARIOS, TAIL = (I64(k) for k in range(4))

# Rows of the scratch table: what a wallet needs, and what that is made of.
COLLATERAL, INITIAL, MAINTENANCE, OPEN_LOSS = (I64(k) for k in range(4))
NET, NET_INITIAL, NET_MAINTENANCE, EQUITY = (I64(k) for k in range(4, 8))
RATIO_OPEN, RATIO_CLOSE, RATIO_LOW, RATIO_HIGH, RATIO_EACH, UNSOUND = (I64(k) for k in range(8, 14))
EXPOSURE, UP, DOWN, GROSS, CHARGE, WORST_WALLET, LOWEST = (I64(k) for k in range(14, 21))
OPENED, OPENED_WALLET = I64(21), I64(22)  # of one bar: the lowest ratio it opened with, before orders or forced sales
SCRATCH_ROWS = 23

# Counters of the book.
LEDGER_ROWS, FILL_ROWS, ORDER_ROWS, INCIDENT_ROWS, LIVE_ORDERS, TRANSFER_ROWS, ASKING = (I64(k) for k in range(7))
COUNTERS = 7

# How far `advance` came: to the bar asked for, to where rows run short, to a bar that account ASKING has opened and
# whose inside finer bars may decide, or to one at whose open a target of account ASKING is more than the ledger holds.
LIVED, SHORT_OF_ROWS, LOOK_INSIDE, TOO_LARGE = (I64(k) for k in range(4))

# Columns of a ledger row.
# L_INSTRUMENT: the position it is of (in hedge mode instruments + i is the short of i); -1: none.
# L_ORDER: the order that caused it; of funding, the event that was paid; -1: neither.
L_BAR, L_ACCOUNT, L_WALLET, L_ASSET, L_KIND, L_AMOUNT, L_INSTRUMENT, L_ORDER = (I64(k) for k in range(8))
LEDGER_COLUMNS = 8

# Columns of a fill; its prices stand apart: traded price, mark at the fill.
(F_BAR, F_ACCOUNT, F_POSITION, F_CONTRACTS, F_COST, F_REALISED, F_FEE, F_FEE_ASSET, F_ORDER, F_CAUSE, F_POINT) = (
    I64(k) for k in range(11)
)
FILL_COLUMNS = 11
BY_ORDER, BY_DELIVERY, BY_LIQUIDATION, BY_CONVERSION, BY_REFILL, BY_DELEVERAGING = (I64(k) for k in range(6))
CAUSE_NAMES = ("order", "delivery", "liquidation", "conversion", "refill", "deleveraging")

# Columns of an order; its prices stand apart: limit or forced price, trigger price.
(O_BAR, O_ACCOUNT, O_POSITION, O_KIND, O_FLAGS, O_GROUP, O_STATE, O_REASON, O_CONTRACTS, O_FILLED, O_DONE_BAR) = (
    I64(k) for k in range(11)
)
O_SEEN, O_BEFORE, O_TRIED = I64(11), I64(12), I64(13)  # seen by the venue; filled before a trial; last bar tried in
ORDER_COLUMNS = 14
PRICE, TRIGGER = I64(0), I64(1)
MARKET, LIMIT, STOP, TAKE_PROFIT = (I64(k) for k in range(4))
ORDER_KINDS = ("market", "limit", "stop", "take_profit")
TO_TARGET, POST_ONLY, REDUCE_ONLY, BY_LAST, FORCED, TAKES, TRIGGERED = (I64(1 << k) for k in range(7))
WAITING, FILLED, PART_FILLED, REFUSED, CANCELLED, EXPIRED = (I64(k) for k in range(6))
STATE_NAMES = ("waiting", "filled", "part filled", "refused", "cancelled", "expired")
# Why an order was refused, cut or cancelled; the first that applies, in this order.
(
    NO_REASON,
    NOT_TRADABLE,
    BELOW_LOT,
    MIN_NOTIONAL,
    NO_VOLUME,
    WOULD_CROSS,
    WOULD_OPEN,
    NO_BALANCE,
    NO_LOAN,
    RESTRICTED,
    TIER_LEVERAGE,
    NO_MARGIN,
    GUARDED_RATIO,
    GUARDED_USE,
    BY_STRATEGY,
    BY_VENUE,
    DEAD,
) = (I64(k) for k in range(17))
REASON_NAMES = (
    "",
    "not tradable",
    "below one lot",
    "below minimum notional",
    "volume",
    "post-only would cross",
    "reduce-only would open",
    "balance",
    "no loan",
    "reduce-only level",
    "leverage above the tier's",
    "initial margin",
    "guard: margin ratio",
    "guard: utilization",
    "by the strategy",
    "by the venue",
    "expired instrument",
)

# Columns of a transfer under way.
(T_DEPARTS, T_ARRIVES, T_ACCOUNT, T_ASSET, T_SOURCE, T_TARGET, T_AMOUNT, T_STATE, T_MOVED) = (I64(k) for k in range(9))
TRANSFER_COLUMNS = 9
ASKED, UNDER_WAY, ARRIVED, NOT_SENT = (I64(k) for k in range(4))

# Columns of an incident (floats, so that the numbers it saw stand in one row).
(
    N_BAR,
    N_ACCOUNT,
    N_WALLET,
    N_RUNG,
    N_POSITION,
    N_COLLATERAL,
    N_MAINTENANCE,
    N_CONTRACTS,
    N_PRICE,
    N_POINT,
    N_AMOUNT,
    N_INSIDE,  # open of the finer bar in which it happened, us; 0: it was not looked into
) = (I64(k) for k in range(12))
INCIDENT_COLUMNS = 12

# Events of the tape; within a bar they happen in this order.
FLOW, DELIVERY, FUNDING, SETTLEMENT, INTEREST, DELEVERAGE, TARGETS = (I64(k) for k in range(7))
E_BAR, E_KIND, E_SUBJECT, E_ACCOUNT = (I64(k) for k in range(4))

# Columns of the recorded path of an account, and of a wallet; an account's collateral and margins are its wallets'.
P_EQUITY, P_CLOSE, P_LOW_HIGH, P_EACH, P_WALLET = (I64(k) for k in range(5))
PATH_COLUMNS = 5
W_COLLATERAL, W_INITIAL, W_MAINTENANCE = (I64(k) for k in range(3))
WALLET_COLUMNS = 3
W_OPEN_LOSS, W_ORDERS = I64(3), I64(4)  # beside them on the scales: see `engine.weigh`
SCALED_COLUMNS = 5

# Numbers per instrument in a rule set.
MAKER, TAKER, DELIVERY_FEE, LIQUIDATION_FEE, HALF_SPREAD = (I64(k) for k in range(5))
# Numbers per asset in a rule set.
DEBT_BUFFER, NEED_BUFFER, CONVERSION, OVERDRAFT, BORROW_INITIAL, BORROW_MAINTENANCE = (I64(k) for k in range(6))
BY_QUANTITY = I64(6)  # 1 where the rows of its collateral table are in coins, 0 where they are in USD
# Rows of a tier table and of a collateral table.
FLOOR, RATE, OFFSET, MAX_LEVERAGE = (I64(k) for k in range(4))
# Numbers of the scenario and tail model.
UNIT_OFFSET, BASIS_CHARGE, CONTINGENCY, INITIAL_FACTOR, TAIL_FLOOR, TAIL_LEVEL, STRESS_WEIGHT, TAIL_IS_SHORTFALL = (
    I64(k) for k in range(8)
)
TAIL_BUFFER, LONG_RUN_FLOOR = I64(8), I64(9)
RISK_NUMBERS = 10
# What the tail model may know at a bar: the window's first row and one past its last; where all that is known begins,
# where a long run of it begins, and one past their last.
WINDOW, WINDOW_END, PAST, LONG_RUN, PAST_END = (I64(k) for k in range(5))
# Levels of a mode, as margin ratios: liquidated at, only reducing from, and up to where forced sales go on.
LIQUIDATE_AT, REDUCE_ONLY_AT, RESTORED_AT = (I64(k) for k in range(3))
# Terms of a mode: losses beyond the collateral stay the user's debt; the loss that resting orders would open with
# lowers the collateral; orders are asked for initial margin; then how it reads its tables, see `venues.schema.Terms`.
OWES, OPEN_LOSS_COUNTS, ASKS_INITIAL = (I64(k) for k in range(3))
TIER_FLAT, TIER_BY_CONTRACTS, INITIAL_AT_ENTRY, MAINTENANCE_AT_ENTRY = (I64(k) for k in range(3, 7))
FEE_TO_CLOSE, FEE_IN_MAINTENANCE, HEDGE_OFFSETS, DEBTS_ARE_LOANS = (I64(k) for k in range(7, 11))
HAIRCUT_IN_INITIAL, DEBT_IN_MAINTENANCE, INTEREST_HOURLY, FUNDING_FROM_FREE, PAGE = (I64(k) for k in range(11, 16))
TERMS = 16
# Pages of portfolio margin; 0: the project's own grid.
OWN_GRID, BYBIT, OKX, DERIBIT, PARADEX, SPAN, TIMS = (I64(k) for k in range(7))
PAGE_NAMES = ("", "bybit", "okx", "deribit", "paradex", "span", "tims")
# What a wallet owes whatever it holds: a share of debts beside a loan's margin, and a fixed sum in USD. What may leave
# it: all above so many times its maintenance; 0: above its initial margin.
DEBT_FEE, FIXED, KEEPS, KEEPS_NOTIONAL = (I64(k) for k in range(4))
# A requirement that rises with size without brackets, by instrument.
SLOPE_INITIAL, SLOPE_MAINTENANCE, SLOPE_PER_COIN = (I64(k) for k in range(3))
# What written options ask by tiers, as shares of the underlying; see `margin.options`.
WRITTEN_FLAT, WRITTEN_LEAST, WRITTEN_MAINTENANCE = (I64(k) for k in range(3))
# Terms of an option, by instrument; strike 0: no option.
STRIKE, CALL = (I64(k) for k in range(2))
# Rungs of a liquidation ladder.
NO_RUNG, CANCEL_ORDERS, REDUCE, SELL_COLLATERAL, TAKE_OVER = (I64(k) for k in range(5))
TOPPED_UP, REFILLED, EXCHANGED, BREACHED, BANKRUPT = (I64(k) for k in range(5, 10))
# Rungs of single venues, see `engine.rungs_by_bracket` and `engine.rungs_by_share`. BACKSTOP is what a slice ends in
# when it comes too late, PAIRED_OFF what two tiers down begins with in hedge mode.
CLOSE_ALL, TIER_DOWN, TWO_TIERS_DOWN, SLICE_DOWN, STEP_DOWN, REPAY_DEBTS = (I64(k) for k in range(10, 16))
BACKSTOP, PAIRED_OFF = I64(16), I64(17)
RUNG_NAMES = (
    "",
    "cancel orders",
    "reduce",
    "sell collateral",
    "takeover",
    "top-up",
    "refill",
    "auto-exchange",
    "breach",
    "bankrupt",
    "close",
    "tier down",
    "two tiers down",
    "slice",
    "step",
    "repay",
    "backstop",
    "offset pairs",
)
# Numbers of a ladder: share of a position cut at once, if it is above so many USD; share of maintenance below which all
# is taken over; share of the maintenance of what a forced order closes that it costs.
SLICE, SLICE_ABOVE, BACKSTOP_AT, FEE_OF_MAINTENANCE = (I64(k) for k in range(4))
# An account's own choices.
SLIPPAGE, VOLUME_SHARE, GUARD_RATIO, GUARD_USE, TOP_UP_TRIGGER, TOP_UP_TARGET, TOP_UP_CAP = (I64(k) for k in range(7))
REFILL_TRIGGER, REFILL_TARGET, REFILL_COST, TRANSFER_FEE = (I64(k) for k in range(7, 11))
CHOICES = 11
UNBOUND, CUTS, AUTO_TRANSFER, BORROWS, TOUCH, REFILL_SELLS, PATH, REFILL_DELAY = (I64(k) for k in range(8))
TWO_SIDED = I64(8)  # in hedge mode position i is the long of instrument i, position i + instruments its short
SWITCHES = 9

# Lists of what a wallet holds: a count, then its assets, or its positions; and by asset, how many of its positions are
# settled in it, and how many move with it.
ASSETS, POSITIONS, SETTLING, MOVING = (I64(k) for k in range(4))


class Book(Bundle):
    """The accounts: what changes. Money and contracts are int64 steps of 1e-8."""

    balance: np.ndarray  # int64 [wallet, asset, account]
    contracts: np.ndarray  # int64 [position, account]; spot positions are balances, never contracts
    cost: np.ndarray  # int64 [position, account], in the settlement asset
    total: np.ndarray  # int64 [kind, asset, account]: the ledger summed by kind
    count: np.ndarray  # int64 [COUNTERS]
    cursor: np.ndarray  # int64 [account]: next bar to live through
    topped_up: np.ndarray  # int64 [position, account]: steps moved in by top-ups so far
    ledger: np.ndarray  # int64 [rows, LEDGER_COLUMNS]
    fill: np.ndarray  # int64 [rows, FILL_COLUMNS]
    fill_price: np.ndarray  # float64 [rows, 2] traded price, mark
    order: np.ndarray  # int64 [rows, ORDER_COLUMNS]
    order_price: np.ndarray  # float64 [rows, 2] PRICE: limit or forced, TRIGGER
    live: np.ndarray  # int64 [rows] ids of waiting orders, oldest first
    transfer: np.ndarray  # int64 [rows, TRANSFER_COLUMNS] under way
    incident: np.ndarray  # float64 [rows, INCIDENT_COLUMNS]
    resting: np.ndarray  # float64 [2, position, account]: notional of resting buys, of resting sells (futures)
    held: np.ndarray  # int64 [account, wallet, (ASSETS, POSITIONS, SETTLING, MOVING), 1 + n]: lists
    running: np.ndarray  # int64 [wallet, asset, BLOCK]: balances bar by bar inside a stretch
    need: np.ndarray  # float64 [SCRATCH_ROWS, BLOCK]
    here: np.ndarray  # float64 [4 * instrument + 2 * asset, 1]: prices of one moment, see `margin.moment`
    taken: np.ndarray  # float64 [instrument]: steps of contracts one account has taken of the bar's volume
    reserve: np.ndarray  # float64 [asset]: what resting spot orders would deliver, before an order
    pace: np.ndarray  # float64 [2, wallet]: share of a bar's way from which on it is next looked at, and the step to it
    gap: np.ndarray  # float64 [2, wallet]: what a wallet lacked of its initial margin before an order, and lacks now
    principal: np.ndarray  # int64 [asset, account]: what is borrowed, without interest
    spare: np.ndarray  # float64 [3, position + asset]: scratch of judgement, scenarios and tail, one moment at a time
    tail_delta: np.ndarray  # float64 [asset, BLOCK]: USD delta by coin, for the tail model
    tail_basis: np.ndarray  # float64 [instrument, BLOCK]: USD notional exposed to the instrument's basis, for it too
    coins: np.ndarray  # float64 [asset, BLOCK]: free coins of each unit, for portfolio pages
    leg: np.ndarray  # float64 [LEG_ROWS, position + 1]: the legs of one unit, see `margin.portfolio.unit`
    charge: np.ndarray  # float64 [asset, CHARGES]: what the page in force last charged each unit
    cell: np.ndarray  # float64 [asset, CELL_ROWS, scenarios + 32]: its scenario table
    worst: np.ndarray  # float64 [loss, BLOCK]: largest losses of the tail model, largest first
    saved: np.ndarray  # int64 [room]: one account as it was before a trial
    path: np.ndarray  # float64 [PATH_COLUMNS, account, bar]
    wallet_path: np.ndarray  # float64 [WALLET_COLUMNS, wallet, account, bar]
    headroom: np.ndarray  # float64 [wallet, account, bar] least of collateral - max(initial, level x maintenance)
    opened: np.ndarray  # float64 [wallet] headroom with which a bar opens, before orders or forced sales


class Rules(Bundle):
    """What is agreed. `set` is one stretch of time with unchanging tables; `shape` a layout of wallets."""

    shape: np.ndarray  # int64 [account]
    model: np.ndarray  # int64 [shape, wallet]
    settle: np.ndarray  # int64 [shape, wallet]: the one asset it margins in; -1: all
    isolates: np.ndarray  # int64 [shape, wallet]: position margined apart in it; -1: none
    parent: np.ndarray  # int64 [shape, wallet]: wallet an isolated one is funded from
    position_wallet: np.ndarray  # int64 [shape, position]
    spot_wallet: np.ndarray  # int64 [shape]
    cash_wallet: np.ndarray  # int64 [shape, asset]: futures wallet of a settlement asset; -1: none
    transit_wallet: np.ndarray  # int64 [shape]
    loan_wallet: np.ndarray  # int64 [shape]; -1: nothing can be borrowed
    debt_wallet: np.ndarray  # int64 [shape]: what the user still owes after a ruin; -1: the venue forgives it
    level: np.ndarray  # float64 [set, 3]
    term: np.ndarray  # int64 [set, TERMS]
    due: np.ndarray  # float64 [set, 4]: DEBT_FEE, FIXED, KEEPS, KEEPS_NOTIONAL
    slope: np.ndarray  # float64 [set, instrument, 3]
    written: np.ndarray  # float64 [set, 3]: of written options, the flat share, the least one, that of maintenance
    number: np.ndarray  # float64 [set, asset, NUMBERS]: of the portfolio page in force
    grid: np.ndarray  # float64 [set, asset, 3, scenarios]: price move, volatility shock, share that counts
    band: np.ndarray  # float64 [set, asset, ladders, 2, steps]
    spread: np.ndarray  # float64 [set, spreads, 5]: credits between two units, see `margin.portfolio.span`
    option: np.ndarray  # float64 [instrument, 2]: strike, +1 call or -1 put
    ladder: np.ndarray  # int64 [shape, rungs]
    rung_number: np.ndarray  # float64 [set, 3] numbers of the ladder's rungs
    choice: np.ndarray  # float64 [account, CHOICES]
    switch: np.ndarray  # int64 [account, SWITCHES]
    leverage: np.ndarray  # float64 [account, instrument]
    counts: np.ndarray  # float64 [shape, asset]: 1, or 0 where the account switched the asset off as collateral
    instrument: np.ndarray  # int64 [position]
    kind: np.ndarray  # int64 [instrument]
    base: np.ndarray  # int64 [instrument] asset
    settlement: np.ndarray  # int64 [instrument] asset (spot: the quote)
    size: np.ndarray  # float64 [instrument] contract size
    lot: np.ndarray  # int64 [instrument] steps of a contract
    tick: np.ndarray  # float64 [instrument]
    min_notional: np.ndarray  # float64 [instrument] in the quote currency
    expiry: np.ndarray  # float64 [instrument] years after the epoch; 0: perpetual or spot
    by_expiry: np.ndarray  # int64 [position], nearest expiry first
    tier: np.ndarray  # float64 [set, instrument, 4, tiers] floor, rate, minus deduction, max leverage
    ratio: np.ndarray  # float64 [set, asset, 3, tiers] floor in USD (or coins), ratio, offset
    fee: np.ndarray  # float64 [set, instrument, 5]
    coin: np.ndarray  # float64 [set, asset, 7]
    impact: np.ndarray  # float64 [set]
    funding_at: np.ndarray  # int64 [set, instrument]: funding is paid on the contract's worth at mark (0) or index (1)
    move: np.ndarray  # float64 [set, asset, scenarios] relative moves of a base coin
    risk: np.ndarray  # float64 [set, RISK_NUMBERS]


class Tape(Bundle):
    """What the market did. Rows of `series` are float64 by bar; row maps say whose they are at which point."""

    time: np.ndarray  # int64 [bar] us
    years: np.ndarray  # float64 [bar] years after the epoch, at the bar's open
    series: np.ndarray  # float64 [row, bar]
    value_row: (
        np.ndarray
    )  # int64 [6, instrument, 2]: value of a contract in its settlement asset (for longs, for shorts)
    index_row: np.ndarray  # int64 [6, asset, 2]: USD per unit (for what is owned, for what is owed)
    last_row: np.ndarray  # int64 [6, instrument, 2]: traded price
    mark_row: np.ndarray  # int64 [6, instrument, 2]: mark price
    volume_row: np.ndarray  # int64 [3, instrument]: volume of the bar, daily volume, daily volatility
    borrow_row: np.ndarray  # int64 [account, asset]: hourly rate; -1: none known
    option_row: np.ndarray  # int64 [instrument, 2]: implied volatility, forward of its expiry; -1: no option
    tradable: np.ndarray  # uint8 [instrument, bar]
    finer: np.ndarray  # uint8 [bar]: finer bars of it may be had
    event: np.ndarray  # int64 [event, 4] bar, kind, subject, account (-1: all)
    number: np.ndarray  # float64 [event, 3]
    event_at: np.ndarray  # int64 [bar + 1] first event of a bar
    stops_at: np.ndarray  # int64 [bar]: next bar, this one or later, with an event that changes contracts or rules
    rules_at: np.ndarray  # int64 [shape, bar] set in force
    target: np.ndarray  # float64 [row, instrument]: size wished, in the unit its event tells; NaN never: LEAVE
    stray: np.ndarray  # float64 [instrument], or [0] where every row is followed; see `engine.targets`
    tail_move: np.ndarray  # float64 [row, asset + instrument]: moves of index and basis, see `engine.tape.PastMoves`
    tail_rows: np.ndarray  # int64 [lookback, 5, bar]: which of them are known, see WINDOW
    tail_kind: np.ndarray  # int64 [rule set]: its lookback


LEAVE = -1e300  # a target cell that leaves the position as it is
# What the sizes of a row of targets are in: contracts, coins, USD, shares of equity.
IN_CONTRACTS, IN_COINS, IN_USD, IN_EQUITY = (I64(k) for k in range(4))
