"""The layout of an account's wallets: what its margin mode means for where money lies.

Where wallets are apart there is one for spot coins (which back nothing), one per settlement asset of the futures,
and one per isolated position. A multi-asset or portfolio account keeps everything in one. Every account has a
transit wallet for coins under way, one for loans where it may borrow, and one for what its owner still owes after a
ruin where the venue does not forgive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backtest.errors import InputError, nearest
from backtest.market.schema import Instrument
from backtest.state import BACKS_NOTHING, INTERNAL, SCENARIOS, TAIL, TIERS

if TYPE_CHECKING:
    from backtest.venues.schema import Mode

REQUIREMENTS = {"tiers": TIERS, "scenarios": SCENARIOS, "tail": TAIL}


@dataclass
class Shape:
    """Wallets by name, and who leans on which. Index -1 stands for none."""

    names: list[str] = field(default_factory=list)
    model: list[int] = field(default_factory=list)
    settle: list[int] = field(default_factory=list)
    isolates: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    position_wallet: list[int] = field(default_factory=list)
    spot: int = -1
    transit: int = -1
    loans: int = -1
    debts: int = -1
    cash: dict[int, int] = field(default_factory=dict)

    def add(
        self, name: str, model: int = int(BACKS_NOTHING), settle: int = -1, isolates: int = -1, parent: int = -1
    ) -> int:
        """One more wallet; returns its index."""
        self.names.append(name)
        self.model.append(int(model))
        self.settle.append(settle)
        self.isolates.append(isolates)
        self.parent.append(parent)
        return len(self.names) - 1

    def wallet(self, name: str, asset: int) -> int:
        """Index of a wallet by the name a user writes: spot, usdm, coinm, unified, or an isolated symbol."""
        unified = "unified" in self.names
        if name in self.names:
            return self.names.index(name)
        if unified and name in ("spot", "usdm"):
            return self.names.index("unified")
        if name in ("usdm", "coinm", "unified") and asset in self.cash:
            return self.cash[asset]
        words = {n.split(":")[0] if n.startswith(("usdm", "coinm")) else n for n in self.names}
        shown = sorted(words.difference(INTERNAL))
        raise InputError(f"no wallet {name!r} in this account for that asset; {nearest(name, shown)}")


def shape_of(
    mode: Mode,
    instruments: Sequence[Instrument],
    assets: Sequence[str],
    isolated: Sequence[str],
    borrows: bool,
    owes: bool = False,
    two_sided: bool = False,
) -> Shape:
    """Lay out the wallets of one account; in hedge mode (`two_sided`) for the longs, then for the shorts.

    InputError where a symbol marked isolated is not a future of the run.
    """
    shape = Shape()
    unified = mode.collateral == "multi"
    shape.spot = shape.add("unified", int(REQUIREMENTS[mode.requirement])) if unified else shape.add("spot")
    for i, instrument in enumerate(instruments):
        shape.position_wallet.append(shape.spot if instrument.kind == "spot" else -1)
        if instrument.kind != "spot":
            shape.position_wallet[i] = _futures_wallet(shape, mode, instrument, list(assets).index(instrument.settle))
    if two_sided:
        shape.position_wallet *= 2
    _isolate(shape, mode, instruments, assets, isolated)
    shape.transit = shape.add("transit")
    if borrows:
        shape.loans = shape.add("loans")
    if owes:
        shape.debts = shape.add("debts")
    if unified:
        for asset in range(len(assets)):
            shape.cash.setdefault(asset, shape.spot)
    return shape


def _futures_wallet(shape: Shape, mode: Mode, instrument: Instrument, asset: int) -> int:
    """The shared wallet a future leans on: the unified one, or one per settlement asset."""
    if mode.collateral == "multi" and (instrument.kind != "inverse" or mode.inverse_in_unified):
        return shape.spot
    name = f"{'coinm' if instrument.settle == instrument.base else 'usdm'}:{instrument.settle}"
    if name not in shape.names:
        shape.cash[asset] = shape.add(name, int(TIERS), asset)
    return shape.names.index(name)


def _isolate(
    shape: Shape, mode: Mode, instruments: Sequence[Instrument], assets: Sequence[str], isolated: Sequence[str]
) -> None:
    """Give every isolated position a wallet of its own, funded from the shared one it would have leaned on.

    In hedge mode the short of a symbol is margined apart from its long, in a wallet named "symbol short".
    """
    futures = [instrument.symbol for instrument in instruments if instrument.kind != "spot"]
    for symbol in isolated:
        if symbol not in futures:
            raise InputError(f"isolated: {symbol!r} is not a future of this run; {nearest(symbol, futures)}")
    everything = mode.scope == "isolated" and not isolated
    for position, parent in enumerate(shape.position_wallet):
        instrument = instruments[position % len(instruments)]
        if instrument.kind != "spot" and (everything or instrument.symbol in isolated):
            name = instrument.symbol if position < len(instruments) else f"{instrument.symbol} short"
            asset = list(assets).index(instrument.settle)
            shape.position_wallet[position] = shape.add(name, int(TIERS), asset, position, parent)
