"use strict";
// Curves that can be read and zoomed; without this script they are drawn all the same.
const SVG = "http://www.w3.org/2000/svg";
const charts = [...document.querySelectorAll("figure.chart")].map(chart);
const everywhere = (what, ...values) => charts.forEach((one) => one[what](...values));

function chart(figure) {
  const svg = figure.querySelector("svg"), out = figure.querySelector("output"), button = figure.querySelector("button");
  const { series, view: whole, box, best } = JSON.parse(figure.querySelector("script").textContent);
  const lines = svg.querySelectorAll("polyline"), mark = svg.querySelector("g > line.mark"), inside = lines[0].parentNode;
  const cursor = add(inside, "g", { class: "cursor", visibility: "hidden" });
  const hair = add(cursor, "line", { y1: box.t, y2: box.h - box.b });
  const dots = series.map((s) => add(cursor, "circle", { r: 4, class: "c" + s.colour }));
  const chosen = add(inside, "rect", { class: "chosen", y: box.t, height: box.h - box.t - box.b, visibility: "hidden" });
  const values = figure.querySelectorAll(".legend b");
  let view = whole, from = null, at = null;

  const X = (x) => box.l + ((x - view[0]) / (view[1] - view[0])) * (box.w - box.l - box.r);
  const Y = (y) => box.h - box.b - ((y - view[2]) / (view[3] - view[2])) * (box.h - box.t - box.b);
  const epoch = (event) => {
    const edges = svg.getBoundingClientRect(), x = ((event.clientX - edges.left) / edges.width) * box.w;
    return Math.min(view[1], Math.max(view[0], view[0] + ((x - box.l) / (box.w - box.l - box.r)) * (view[1] - view[0])));
  };

  function draw() {
    series.forEach((s, i) => lines[i].setAttribute("points", s.points.map(([x, y]) => `${X(x)},${Y(y)}`).join(" ")));
    if (mark) set(mark, { x1: X(best), x2: X(best) });
    const grid = svg.querySelector(".grid");
    grid.replaceChildren();
    for (const y of ticks(view[2], view[3], 5)) {
      add(grid, "line", { x1: box.l, x2: box.w - box.r, y1: Y(y), y2: Y(y) });
      add(grid, "text", { x: box.l - 7, y: Y(y) + 4, "text-anchor": "end" }).textContent = tick(y);
    }
    for (const x of ticks(view[0], view[1], 6))
      add(grid, "text", { x: X(x), y: box.h - box.b + 15, "text-anchor": "middle" }).textContent = tick(x);
    button.hidden = view === whole;
  }

  function zoom(low, high) {
    const ys = series.flatMap((s) => s.points.filter(([x]) => x >= low && x <= high).map(([, y]) => y));
    if (!(high > low) || ys.length < 2) return;
    const bottom = Math.min(...ys), top = Math.max(...ys), pad = 0.06 * (top - bottom) || 0.5 * Math.abs(top) || 1;
    view = [low, high, bottom - pad, top + pad];
    draw();
    if (at !== null) read(Math.min(high, Math.max(low, at)));
  }

  function all() {
    view = whole;
    draw();
    hide();
  }

  function read(x) {
    at = x;
    const near = series.map((s) => s.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a)));
    set(hair, { x1: X(x), x2: X(x) });
    near.forEach(([px, py], i) => set(dots[i], { cx: X(px), cy: Y(py) }));
    cursor.setAttribute("visibility", "visible");
    near.forEach(([, py], i) => (values[i].textContent = tick(Number(py.toPrecision(5)))));
    out.textContent = `epoch ${tick(Number(x.toPrecision(3)))}`;
  }

  function hide() {
    at = null;
    cursor.setAttribute("visibility", "hidden");
    out.textContent = "";
    values.forEach((value) => (value.textContent = ""));
  }

  svg.classList.add("live");
  svg.setAttribute("tabindex", "0");
  button.addEventListener("click", () => everywhere("all"));
  svg.addEventListener("dblclick", () => everywhere("all"));
  svg.addEventListener("pointerdown", (event) => {
    from = epoch(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const x = epoch(event);
    everywhere("read", x);
    if (from !== null) set(chosen, { x: X(Math.min(from, x)), width: Math.abs(X(x) - X(from)), visibility: "visible" });
  });
  svg.addEventListener("pointerup", (event) => {
    const x = epoch(event), start = from;
    from = null;
    chosen.setAttribute("visibility", "hidden");
    if (start !== null && Math.abs(X(x) - X(start)) > 8) everywhere("zoom", Math.min(start, x), Math.max(start, x));
  });
  svg.addEventListener("pointercancel", () => {
    from = null;
    chosen.setAttribute("visibility", "hidden");
  });
  svg.addEventListener("pointerleave", () => from === null && everywhere("hide"));
  svg.addEventListener("blur", () => everywhere("hide"));
  svg.addEventListener("keydown", (event) => {
    const span = view[1] - view[0], x = at ?? view[0];
    const about = (width) => everywhere("zoom", Math.max(whole[0], x - width / 2), Math.min(whole[1], x + width / 2));
    if (event.key === "ArrowRight") everywhere("read", Math.min(view[1], x + span / 50));
    else if (event.key === "ArrowLeft") everywhere("read", Math.max(view[0], x - span / 50));
    else if (event.key === "+" || event.key === "=") about(span / 2);
    else if (event.key === "-") about(span * 2);
    else if (event.key === "Escape" || event.key === "0") everywhere("all");
    else return;
    event.preventDefault();
  });
  return { read, hide, zoom, all };
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
