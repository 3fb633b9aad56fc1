// Runs once for each viewer (gr.HTML js_on_load): rows isolate their layer, clicks on the picture go to Python.
// `element`, `trigger` and `watch` are given by Gradio; the HTML inside is replaced with every answer.
let locked = null;
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
element.addEventListener("pointerdown", (event) => { start = event.button === 0 ? place(event) : null; });
element.addEventListener("pointerup", (event) => {
  const end = start && place(event);
  if (end) trigger("select", { index: [...start, ...end], value: locked });
  start = null;
});

// The same with the keyboard: arrows move a cross over the picture (with Shift in small steps), Enter clicks there.
let cross = [0.5, 0.5];
element.addEventListener("keydown", (event) => {
  const figure = event.target;
  if (!figure.matches || !figure.matches(".evf-stage") || !element.matches(".evf-refining, .evf-refining *")) return;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    const step = event.shiftKey ? 0.005 : 0.03;
    cross = cross.map((at, axis) => Math.min(Math.max(at + moves[event.key][axis] * step, 0), 1));
  } else if (event.key === "Enter") {
    const [x, y] = [cross[0] * figure.dataset.width, cross[1] * figure.dataset.height];
    trigger("select", { index: [x, y, x, y], value: locked });
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
  if (locked !== null) lock(element.querySelector(`button.chip[data-row="${locked}"]`) ? locked : null);
});
