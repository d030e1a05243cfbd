"""One self-contained page: its skeleton, its style, its drawings packed into it, and what makes them move.

Nothing is fetched: plotly.js, the numbers and the style are in the file. What is large is gzip in base64, which every
current browser unpacks by itself; arrays are the bytes of their numbers. The same figures give the same bytes.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from backtest.report.figures.panel import Panel, stacked

_THEME = (
    'try{document.documentElement.dataset.theme=localStorage.getItem("theme")||'
    '(matchMedia("(prefers-color-scheme: dark)").matches?"dark":"light")}catch(e){}'
)


@dataclass
class Drawings:
    """The figures of one page by their names in it."""

    figures: dict[str, go.Figure] = field(default_factory=dict)

    def frame(self, name: str, figure: go.Figure, title: str, says: str, height: int, **data: str) -> str:
        """A figure's place in the page; `data` is told to the script."""
        assert name not in self.figures, f"two figures are called {name}"
        self.figures[name] = figure
        told = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
        return (
            f'<figure class="panel"><figcaption><h3>{escape(title)}</h3><div class="keys"></div>'
            f'<p>{escape(says)}</p></figcaption><div class="plot" id="{escape(name)}" data-figure="{escape(name)}"'
            f'{told} style="height:{height}px"><div class="waiting">drawing …</div></div></figure>'
        )

    def panel(self, group: str, panel: Panel, span: tuple[float, float], fit: bool = True) -> str:
        """A panel over time, zoomed together with the others of its group; `span` in milliseconds."""
        keeps = ",".join(f"{value:.6g}" for value in panel.keeps)
        return self.frame(
            f"{group} {panel.key}".replace(" ", "-"), stacked([panel], template="none"), panel.title, panel.says,
            panel.height, kind="timeline", group=group, fit="yes" if fit else "no", keeps=keeps,
            top="" if panel.top is None else f"{panel.top:g}", **{"from": f"{span[0]:.0f}"},
            to=f"{span[1]:.0f}",
        )  # fmt: skip


def page(title: str, parts: Iterable[str], drawings: Drawings | None = None, foot: str = "", more: str = "") -> str:
    """A whole page of parts that are already HTML, with its drawings; `more`: what stands after the page's script."""
    body = "\n".join(parts)
    scripts = _scripts(drawings) if drawings and drawings.figures else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<script>{_THEME}</script><style>{asset('page.css')}</style></head><body>\n{body}\n"
        f"<footer>{foot}</footer>\n{scripts}<script>{asset('page.js')}</script>{more}</body></html>\n"
    )


def head(title: str, under: str) -> str:
    """The page's name, what it is about, and the button for light and dark."""
    return (
        f'<header class="top"><div><h1>{escape(title)}</h1><p class="quiet small">{escape(under)}</p></div>'
        '<button id="theme" type="button" aria-label="Light or dark">Dark</button></header>'
    )


def menu(sections: Sequence[tuple[str, str]]) -> str:
    """Links to the page's sections: (id, words)."""
    links = "".join(f'<a href="#{escape(key)}">{escape(words)}</a>' for key, words in sections)
    return f'<nav class="bar"><div>{links}</div></nav>'


def zooms(group: str, spans: Sequence[tuple[str, tuple[float, float] | None]]) -> str:
    """Buttons that zoom all panels of a group: (words, span in milliseconds; None: the whole run)."""
    buttons = []
    for words, span in spans:
        between = "" if span is None else f' data-from="{span[0]:.0f}" data-to="{span[1]:.0f}"'
        pressed = "true" if span is None else "false"
        told = f'data-zoom="{escape(group)}"{between} aria-pressed="{pressed}"'
        buttons.append(f'<button type="button" {told}>{escape(words)}</button>')
    return f'<div class="zoom">{"".join(buttons)}<span class="quiet small" data-when="{escape(group)}"></span></div>'


@cache
def asset(name: str) -> str:
    """Style or script of the page."""
    return files("backtest.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _plotlyjs() -> str:
    return packed(get_plotlyjs())


def packed(text: str) -> str:
    """Text as base64 of gzip, the same bytes every time."""
    return b64encode(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)).decode("ascii")


def _scripts(drawings: Drawings) -> str:
    said = {name: as_json(figure) for name, figure in drawings.figures.items()}
    figures = json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (
        f'<script type="text/plain" id="packed-plotly">{_plotlyjs()}</script>\n'
        f'<script type="text/plain" id="packed-figures">{packed(figures)}</script>\n'
    )


def as_json(figure: go.Figure) -> dict[str, Any]:
    """A figure as plain values; arrays of numbers as typed bytes, times as milliseconds, no template."""
    whole = {"data": [trace.to_plotly_json() for trace in figure.data], "layout": figure.layout.to_plotly_json()}
    whole["layout"].pop("template", None)
    plain: dict[str, Any] = _plain(whole)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _array(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind == "M":
        values = values.astype("datetime64[ms]").astype(np.float64)
    if values.dtype.kind == "b" or values.dtype.kind not in "fiu":
        return [_plain(each) for each in values.tolist()]
    return typed(values)


def typed(values: np.ndarray[Any, Any], kind: str = "f8") -> dict[str, Any]:
    """Numbers as the bytes of a kind: "f8", "f4" (seven digits), "i4"."""
    numbers = np.ascontiguousarray(values, dtype=f"<{kind}")
    told: dict[str, Any] = {"dtype": kind, "bdata": b64encode(numbers.tobytes()).decode("ascii")}
    return told if numbers.ndim == 1 else {**told, "shape": ",".join(map(str, numbers.shape))}
