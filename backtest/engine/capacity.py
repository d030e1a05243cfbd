"""How much could be traded: the largest order that every rule would accept at a moment, found by trying."""

from __future__ import annotations

from backtest.engine.fills import trade
from backtest.engine.judgement import judge, note_before, restore, save
from backtest.engine.order_size import in_lots, wrong_side
from backtest.kernel import entry, kernel
from backtest.margin.moment import last_here, set_moment
from backtest.margin.wallets import list_held
from backtest.state import BY_ORDER, CLOSE, I64, NO_REASON, NOTHING, SLIPPAGE, TAKER, TWO_SIDED

LARGEST = 2.0**58  # steps of money: a quarter of what an int64 holds


@kernel
def acceptable(book, rules, tape, bar, account, position, contracts):
    """Whether a market order of this size would stand at the moment; leaves the account as it was."""
    i = rules.instrument[position]
    if rules.switch[account, TWO_SIDED] != 0 and wrong_side(book, rules, account, position, contracts):
        return False
    slip = 1.0 + rules.choice[account, SLIPPAGE] if contracts > 0 else 1.0 - rules.choice[account, SLIPPAGE]
    fee = rules.fee[tape.rules_at[rules.shape[account], bar], i, TAKER]
    save(book, account)
    trade(
        book,
        rules,
        tape,
        bar,
        account,
        position,
        contracts,
        last_here(book, rules, i) * slip,
        fee,
        BY_ORDER,
        CLOSE,
        NOTHING,
    )
    stands = judge(book, rules, tape, account, bar) == NO_REASON
    restore(book, account)
    list_held(book, rules, account)
    return stands


@entry
def largest_order(book, rules, tape, bar, account, position, side):
    """Largest acceptable order on one side at the close of `bar`, in steps of contracts without sign; whole lots."""
    set_moment(book, rules, tape, account, bar, CLOSE, CLOSE, 1.0)
    list_held(book, rules, account)
    note_before(book, rules, tape, account, bar)
    lot = rules.lot[rules.instrument[position]]
    good, bad = I64(0), lot
    most = LARGEST / max(
        1.0, abs(book.here[rules.instrument[position], 0]), last_here(book, rules, rules.instrument[position])
    )
    while bad < most and acceptable(book, rules, tape, bar, account, position, side * bad):
        good, bad = bad, bad * 4
    while bad - good > lot:
        middle = in_lots((good + bad) // 2, lot)
        if middle == good:
            middle = good + lot
        if middle >= bad:
            return good
        if acceptable(book, rules, tape, bar, account, position, side * middle):
            good = middle
        else:
            bad = middle
    return good
