"use strict";
// Curves that can be read and zoomed; without this script they are drawn all the same.
const SVG = "http://www.w3.org/2000/svg";
const charts = [...document.querySelectorAll("figure.chart")].map(chart);
const everywhere = (what, ...values) => charts.forEach((one) => one[what](...values));

function chart(figure) {
  const [svg, out, button] = ["svg", "output", "button"].map((name) => figure.querySelector(name));
  const [grid, frame, curves, mark] = [".grid", ".frame", ".curves", ".mark"].map((name) => svg.querySelector(name));
  const [left, top, wide, tall] = ["x", "y", "width", "height"].map((side) => frame[side].baseVal.value);
  const box = curves.viewBox.baseVal, whole = [box.x, box.x + box.width, -box.y - box.height, -box.y];
  const lines = [...curves.querySelectorAll("polyline")];
  const series = lines.map((line) => [...line.points].map(({ x, y }) => [x, y]));
  const cursor = add(frame, "g", { class: "cursor", visibility: "hidden" });
  const hair = add(cursor, "line", { y2: tall });
  const dots = lines.map((line) => add(cursor, "circle", { r: 4, class: line.classList[1] }));
  const chosen = add(frame, "rect", { class: "chosen", height: tall, visibility: "hidden" });
  const values = figure.querySelectorAll(".legend b");
  let view = whole, from = null, at = null;

  const X = (x) => ((x - view[0]) / (view[1] - view[0])) * wide;
  const Y = (y) => tall - ((y - view[2]) / (view[3] - view[2])) * tall;
  const epoch = (event) => {
    const edges = svg.getBoundingClientRect(), x = ((event.clientX - edges.left) / edges.width) * svg.viewBox.baseVal.width;
    return Math.min(view[1], Math.max(view[0], view[0] + ((x - left) / wide) * (view[1] - view[0])));
  };

  function show(wanted) {
    view = wanted;
    set(curves, { viewBox: `${view[0]} ${-view[3]} ${view[1] - view[0]} ${view[3] - view[2]}` });
    if (mark) set(mark, { x1: X(mark.dataset.epoch), x2: X(mark.dataset.epoch) });
    grid.replaceChildren();
    for (const y of ticks(view[2], view[3], 5)) {
      add(grid, "line", { x1: left, x2: left + wide, y1: top + Y(y), y2: top + Y(y) });
      add(grid, "text", { x: left - 7, y: top + Y(y) + 4, "text-anchor": "end" }).textContent = tick(y);
    }
    for (const x of ticks(view[0], view[1], 6))
      add(grid, "text", { x: left + X(x), y: top + tall + 15, "text-anchor": "middle" }).textContent = tick(x);
    button.hidden = view === whole;
  }

  function zoom(low, high) {
    const ys = series.flatMap((points) => points.filter(([x]) => x >= low && x <= high).map(([, y]) => y));
    if (!(high > low) || ys.length < 2) return;
    const bottom = Math.min(...ys), peak = Math.max(...ys), pad = 0.06 * (peak - bottom) || 0.5 * Math.abs(peak) || 1;
    show([low, high, bottom - pad, peak + pad]);
    if (at !== null) read(Math.min(high, Math.max(low, at)));
  }

  function reset() {
    show(whole);
    hide();
  }

  function read(x) {
    at = x;
    set(hair, { x1: X(x), x2: X(x) });
    set(cursor, { visibility: "visible" });
    series.forEach((points, i) => {
      const [near, value] = points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
      set(dots[i], { cx: X(near), cy: Y(value) });
      values[i].textContent = tick(Number(value.toPrecision(5)));
    });
    out.textContent = `epoch ${tick(Number(x.toPrecision(3)))}`;
  }

  function hide() {
    at = null;
    set(cursor, { visibility: "hidden" });
    [out, ...values].forEach((text) => (text.textContent = ""));
  }

  const about = (width) => everywhere("zoom", Math.max(whole[0], (at ?? view[0]) - width / 2), Math.min(whole[1], (at ?? view[0]) + width / 2));
  const move = (share) => everywhere("read", Math.min(view[1], Math.max(view[0], (at ?? view[0]) + share * (view[1] - view[0]))));
  const keys = {
    ArrowRight: () => move(0.02),
    ArrowLeft: () => move(-0.02),
    "+": () => about((view[1] - view[0]) / 2),
    "=": () => about((view[1] - view[0]) / 2),
    "-": () => about((view[1] - view[0]) * 2),
    Escape: () => everywhere("reset"),
    0: () => everywhere("reset"),
  };
  const acts = {
    pointerdown: (event) => {
      from = epoch(event);
      svg.setPointerCapture(event.pointerId);
    },
    pointermove: (event) => {
      const x = epoch(event);
      everywhere("read", x);
      if (from !== null) set(chosen, { x: X(Math.min(from, x)), width: Math.abs(X(x) - X(from)), visibility: "visible" });
    },
    pointerup: (event) => {
      const ends = [from, epoch(event)].sort((a, b) => a - b), dragged = from !== null && X(ends[1]) - X(ends[0]) > 8;
      acts.pointercancel();
      if (dragged) everywhere("zoom", ...ends);
    },
    pointercancel: () => {
      from = null;
      set(chosen, { visibility: "hidden" });
    },
    pointerleave: () => from === null && everywhere("hide"),
    blur: () => everywhere("hide"),
    dblclick: () => everywhere("reset"),
    keydown: (event) => {
      if (!Object.hasOwn(keys, event.key)) return;
      keys[event.key]();
      event.preventDefault();
    },
  };
  for (const [name, act] of Object.entries(acts)) svg.addEventListener(name, act);
  button.addEventListener("click", acts.dblclick);
  svg.classList.add("live");
  svg.setAttribute("tabindex", "0");
  return { read, hide, zoom, reset };
}

function ticks(low, high, about) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i++) found.push(Number((i * step).toFixed(10)));
  return found;
}

function tick(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 6 }).replace("-", "−");
}

function add(parent, name, attributes) {
  return parent.appendChild(set(document.createElementNS(SVG, name), attributes));
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
