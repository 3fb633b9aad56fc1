// Runs once for the page. Several files that are dropped on a picture go where several pictures are asked about;
// Gradio would drop them. One file is left to Gradio.
() => document.addEventListener("drop", (event) => {
  const tab = event.target.closest?.("[id$='-picture']")?.id.replace("-picture", "");
  const box = tab && document.getElementById(`${tab}-several`);
  const files = [...event.dataTransfer.files];
  if (!box || files.length < 2) return;
  event.preventDefault();
  event.stopPropagation();
  event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));
  const bag = new DataTransfer();
  files.forEach((file) => bag.items.add(file));
  if (!box.querySelector("input[type=file]")?.checkVisibility()) box.querySelector("button").click();
  let tries = 50;
  const put = () => {
    const input = box.querySelector("input[type=file]");
    if (!input && tries-- > 0) return setTimeout(put, 100);
    input.files = bag.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    box.scrollIntoView({ block: "nearest" });
  };
  put();
}, true)
