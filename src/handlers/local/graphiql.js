"use strict";

// Tokens last an hour and the page stays open longer, so each call asks for the one in use and renews it in time.
const SECONDS_LEFT_MIN = 60;
const tokens = {};

function role() {
  return document.querySelector("input[name=role]:checked").value;
}

async function token(of, isRefused = false) {
  const known = tokens[of];
  if (!isRefused && known && known.expiresAt - Date.now() / 1000 > SECONDS_LEFT_MIN) return known.token;
  const answer = await fetch(`/token/${of}`);
  if (!answer.ok) throw new Error("The local stack gives no token. Is it still running?");
  tokens[of] = await answer.json();
  return tokens[of].token;
}

// The token is put in here, and an Authorization header written into GraphiQL's own header editor goes before it.
async function call(parameters, options) {
  const send = async (isRefused) =>
    fetch("/graphql", {
      method: "POST",
      headers: {
        Accept: "application/graphql-response+json, application/json;q=0.9",
        "Content-Type": "application/json",
        Authorization: `Bearer ${await token(role(), isRefused)}`,
        ...(options && options.headers),
      },
      body: JSON.stringify(parameters),
    });
  let answer = await send(false);
  if (answer.status === 401) answer = await send(true);
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `HTTP ${answer.status}: ${text}` }] };
  }
}

async function start() {
  const button = document.getElementById("copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(await token(role()));
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy token"), 1500);
  });
  if (!window.GraphiQL) return;
  const defaultQuery = await (await fetch("/first-query")).text();
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher: call,
      defaultQuery,
      defaultEditorToolsVisibility: "headers",
      isHeadersEditorEnabled: true,
    }),
  );
}

start();
