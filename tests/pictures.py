"""The pictures of the README: the report of a run as a browser shows it, light and dark. `make pictures`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
WIDTH = 1280
LAST = "account0-ratio"  # the panel that the picture ends with
MOST_BYTES = 300_000


def main() -> None:
    """The hedged long of the sample under isolated margin, which is liquidated in its first rally."""
    from browser import Browser

    import backtest

    config = backtest.load_config(ROOT / "configs" / "hedged_long.toml").resolved()
    config["data"]["store"] = str(ROOT / "data" / "sample")
    config["account"][0]["margin"] = "isolated"
    browser = Browser()
    try:
        with TemporaryDirectory() as folder:
            page = backtest.run(config).report(Path(folder) / "report.html")
            for theme in ("light", "dark"):
                print(f"{_picture(browser, page, theme)}")
    finally:
        browser.close()


def _picture(browser: object, page: Path, theme: str) -> Path:
    """One theme's picture, from the verdict to the margin ratio."""
    from browser import Browser
    from PIL import Image

    assert isinstance(browser, Browser)
    target = ROOT / ".github" / f"report-{theme}.png"
    browser.look(WIDTH, 900, dark=theme == "dark")
    browser.open(page)
    bottom = f"document.getElementById('{LAST}').closest('.panel').getBoundingClientRect().bottom + scrollY"
    browser.look(WIDTH, round(browser.ask(bottom)), dark=theme == "dark")
    browser.ask("report.draw()")
    browser.until("document.querySelectorAll('.plot .main-svg').length >= document.querySelectorAll('.plot').length")
    browser.picture(target)
    Image.open(target).convert("RGB").save(target, optimize=True)
    assert target.stat().st_size <= MOST_BYTES, f"{target} weighs {target.stat().st_size:,} bytes"
    assert browser.errors == [], browser.errors
    return target


if __name__ == "__main__":
    main()
