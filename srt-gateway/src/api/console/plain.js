"use strict";
// The streams as a table, each second; for a gateway that was built without the console.
const at = (id) => document.getElementById(id);
let token = sessionStorage.getItem("srt-gateway-token") || "";

function cells(stream) {
  const { figures } = stream;
  const link = figures.link;
  return [
    stream.name,
    stream.state,
    stream.source ? `${stream.source.kind} ${stream.source.peer}` : "–",
    `${(figures.bitrate_bps / 1e6).toFixed(2)} Mb/s`,
    `${(figures.bitrate_out_bps / 1e6).toFixed(2)} Mb/s`,
    link ? `${link.rtt_ms.toFixed(1)} ms` : "–",
    link ? `${(link.loss_ratio * 100).toFixed(2)} %` : "–",
    String(stream.viewers),
  ];
}

function show(page) {
  at("streams").hidden = page.items.length === 0;
  at("said").textContent = page.items.length === 0 ? "No stream yet." : `Streams: ${page.total}`;
  at("streams").tBodies[0].replaceChildren(
    ...page.items.map((stream) => {
      const row = document.createElement("tr");
      for (const text of cells(stream)) row.insertCell().textContent = text;
      return row;
    }),
  );
}

async function refresh() {
  let again = 1000;
  try {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch("api/v1/streams", { headers, cache: "no-store" });
    at("login").hidden = response.status !== 401;
    if (response.ok) show(await response.json());
    else {
      at("streams").hidden = true;
      at("said").textContent = response.status === 401 ? "The gateway wants a token." : `The gateway answered ${response.status}.`;
      again = response.status === 401 ? 0 : 5000;
    }
  } catch {
    at("said").textContent = "The gateway does not answer.";
    again = 5000;
  }
  if (again) setTimeout(refresh, again);
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  sessionStorage.setItem("srt-gateway-token", token);
  refresh();
});
refresh();
