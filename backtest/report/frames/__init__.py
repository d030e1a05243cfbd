"""From the engine's arrays to the frames of a run record: steps become units, numbers become names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from backtest.engine.session import Session
from backtest.report.frames.incidents import all_crossings, in_time, incidents_frame
from backtest.report.frames.names import Names
from backtest.report.frames.path import account_frame, wallets_frame
from backtest.report.frames.payments import funding_frame, ledger_frame
from backtest.report.frames.trades import fills_frame, orders_frame, positions_frame
from backtest.report.record import LivedRecord, RunRecord

if TYPE_CHECKING:
    from backtest.config import RunConfig
    from backtest.engine.tables import Plan


def record_of(session: Session, config: RunConfig, notes: list[str], seconds: float = 0.0) -> RunRecord:
    """The record of a session that has been lived through; the session must not go on after it."""
    plans, names = session.plans, Names(session)
    return LivedRecord(
        config=config,
        history=session.history,
        rules=tuple(plan.sets for plan in plans),
        account_names=[plan.name for plan in plans],
        modes=[mode_words(plan) for plan in plans],
        notes=notes,
        seconds=seconds,
        levels=tuple(tuple((level.ratio, level.action) for level in plan.sets[-1].levels) for plan in plans),
        makers={
            "account": lambda _: in_one([account_frame(session, names, k) for k in range(len(plans))]),
            "wallets": lambda _: wallets_frame(session, names),
            "ledger": lambda _: ledger_frame(session, names),
            "fills": lambda _: fills_frame(session, names),
            "orders": lambda record: orders_frame(session, names, record.fills),
            "incidents": lambda record: in_time([incidents_frame(session, names), *all_crossings(session, record)]),
            "funding": lambda _: funding_frame(session, names),
            "positions": lambda _: positions_frame(session, names),
        },
    )


def in_one(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The frames below each other."""
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def mode_words(plan: Plan) -> str:
    """An account's margin mode as every table, page and picture shows it: one not of its dates never passes for one."""
    rows = (row for rule_set in plan.sets for row in rule_set.rows)
    unreal = plan.mode.counterfactual or any(row.counterfactual for row in rows)
    return f"{plan.preset} (counterfactual)" if unreal else plan.preset
