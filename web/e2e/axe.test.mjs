/** axe-core finds nothing on any page, from a phone to a wall, dark and light. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { TOKEN, api, browser, endAll, gateway, open, overflow, play, publish, run, shot, standIn, until } from "./setup.mjs";

const AXE = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
const STREAM = "live/cam 1";
const encoded = encodeURIComponent;
const PAGES = {
  overview: "#/",
  wall: "#/?layout=wall",
  stream: `#/stream/${encoded(STREAM)}`,
  lost: `#/stream/${encoded("live/lost")}`,
  alarms: "#/alarms",
  refused: "#/refused",
  bans: "#/bans",
  events: "#/events",
  changes: "#/changes",
  connect: `#/connect/${encoded(STREAM)}`,
  gateway: "#/gateway",
};

let chromium;
let base;

const alarm = (id, change) => ({ id, kind: "source_lost", severity: "critical", state: "active", stream: "live/a", party: "192.0.2.1:5000", text: "lost 12 s ago", first: "2026-11-30T19:00:00Z", raised: "2026-11-30T19:00:10Z", count: 2, ...change });

before(async () => {
  const own = await gateway(`[gateway]\nname = "gw-axe"\n[srt]\nport = "127.0.0.1:0"\n[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n[streams."live/lost"]\ninputs = ["srt://127.0.0.1:9"]\n`);
  const port = Number((await api(own.base, "listeners"))[0].address.split(":").at(-1));
  await api(own.base, `streams/${encoded(STREAM)}`, { method: "PUT", body: { publish_passphrase: ["a passphrase of ours"], outputs: ["udp://127.0.0.1:9"], inputs: ["srt://127.0.0.1:7", "srt://127.0.0.1:8"] } });
  publish(port, `#!::r=${STREAM},m=publish`, "a passphrase of ours");
  play(port, `#!::r=${STREAM},m=request`);
  await api(own.base, "bans", { method: "POST", body: { address: "192.0.2.0/24", seconds: 3600, reason: "tries passwords" } });
  run("ffmpeg", ["-hide_banner", "-nostdin", "-i", `srt://127.0.0.1:${port}?streamid=${encoded("#!::r=live/nowhere,m=request")}`, "-f", "null", "-"]);
  await until("the stream is live and watched", async () => {
    const stream = await api(own.base, `streams/${encoded(STREAM)}`);
    return stream.state === "live" && stream.ts?.programs.length > 0;
  });
  await until("a caller was refused", async () => (await api(own.base, "rejections")).length > 0);
  const alarms = [alarm("a-1"), alarm("a-2", { severity: "warning", acknowledged: { by: "me", time: "2026-11-30T19:01:00Z", note: "seen" } })];
  const off = [{ stream: "live/b", by: "night shift", until: "2026-12-01T06:00:00Z", note: "no show", origin: "api" }];
  const maintenance = [{ id: 7, streams: "live/*", from: "2026-11-30T22:00:00Z", until: "2026-11-30T23:00:00Z", by: "night shift", note: "encoder upgrade", state: "planned" }];
  const lists = { alarms, "expected-off": off, maintenance };
  const answers = (method, path) => (method === "GET" && path in lists ? { items: lists[path] } : undefined);
  // Streams of every health, in place of the one that is real.
  const figures = { bitrate_bps: 4e6, bitrate_out_bps: 8e6, bytes: 0, messages: 0, skipped: 0, link: { rtt_ms: 20, rtt_p95_ms: 30, loss_ratio: 0.08, lost: 1, retransmitted: 2, dropped: 3, buffer_ms: 100, latency_ms: 120 } };
  const verdict = (level, sentence) => ({ level, fault: "publisher_link", sentence, evidence: [], viewers: [] });
  const streams = () => [
    { name: STREAM, state: "live", verdict: verdict("good", "no errors in 60 s") },
    { name: "live/bad", state: "live", verdict: verdict("bad", "link of the publisher: raise latency to 480 ms") },
    { name: "live/warning", state: "live", verdict: verdict("warning", "link of the publisher: raise latency to 240 ms") },
    { name: "live/lost", state: "waiting", verdict: null },
    { name: "news/idle", state: "idle", verdict: null },
  ].map((one) => ({ origin: "config", viewers: 2, outputs: 1, inputs: 1, figures, media: { video: "H.264", audio: "AAC", width: 1920, height: 1080 }, up_seconds: 90, ...one }));
  ({ base } = await standIn(own.base, streams, 2, { answers, gateway: () => ({ draining: true, sessions: 3, alarms: { critical: 1, warning: 1, unacknowledged: 1 } }) }));
  chromium = await browser();
});

after(endAll);

async function findings(page) {
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target.join(" ")} ${node.html.slice(0, 140)} ${(node.failureSummary ?? "").split("\n").slice(1).join(" ").slice(0, 200)}`));
}

async function opened(options) {
  const opened = await open(chromium, base, options);
  await opened.page.addInitScript({ path: AXE });
  return opened;
}

for (const colorScheme of ["dark", "light"]) {
  for (const [width, height] of [[390, 844], [1440, 900], [2560, 1440]]) {
    test(`axe has no findings at ${width} px, ${colorScheme}`, async () => {
      const { page, close } = await opened({ width, height, colorScheme });
      const all = [];
      for (const [name, hash] of Object.entries(PAGES)) {
        await page.goto(`${base}/${hash}`);
        await until(`${name} is there`, async () => !(await page.locator("main").innerText()).includes("Loading") && (await page.locator("main h1, main h2").count()) > 0);
        if (name === "stream") await page.getByRole("region", { name: "TR 101 290" }).waitFor();
        if (/alarms|refused|bans|changes/.test(name)) await page.locator("tbody tr").first().waitFor();
        await page.locator("main").getByText(/\w/).first().waitFor();
        all.push(...(await findings(page)).map((one) => `${name}: ${one}`));
        assert.equal(await overflow(page), "", `${name} at ${width} px`);
        await shot(page, `axe-${name}-${width}-${colorScheme}`, name !== "wall" && name !== "overview");
      }
      await close();
      assert.deepEqual(all, []);
    });
  }
}

test("axe has no findings in windows above the page, nor at the login", async () => {
  const all = [];
  for (const [width, colorScheme] of [[390, "light"], [1440, "dark"]]) {
    const { page, close } = await opened({ width, height: 844, colorScheme });
    const look = async (name) => all.push(...(await findings(page)).map((one) => `${name} at ${width}: ${one}`));
    await page.goto(`${base}/#/`);
    await page.getByRole("button", { name: "New stream…" }).click();
    for (const tab of ["Publish", "Play", "Security", "Resilience", "All keys"]) {
      await page.getByRole("tab", { name: tab }).click();
      await look(`new stream, ${tab}`);
      await shot(page, `axe-new-${tab}-${width}`);
    }
    await page.goto(`${base}/${PAGES.stream}`);
    await page.reload();
    await page.getByRole("button", { name: /^Ban 127/ }).first().click();
    await page.getByText(/^Ends/).first().waitFor();
    await look("ban");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Rotate the passphrase of the publishers" }).click();
    await look("rotation");
    await page.goto(`${base}/#/alarms`);
    await page.getByRole("button", { name: /^Acknowledge/ }).first().click();
    await look("acknowledge");
    await close();
    const { page: stranger, close: leave } = await opened({ width, height: 844, colorScheme, logIn: false });
    await stranger.goto(`${base}/`);
    await stranger.getByLabel("Token").fill("wrong");
    await stranger.getByRole("button", { name: "Log in" }).click();
    await stranger.getByText("does not accept this token").waitFor();
    all.push(...(await findings(stranger)).map((one) => `login at ${width}: ${one}`));
    await leave();
  }
  assert.deepEqual(all, []);
});
