// Runs once for each viewer (gr.HTML js_on_load); the HTML inside is replaced with every answer, so nothing here
// keeps an element. `element`, `trigger` and `watch` are given by Gradio. What the user sees is in `state`, and
// `paint` puts it on the elements. Python hears of "select" (a point or a box), "delete" (a mark), "clear" (all of
// them), "undo", and "retry" (redo; Gradio has no event of that name).
const BOX_SHARE = 0.01;  // of the longest side: a shorter drag is a click, as in clicking.py
const MOST_ZOOM = 12;
const refines = element.matches(".evf-refining, .evf-refining *");
const touched = matchMedia("(pointer: coarse)").matches;
const fresh = () => ({ view: "overlay", opacity: 0.45, tool: "add", zoom: 1, x: 0, y: 0 });
let state = fresh();
let source = null;  // the picture that `state` belongs to
let answered = null;  // the answer that `chosen` belongs to
let chosen = null;  // the row that the user chose, or a thing: "1.0" is the first thing of the second row
let folds = new Map();  // rows that the user folded (false) or unfolded (true)
let focused = null;  // finds the button again that had the focus when the HTML was replaced
const all = (selector) => [...element.querySelectorAll(selector)];
const one = (selector) => element.querySelector(selector);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const up = (event, selector) => event.target.closest?.(selector) ?? null;

// --- what is shown ---------------------------------------------------------------------------------------------
// Where a layer lies: left, top, width and height in shares of the picture's.
const boxOf = (layer) => ["left", "top", "width", "height"].map((side) => parseFloat(layer.style[side]) / 100);
const belongs = (part, row) => part === row || part.startsWith(`${row}.`);
function show(row) {
  for (const part of all("[data-row]:not(button)")) {
    const id = part.dataset.row;
    // A mask that was taken apart is shown as its things while its row is unfolded.
    const things = unfolded(id.split(".")[0]);
    part.classList.toggle("folded", id.includes(".") ? !things : things);
    part.classList.toggle("away", row !== null && !belongs(id, row));
  }
  for (const stage of all(".evf-stage:has(.picture)")) {
    const fills = state.view === "cutout" ? [...stage.querySelectorAll(".fill:not(.away, .folded)")] : [];
    const [wide, high] = [stage.clientWidth, stage.clientHeight];
    const boxes = fills.map(boxOf);
    Object.assign(stage.querySelector(".picture").style, {
      maskImage: fills.map((layer) => `url("${layer.src}")`).join(),
      maskPosition: boxes.map(([x, y]) => `${x * wide}px ${y * high}px`).join(),
      maskSize: boxes.map(([, , width, height]) => `${width * wide}px ${height * high}px`).join(),
    });
  }
}
const unfolded = (row) => folds.get(row) ?? one(`[data-fold="${row}"]`)?.dataset.opened === "true";
function paint() {
  element.dataset.view = state.view;
  element.dataset.tool = state.tool;
  element.classList.toggle("zoomed", state.zoom > 1);
  const values = { fill: state.opacity, zoom: state.zoom, x: `${state.x * 100}%`, y: `${state.y * 100}%` };
  for (const [name, value] of Object.entries(values)) element.style.setProperty(`--${name}`, value);
  for (const kind of ["view", "tool"]) {
    for (const button of all(`[data-${kind}]`)) button.ariaPressed = String(button.dataset[kind] === state[kind]);
  }
  for (const button of all("button.chip")) button.ariaPressed = String(button.dataset.row === chosen);
  for (const button of all("[data-fold]")) button.ariaExpanded = String(unfolded(button.dataset.fold));
  for (const list of all("[data-of]")) list.hidden = !unfolded(list.dataset.of);
  for (const slider of all(".evf-opacity input")) slider.value = state.opacity;
  for (const button of all("[data-act=fit]")) button.textContent = `${Math.round(state.zoom * 100)} %`;
  for (const svg of all(".marks")) {  // marks keep their size on the screen
    const wide = svg.closest(".evf-stage").clientWidth;
    if (wide) svg.style.setProperty("--px", `${svg.viewBox.baseVal.width / wide / state.zoom}px`);
  }
  hint(hintText());
  show(chosen);
}
function hint(text) {
  const line = one(".evf-hint");
  if (line) line.textContent = text;
}
function hintText() {
  const name = one(`button.chip[data-row="${chosen}"]`)?.innerText.trim();  // Safari ends it with a space
  const doubtful = one(".score.weak, .unfound");
  if (touched) {
    if (name) return `Taps now correct “${name}”. A tap on a mark removes it, a tap on the row ends this.`;
    if (doubtful) return "A mask is wrong? Choose its line below, then tap on the thing.";
    return one("button.chip") ? "Tap a mask to correct it, or another place to mask what is there." : "Tap on a thing to mask it.";
  }
  if (name) return `Clicks now correct “${name}”; with Shift they take away. A click on a mark removes it, Esc ends this.`;
  if (doubtful) return "A mask is wrong? Choose its line below, then click on the thing or drag a box around it.";
  if (one("button.chip")) return "Click a mask to correct it. A click or a drag elsewhere masks what is there.";
  return "Click on a thing to mask it, or drag a box around it.";
}
function choose(row) {
  chosen = row;
  paint();
}
function zoomTo(zoom, at = [0.5, 0.5]) {  // `at` stays where it is, in shares of the stage
  const next = clamp(zoom, 1, MOST_ZOOM);
  const [x, y] = ["x", "y"].map((axis, i) => at[i] - ((at[i] - state[axis]) / state.zoom) * next);
  state.zoom = next;
  move(x, y);
}
function move(x, y) {
  [state.x, state.y] = [x, y].map((value) => clamp(value, 1 - state.zoom, 0));
  paint();
}
const shareOf = (stage, event) => {
  const frame = stage.getBoundingClientRect();
  return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
};

// --- rows and buttons ------------------------------------------------------------------------------------------
for (const [kind, back] of [["pointerover", false], ["focusin", false], ["pointerout", true], ["focusout", true]]) {
  element.addEventListener(kind, (event) => {
    const chip = up(event, "button.chip");
    if (chip) show(back ? chosen : chip.dataset.row);
  });
}
element.addEventListener("focusin", (event) => {
  const named = ["act", "tool", "view", "row"].find((kind) => event.target.dataset?.[kind] !== undefined);
  const onStage = up(event, ".evf-stage");
  focused = onStage ? ".evf-stage" : named ? `button[data-${named}="${event.target.dataset[named]}"]` : null;
});
for (const kind of ["focusin", "pointerdown"]) {
  document.addEventListener(kind, (event) => { if (!element.contains(event.target)) focused = null; });
}
const acts = {
  undo: () => trigger("undo"),
  redo: () => trigger("retry"),
  clear: () => trigger("clear"),
  in: () => zoomTo(state.zoom * 1.5),
  out: () => zoomTo(state.zoom / 1.5),
  fit: () => zoomTo(1),
  full: async () => {
    if (document.fullscreenElement) return document.exitFullscreen();
    if (!element.matches(".evf-full")) {
      try { return await element.requestFullscreen(); } catch { }  // an iPhone has none, and a frame may forbid it
    }
    element.classList.toggle("evf-full");
  },
  copy: (button) => copy(button),
};
element.addEventListener("click", (event) => {
  const button = up(event, "button");
  if (!button) return;
  const { row, act, tool, view, fold } = button.dataset;
  if (fold !== undefined) {
    folds.set(fold, !unfolded(fold));
    if (!unfolded(fold) && chosen?.startsWith(`${fold}.`)) chosen = fold;
    paint();
  }
  if (row !== undefined) choose(row === chosen ? null : row);
  if (act) acts[act](button);
  if (tool) state.tool = tool;
  if (view) state.view = view;
  if (tool || view) paint();
});
element.addEventListener("input", (event) => {
  if (!up(event, ".evf-opacity")) return;
  state.opacity = Number(event.target.value);
  paint();
});

// --- the picture: points and boxes in pixels of the picture as it was uploaded -----------------------------------
function place(stage, event) {
  const frame = stage.querySelector(".evf-canvas").getBoundingClientRect();
  return [
    clamp((event.clientX - frame.left) / frame.width, 0, 1) * stage.dataset.width,
    clamp((event.clientY - frame.top) / frame.height, 0, 1) * stage.dataset.height,
  ];
}
// The row of the smallest mask at x, y, or null.
function rowAt(stage, [x, y]) {
  const point = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  let [row, least] = [null, Infinity];
  for (const layer of stage.querySelectorAll(".fill:not(.folded)")) {
    const [left, top, width, height] = boxOf(layer);
    const column = Math.floor(((x / stage.dataset.width - left) / width) * layer.naturalWidth);
    const line = Math.floor(((y / stage.dataset.height - top) / height) * layer.naturalHeight);
    point.clearRect(0, 0, 1, 1);
    point.drawImage(layer, -column, -line);
    if (point.getImageData(0, 0, 1, 1).data[3] > 127 && Number(layer.dataset.area) < least) {
      [row, least] = [layer.dataset.row, Number(layer.dataset.area)];
    }
  }
  return row;
}
function draw(stage, name, attributes) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  stage.querySelector(".marks").append(shape);
  return shape;
}
const sizeOf = (from, to) => Math.min(...[0, 1].map((axis) => Math.abs(to[axis] - from[axis])));
const isBox = (stage, from, to) => sizeOf(from, to) > BOX_SHARE * Math.max(stage.dataset.width, stage.dataset.height);

// A click inside a mask chooses its row, unless one is chosen; what does not belong is taken from the mask under it.
function send(stage, from, to, beside) {
  const under = isBox(stage, from, to) ? null : rowAt(stage, to);
  if (!refines || (chosen === null && !beside && under !== null)) return choose(under);
  const row = chosen ?? (beside ? under : null);
  if (beside && row === null) return hint("There is no mask here to take something from.");
  draw(stage, "circle", { class: "working", cx: to[0], cy: to[1] });  // the next answer takes it away
  trigger("select", { index: [...from, ...to], value: row, beside });
}
// A mark that is on its way out counts no more: the app takes one after the other.
function remove({ row, mark }) {
  const others = all(`[data-row="${row}"][data-mark]`);
  const shape = others.find((other) => other.dataset.mark === mark);
  if (!shape || shape.matches(".gone")) return;
  const gone = others.filter((other) => other.matches(".gone") && Number(other.dataset.mark) < Number(mark)).length;
  shape.classList.add("gone");
  trigger("delete", { value: row, index: mark === "box" ? mark : String(mark - gone) });
}
// One pointer draws or moves, two of them zoom. An answer that arrives in between brings another stage.
const stageOf = (gesture) => (gesture.stage.isConnected ? gesture.stage : all(".evf-stage")[gesture.place]);
const pointers = new Map();
let gesture = null;
element.addEventListener("pointerdown", (event) => {
  const stage = up(event, ".evf-stage");
  if (!stage || event.button > 2) return;
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  gesture?.shape?.remove();
  if (pointers.size === 2) { gesture = { kind: "pinch", stage, ...spread(stage), zoom: state.zoom }; return; }
  const drags = event.pointerType === "touch" && state.zoom > 1 && state.tool !== "box";
  const moves = event.button === 1 || state.tool === "move" || !refines || drags;
  const kind = up(event, "[data-mark]") ? "mark" : moves ? "move" : "draw";
  gesture = { kind, ...up(event, "[data-mark]")?.dataset, stage, from: place(stage, event), at: [event.clientX, event.clientY], x: state.x, y: state.y };
  gesture.place = all(".evf-stage").indexOf(stage);
  gesture.beside = event.button === 2 || event.shiftKey || state.tool === "remove";
  if (event.button === 1) event.preventDefault();
  if (event.pointerType === "mouse") stage.setPointerCapture(event.pointerId);  // a drag may end outside
});
function spread(stage) {
  const [a, b] = [...pointers.values()];
  const middle = { clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 };
  return { apart: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: shareOf(stage, middle) };
}
element.addEventListener("pointermove", (event) => {
  if (!gesture || !pointers.has(event.pointerId)) return;
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  const { kind, from, at } = gesture, stage = stageOf(gesture);
  if (!stage || kind === "mark") return;
  if (kind === "pinch") {
    const now = spread(stage);
    zoomTo(gesture.zoom * (now.apart / gesture.apart), now.middle);
  } else if (kind === "move") {
    const by = [event.clientX - at[0], event.clientY - at[1]];
    gesture.moved ||= Math.hypot(...by) > 4;
    if (gesture.moved) move(gesture.x + by[0] / stage.clientWidth, gesture.y + by[1] / stage.clientHeight);
  } else {
    const to = place(stage, event);
    gesture.shape?.remove();
    if (isBox(stage, from, to)) {
      const [x, y] = [0, 1].map((axis) => Math.min(from[axis], to[axis]));
      const [width, height] = [0, 1].map((axis) => Math.abs(to[axis] - from[axis]));
      gesture.shape = draw(stage, "rect", { x, y, width, height });
    }
  }
});
document.addEventListener("pointerup", (event) => {
  const done = pointers.delete(event.pointerId) ? gesture : null;
  if (pointers.size) return;
  gesture = null;
  const stage = done && stageOf(done);
  if (!stage || done.kind === "pinch" || done.moved) return;
  if (done.kind === "mark") return Math.hypot(event.clientX - done.at[0], event.clientY - done.at[1]) < 12 && remove(done);
  const to = place(stage, event);
  if (done.kind === "move") return event.button === 0 && state.tool !== "move" && send(stage, to, to, done.beside);
  if (state.tool !== "box" || isBox(stage, done.from, to)) send(stage, done.from, to, done.beside);
});
document.addEventListener("pointercancel", (event) => {
  if (!pointers.delete(event.pointerId)) return;
  gesture?.shape?.remove();
  gesture = null;
});
element.addEventListener("contextmenu", (event) => {
  if (!refines || !up(event, ".evf-stage")) return;
  event.preventDefault();
  if (gesture) gesture.beside = true;  // a long touch
});
element.addEventListener("touchmove", (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
element.addEventListener("wheel", (event) => {
  const stage = up(event, ".evf-stage");
  if (!stage || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  zoomTo(state.zoom * Math.exp(-event.deltaY / 300), shareOf(stage, event));
}, { passive: false });
// A screen reader clicks without a pointer.
element.addEventListener("click", (event) => { if (!event.detail && up(event, "[data-mark]")) remove(up(event, "[data-mark]").dataset); });

// --- keys: arrows move a cross over the picture (with Shift in small steps), Enter clicks there ---------------------
let cross = [0.5, 0.5];
element.addEventListener("keydown", (event) => {
  const mark = up(event, "[data-mark]");
  if (mark && ["Enter", " ", "Delete", "Backspace"].includes(event.key)) {
    event.preventDefault();
    return remove(mark.dataset);
  }
  const stage = event.target;
  if (!stage.matches?.(".evf-stage")) return;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in moves && refines) {
    const step = event.shiftKey ? 0.005 : 0.03;
    cross = cross.map((at, axis) => clamp(at + moves[event.key][axis] * step, 0, 1));
  } else if (event.key === "Enter" && refines) {
    const at = [cross[0] * stage.dataset.width, cross[1] * stage.dataset.height];
    send(stage, at, at, event.shiftKey || state.tool === "remove");
  } else if (event.key in zooms) {
    zoomTo(state.zoom * zooms[event.key], cross.map((at, axis) => at * state.zoom + state[["x", "y"][axis]]));
  } else return;
  event.preventDefault();
  stage.style.setProperty("--cross-x", `${cross[0] * 100}%`);
  stage.style.setProperty("--cross-y", `${cross[1] * 100}%`);
  stage.classList.add("crossed");
});
element.addEventListener("focusout", (event) => event.target.classList?.remove("crossed"));
document.addEventListener("keydown", (event) => {
  if (!element.checkVisibility() || event.target.closest("input:not([type=range]), textarea")) return;
  if (event.key === "Escape" && element.matches(".evf-full")) element.classList.remove("evf-full");
  else if (event.key === "Escape" && chosen !== null) choose(null);
  const key = event.key.toLowerCase();
  if (!refines || !(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
  event.preventDefault();
  trigger(key === "y" || event.shiftKey ? "retry" : "undo");
});

// --- a copy of what is seen, as PNG -----------------------------------------------------------------------------
function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
}
function drawn(stage) {
  const picture = stage.querySelector(".picture");
  const [wide, high] = [picture.naturalWidth, picture.naturalHeight];
  const pen = canvasOf(Math.round(wide / state.zoom), Math.round(high / state.zoom));
  const layers = (kind) => [...stage.querySelectorAll(`.${kind}:not(.away, .folded)`)];
  const put = (image) => {
    const [left, top, width, height] = image === picture ? [0, 0, 1, 1] : boxOf(image);
    pen.drawImage(image, (state.x / state.zoom + left) * wide, (state.y / state.zoom + top) * high, width * wide, height * high);
  };
  const view = layers("layer").length ? state.view : "picture";
  if (view === "mask") pen.fillRect(0, 0, wide, high);
  else if (view !== "cutout") put(picture);
  if (view === "overlay") {  // as saturate(.45) of the style sheet: Safari's canvas knows no filters
    Object.assign(pen, { globalCompositeOperation: "saturation", globalAlpha: 0.55 });
    pen.fillRect(0, 0, wide, high);
    pen.globalCompositeOperation = "source-over";
  }
  pen.globalAlpha = view === "overlay" ? state.opacity : 1;
  if (view !== "outline") layers("fill").forEach(put);
  pen.globalAlpha = 1;
  if (view === "overlay" || view === "outline") layers("line").forEach(put);
  if (view === "cutout") {
    pen.globalCompositeOperation = "source-in";
    put(picture);
  }
  return pen.canvas;
}
function seen() {  // all stages, side by side
  const parts = all(".evf-stage").map(drawn);
  const pen = canvasOf(parts.reduce((sum, part) => sum + part.width, 0), Math.max(...parts.map((part) => part.height)));
  let x = 0;
  for (const part of parts) {
    pen.drawImage(part, x, 0);
    x += part.width;
  }
  return new Promise((done) => pen.canvas.toBlob(done, "image/png"));
}
let relabel = null;
async function copy(button) {
  const label = button.querySelector("span");
  clearTimeout(relabel);
  label.textContent = "Copying …";
  button.classList.add("told");
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": seen() })]);
    label.textContent = "Copied";
  } catch {  // a page without https may not write to the clipboard, nor may every browser write pictures
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await seen());
    link.download = `${one(".evf-stage").dataset.name}.${state.view}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);  // Safari reads it later
    label.textContent = "Saved";
  }
  relabel = setTimeout(() => {
    label.textContent = "Copy picture";
    button.classList.remove("told");
  }, 2000);
}

// --- a new answer -----------------------------------------------------------------------------------------------
function renew() {
  const shown = one(".evf-stage")?.dataset ?? {};
  if (shown.source !== source) [state, gesture] = [fresh(), null];
  if (shown.key !== answered || shown.source !== source) [chosen, folds] = [null, new Map()];
  [source, answered] = [shown.source, shown.key];
  const row = shown.chosen ?? chosen;
  chosen = one(`button.chip[data-row="${row}"]`) ? row : null;
  paint();
  if (focused && document.activeElement === document.body) one(focused)?.focus({ preventScroll: true });
}
watch("value", renew);
new ResizeObserver(paint).observe(element);
