"""Portfolio margin: one file per venue's model, each a page of its rule book, all asked the same question."""

from types import ModuleType

from backtest.margin.portfolio import bybit, deribit, okx, paradex, span, tims

PAGES: dict[str, ModuleType] = {
    "bybit": bybit,
    "okx": okx,
    "deribit": deribit,
    "paradex": paradex,
    "span": span,
    "tims": tims,
}
"""The pages by the name that a venue's table gives its model."""
