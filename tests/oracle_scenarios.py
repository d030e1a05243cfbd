"""Small made-up histories for two pairs of books to be held against each other.

Two coins, each with spot, a linear and an inverse perpetual, and one dated contract that is delivered on the way;
funding, deposits, transfers, market orders by size and by target, four accounts of the same trader in four modes.
`calm`: candles with wicks, moderate leverage, nobody is liquidated, some orders are refused for want of margin.
`liquidation`: flat bars, high leverage, and a fall or a squeeze on the way that costs at least one account positions.
A history in which the rules do not say what happens, or in which nothing of its kind happens, is drawn anew.
"""

from __future__ import annotations

import random
from typing import Any

from oracle import Unmodelled, run

POINTS = ("open", "low", "high", "close")
COINS = {"BTC": 250.0, "ETH": 20.0}
DATED = "BTC/USDT:USDT-241227"
LINEAR_TIERS = [[0, "0.02", 0, 25], [4000, "0.03", 40, 18], [12000, "0.05", 280, 10], [30000, "0.1", 1780, 4]]
DATED_TIERS = [[0, "0.03", 0, 20], [2000, "0.05", 40, 8], [8000, "0.1", 440, 4]]
INVERSE_TIERS = {
    "BTC": [[0, "0.02", 0, 25], [16, "0.03", "0.16", 18], [48, "0.05", "1.12", 10]],
    "ETH": [[0, "0.02", 0, 25], [200, "0.03", 2, 18], [600, "0.05", 14, 10]],
}
MODES = ("cross", "isolated", "multi_asset", "portfolio")
Series = dict[str, list[str]]


def text(x: float, digits: int) -> str:
    return f"{x:.{digits}f}"


def closes(draw: random.Random, start: float, bars: int, kind: str, jump: float) -> list[float]:
    """A slow walk; in a liquidation history one or two bars of it are a fall or a squeeze."""
    shocks = set(range(draw.randint(4, 5), 6)) if kind == "liquidation" else set()
    prices = [start]
    for bar in range(1, bars):
        move = jump * draw.uniform(0.85, 1.0) if bar in shocks else draw.uniform(-0.015, 0.015)
        prices.append(prices[-1] * (1 + move))
    return prices


def candles(draw: random.Random, prices: list[float], digits: int, kind: str) -> Series:
    """Candles around closing prices; flat ones where a liquidation must happen at the open."""
    rows: Series = {point: [] for point in POINTS}
    for bar, price in enumerate(prices):
        start = price if kind == "liquidation" or bar == 0 else prices[bar - 1] * (1 + draw.uniform(-0.002, 0.002))
        wick = 0.0 if kind == "liquidation" else draw.uniform(0, 0.01)
        around = (start, min(start, price) * (1 - wick), max(start, price) * (1 + wick), price)
        for point, x in zip(POINTS, around, strict=True):
            rows[point].append(text(x, digits))
    return rows


def shifted(draw: random.Random, prices: list[float], digits: int, kind: str, width: float) -> Series:
    return candles(draw, [x * (1 + draw.uniform(-width, width)) for x in prices], digits, kind)


def instrument(draw: random.Random, kind: str, base: str, settle: str, **terms: Any) -> dict[str, Any]:
    fees = {"maker": "0.0002", "taker": draw.choice(["0.0005", "0.0004", "0.00045"])}
    fixed = {"delivery_fee": "0.0005", "liquidation_fee": "0.0125", "half_spread": "0.0005", "expiry_bar": None}
    return {"kind": kind, "base": base, "settle": settle} | fees | fixed | terms


def instruments(draw: random.Random, paths: dict[str, list[float]], kind: str, expiry: int) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for coin, prices in paths.items():
        digits = 7  # so many that no product of a price and a size is an exact half step
        spot = candles(draw, prices, digits, kind)
        rows[f"{coin}/USDT"] = instrument(
            draw, "spot", coin, "USDT", size=1, lot="0.001", taker="0.001", tiers=[], last=spot, mark=spot
        )
        names = {f"{coin}/USDT:USDT": ("linear", "USDT"), f"{coin}/USD:{coin}": ("inverse", coin)}
        if coin == "BTC":
            names[DATED] = ("linear", "USDT")
        for symbol, (sort, settle) in names.items():
            linear = {"size": "0.1" if symbol == DATED else 1, "lot": "0.03" if coin == "BTC" else "0.4"}
            inverse = {"size": 10, "lot": 1}
            tiers = INVERSE_TIERS[coin] if sort == "inverse" else DATED_TIERS if symbol == DATED else LINEAR_TIERS
            tape = {
                "last": shifted(draw, prices, digits, kind, 0.002),
                "mark": shifted(draw, prices, digits + 1, kind, 0.001),
                "expiry_bar": expiry if symbol == DATED else None,
            }
            rows[symbol] = instrument(
                draw, sort, coin, settle, tiers=tiers, **(linear if sort == "linear" else inverse), **tape
            )
    return rows


def assets(draw: random.Random, paths: dict[str, list[float]], bars: int, kind: str) -> dict[str, Any]:
    ratio = [[0, "0.95", 0], [3000, "0.9", 150], [9000, "0.6", 2850]]
    rows = {
        coin: {
            "index": shifted(draw, prices, 7, kind, 0.001),
            "ratio": ratio, "debt_buffer": "0.05", "need_buffer": "0.01",
        }
        for coin, prices in paths.items()
    }  # fmt: skip
    dollar = draw.choice(["1", "0.9995", "1.0004"])
    cash = {"index": {point: [dollar] * bars for point in POINTS}, "ratio": [[0, "0.9999", 0]]}
    return rows | {"USDT": cash | {"debt_buffer": "0.0001", "need_buffer": "0.0001"}}


def account(draw: random.Random, mode: str, kind: str, symbols: list[str]) -> dict[str, Any]:
    calm = kind == "calm"
    cash, coins, few = draw.randint(350, 700), {"BTC": "1.2", "ETH": "15"}, {"BTC": "0.4", "ETH": "5"}
    if calm:
        cash, coins, few = 8000, {"BTC": draw.choice(["6", "8.5"]), "ETH": "60.5"}, {"BTC": "2.25", "ETH": "10"}
    own = {f"coinm:{coin}": {coin: x} for coin, x in coins.items()}
    if mode == "multi_asset":
        deposit = {"unified": {"USDT": 2 * cash} | few} | own
    elif mode == "portfolio":
        deposit = {"unified": {"USDT": cash} | (coins if calm else few)}
    else:
        deposit = {"spot": {"USDT": 500 if calm else 100, "BTC": "1.5", "ETH": "5"}, "usdm:USDT": {"USDT": cash}} | own
    highest = 5 if calm else 18
    return {
        "name": mode,
        "mode": mode,
        "level": 1,
        "isolated": draw.sample([s for s in symbols if ":" in s and s != DATED], 3) if mode == "isolated" else [],
        "leverage": {s: draw.randint(2 if calm else 8, highest) for s in symbols if ":" in s and s != DATED}
        | {DATED: draw.randint(2, 4 if calm else 8)},
        "slippage": draw.choice(["0", "0.0005", "0.001"]),
        "path": draw.choice(["close", "low_then_high"]) if calm else "close",
        "deposit": deposit,
        "transfer_cost": draw.choice(["0", "0.002"]),
    }


def size(draw: random.Random, symbol: str, kind: str) -> str:
    """Contracts of one order: a few hundred dollars, or some thousands where margin shall run short."""
    usd = draw.uniform(100, 900) if kind == "calm" else draw.uniform(900, 4500)
    if kind == "calm" and ":" in symbol and draw.random() < 0.12:
        usd *= 40
    coin = symbol[:3]
    per_contract = 10 if "/USD:" in symbol else COINS[coin] * (0.1 if symbol == DATED else 1)
    return text(usd / per_contract, 2 if coin == "ETH" else 3)


def orders(draw: random.Random, scenario: dict[str, Any], kind: str, side: int) -> list[dict[str, Any]]:
    rows = []
    expiry = scenario["instruments"][DATED]["expiry_bar"]
    for bar in range(scenario["bars"] - 1):
        for row in scenario["accounts"]:
            chance = 0.5 if kind == "calm" else 0.75 if bar < 4 else 0.15
            for symbol in draw.sample(list(scenario["instruments"]), 4 if bar < 4 else 2):
                if draw.random() > chance or (symbol == DATED and bar + 1 >= expiry):
                    continue
                order = {"bar": bar, "account": row["name"], "symbol": symbol}
                sign = draw.choice([1, -1]) if kind == "calm" or draw.random() < 0.2 else side
                amount = size(draw, symbol, kind)
                if ":" not in symbol:
                    amount = text(draw.uniform(0.1, 1.0) * (200 if kind == "calm" else 60) / COINS[symbol[:3]], 4)
                    order |= {"target": amount} if draw.random() < 0.6 else {"contracts": amount}
                elif draw.random() < 0.35:
                    order["target"] = draw.choice(["0", text(sign * float(amount), 3)])
                else:
                    order["contracts"] = text(sign * float(amount), 3)
                rows.append(order)
    return rows


def events(draw: random.Random, scenario: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    perpetuals = [s for s in scenario["instruments"] if ":" in s and s != DATED]
    for bar in range(2, scenario["bars"], draw.choice([2, 3])):
        for symbol in perpetuals:
            mark = scenario["instruments"][symbol]["mark"]["open"][bar]
            rate = text(draw.uniform(-0.0004, 0.0009), 6)
            rows.append({"bar": bar, "kind": "funding", "symbol": symbol, "rate": rate, "mark": mark})
    expiry = scenario["instruments"][DATED]["expiry_bar"]
    price = scenario["assets"]["BTC"]["index"]["open"][expiry]
    rows.append({"bar": expiry, "kind": "delivery", "symbol": DATED, "price": price})
    for row in scenario["accounts"]:
        wallet = draw.choice([name for name, held in row["deposit"].items() if "USDT" in held])
        flow = {"bar": draw.randrange(1, scenario["bars"]), "kind": "flow", "account": row["name"], "wallet": wallet}
        rows.append(flow | {"asset": "USDT", "amount": text(draw.uniform(20, 60), 4)})
    return rows


def transfers(draw: random.Random, scenario: dict[str, Any]) -> list[dict[str, Any]]:
    """Small sums between the wallets of an account, early enough to arrive."""
    rows = []
    for row in scenario["accounts"]:
        routes = [
            (asset, origin, target)
            for origin, held in row["deposit"].items()
            for asset in held
            for target in row["deposit"]
            if target != origin and (target in ("spot", "unified") or target.endswith(asset))
        ]
        for asset, origin, target in draw.sample(routes, min(2, len(routes))):
            amount = text(draw.uniform(10, 40) if asset == "USDT" else draw.uniform(5, 20) / COINS[asset], 5)
            sent = {
                "bar": draw.choice([0, 0, 0, 1]),
                "account": row["name"],
                "asset": asset,
                "from": origin,
                "to": target,
            }
            rows.append(sent | {"amount": amount, "delay_bars": draw.randint(0, 3)})
    return rows


def attempt(draw: random.Random, kind: str) -> dict[str, Any]:
    bars = draw.randint(8, 20)
    side = draw.choice([1, -1])
    jump = -side * draw.uniform(0.02, 0.07)
    paths = {coin: closes(draw, start, bars, kind, jump) for coin, start in COINS.items()}
    scenario: dict[str, Any] = {"bars": bars}
    scenario["instruments"] = instruments(draw, paths, kind, draw.randint(5, bars - 2))
    scenario["assets"] = assets(draw, paths, bars, kind)
    scenario["accounts"] = [account(draw, mode, kind, list(scenario["instruments"])) for mode in MODES]
    scenario["events"] = events(draw, scenario)
    scenario["orders"] = orders(draw, scenario, kind, side)
    scenario["transfers"] = transfers(draw, scenario)
    return scenario


def spare(scenario: dict[str, Any], results: dict[str, Any]) -> bool:
    """Every transfer leaves from a wallet that can do without it by a wide margin."""
    for row in scenario["transfers"]:
        margin = results[row["account"]]["wallets"][row["bar"]].get(row["from"])
        usd = float(row["amount"]) * float(scenario["assets"][row["asset"]]["index"]["close"][row["bar"]])
        if margin and margin.collateral - margin.initial < 3 * usd:
            return False
    return True


def fits(scenario: dict[str, Any], kind: str) -> bool:
    """It shows what its kind promises; no transfer and no spot trade fails for want of what it delivers."""
    try:
        results = run(scenario)
    except Unmodelled:
        return False
    forced = sum(result["liquidations"] for result in results.values())
    refused = [scenario["orders"][place] for result in results.values() for place in result["refused"]]
    right = (forced > 0) == (kind == "liquidation") and all(":" in order["symbol"] for order in refused)
    return right and spare(scenario, results)


def random_scenario(seed: int, kind: str) -> dict[str, Any]:
    """The history of this seed; the same one every time."""
    for again in range(500):
        scenario = attempt(random.Random(f"{kind} {seed} {again}"), kind)
        if fits(scenario, kind):
            return scenario
    raise RuntimeError(f"no {kind} history found for seed {seed}")
