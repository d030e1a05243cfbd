// What the page does by itself: unpack its drawings, draw each when it comes into view, zoom and point at all panels of
// one account together, follow the reader's light or dark, and let a slider choose the bar of the stress panel.
"use strict";
const reportReady = (async () => {
  const $ = (query, root = document) => [...root.querySelectorAll(query)];
  const dark = matchMedia("(prefers-color-scheme: dark)"), touch = matchMedia("(pointer: coarse)").matches;
  const root = document.documentElement, css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const drawn = new Map(), zoom = {};

  // Light and dark: the reader's system decides until the button was pressed.
  const chosen = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* a page from a file may not */ } };
  const setTheme = (theme) => {
    root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
    for (const { gd } of drawn.values()) Plotly.relayout(gd, colours(gd));
  };
  document.getElementById("theme")?.addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    keep(theme); setTheme(theme);
  });
  dark.addEventListener("change", (event) => { if (!chosen()) setTheme(event.matches ? "dark" : "light"); });
  setTheme(chosen() || (dark.matches ? "dark" : "light"));

  const colours = (gd) => {
    const change = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "font.color": css("--soft"),
      "hoverlabel.bgcolor": css("--bright"), "hoverlabel.bordercolor": css("--line"), "hoverlabel.font.color": css("--ink") };
    for (const name of Object.keys(gd.layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      change[name + ".gridcolor"] = css("--grid"); change[name + ".linecolor"] = css("--line");
      change[name + ".zerolinecolor"] = css("--line");
    }
    return change;
  };

  // Numbers lie in the page packed: base64 of gzip, arrays inside as base64 of their bytes.
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const unpack = async (id) => {
    const stream = new Blob([bytes(document.getElementById(id).textContent.trim())]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const KINDS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
  const whole = (value) => {
    if (Array.isArray(value)) return value.map(whole);
    if (!value || typeof value !== "object") return value;
    if (typeof value.bdata === "string") {
      const flat = new KINDS[value.dtype](bytes(value.bdata).buffer);
      if (!value.shape) return flat;
      const [rows, columns] = String(value.shape).split(",").map(Number);
      return Array.from({ length: rows }, (_, k) => flat.subarray(k * columns, (k + 1) * columns));
    }
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, whole(each)]));
  };
  if (!("DecompressionStream" in window)) {
    for (const place of $(".waiting")) place.textContent = "This browser is too old to unpack the drawings; the tables are complete.";
    return;
  }
  const script = document.createElement("script");
  script.textContent = await unpack("packed-plotly");
  document.head.append(script);
  const figures = JSON.parse(await unpack("packed-figures"));

  // One frame: layout for the page's width, keys in HTML, the drawing library's own legend and title away.
  const isLine = (trace) => trace.type === "scatter" && trace.mode.startsWith("lines");
  const small = () => innerWidth < 600;
  const draw = (place) => {
    const id = place.dataset.figure;
    if (drawn.has(id)) return;
    const { data, layout } = whole(figures[id]);
    const timeline = place.dataset.kind === "timeline";
    delete layout.template; delete layout.title; delete layout.sliders;
    layout.annotations = (layout.annotations || []).filter((each) => each.name !== "level");
    Object.assign(layout, { height: place.clientHeight, autosize: true, showlegend: false,
      font: { family: getComputedStyle(document.body).fontFamily, size: small() ? 11 : 12 }, dragmode: touch ? false : timeline ? "zoom" : false });
    if (timeline) {
      layout.margin = { l: small() ? 46 : 62, r: 8, t: 6, b: 24 };
      layout.hovermode = "closest";
      Object.assign(layout.xaxis, { fixedrange: touch, showspikes: false, nticks: small() ? 5 : 10 });
      layout.yaxis.fixedrange = true;
      if (small()) delete layout.yaxis.title; else layout.yaxis.title = { ...layout.yaxis.title, standoff: 6, font: { size: 11 } };
      if (data.some(isLine)) layout.hovermode = "x";
      for (const trace of data) if (isLine(trace)) { trace.hoverinfo = "none"; delete trace.hovertemplate; }
    } else if (layout.yaxis) {
      layout.margin = { ...layout.margin, t: 16, l: small() && layout.margin.l < 100 ? 48 : layout.margin.l };
      if (small()) delete layout.yaxis.title;
      if (small()) for (const trace of data) if (trace.type === "heatmap") trace.showscale = false;
      layout.xaxis.fixedrange = layout.yaxis.fixedrange = true;
    }
    const gd = document.createElement("div");
    gd.style.height = "100%";
    place.replaceChildren(gd);
    const cross = document.createElement("div");
    cross.className = "cross"; place.append(cross);
    const frame = { gd, cross, place, group: place.dataset.group, timeline };
    drawn.set(id, frame);
    gd.layout = layout;
    const dressed = structuredClone({ ...layout });
    for (const [path, value] of Object.entries(colours(gd))) {
      const keys = path.split("."), last = keys.pop();
      keys.reduce((at, key) => (at[key] ??= {}), dressed)[last] = value;
    }
    Plotly.newPlot(gd, data, dressed, { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false });
    drawKeys(frame);
    if (!timeline) return;
    setRange(frame, zoom[frame.group]);
    gd.on("plotly_relayout", (change) => {
      if (change["xaxis.range[0]"] !== undefined) zoomTo(frame.group, [change["xaxis.range[0]"], change["xaxis.range[1]"]]);
    });
    gd.on("plotly_doubleclick", () => zoomTo(frame.group, null));
    gd.on("plotly_hover", (event) => point(frame.group, +new Date(stamp(event.points[0].x)), event.event));
    place.addEventListener("mouseleave", () => point(frame.group, null));
    place.addEventListener("mousemove", (event) => follow(frame, event.clientX));
    place.addEventListener("touchstart", (event) => follow(frame, event.touches[0].clientX), { passive: true });
    place.addEventListener("touchmove", (event) => follow(frame, event.touches[0].clientX), { passive: true });
  };
  const stamp = (x) => (typeof x === "number" ? x : String(x).replace(" ", "T") + (/[Zz]$/.test(x) ? "" : /T|\s/.test(x) ? "Z" : "T00:00Z"));

  // Keys: what each line is, hidden and shown by a press, and its value where the reader points.
  const drawKeys = (frame) => {
    const keys = frame.place.closest(".panel").querySelector(".keys");
    if (!keys) return;
    const shown = frame.gd.data.map((trace, k) => [trace, k]).filter(([trace]) => trace.name && (trace.meta ? trace.meta.key : trace.showlegend !== false && trace.type !== "heatmap"));
    const first = shown.filter(([trace], k) => shown.findIndex(([other]) => other.name === trace.name) === k);
    const buttons = first.map(([trace]) => {
      const key = document.createElement("button"), swatch = document.createElement("i"), value = document.createElement("output");
      const ink = trace.line?.color || trace.marker?.color || trace.marker?.line?.color;
      key.className = "key"; key.type = "button"; key.setAttribute("aria-pressed", "true");
      if (trace.mode === "markers") { swatch.className = "mark"; swatch.style.background = ink; }
      else if (trace.type === "bar" || trace.stackgroup) { swatch.className = "area"; swatch.style.background = ink; }
      else { swatch.style.color = ink; if (trace.line?.dash && trace.line.dash !== "solid") swatch.className = "dot"; }
      const mine = shown.filter(([other]) => other.name === trace.name).map(([, k]) => k);
      value.dataset.traces = mine;
      key.append(swatch, document.createTextNode(trace.name), value);
      key.addEventListener("click", () => {
        const on = key.getAttribute("aria-pressed") === "false";
        key.setAttribute("aria-pressed", String(on));
        Plotly.restyle(frame.gd, { visible: on }, mine);
      });
      return key;
    });
    const levels = (frame.gd.layout.shapes || []).filter((shape) => shape.name === "level");
    const names = (figures[frame.place.dataset.figure].layout.annotations || []).filter((each) => each.name === "level");
    const chips = levels.map((shape, k) => {
      const key = document.createElement("span"), swatch = document.createElement("i");
      key.className = "key"; swatch.style.color = shape.line.color;
      if (shape.line.dash !== "solid") swatch.className = "dot";
      key.append(swatch, document.createTextNode(names[k]?.text || ""));
      return key;
    });
    keys.replaceChildren(...buttons, ...chips);
  };

  // Pointing: one upright line through every panel of the account, and each key tells its value there.
  const follow = (frame, clientX) => {
    const axis = frame.gd._fullLayout?.xaxis;
    if (!axis) return;
    const inside = clientX - frame.gd.getBoundingClientRect().left - axis._offset;
    if (inside < 0 || inside > axis._length) return;
    point(frame.group, axis.p2l(inside));
  };
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (xs[middle] <= x) low = middle; else high = middle - 1; }
    return low;
  };
  const told = (trace, k) => {
    const { unit, digits } = trace.meta, real = trace.customdata && unit === "" ? trace.customdata[k] : trace.y[k];
    if (!Number.isFinite(real)) return "–";
    const places = Math.abs(real) >= 1000 ? Math.min(digits, 2) : digits;
    return unit === "%" ? (100 * real).toFixed(digits) + " %" : real.toLocaleString("en-US", { maximumFractionDigits: places });
  };
  let asked = 0;
  const point = (group, x) => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => {
      for (const frame of drawn.values()) {
        if (!frame.timeline || frame.group !== group) continue;
        const axis = frame.gd._fullLayout.xaxis, at = x === null ? -1 : axis.l2p(x);
        const inside = at >= 0 && at <= axis._length;
        frame.cross.style.display = inside ? "block" : "none";
        frame.cross.style.left = axis._offset + at + "px";
        for (const value of $("output", frame.place.closest(".panel").querySelector(".keys"))) {
          const traces = value.dataset.traces.split(",").map((k) => frame.gd.data[k]);
          const trace = traces.find((each) => each.x[0] <= x && x <= each.x[each.x.length - 1]);
          value.textContent = inside && trace?.meta && !trace.meta.marks ? told(trace, nearest(trace.x, x)) : "";
        }
      }
      for (const place of $(`[data-when="${CSS.escape(group)}"]`))
        place.textContent = x === null ? "" : new Date(x).toISOString().slice(0, 16).replace("T", " ") + " UTC";
    });
  };

  // Zooming: one time for all panels of the account; heights follow what is in view.
  const spans = {};
  const zoomTo = (group, range) => {
    zoom[group] = range && range.map((end) => (typeof end === "number" ? end : +new Date(stamp(end))));
    for (const frame of drawn.values()) if (frame.timeline && frame.group === group) setRange(frame, zoom[group]);
    for (const button of $(`[data-zoom="${CSS.escape(group)}"]`)) {
      const own = button.dataset.from ? [+button.dataset.from, +button.dataset.to] : null;
      button.setAttribute("aria-pressed", String(own ? !!zoom[group] && own[0] === zoom[group][0] && own[1] === zoom[group][1] : !zoom[group]));
    }
  };
  const setRange = (frame, range) => {
    const place = frame.place, full = [+place.dataset.from, +place.dataset.to];
    const [from, to] = range || full, change = { "xaxis.range": [from, to], "xaxis.autorange": false };
    const fit = heights(frame, from, to);
    if (fit) { change["yaxis.range"] = fit; change["yaxis.autorange"] = false; }
    frame.quiet = true;
    const now = frame.gd._fullLayout.xaxis.range.map((end) => +new Date(stamp(end)));
    if (now[0] === from && now[1] === to && frame.fitted) return;
    frame.fitted = true;
    Plotly.relayout(frame.gd, change);
  };
  const heights = (frame, from, to) => {
    if (frame.place.dataset.fit === "no") return null;
    const log = frame.gd.layout.yaxis.type === "log", values = [];
    for (const trace of frame.gd.data) {
      if (!isLine(trace) || trace.visible === false || trace.visible === "legendonly") continue;
      const first = Math.max(0, nearest(trace.x, from)), last = Math.min(trace.x.length - 1, nearest(trace.x, to) + 1);
      for (let k = first; k <= last; k++) if (Number.isFinite(trace.y[k])) values.push(trace.y[k]);
      if (trace.fill === "tozeroy") values.push(0);
    }
    if (!values.length) return null;
    for (const level of (frame.place.dataset.keeps || "").split(",").filter(Boolean)) values.push(+level);
    let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    if (frame.place.dataset.top) high = Math.min(high, +frame.place.dataset.top);
    if (log) { [low, high] = [Math.log10(low), Math.log10(Math.min(high, 2000))]; }
    const air = 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
    return [low === 0 && !log ? 0 : low - air, high + air];
  };
  for (const button of $("[data-zoom]"))
    button.addEventListener("click", () => zoomTo(button.dataset.zoom, button.dataset.from ? [+button.dataset.from, +button.dataset.to] : null));

  // The stress panel: a map a bar, one of them seen.
  for (const slider of $("[data-stress]")) {
    const place = document.getElementById(slider.dataset.stress);
    const said = JSON.parse(slider.dataset.said);
    const show = () => {
      const k = +slider.value, panel = slider.closest("section");
      draw(place);
      const { gd } = drawn.get(place.dataset.figure);
      Plotly.restyle(gd, { visible: gd.data.map((_, other) => other === k) });
      panel.querySelector("output").textContent = said[k].label;
      panel.querySelector("p[data-said]").textContent = said[k].words;
      slider.setAttribute("aria-valuetext", said[k].label);
    };
    slider.addEventListener("input", show);
    place.addEventListener("drawn", show, { once: true });
  }

  // Draw what is near the window; all of it when the page is printed.
  const places = $(".plot[data-figure]");
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) { watch.unobserve(target); draw(target); target.dispatchEvent(new Event("drawn")); }
  }, { rootMargin: "500px 0px" });
  places.forEach((place) => watch.observe(place));
  addEventListener("beforeprint", () => places.forEach(draw));

  // Several accounts: one at a time.
  for (const picker of $("select[data-accounts]"))
    picker.addEventListener("change", () => $("[data-account]").forEach((block) => { block.hidden = block.dataset.account !== picker.value; }));
  window.report = { draw: () => places.forEach(draw), drawAt: draw, zoomTo, drawn, setTheme, unpack, whole };
  root.dataset.ready = "yes";
})();
