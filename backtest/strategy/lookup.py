"""Prices of a bar by name, read as they are asked for: a strategy that looks at two of a hundred coins pays for two."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

Read = Callable[[str, str], float]


class Lookup(dict[str, float]):
    """A mapping of every name there is to its price at a bar; InputError for a name there is not.

    Inside stands what has been read so far, which is nobody's business: whoever looks at more than one name gets a copy
    of all of them. `asked` is told of every name as it is read.
    """

    __slots__ = ("_asked", "_names", "_read", "series")

    def __init__(self, series: str, names: dict[str, int], read: Read, asked: list[tuple[Lookup, str]]) -> None:
        self.series, self._names, self._read, self._asked = series, names, read, asked

    def __missing__(self, name: str) -> float:
        price = self[name] = self._read(self.series, name)
        self._asked.append((self, name))
        return price

    def copy(self) -> dict[str, float]:
        """All prices of the bar."""
        return {name: self._read(self.series, name) for name in self._names}

    def get(self, name: str, default: Any = None) -> Any:
        """The price of a name, or the default where there is no such name."""
        return self[name] if name in self._names else default

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Every name."""
        return self.copy().keys()

    def values(self) -> ValuesView[float]:  # type: ignore[override]
        """Every price."""
        return self.copy().values()

    def items(self) -> ItemsView[str, float]:  # type: ignore[override]
        """Every name with its price."""
        return self.copy().items()

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._names))

    def __reversed__(self) -> Iterator[str]:
        return reversed(tuple(self._names))

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __eq__(self, other: object) -> bool:
        return self.copy() == (other.copy() if isinstance(other, Lookup) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __repr__(self) -> str:
        return repr(self.copy())

    __hash__ = None
