"""The market behind a sweep: read and aligned once for all points that ask for the same symbols and span.

A point asks for what its strategy trades, in its own span, valued by its own routes; most points of a sweep ask for the
same. Their history is kept under a key of everything it depends on, and every point that has the key lives on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from backtest.config import RunConfig
from backtest.errors import InputError
from backtest.market.history import History
from backtest.market.room import MEMORY, Room
from backtest.market.schema import Instrument
from backtest.market.store import Store
from backtest.report.manifest import files_of, in_memory
from backtest.research.run import Asked, Prepared, asked_by, prepare, read
from backtest.research.streaming import is_streamed, room_for

READ_BY = ("data", "prices", "funding", "events")  # the sections that say what a history holds


class Histories:
    """Prepared runs by key, each read when it is first asked for."""

    def __init__(self, given: History | None = None) -> None:
        """`given`: a history already aligned, on which every point lives, instead of the config's store."""
        self.given = given
        self.prepared: dict[str, Prepared] = {}
        self._refused: dict[str, InputError] = {}
        self._stores: dict[Path, _Remembered] = {}

    def key_of(self, config: RunConfig) -> str:
        """The key of a run's history, which is read if it is new. InputError where it cannot be had, each time."""
        if self.given is not None:
            prepared = prepare(config, self.given)
            return self._kept("given", lambda: prepared)
        store = self._store(config.data.folder)
        asked = asked_by(config, store)
        return self._kept(_key(config, asked), lambda: read(config, asked, self._room(config, asked)))

    def _room(self, config: RunConfig, asked: Asked) -> Room:
        """In memory, which every point finds there, unless the config asks for files."""
        return room_for(config, len(asked.symbols), len(asked.assets)) if is_streamed(config) else MEMORY

    def _kept(self, key: str, make: Callable[[], Prepared]) -> str:
        if key in self._refused:
            raise self._refused[key]
        if key not in self.prepared:
            try:
                self.prepared[key] = make()
            except InputError as error:
                self._refused[key] = error
                raise
        return key

    def _store(self, folder: Path) -> _Remembered:
        if folder not in self._stores:
            self._stores[folder] = _Remembered(folder)
        return self._stores[folder]

    def files(self) -> list[dict[str, str]]:
        """Venue, symbol, series and SHA-256 of what was read, each once; of a history in memory, its own digest."""
        if self.given is not None:
            return in_memory(self.given)
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for prepared in self.prepared.values():
            store = self._store(prepared.config.data.folder)
            for row in files_of(prepared.config, prepared.history, store):
                found[(str(store.path), *row.values())] = row
        return sorted(found.values(), key=lambda row: list(row.values()))


def _key(config: RunConfig, asked: Asked) -> str:
    """Hash of everything a history depends on."""
    sections = config.model_dump(mode="json", include=set(READ_BY))
    sections["data"]["store"] = str(config.data.folder.resolve())
    words = json.dumps([sections, asked.venue, asked.symbols, asked.assets], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:16]


class _Remembered(Store):
    """A store that is looked at once: nothing in it changes while a sweep asks for its points' histories."""

    def __init__(self, path: Path) -> None:
        self._names: list[str] = []
        self._terms: dict[str, dict[str, Instrument]] = {}
        self._digests: dict[tuple[str, str, str], str] = {}
        super().__init__(path)

    def venues(self) -> list[str]:
        self._names = self._names or super().venues()
        return self._names

    def instruments(self, venue: str) -> dict[str, Instrument]:
        if venue not in self._terms:
            self._terms[venue] = super().instruments(venue)
        return self._terms[venue]

    def digest(self, venue: str, symbol: str, series: str) -> str:
        name = venue, symbol, series
        if name not in self._digests:
            self._digests[name] = super().digest(venue, symbol, series)
        return self._digests[name]
