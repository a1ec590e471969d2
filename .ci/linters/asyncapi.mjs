// Parses and validates an AsyncAPI document with the schemas that it refers to; prints what is wrong.
import asyncapi from "@asyncapi/parser";

const file = process.argv[2];
const { document, diagnostics } = await asyncapi.fromFile(new asyncapi.Parser(), file).parse();
for (const { code, message, path } of diagnostics) console.log(`${file}: ${path.join("/")}: ${message} (${code})`);
if (!document || diagnostics.length) process.exit(1);
console.log(`${file}: AsyncAPI ${document.version()}, no problems.`);
