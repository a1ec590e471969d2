"use strict";
// The page of something that is still going on: load it again after two seconds.
window.setTimeout(() => window.location.reload(), 2000);
