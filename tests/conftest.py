"""What the tests share: the built-in sample store, where real market history may lie, and a browser for pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, find_browser

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder of real market history; tests that need it skip, saying so, where it is absent."""
    path = Path(os.environ.get("BACKTEST_MARKET_DATA", ROOT.parent / "shared" / "market-data"))
    if not path.is_dir():
        pytest.skip(f"no real market history here (looked for {path.name}; set BACKTEST_MARKET_DATA)")
    return path


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of published venue tables; tests that need it skip, saying so, where it is absent."""
    path = Path(os.environ.get("BACKTEST_REFERENCE", ROOT.parent / "shared" / "reference"))
    if not path.is_dir():
        pytest.skip(f"no published venue tables here (looked for {path.name}; set BACKTEST_REFERENCE)")
    return path


@pytest.fixture(scope="session")
def sample_store() -> Path:
    """The synthetic store that is committed with the project."""
    return ROOT / "data" / "sample"


@pytest.fixture(scope="session")
def real_store(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real history as a user would import it, in a folder that goes away."""
    from real_history import CME, SYMBOLS

    from backtest.market.importers.layout import import_layout

    folder = tmp_path_factory.mktemp("store")
    import_layout(market_data, folder, only=[*SYMBOLS, *CME])
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One tab for all tests of a file; they skip, saying so, where there is no Chromium."""
    find_browser()
    opened = Browser()
    yield opened
    opened.close()
