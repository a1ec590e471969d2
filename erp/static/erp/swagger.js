"use strict";
// Every write needs an Idempotency-Key: a new one is sent with each call whose field is empty.
SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.schema,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "none",
  filter: true,
  persistAuthorization: true,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  onComplete() { fillKeys(); },
  requestInterceptor(request) {
    if (!request.loadSpec && request.method !== "GET") request.headers["Idempotency-Key"] ||= newKey();
    return request;
  },
});

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Swagger UI refuses to send a request whose required field is empty: it is filled as soon as it appears.
function fillKeys() {
  const setValue = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  new MutationObserver(() => {
    for (const field of document.querySelectorAll('tr[data-param-name="Idempotency-Key"] input:not([disabled])')) {
      if (field.value || field.dataset.filled) continue;
      field.dataset.filled = "true";
      setValue.call(field, newKey());  // React notices the value by its own setter only
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new FocusEvent("focusout", { bubbles: true }));  // ends the wait for more typing
    }
  }).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
}
