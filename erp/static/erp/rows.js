"use strict";
// Lists within a form: "Add row" copies the template of its list under the next number, "Remove row" takes a row out.
document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-add-row], [data-remove-row]");
    if (!button) return;
    const form = button.closest("form");
    if ("removeRow" in button.dataset) {
        button.closest(".erp-row").remove();
    } else {
        const list = button.closest(".erp-rows");
        const next = String(Number(list.dataset.next || list.querySelectorAll(":scope > .erp-rows-list > .erp-row").length));
        list.dataset.next = String(Number(next) + 1);
        const holder = document.createElement("div");
        holder.innerHTML = list.querySelector(":scope > template").innerHTML.replaceAll(list.dataset.mark, next);
        const row = holder.firstElementChild;
        list.querySelector(":scope > .erp-rows-list").append(row);
        const fields = window.django?.jQuery?.(row).find(".unfold-admin-autocomplete");
        if (fields?.length) fields.djangoCustomSelect2();
        const first = row.querySelector("input, select, textarea");
        if (first) first.focus();
    }
    form.dispatchEvent(new Event("change", { bubbles: true }));
});
