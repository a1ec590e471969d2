"use strict";
// The page of a request that is still being carried out: ask again under the same key after a second.
window.setTimeout(() => document.getElementById("ask-again").submit(), 1000);
