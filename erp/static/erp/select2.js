"use strict";
// A search field is named by its label, not only by what is chosen in it, which may be nothing.
function nameSearchFields() {
  for (const box of document.querySelectorAll(".select2-selection[role=combobox]:not([data-named])")) {
    const field = box.closest(".select2-container").previousElementSibling;
    const label = field?.id && document.querySelector(`label[for="${field.id}"]`);
    if (!label) continue;
    label.id ||= `${field.id}-label`;
    box.dataset.named = "true";
    box.setAttribute("aria-labelledby", `${label.id} ${box.getAttribute("aria-labelledby") || ""}`.trim());
    box.querySelector("[role=textbox]")?.setAttribute("aria-labelledby", label.id);
  }
}
new MutationObserver(nameSearchFields).observe(document.documentElement, { childList: true, subtree: true });
