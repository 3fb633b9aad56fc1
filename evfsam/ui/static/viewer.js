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
watch("value", () => {
  if (locked !== null) lock(element.querySelector(`button.chip[data-row="${locked}"]`) ? locked : null);
});
