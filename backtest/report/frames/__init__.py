"""From the engine's arrays to the columns of a run record: steps become units, numbers become names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from backtest.engine.session import Session
from backtest.report.columns import Columns
from backtest.report.frames.incidents import incident_columns
from backtest.report.frames.names import Names
from backtest.report.frames.path import account_columns, backing, wallet_columns
from backtest.report.frames.payments import funding_columns, ledger_columns
from backtest.report.frames.trades import fill_columns, order_columns, position_columns
from backtest.report.record import LivedRecord, RunRecord

if TYPE_CHECKING:
    from backtest.config import RunConfig
    from backtest.engine.plan import Plan


def record_of(
    session: Session, config: RunConfig, notes: list[str], seconds: float = 0.0, stored: bool = True
) -> RunRecord:
    """The record of a session that has been lived through; the session must not go on after it. `stored`: its history
    was read from the config's store.
    """
    plans, names = session.plans, Names(session)
    return LivedRecord(
        config=config,
        history=session.history,
        rules=tuple(plan.sets for plan in plans),
        account_names=[plan.name for plan in plans],
        modes=[mode_words(plan) for plan in plans],
        notes=notes,
        stored=stored,
        seconds=seconds,
        levels=tuple(tuple((level.ratio, level.action) for level in plan.sets[-1].levels) for plan in plans),
        by_bar={
            "account": lambda k: [partial(account_columns, session, names, k)],
            "wallets": lambda k: [partial(wallet_columns, session, names, k, w) for w in backing(session, k)],
        },
        makers={
            "account": lambda record: Columns.below(record.all_of("account")),
            # spot alone backs nothing: no wallet at all, but still the columns
            "wallets": lambda record: Columns.below(
                record.all_of("wallets") or [wallet_columns(session, names, 0, 0, slice(0, 0))]
            ),
            "ledger": lambda _: ledger_columns(session, names),
            "fills": lambda _: fill_columns(session, names),
            "orders": lambda record: order_columns(session, names, record.made("fills")),
            "incidents": lambda record: incident_columns(session, names, record),
            "funding": lambda _: funding_columns(session, names),
            "positions": lambda _: position_columns(session, names),
        },
    )


def mode_words(plan: Plan) -> str:
    """An account's margin mode as every table, page and picture shows it: one not of its dates never passes for one."""
    rows = (row for rule_set in plan.sets for row in rule_set.rows)
    unreal = plan.mode.counterfactual or any(row.counterfactual for row in rows)
    return f"{plan.preset} (counterfactual)" if unreal else plan.preset
