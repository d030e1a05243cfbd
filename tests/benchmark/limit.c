/* The limit: the benchmark's two accounts kept bar by bar in C, over arrays that already lie in memory.
 *
 * The same accounting as the product's, written by hand for these two strategies and for nothing else: funding on what is
 * held coming into the stamp, orders at the next open, fees of the venue (a buyer's in coins), collateral after its
 * ratio, maintenance by the dated brackets, margin at the mark's low and high and at the close, and a path of four
 * columns. A bar whose margin fails ends the run: it returns that bar's number (else -1), for nobody is liquidated here.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPOT_FEE 1e-3
#define FUTURE_FEE 5e-4
#define SHARE 0.5
#define TOP 10
#define WINDOW 21
#define MOST 64
#define WIDEST 12

/* Rows of prices: [row][bar]. The index of a coin is its spot pair's price, by the body of its candles. */
enum { SPOT_OPEN, SPOT_CLOSE, INDEX_LOW, INDEX_HIGH, FUTURE_OPEN, MARK_OPEN, MARK_LOW, MARK_HIGH, MARK_CLOSE, RATE, ROWS };
enum { EQUITY, COLLATERAL, MAINTENANCE, LOWEST, PATH };

/* One table of brackets: in force from a bar on; a notional pays rate x notional - deduction. */
typedef struct { long first; double floor[WIDEST + 1], rate[WIDEST], deduction[WIDEST]; } Brackets;

typedef struct { double coins, contracts, cost; } Holding;

static inline double steps(double x) { return rint(x * 1e8) / 1e8; }

/* A fee in coins, of a number of coins that is already whole steps: reckoned in steps, as ties are not rare. */
static inline double coin_fee(double coins) { return rint(rint(coins * 1e8) * SPOT_FEE) / 1e8; }

/* The bracket of the last bar mostly holds the next one too; where not, the one that asks most is it: they are convex. */
static inline double maintenance(const Brackets *b, double notional, long *row) {
  if (__builtin_expect(notional <= b->floor[*row] || notional > b->floor[*row + 1], 0)) {
    *row = 0;
    while (notional > b->floor[*row + 1]) ++*row;
  }
  return b->rate[*row] * notional - b->deduction[*row];
}

/* Dollars count at their ratio when owned, in full and more when owed. */
static inline double dollars(double x, double ratio) { return x > 0 ? x * ratio : x * (2.0 - ratio); }

/* A requirement in dollars is met at their ask. */
static inline double asked(double needs, double ratio) { return needs * (2.0 - ratio); }

static inline double less(double a, double b) { return a < b ? a : b; }

static double trade_spot(Holding *h, double target, double price) {
  double bought = target - h->coins;
  if (bought > 0) { h->coins = target - coin_fee(bought); return -bought * price; }
  h->coins = target;
  return -bought * price * (1.0 - SPOT_FEE);
}

static double trade_future(Holding *h, double target, double price) {
  double change = target - h->contracts, realised = 0;
  if (h->contracts * change < 0) {
    double closed = fabs(change) <= fabs(h->contracts) ? change : -h->contracts;
    double released = h->cost * -closed / h->contracts;
    realised = -closed * price - released;
    h->cost += (change - closed) * price - released;
  } else
    h->cost += change * price;
  h->contracts = target;
  return realised - fabs(change) * price * FUTURE_FEE;
}

/* Carry: one coin. `ratio`: of dollars and of the coin. `out`: fills. */
long carry(const double **p, long bars, long day, double hedge, double band, const Brackets *tables, long many,
           const double *ratio, double cash, double **path, double *out) {
  Holding h = {0, 0, 0};
  double wish = 0;
  int waits = 0;
  long fills = 0, next = day - 1, table = 0, row = 0;
  for (long t = 0; t < bars; t++) {
    while (table + 1 < many && tables[table + 1].first <= t) table++;
    const Brackets *b = tables + table;
    if (p[RATE][t] != 0) cash -= h.contracts * p[MARK_OPEN][t] * p[RATE][t];
    if (waits) {
      cash += trade_spot(&h, steps(wish), p[SPOT_OPEN][t]) + trade_future(&h, steps(-hedge * wish), p[FUTURE_OPEN][t]);
      waits = 0; fills += 2;
    }
    double size = fabs(h.contracts);
    double low = dollars(cash + h.contracts * p[MARK_LOW][t] - h.cost, ratio[0]) + h.coins * p[INDEX_LOW][t] * ratio[1];
    double high = dollars(cash + h.contracts * p[MARK_HIGH][t] - h.cost, ratio[0]) + h.coins * p[INDEX_HIGH][t] * ratio[1];
    double usd = cash + h.contracts * p[MARK_CLOSE][t] - h.cost, worth = h.coins * p[SPOT_CLOSE][t];
    double close = dollars(usd, ratio[0]) + worth * ratio[1];
    double needs_low = maintenance(b, size * p[MARK_LOW][t], &row);
    double needs_high = maintenance(b, size * p[MARK_HIGH][t], &row);
    double needs = maintenance(b, size * p[MARK_CLOSE][t], &row);
    needs_low = asked(needs_low, ratio[0]); needs_high = asked(needs_high, ratio[0]); needs = asked(needs, ratio[0]);
    if (__builtin_expect(low < needs_low || high < needs_high || close < needs, 0)) return t;
    path[EQUITY][t] = usd + worth;
    path[COLLATERAL][t] = close;
    path[MAINTENANCE][t] = needs;
    path[LOWEST][t] = less(close / needs, less(low / needs_low, high / needs_high));
    if (t == next) {
      next += day;
      if (fabs(worth / (usd + worth) / SHARE - 1.0) > band) { wish = SHARE * (usd + worth) / p[SPOT_CLOSE][t]; waits = 1; }
    }
  }
  *out = (double)fills;
  return -1;
}

/* The parameters of a sweep, one after the other on one core; `last` takes the final equities. */
long sweep(const double **p, long bars, long day, const double *hedges, long many_hedges, const double *bands,
           long many_bands, const Brackets *tables, long many, const double *ratio, double cash, double **path,
           double *last) {
  double fills;
  for (long k = 0; k < many_hedges; k++)
    for (long j = 0; j < many_bands; j++) {
      long failed = carry(p, bars, day, hedges[k], bands[j], tables, many, ratio, cash, path, &fills);
      if (failed >= 0) return failed;
      last[k * many_bands + j] = path[EQUITY][bars - 1];
    }
  return -1;
}

/* TopFunding: `coins` of them, rows of coin k at p[k * ROWS]; only those held are looked at between decisions. */
long top_funding(const double **p, long coins, long bars, long day, const Brackets *tables, const long *many, long widest,
                 const double *ratio, double cash, double **path, double *out) {
  Holding h[MOST]; memset(h, 0, sizeof h);
  double wish[MOST], past[MOST][WINDOW]; long stamps = 0, fills = 0, next = day - 1, table[MOST] = {0}, row[MOST] = {0};
  int held[MOST], holds = 0, waits = 0;
  for (long t = 0; t < bars; t++) {
    if (p[RATE][t] != 0) {
      for (long k = 0; k < coins; k++) past[k][stamps % WINDOW] = p[k * ROWS + RATE][t];
      stamps++;
      for (int j = 0; j < holds; j++) {
        const double **q = p + held[j] * ROWS;
        cash -= h[held[j]].contracts * q[MARK_OPEN][t] * q[RATE][t];
      }
    }
    if (waits) {
      waits = holds = 0;
      for (long k = 0; k < coins; k++) {
        if (wish[k] != 0 || h[k].coins != 0 || h[k].contracts != 0) {
          cash += trade_spot(h + k, steps(wish[k]), p[k * ROWS + SPOT_OPEN][t]);
          cash += trade_future(h + k, steps(-wish[k]), p[k * ROWS + FUTURE_OPEN][t]);
          fills += 2;
          if (h[k].coins != 0 || h[k].contracts != 0) held[holds++] = (int)k;
        }
      }
    }
    double usd_low = cash, usd_high = cash, usd = cash, worth = 0;
    double low = 0, high = 0, close = 0, needs_low = 0, needs_high = 0, needs = 0;
    for (int j = 0; j < holds; j++) {
      long k = held[j];
      const double **q = p + k * ROWS;
      double r = ratio[1 + k];
      while (table[k] + 1 < many[k] && tables[k * widest + table[k] + 1].first <= t) table[k]++;
      const Brackets *b = tables + k * widest + table[k];
      double n = h[k].contracts, size = fabs(n);
      usd_low += n * q[MARK_LOW][t] - h[k].cost; usd_high += n * q[MARK_HIGH][t] - h[k].cost;
      usd += n * q[MARK_CLOSE][t] - h[k].cost;
      low += h[k].coins * q[INDEX_LOW][t] * r; high += h[k].coins * q[INDEX_HIGH][t] * r;
      worth += h[k].coins * q[SPOT_CLOSE][t]; close += h[k].coins * q[SPOT_CLOSE][t] * r;
      needs_low += maintenance(b, size * q[MARK_LOW][t], row + k); needs_high += maintenance(b, size * q[MARK_HIGH][t], row + k);
      needs += maintenance(b, size * q[MARK_CLOSE][t], row + k);
    }
    needs_low = asked(needs_low, ratio[0]); needs_high = asked(needs_high, ratio[0]); needs = asked(needs, ratio[0]);
    low += dollars(usd_low, ratio[0]); high += dollars(usd_high, ratio[0]); close += dollars(usd, ratio[0]);
    if (__builtin_expect(low < needs_low || high < needs_high || close < needs, 0)) return t;
    path[EQUITY][t] = usd + worth;
    path[COLLATERAL][t] = close;
    path[MAINTENANCE][t] = needs;
    path[LOWEST][t] = less(close / needs, less(low / needs_low, high / needs_high));
    if (t == next) {
      next += day;
      /* A rate stamped at this very close is known to the decision: it is the next bar's. */
      long more = t + 1 < bars && p[RATE][t + 1] != 0, known = stamps + more;
      if (known >= WINDOW) {
        double sum[MOST]; char taken[MOST] = {0};
        for (long k = 0; k < coins; k++) {
          sum[k] = more ? p[k * ROWS + RATE][t + 1] : 0;
          for (long s = known - WINDOW; s < stamps; s++) sum[k] += past[k][s % WINDOW];
          wish[k] = 0;
        }
        for (int j = 0; j < TOP; j++) {
          long best = -1;
          for (long k = 0; k < coins; k++) if (!taken[k] && (best < 0 || sum[k] > sum[best])) best = k;
          taken[best] = 1;
          wish[best] = SHARE * (usd + worth) / TOP / p[best * ROWS + SPOT_CLOSE][t];
        }
        waits = 1;
      }
    }
  }
  *out = (double)fills;
  return -1;
}
