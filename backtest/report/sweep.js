// What the page of a sweep does by itself: the map of any two settings by any statistic, the lines of all points and what
// is chosen along them, and one point with its figures and its config.
"use strict";
(async () => {
  await reportReady;
  if (!window.report) return;
  const { drawAt, drawn, unpack, whole } = report;
  const $ = (query, root = document) => [...root.querySelectorAll(query)];
  const rows = whole(JSON.parse(await unpack("packed-rows")));
  const tried = Array.from(rows.tried), place = new Map(tried.map((row, k) => [row, k])); // row of the page, row of an axis
  const state = { x: 0, y: null, statistic: 0, window: null, kept: null, shown: [], turn: 0 };

  // A figure as a reader wants it: as `words` in Python.
  const words = (value, whole = false) => {
    if (Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (value === 0) return "0";
    const digits = whole || Math.abs(value) >= 1000 ? 0 : 2, rounded = { minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven" };
    if (Math.abs(value) >= 0.01 && (whole || Math.abs(value) < 1e12)) return value.toLocaleString("en-US", rounded);
    return value.toPrecision(3).replace(/\.?0+(e|$)/, "$1").replace(/e([+-])(\d)$/, "e$10$2");
  };
  const ONE = { places: new Int32Array(tried.length), ticks: [""], shown: "", values: null, grouped: false };
  const axis = (number) => (number === null ? ONE : rows.settings[number]);
  const values = () => rows.figures[state.statistic];
  const inWindow = (row) => state.window === null || rows.window[row] === state.window;
  const looked = () => tried.filter((row) => inWindow(row) && (!state.kept || state.kept.has(row)));
  const byBest = (list) => {
    const way = rows.statistics[state.statistic].way || 1, figure = values();
    const worth = (row) => (Number.isNaN(figure[row]) ? Infinity : -way * figure[row]);
    return list.sort((a, b) => { const [p, q] = [worth(a), worth(b)]; return p < q ? -1 : p > q ? 1 : a - b; });
  };

  // The map: means of the rows in each cell.
  const map = document.getElementById("cells"), lines = document.getElementById("lines-of-points");
  const paintMap = () => {
    const across = axis(state.x), up = axis(state.y), figure = values();
    const table = (value) => up.ticks.map(() => across.ticks.map(() => value));
    const sums = table(0), many = table(0);
    for (const row of looked()) {
      if (Number.isNaN(figure[row])) continue;
      const k = place.get(row), x = across.places[k], y = up.places[k];
      sums[y][x] += figure[row]; many[y][x] += 1;
    }
    const means = sums.map((line, y) => line.map((sum, x) => (many[y][x] ? sum / many[y][x] : NaN)));
    drawAt(map);
    const { gd } = drawn.get("cells"), small = innerWidth < 600;
    const z = means.map((line) => line.map((mean) => (Number.isFinite(mean) ? mean : null)));
    const text = means.map((line) => line.map((mean) => words(mean)));
    const room = gd.clientWidth / across.ticks.length > 56 && up.ticks.length <= 24;
    const trace = { ...gd.data[0], z, text, customdata: many, x: across.ticks.map((_, k) => k), y: up.ticks.map((_, k) => k),
      texttemplate: room ? "%{text}" : "", colorscale: rows.scales[rows.statistics[state.statistic].way], visible: true };
    const ticks = (old, of, title) => ({ ...old, tickvals: of.ticks.map((_, k) => k), ticktext: of.ticks, title: title ? { text: of.shown, standoff: 8 } : { text: "" },
      range: [-0.5, of.ticks.length - 0.5], autorange: false });
    const height = Math.max(small ? 240 : 340, Math.min(620, 120 + 44 * up.ticks.length));
    map.style.height = height + "px";
    Plotly.react(gd, [trace], { ...gd.layout, height, xaxis: ticks(gd.layout.xaxis, across, true), yaxis: ticks(gd.layout.yaxis, up, !small), shapes: [] });
    count();
  };
  const count = () => {
    const now = looked(), all = tried.filter(inWindow).length;
    for (const told of $("[data-count]")) told.textContent = state.kept ? `${now.length.toLocaleString("en-US")} of ${all.toLocaleString("en-US")} rows kept` : "";
  };
  const cellOf = (x, y) => byBest(looked().filter((row) => axis(state.x).places[place.get(row)] === x && axis(state.y).places[place.get(row)] === y));

  // The lines: the highest, the lowest, and evenly those between, where there are many.
  const thinned = () => {
    const figure = values(), order = tried.filter((row) => inWindow(row) && !Number.isNaN(figure[row])).sort((a, b) => figure[a] - figure[b]);
    if (order.length <= rows.lines) return order.sort((a, b) => a - b);
    const picks = new Set(Array.from({ length: rows.lines }, (_, k) => order[Math.round((k * (order.length - 1)) / (rows.lines - 1))]));
    return order.filter((row) => picks.has(row)).sort((a, b) => a - b);
  };
  const within = (list) => {
    const finite = list.filter(Number.isFinite), low = finite.reduce((a, b) => Math.min(a, b), Infinity), high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
    return finite.length ? list.map((value) => (Number.isFinite(value) ? value : value > 0 ? high : low)) : list.map(() => 0);
  };
  const ranged = (axis) => { // its ends said, so that a press finds its line
    const low = axis.values.reduce((a, b) => Math.min(a, b), Infinity), high = axis.values.reduce((a, b) => Math.max(a, b), -Infinity);
    const air = high > low ? 0 : Math.abs(high) / 10 || 1;
    return { ...axis, range: [low - air, high + air] };
  };
  const settingAxis = (of, list) => {
    if (!of.values) return { label: of.shown, values: list.map((row) => of.places[place.get(row)]), tickvals: of.ticks.map((_, k) => k), ticktext: of.ticks };
    const axis = { label: of.shown, values: list.map((row) => of.values[place.get(row)]) };
    return of.grouped ? axis : { ...axis, tickvals: [...new Set(of.values)].sort((a, b) => a - b), ticktext: of.ticks };
  };
  const paintLines = () => {
    drawAt(lines);
    const { gd } = drawn.get("lines-of-points"), list = thinned(), kept = {};
    for (const axis of gd.data[0].dimensions) if (axis.constraintrange) kept[axis.label] = axis.constraintrange;
    const figures = [...new Set([state.statistic, ...rows.beside])];
    const axes = [...rows.moved.map((number) => settingAxis(rows.settings[number], list)),
      ...figures.map((number) => ({ label: rows.statistics[number].shown, values: within(list.map((row) => rows.figures[number][row])) }))];
    const trace = { ...gd.data[0], customdata: list,
      dimensions: axes.map(ranged).map((axis) => (kept[axis.label] ? { ...axis, constraintrange: kept[axis.label] } : axis)),
      line: { ...gd.data[0].line, color: within(list.map((row) => values()[row])), colorscale: rows.scales[rows.statistics[state.statistic].way] } };
    Plotly.react(gd, [trace], gd.layout);
    state.lines = list;
  };
  const NEAR = 9, ASIDE = 7; // pixels: how near a press must be to a line, and how far from an axis
  const lineAt = (x, y) => { // the row of the line nearest to a place in the window; null where none is near
    const { gd } = drawn.get("lines-of-points"), axes = gd.data[0].dimensions;
    const boxes = $(".y-axis path.domain", gd).map((path) => path.getBoundingClientRect()).sort((a, b) => a.left - b.left);
    const left = boxes.findLastIndex((box) => box.left <= x), right = left + 1;
    if (left < 0 || right >= boxes.length || x - boxes[left].left < ASIDE || boxes[right].left - x < ASIDE) return null;
    const share = (x - boxes[left].left) / (boxes[right].left - boxes[left].left);
    const height = (k, line) => boxes[k].bottom - ((axes[k].values[line] - axes[k].range[0]) / (axes[k].range[1] - axes[k].range[0])) * boxes[k].height;
    let best = null, least = NEAR;
    state.lines.forEach((row, line) => {
      if (state.kept && !state.kept.has(row)) return;
      const apart = Math.abs((1 - share) * height(left, line) + share * height(right, line) - y);
      if (apart < least) { least = apart; best = row; }
    });
    return best;
  };
  const brushed = () => { // rows, drawn or not, that every choice along an axis keeps
    const { gd } = drawn.get("lines-of-points"), chosen = gd.data[0].dimensions.map((axis, k) => [axis.constraintrange, k]).filter(([range]) => range && range.length);
    if (!chosen.length) { state.kept = null; return; }
    const figures = [...new Set([state.statistic, ...rows.beside])];
    const at = (k) => {
      if (k >= rows.moved.length) { const column = within(tried.map((row) => rows.figures[figures[k - rows.moved.length]][row])); return (row) => column[place.get(row)]; }
      const of = rows.settings[rows.moved[k]];
      return (row) => (of.values || of.places)[place.get(row)];
    };
    const tests = chosen.map(([range, k]) => { const value = at(k), spans = Array.isArray(range[0]) ? range : [range];
      return (row) => spans.some(([low, high]) => low <= value(row) && value(row) <= high); });
    state.kept = new Set(tried.filter((row) => tests.every((test) => test(row))));
  };

  // One point: what it is, its figures, its config.
  const config = (row) => rows.configs.values.reduce((text, { words, at }, k) => text.replaceAll(`"\ue000${k}\ue000"`, () => words[at[row]]), rows.configs.text);
  const text = (label, row) => rows.texts[label].words[rows.texts[label].at[row]];
  const panel = document.getElementById("point"), one = (query) => panel.querySelector(query);
  const told = () => {
    const row = state.shown[state.turn], many = state.shown.length;
    const window = rows.window ? `, window ${rows.window[row]}, ${rows.part[row]}` : "";
    one("[data-which]").textContent = `Point ${rows.point[row]}${window}`;
    one("[data-of]").textContent = many > 1 ? `${state.turn + 1} of the ${many} in this cell, the best first` : "";
    one("[data-error]").textContent = text("status", row) === rows.ok ? "" : `${text("status", row)}: ${text("error", row)}`;
    for (const button of $("[data-turn]", panel)) { button.hidden = many < 2; button.disabled = !state.shown[state.turn + +button.dataset.turn]; }
    const first = [...new Set([state.statistic, ...rows.beside, ...rows.statistics.keys()])];
    const figures = first.map((k) => [rows.statistics[k].name, words(rows.figures[k][row], rows.statistics[k].whole)]);
    const others = Object.keys(rows.texts).filter((name) => name !== "error").map((name) => [name, text(name, row)]);
    const lines = [...figures, ...others].map(([name, value]) => {
      const line = document.createElement("tr"), label = document.createElement("th"), cell = document.createElement("td");
      label.textContent = name; cell.textContent = value; cell.className = value.length > 24 ? "n long" : "n"; label.scope = "row";
      line.append(label, cell); return line;
    });
    one("[data-figures] tbody").replaceChildren(...lines);
    one("[data-config]").textContent = config(row);
    for (const line of $("tr[data-row]")) line.classList.toggle("chosen", +line.dataset.row === row);
    outline(row);
  };
  const outline = (row) => { // the cell of the point, on the map
    const k = place.get(row), frame = drawn.get("cells");
    if (!frame) return;
    const box = k === undefined ? null : { x: axis(state.x).places[k], y: axis(state.y).places[k] };
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    Plotly.relayout(frame.gd, { shapes: box ? [{ type: "rect", x0: box.x - 0.5, x1: box.x + 0.5, y0: box.y - 0.5, y1: box.y + 0.5, line: { color: ink, width: 2 } }] : [] });
  };
  const show = (list, turn = 0) => { if (list.length) { state.shown = list; state.turn = turn; told(); } };
  for (const button of $("[data-turn]", panel)) button.addEventListener("click", () => { state.turn += +button.dataset.turn; told(); });
  one("[data-copy]").addEventListener("click", async (event) => {
    const button = event.currentTarget, before = "Copy the config";
    button.textContent = (await copied(one("[data-config]"))) ? "Copied" : "Marked: press Ctrl+C";
    setTimeout(() => { button.textContent = before; }, 1600);
  });
  const copied = async (element) => {
    try { await navigator.clipboard.writeText(element.textContent); return true; } catch { /* a page from a file may not */ }
    getSelection().selectAllChildren(element);
    try { return document.execCommand("copy"); } catch { return false; }
  };

  // What the reader does: choose, press a cell, a line or a row of a table, keep what crosses an axis.
  for (const picker of $("[data-choose]")) {
    const key = picker.dataset.choose, read = () => (picker.value === "" ? null : +picker.value);
    state[key] = read();
    picker.addEventListener("change", () => { state[key] = read(); if (key === "statistic" || key === "window") paintLines(); paintMap(); outline(state.shown[state.turn]); });
  }
  for (const line of $("tr[data-row]")) {
    if (+line.dataset.row < 0) continue;
    const press = () => { show([+line.dataset.row]); panel.scrollIntoView({ block: "nearest" }); };
    line.addEventListener("click", press);
    line.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); } });
  }
  paintMap(); paintLines();
  drawn.get("cells").gd.on("plotly_click", (event) => show(cellOf(event.points[0].x, event.points[0].y)));
  const { gd } = drawn.get("lines-of-points");
  let down = null;
  lines.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; }, true);
  lines.addEventListener("pointerup", (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return; // a choice along an axis
    const row = lineAt(event.clientX, event.clientY);
    if (row !== null) show([row]);
  }, true);
  gd.on("plotly_restyle", () => { brushed(); paintMap(); outline(state.shown[state.turn]); });
  show([rows.best]);
  report.sweep = { rows, state, show, cellOf, config, words };
})();
