"""Values a run's file is written in: times, durations, symbols and bounded numbers, read strictly."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from backtest.errors import InputError
from backtest.market.schema import parse_symbol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_DAYS = 365
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration_us(text: str, longest_days: int = LONGEST_DAYS) -> int:
    """Microseconds of a duration such as `0s`, `30m`, `1h`, `2d`. InputError for anything else, or a longer one."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise InputError(f"{text!r} is not a duration; write a whole number and s, m, h or d, such as '30m'")
    seconds = int(match[1]) * _DURATION_UNITS[match[2]]
    if seconds > longest_days * _DURATION_UNITS["d"]:
        raise InputError(f"{text!r} is too long; at most '{longest_days}d'")
    return seconds * 1_000_000


def _moment(value: object) -> object:
    """A date, a time, or ISO text, as a time in UTC; a time without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise InputError(f"{value!r} is not a date; write 2024-01-31 or 2024-01-31T08:00:00Z") from error
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise InputError(f"{value!r} is not a date; write 2024-01-31 or 2024-01-31T08:00:00Z")


def moment_us(text: str) -> int:
    """A date or time given as text, microseconds UTC. InputError where it is none."""
    return microseconds(cast(datetime, _moment(text)))


def in_words(moment: datetime) -> str:
    """A time as people write it, UTC."""
    return f"{moment:%Y-%m-%d %H:%M}"


def _duration(text: str) -> str:
    duration_us(text)
    return text


def _symbol(text: str) -> str:
    parse_symbol(text)
    return text


MOMENT_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$",
        "description": "A date or a time, UTC where no zone is written: 2024-01-31 or 2024-01-31T08:00:00Z.",
    }
)
DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^\d+[smhd]$", "description": "A whole number and s, m, h or d, such as 30m."}
)
SYMBOL_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "pattern": "^[^/]+/[^/]+$",
        "description": "ccxt's unified symbol: BTC/USDT, BTC/USDT:USDT (perpetual), BTC/USDT:USDT-241227 (dated).",
    }
)
Moment = Annotated[datetime, BeforeValidator(_moment), MOMENT_SCHEMA]
Duration = Annotated[str, AfterValidator(_duration), DURATION_SCHEMA]
Symbol = Annotated[str, AfterValidator(_symbol), SYMBOL_SCHEMA]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Ratio = Annotated[float, Field(gt=0, le=1)]


def microseconds(moment: datetime) -> int:
    """A time as int64 microseconds UTC."""
    return (moment - EPOCH) // timedelta(microseconds=1)


class Section(BaseModel):
    """A table of the file: unknown keys refused, no silent conversion of text to numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True, allow_inf_nan=False)
