// Runs once for each line of text (gr.HTML js_on_load): the address bar follows its link, and a click copies it.
function follow() {
  const link = element.querySelector("a.evf-link");
  if (link && element.closest(".tabitem").checkVisibility()) history.replaceState(history.state, "", link.href);
}
element.addEventListener("click", async (event) => {
  const link = event.target.closest && event.target.closest("a.evf-link");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  let copied = true;
  try {
    await navigator.clipboard.writeText(link.href);
  } catch {  // a page without https has no clipboard, but may copy what is selected
    const field = Object.assign(document.createElement("textarea"), { value: link.href, readOnly: true });
    link.after(field);
    field.select();
    copied = document.execCommand("copy");
    field.remove();
  }
  link.textContent = copied ? "copied" : "copy it from the address bar";
  setTimeout(() => { link.textContent = "copy link"; }, 2500);
});
watch("value", follow);
