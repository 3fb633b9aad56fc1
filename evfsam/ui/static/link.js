// Runs once for each line of text (gr.HTML js_on_load): the address bar follows its link, and a click copies it.
function follow() {
  const link = element.querySelector("a.evf-link");
  if (link && element.closest(".tabitem").checkVisibility()) history.replaceState(history.state, "", link.href);
}
element.addEventListener("click", async (event) => {
  const link = event.target.closest && event.target.closest("a.evf-link");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(link.href);
    link.textContent = "copied";
  } catch {
    link.textContent = "copy it from the address bar";  // a page without https may not write to the clipboard
  }
  setTimeout(() => { link.textContent = "copy link"; }, 2500);
});
watch("value", follow);
