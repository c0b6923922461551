// Runs the audits of the npm package `graphql-http` against a server: node audit.mjs URL [TOKEN]
// Prints one JSON array of {id, name, status: "ok" | "warn" | "error", reason}; exit code 1 unless all are ok.
// The package is installed by audits.py, out of the committed tree.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../.local/graphql-http/package.json", import.meta.url));
const { serverAudits } = require("graphql-http");

const [url, token] = process.argv.slice(2);
if (!url) {
  console.error("usage: node audit.mjs URL [TOKEN]");
  process.exit(2);
}

const fetchWithToken = (address, { headers, ...rest } = {}) =>
  fetch(address, { ...rest, headers: token ? { ...headers, authorization: `Bearer ${token}` } : headers });

const results = [];
// One after the other, as a Lambda environment would get them.
for (const audit of serverAudits({ url, fetchFn: fetchWithToken })) {
  const { id, name, status, reason } = await audit.fn();
  results.push({ id, name, status, reason });
}
console.log(JSON.stringify(results, null, 1));
process.exitCode = results.every(({ status }) => status === "ok") ? 0 : 1;
