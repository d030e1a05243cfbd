"""A second pair of books: each account followed by hand through prices and rules, one bar after another, in exact
fractions; an amount is rounded once, half to even, when it is written down. What rules leave open is `Unmodelled`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

STEP = 10**8  # balances and contracts are kept in steps of 1e-8
PATHS = {"close": ("close",), "low_then_high": ("low", "high", "close")}


class Unmodelled(ValueError):
    """The rules as given do not say what happens here."""


class Margin(NamedTuple):
    """What stands behind a wallet and what it has to hold, in USD."""

    collateral: Fraction
    initial: Fraction
    maintenance: Fraction


@cache
def number(x: Any) -> Fraction:
    """The decimal that is printed, exactly."""
    return Fraction(str(x))


def whole(x: Fraction) -> int:
    """Half to even; too near a half for floats to tell is left open."""
    if abs(x - math.floor(x) - Fraction(1, 2)) < Fraction(1, 5000):
        raise Unmodelled(f"{float(x)} is within a hair of half a step")
    return round(x)


def steps(amount: Any) -> int:
    return whole(number(amount) * STEP)


def contract_value(instrument: dict[str, Any], price: Fraction) -> Fraction:
    """One contract in its settlement asset; an inverse one is worth less than nothing, and less so as price rises."""
    size = number(instrument["size"])
    return -size / price if instrument["kind"] == "inverse" else size * price


def row_holding(rows: list[list[Any]], amount: Fraction) -> list[Any]:
    """The tier with floor < amount <= cap."""
    return [row for row in rows if number(row[0]) < amount or row is rows[0]][-1]


def tiered(rows: list[list[Any]], amount: Fraction) -> Fraction:
    """rate × amount − deduction, of the tier that holds the amount; used for maintenance and for collateral."""
    if amount <= 0:
        return Fraction(0)
    _, rate, deduction, *_ = row_holding(rows, amount)
    return number(rate) * amount - number(deduction)


@dataclass(frozen=True)
class Moment:
    scenario: dict[str, Any]
    bar: int
    point: str

    def price(self, role: str, symbol: str) -> Fraction:
        return number(self.scenario["instruments"][symbol][role][self.point][self.bar])

    def index(self, asset: str) -> Fraction:
        return number(self.scenario["assets"][asset]["index"][self.point][self.bar])

    def value(self, symbol: str) -> Fraction:
        return contract_value(self.scenario["instruments"][symbol], self.price("mark", symbol))


class Account:
    """One account, followed through the whole history."""

    def __init__(self, scenario: dict[str, Any], terms: dict[str, Any]) -> None:
        self.scenario, self.terms, self.name = scenario, terms, terms["name"]
        self.instruments, self.assets = scenario["instruments"], scenario["assets"]
        self.unified = terms["mode"] in ("multi_asset", "portfolio")
        self.settle = {symbol: row["settle"] for symbol, row in self.instruments.items()}
        self.leverage = {symbol: number(terms["leverage"].get(symbol, 1)) for symbol in self.instruments}
        self.bar, self.liquidations = 0, 0
        self.balances: dict[tuple[str, str], int] = {}
        self.contracts, self.cost = dict[str, int](), dict[str, int]()
        self.under_way: list[tuple[int, str, str, int]] = []
        self.ledger: list[tuple[int, str, str, str, str, int]] = []
        self.refused: list[int] = []
        self.margins: list[dict[str, Margin]] = []
        self.equity: list[Fraction] = []
        futures = [symbol for symbol, row in self.instruments.items() if row["kind"] != "spot"]
        self.shared = list(dict.fromkeys(["unified"] * self.unified + [self.parent_of(s) for s in futures]))
        self.isolated = [symbol for symbol in futures if self.wallet_of(symbol) == symbol]

    def parent_of(self, symbol: str) -> str:
        """The shared wallet that a symbol's fees, and its cross margin, come from."""
        kind = self.instruments[symbol]["kind"]
        if kind == "spot":
            return "unified" if self.unified else "spot"
        if self.terms["mode"] == "portfolio" or (self.unified and kind == "linear"):
            return "unified"
        return ("usdm:" if kind == "linear" else "coinm:") + self.settle[symbol]

    def wallet_of(self, symbol: str) -> str:
        apart = self.terms["mode"] == "isolated" and symbol in self.terms["isolated"]
        return symbol if apart else self.parent_of(symbol)

    def positions(self, wallet: str) -> list[str]:
        return [symbol for symbol in self.contracts if self.wallet_of(symbol) == wallet]

    def balance(self, wallet: str, asset: str) -> int:
        return self.balances.get((wallet, asset), 0)

    def post(self, wallet: str, asset: str, kind: str, amount: int) -> None:
        if amount:
            self.balances[wallet, asset] = self.balance(wallet, asset) + amount
            self.ledger.append((self.bar, self.name, wallet, asset, kind, amount))

    def move(self, origin: str, target: str, asset: str, kind: str, amount: int) -> None:
        self.post(origin, asset, kind, -amount)
        self.post(target, asset, kind, amount)

    def remember(self) -> Callable[[], None]:
        """The books as they are now, to be opened again at this page."""
        kept = dict(self.balances), dict(self.contracts), dict(self.cost)
        rows, forced = len(self.ledger), self.liquidations

        def restore() -> None:
            self.balances, self.contracts, self.cost = (dict(part) for part in kept)
            del self.ledger[rows:]
            self.liquidations = forced

        return restore

    def notional(self, symbol: str, moment: Moment) -> Fraction:
        return abs(self.contracts[symbol] * moment.value(symbol)) / STEP

    def margin(self, wallet: str, moment: Moment) -> Margin:
        """Collateral and requirements of one wallet, in USD."""
        backing = {asset: Fraction(x, STEP) for (name, asset), x in self.balances.items() if name == wallet}
        initial = maintenance = Fraction(0)
        for symbol in self.positions(wallet):
            asset, notional = self.settle[symbol], self.notional(symbol, moment)
            buffer = number(self.assets[asset]["need_buffer"]) if wallet == "unified" else 0
            price = moment.index(asset) * (1 + buffer)
            backing[asset] = backing.get(asset, Fraction(0)) + self.profit(symbol, moment)
            initial += notional / self.leverage[symbol] * price
            maintenance += tiered(self.instruments[symbol]["tiers"], notional) * price
        counted = [self.counted(wallet, asset, x * moment.index(asset)) for asset, x in backing.items()]
        return Margin(sum(counted, Fraction(0)), initial, maintenance)

    def profit(self, symbol: str, moment: Moment) -> Fraction:
        return (self.contracts[symbol] * moment.value(symbol) - self.cost[symbol]) / STEP

    def counted(self, wallet: str, asset: str, usd: Fraction) -> Fraction:
        """What an asset's value is worth as margin: gains cut, debts in full and a little more."""
        if wallet == "unified" and usd > 0:
            return tiered(self.assets[asset]["ratio"], usd)
        return usd * (1 + number(self.assets[asset]["debt_buffer"])) if wallet == "unified" else usd

    def sound(self, wallet: str, moment: Moment) -> bool:
        margin = self.margin(wallet, moment)
        return margin.maintenance <= 0 or margin.collateral > number(self.terms["level"]) * margin.maintenance

    def totals(self, moment: Moment) -> tuple[Any, ...]:
        """Initial and maintenance margin of the whole account, and the ratio of its worst wallet."""
        margins = [self.margin(wallet, moment) for wallet in self.shared + self.isolated]
        ratios = [m.collateral / m.maintenance if m.maintenance > 0 else math.inf for m in margins]
        return sum(m.initial for m in margins), sum(m.maintenance for m in margins), min(ratios, default=math.inf)

    def trade(self, symbol: str, contracts: int, price: Fraction, moment: Moment) -> None:
        """Close first, then open the rest; one fee on the whole."""
        held, value = self.contracts.get(symbol, 0), contract_value(self.instruments[symbol], price)
        fee = whole(abs(contracts * value) * number(self.instruments[symbol]["taker"]))
        if held * contracts < 0:
            closed = held if abs(contracts) > abs(held) else -contracts
            self.close(symbol, closed, value)
            contracts += closed
        if contracts:
            self.open(symbol, contracts, value, moment)
        self.post(self.parent_of(symbol), self.settle[symbol], "fee", -fee)

    def close(self, symbol: str, closed: int, value: Fraction, frees: bool = True) -> None:
        """Turn part of a position (with the position's sign), or all of it, into realised profit."""
        held, cost = self.contracts.pop(symbol), self.cost.pop(symbol)
        released = whole(Fraction(cost * closed, held))
        if closed != held:
            self.contracts[symbol], self.cost[symbol] = held - closed, cost - released
        realised = whole(closed * value) - released
        self.post(self.wallet_of(symbol), self.settle[symbol], "realised", realised)
        if symbol in self.isolated and frees:
            self.release(symbol, Fraction(closed, held), realised)

    def release(self, symbol: str, share: Fraction, realised: int) -> None:
        """An isolated wallet gives back the closed part's margin and profit; of a position that is gone, all, and the
        fund bears a hole.
        """
        asset = self.settle[symbol]
        rest = self.balance(symbol, asset)
        if rest >= 0:
            own = rest if share == 1 else max(0, min(rest, whole((rest - realised) * share) + realised))
            self.move(symbol, self.parent_of(symbol), asset, "isolated", own)
        elif share == 1:
            self.post(symbol, asset, "insurance", -rest)

    def open(self, symbol: str, opened: int, value: Fraction, moment: Moment) -> None:
        if symbol in self.isolated:
            open_loss = max(Fraction(0), opened * (value - moment.value(symbol)))
            margin = whole(abs(opened * value) / self.leverage[symbol] + open_loss)
            self.move(self.parent_of(symbol), symbol, self.settle[symbol], "isolated", margin)
        self.contracts[symbol] = self.contracts.get(symbol, 0) + opened
        self.cost[symbol] = self.cost.get(symbol, 0) + whole(opened * value)

    def trade_spot(self, symbol: str, coins: int, price: Fraction, moment: Moment) -> None:
        instrument, wallet = self.instruments[symbol], self.wallet_of(symbol)
        base, quote, rate = instrument["base"], instrument["settle"], number(instrument["taker"])
        paid = whole(coins * price)
        if coins > 0 and wallet == "spot":
            futures = f"usdm:{quote}"
            collateral, initial, _ = self.margin(futures, moment)
            free = min(self.balance(futures, quote), math.floor((collateral - initial) / moment.index(quote) * STEP))
            self.move(futures, wallet, quote, "transfer", max(0, min(free, paid - self.balance(wallet, quote))))
        self.post(wallet, quote, "spot", -paid)
        self.post(wallet, base, "spot", coins)
        received, amount = (base, coins * rate) if coins > 0 else (quote, -coins * price * rate)
        self.post(wallet, received, "fee", -whole(amount))

    def quantity(self, order: dict[str, Any]) -> int:
        symbol = order["symbol"]
        instrument, lot = self.instruments[symbol], steps(self.instruments[symbol]["lot"])
        spot = instrument["kind"] == "spot"
        held = self.balance(self.wallet_of(symbol), instrument["base"]) if spot else self.contracts.get(symbol, 0)
        wanted = steps(order["target"]) - held if "target" in order else steps(order["contracts"])
        return math.trunc(Fraction(wanted, lot)) * lot

    def fill(self, place: int, order: dict[str, Any], moment: Moment) -> None:
        symbol, contracts = order["symbol"], self.quantity(order)
        if not contracts:
            return
        instrument, slippage = self.instruments[symbol], number(self.terms["slippage"])
        spot = instrument["kind"] == "spot"
        price = moment.price("last", symbol) * (1 + slippage if contracts > 0 else 1 - slippage)
        before, gaps, restore = self.totals(moment), self.gaps(moment), self.remember()
        (self.trade_spot if spot else self.trade)(symbol, contracts, price, moment)
        delivered = instrument["settle" if contracts > 0 else "base"]
        overdrawn = spot and self.balance(self.wallet_of(symbol), delivered) < 0
        if overdrawn or (self.too_much(symbol, gaps, moment) and not self.lowered(before, moment)):
            restore()
            self.refused.append(place)

    def gaps(self, moment: Moment) -> list[Fraction]:
        """What each shared wallet lacks of its initial margin."""
        return [m.initial - m.collateral for m in (self.margin(wallet, moment) for wallet in self.shared)]

    def too_much(self, symbol: str, gaps: list[Fraction], moment: Moment) -> bool:
        """A shared wallet lacks initial margin, and more than before, or the leverage is not offered at this size."""
        most = self.leverage[symbol]
        if symbol in self.contracts:
            most = number(row_holding(self.instruments[symbol]["tiers"], self.notional(symbol, moment))[3])
        worse = any(now > max(0, was) for was, now in zip(gaps, self.gaps(moment), strict=True))
        return worse or self.leverage[symbol] > most

    def lowered(self, before: tuple[Any, ...], moment: Moment) -> bool:
        """An order that leaves less to be covered is never stopped."""
        initial, maintenance, worst = self.totals(moment)
        return initial <= before[0] and maintenance <= before[1] and (maintenance < before[1] or worst >= before[2])

    def check(self, moment: Moment) -> None:
        """Ask every wallet for its margin; where a wallet and its parent fail together, the order must not matter."""
        failed = [wallet for wallet in self.shared + self.isolated if not self.sound(wallet, moment)]
        restore, books = self.remember(), []
        for order in (failed[::-1], failed) if len(failed) > 1 else (failed,):
            restore()
            for wallet in order:
                self.liquidate(wallet, moment)
            books.append(self.state())
        if books[0] != books[-1]:
            raise Unmodelled(f"bar {self.bar}: which of the wallets {failed} is liquidated first is not told")

    def liquidate(self, wallet: str, moment: Moment) -> None:
        """The largest position first, as few lots as make the wallet sound; the fund bears what is missing."""
        while not self.sound(wallet, moment):
            usd = {s: self.notional(s, moment) * moment.index(self.settle[s]) for s in self.positions(wallet)}
            symbol = max(usd, key=usd.__getitem__)
            self.force(symbol, self.fewest_lots(symbol, wallet, moment), moment)
        holes = [(asset, x) for (name, asset), x in self.balances.items() if name == wallet and x < 0]
        for asset, hole in [] if self.positions(wallet) else holes:
            if wallet == "unified":
                raise Unmodelled(f"bar {self.bar}: collateral would have to be sold to repay {asset}")
            self.post(wallet, asset, "insurance", -hole)

    def fewest_lots(self, symbol: str, wallet: str, moment: Moment) -> int:
        held, lot = abs(self.contracts[symbol]), steps(self.instruments[symbol]["lot"])
        restore = self.remember()
        for contracts in range(lot, held, lot):
            self.force(symbol, contracts, moment)
            enough = self.sound(wallet, moment)
            restore()
            if enough:
                return contracts
        return held

    def force(self, symbol: str, contracts: int, moment: Moment) -> None:
        """A close by the venue at the traded price less half the spread, and its fee; a part frees no margin."""
        instrument, held = self.instruments[symbol], self.contracts[symbol]
        side = held // abs(held)
        price = moment.price("last", symbol) * (1 - side * number(instrument["half_spread"]))
        value = contract_value(instrument, price)
        fee = whole(abs(contracts * value) * number(instrument["liquidation_fee"]))
        fee_first = symbol in self.isolated and contracts == abs(held)
        if not fee_first:
            self.close(symbol, side * contracts, value, frees=False)
        self.post(self.wallet_of(symbol), self.settle[symbol], "liquidation_fee", -fee)
        if fee_first:
            self.close(symbol, held, value)
        self.liquidations += 1

    def transfer(self) -> None:
        """What was ordered at the last close leaves; what is due arrives."""
        for row in self.scenario["transfers"]:
            if row["account"] == self.name and row["bar"] == self.bar - 1:
                amount, cost = steps(row["amount"]), steps(self.terms.get("transfer_cost", 0))
                self.move(row["from"], "transit", row["asset"], "transfer", amount)
                self.post("transit", row["asset"], "transfer_cost", -cost)
                self.under_way.append((self.bar + row["delay_bars"], row["to"], row["asset"], amount - cost))
        for due, target, asset, amount in self.under_way:
            if due == self.bar:
                self.move("transit", target, asset, "transfer", amount)

    def flow(self, event: dict[str, Any]) -> None:
        if event["account"] == self.name:
            self.post(event["wallet"], event["asset"], "flow", steps(event["amount"]))

    def deliver(self, event: dict[str, Any]) -> None:
        symbol = event["symbol"]
        if symbol in self.contracts:
            instrument, held = self.instruments[symbol], self.contracts[symbol]
            value = contract_value(instrument, number(event["price"]))
            self.close(symbol, held, value)
            fee = whole(abs(held * value) * number(instrument["delivery_fee"]))
            self.post(self.parent_of(symbol), self.settle[symbol], "delivery_fee", -fee)

    def fund(self, event: dict[str, Any]) -> None:
        """Longs pay a positive rate, on the notional at the mark."""
        symbol = event["symbol"]
        if symbol in self.contracts:
            value = abs(contract_value(self.instruments[symbol], number(event["mark"])))
            payment = whole(self.contracts[symbol] * value * number(event["rate"]))
            self.post(self.wallet_of(symbol), self.settle[symbol], "funding", -payment)

    def waiting(self) -> list[tuple[int, dict[str, Any]]]:
        rows = [(i, o) for i, o in enumerate(self.scenario["orders"]) if o["account"] == self.name]
        ends = {symbol: row.get("expiry_bar") or math.inf for symbol, row in self.instruments.items()}
        return [(i, o) for i, o in rows if o["bar"] == self.bar - 1 and ends[o["symbol"]] > self.bar]

    def live(self, bar: int) -> None:
        self.bar = bar
        opening = Moment(self.scenario, bar, "open")
        self.transfer()
        acts = {"flow": self.flow, "delivery": self.deliver, "funding": self.fund}
        for event in sorted(self.scenario["events"], key=lambda event: list(acts).index(event["kind"])):
            if event["bar"] == bar:
                acts[event["kind"]](event)
        if orders := self.waiting():
            self.check(opening)
            for place, order in orders:
                self.fill(place, order, opening)
            self.check(opening)
        for point in PATHS[self.terms["path"]]:
            self.check(Moment(self.scenario, bar, point))
        self.record(Moment(self.scenario, bar, "close"))

    def record(self, moment: Moment) -> None:
        held = sum((x * moment.index(asset) / STEP for (_, asset), x in self.balances.items()), Fraction(0))
        for symbol in self.contracts:
            held += self.profit(symbol, moment) * moment.index(self.settle[symbol])
        self.equity.append(held)
        self.margins.append({wallet: self.margin(wallet, moment) for wallet in self.shared + self.isolated})

    def state(self) -> dict[str, Any]:
        rows = [(wallet, asset, x) for (wallet, asset), x in self.balances.items() if x]
        balances = {wallet: {a: x for w, a, x in rows if w == wallet} for wallet, _, _ in rows}
        return {"balances": balances, "contracts": dict(self.contracts), "cost": dict(self.cost)}

    def history(self) -> dict[str, Any]:
        for wallet, amounts in self.terms["deposit"].items():
            for asset, amount in amounts.items():
                self.post(wallet, asset, "deposit", steps(amount))
        for bar in range(self.scenario["bars"]):
            self.live(bar)
        lists = {"wallets": self.margins, "equity": self.equity, "ledger": self.ledger, "refused": self.refused}
        return self.state() | lists | {"liquidations": self.liquidations}


def run(scenario: dict[str, Any]) -> dict[str, Any]:
    return {terms["name"]: Account(scenario, terms).history() for terms in scenario["accounts"]}
