"use strict";
// Sends the token behind the "#" of the link to the API. The token is removed from the address bar at once, so that
// neither history nor bookmarks store it.
const token = window.location.hash.slice(1);
window.history.replaceState(null, "", window.location.pathname);
window.addEventListener("hashchange", () => window.location.reload());  // another link, opened over this one
const form = document.getElementById("link");
const errorOf = (name) => form.querySelector(`[data-for="${name}"]`);
const needsToken = !("withoutToken" in form.dataset);
document.getElementById(token || !needsToken ? "link" : "stale").hidden = false;

// One key per submission: it is sent again with the same key if the response was lost.
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
let sent = { body: "", key: "" };

function body() {
  const values = needsToken ? { token } : {};
  for (const field of form.elements) {
    if (!field.name || field.name === "again") continue;
    values[field.name] = field.type === "checkbox" ? field.checked : field.value;
  }
  return JSON.stringify(values);
}

function show(problem) {
  let placed = false;
  for (const fault of problem.errors || []) {
    const place = errorOf(fault.pointer.slice(1));
    if (place) { place.textContent = fault.detail; placed = true; }
  }
  if (!placed) document.getElementById("fault").textContent = problem.detail || problem.title;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  for (const place of form.querySelectorAll(".fault")) place.textContent = "";
  const password = form.querySelector("[autocomplete=new-password]");
  if (password && password.value !== form.elements.again.value) {
    errorOf("again").textContent = "The passwords differ.";
    return;
  }
  const text = body();
  if (sent.body !== text) sent = { body: text, key: newKey() };
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.dataset.endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": sent.key },
      body: text,
      credentials: "omit",
    });
    if (answer.ok) {
      form.hidden = true;
      document.getElementById("done").hidden = false;
      return;
    }
    sent.body = "";
    show(await answer.json());
  } catch {
    document.getElementById("fault").textContent = "The server cannot be reached. Try again.";
  } finally {
    button.disabled = false;
  }
});
