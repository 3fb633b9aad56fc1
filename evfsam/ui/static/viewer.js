// Runs once for each viewer (gr.HTML js_on_load): rows isolate their layer, clicks on the picture go to Python.
// `element`, `trigger` and `watch` are given by Gradio; the HTML inside is replaced with every answer.
const BOX_SHARE = 0.01;  // of the longest side: a shorter drag is a click, as in clicking.py
const refines = element.matches(".evf-refining, .evf-refining *");
let locked = null;  // the row that the user chose
let answered = null;  // the answer that it belongs to
let start = null;

function show(row) {
  element.querySelectorAll("[data-row]").forEach((part) => {
    part.classList.toggle("away", row !== null && part.dataset.row !== row && !part.matches("button"));
  });
}
function rowOf(event) {
  const button = event.target.closest && event.target.closest("button.chip");
  return button ? button.dataset.row : null;
}
function lock(row) {
  locked = row;
  element.querySelectorAll("button.chip").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.row === row));
  });
  show(row);
}
for (const kind of ["pointerover", "focusin"]) {
  element.addEventListener(kind, (event) => { if (rowOf(event) !== null) show(rowOf(event)); });
}
for (const kind of ["pointerout", "focusout"]) {
  element.addEventListener(kind, (event) => { if (rowOf(event) !== null) show(locked); });
}
element.addEventListener("click", (event) => {
  const row = rowOf(event);
  if (row !== null) lock(row === locked ? null : row);
});

// Points and boxes, in pixels of the picture as it was uploaded.
function place(event) {
  const figure = element.querySelector(".evf-stage");
  if (!figure || !figure.contains(event.target)) return null;
  const frame = figure.getBoundingClientRect();
  const inside = (value, low, size) => Math.min(Math.max((value - low) / size, 0), 1);
  return [
    inside(event.clientX, frame.left, frame.width) * figure.dataset.width,
    inside(event.clientY, frame.top, frame.height) * figure.dataset.height,
  ];
}
// The row of the smallest mask at x, y, or null.
function rowAt([x, y]) {
  const figure = element.querySelector(".evf-stage");
  const point = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  let [row, least] = [null, Infinity];
  for (const layer of figure.querySelectorAll(".layer")) {
    const at = (value, size, side) => Math.min(Math.floor((value / size) * side), side - 1);
    point.clearRect(0, 0, 1, 1);
    point.drawImage(
      layer, -at(x, figure.dataset.width, layer.naturalWidth), -at(y, figure.dataset.height, layer.naturalHeight));
    if (point.getImageData(0, 0, 1, 1).data[3] > 0 && Number(layer.dataset.area) < least) {
      [row, least] = [layer.dataset.row, Number(layer.dataset.area)];
    }
  }
  return row;
}
// A sign that the model works on a place of the picture; the next answer takes it away.
function working(x, y) {
  const spot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  spot.setAttribute("class", "working");
  spot.setAttribute("cx", x);
  spot.setAttribute("cy", y);
  element.querySelector(".marks").append(spot);
}
// A click inside a mask chooses its row, unless one is chosen; all else goes to Python.
function send(from, to, beside) {
  const { width, height } = element.querySelector(".evf-stage").dataset;
  const drawn = Math.min(...[0, 1].map((axis) => Math.abs(to[axis] - from[axis])));
  const row = locked === null && drawn <= BOX_SHARE * Math.max(width, height) ? rowAt(to) : null;
  if (row !== null) return lock(row);
  working(...to);
  trigger("select", { index: [...from, ...to], value: locked, beside });
}
if (refines) {
  element.addEventListener("pointerdown", (event) => { start = event.button === 0 ? place(event) : null; });
  element.addEventListener("pointerup", (event) => {
    const end = start && place(event);
    if (end) send(start, end, event.shiftKey);
    start = null;
  });
  document.addEventListener("keydown", (event) => {
    if (!element.checkVisibility() || event.target.closest("input:not([type=range]), textarea")) return;
    if (event.key === "Escape") lock(null);
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) {
      event.preventDefault();
      trigger("undo");
    }
  });
}

// The same with the keyboard: arrows move a cross over the picture (with Shift in small steps), Enter clicks there.
let cross = [0.5, 0.5];
element.addEventListener("keydown", (event) => {
  const figure = event.target;
  if (!refines || !figure.matches || !figure.matches(".evf-stage")) return;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    const step = event.shiftKey ? 0.005 : 0.03;
    cross = cross.map((at, axis) => Math.min(Math.max(at + moves[event.key][axis] * step, 0), 1));
  } else if (event.key === "Enter") {
    const at = [cross[0] * figure.dataset.width, cross[1] * figure.dataset.height];
    send(at, at, false);
  } else return;
  event.preventDefault();
  figure.style.setProperty("--cross-x", `${cross[0] * 100}%`);
  figure.style.setProperty("--cross-y", `${cross[1] * 100}%`);
  figure.classList.add("crossed");
});
element.addEventListener("focusout", (event) => {
  if (event.target.classList) event.target.classList.remove("crossed");
});
watch("value", () => {
  const shown = element.querySelector(".evf-stage")?.dataset ?? {};
  if (shown.key !== answered) locked = null;
  answered = shown.key;
  const row = shown.chosen ?? locked;
  lock(element.querySelector(`button.chip[data-row="${row}"]`) ? row : null);
});
