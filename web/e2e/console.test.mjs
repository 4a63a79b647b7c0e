/** The console in a real browser, before a real gateway with live streams. Run: npm run e2e */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, test } from "node:test";
import { TOKEN, api, standIn, browser, endAll, gateway, open, overflow, play, publish, run, shot, until } from "./setup.mjs";

const STREAM = "live/cam 1";
const PAGES = { overview: "#/", stream: `#/stream/${encodeURIComponent(STREAM)}`, refused: "#/refused", bans: "#/bans", events: "#/events", changes: "#/changes", connect: `#/connect/${encodeURIComponent(STREAM)}`, gateway: "#/gateway" };

let chromium;
let base;
let port;
let viewer;

before(async () => {
  const config = `
[gateway]
name = "gw-test"
[srt]
port = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
token = "${TOKEN}"
[streams."${STREAM}"]
on_source_lost = "30s"
[streams."live/cam2"]
[streams."live/nobody"]
`;
  ({ base } = await gateway(config));
  const listeners = await api(base, "listeners");
  port = Number(listeners[0].address.split(":").at(-1));
  publish(port, `#!::r=${STREAM},m=publish`);
  publish(port, "#!::r=live/cam2,m=publish");
  viewer = play(port, `#!::r=${STREAM},m=request`);
  // Refused: there is no such stream.
  run("ffmpeg", ["-hide_banner", "-nostdin", "-i", `srt://127.0.0.1:${port}?streamid=${encodeURIComponent("#!::r=live/nowhere,m=request")}`, "-f", "null", "-"]);
  chromium = await browser();
  await until("both streams are live and watched", async () => {
    const { items } = await api(base, "streams");
    const live = items.filter((stream) => stream.state === "live").length;
    return live === 2 && items.some((stream) => stream.name === STREAM && stream.viewers === 1);
  });
});

after(endAll);

test("a token is asked for, and a wrong one is refused", async () => {
  const { page, close } = await open(chromium, base, { logIn: false });
  await page.goto(`${base}/`);
  await page.getByLabel("Token").fill("not the token");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("does not accept this token").waitFor();
  await shot(page, "login");
  await page.getByLabel("Token").fill(TOKEN);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("link", { name: STREAM }).waitFor();
  // Kept for this tab only, and never in the address.
  assert.equal(await page.evaluate(() => Object.keys(localStorage).some((key) => key.includes("token"))), false);
  assert.ok(!page.url().includes("token"));
  await close();
});

test("every page loads without an error, a violation of the policy, or a request elsewhere", async () => {
  const response = await fetch(`${base}/`);
  const policy = response.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  const { page, faults, close } = await open(chromium, base);
  for (const [name, hash] of Object.entries(PAGES)) {
    await page.goto(`${base}/${hash}`);
    await page.locator("main h1, main h2").first().waitFor({ state: "attached" });
    await until(`${name} shows more than that it loads`, async () => !(await page.locator("main").innerText()).includes("Loading"));
    assert.equal(await page.locator(".problem").count(), 0, `${name}: ${await page.locator(".problem").allInnerTexts()}`);
  }
  assert.deepEqual(faults, []);
  await close();
});

test("the overview shows figures, a sparkline and a decoded picture of what is live", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/`);
  const row = page.getByRole("row").filter({ hasText: STREAM });
  await until("its bitrate is shown", async () => /\d+ kb\/s|\d Mb\/s/.test(await row.innerText()));
  await row.locator(".still canvas").waitFor({ state: "visible" });
  const colours = await row.locator(".still canvas").evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let at = 0; at < data.length; at += 4 * 97) seen.add(`${data[at] >> 5} ${data[at + 1] >> 5} ${data[at + 2] >> 5}`);
    return seen.size;
  });
  assert.ok(colours > 8, `a test picture has many colours, this one ${colours}`);
  assert.match(await page.getByRole("row").filter({ hasText: "live/nobody" }).innerText(), /idle|waiting/);
  await until("the gateway remembers more than a few seconds", async () => {
    const past = await api(base, "history?points=90");
    return past.streams[STREAM].values.filter((value) => value > 0).length > 20;
  });
  await page.reload();
  // Seconds that the page has not seen: the sparkline is drawn from the middle on, and not from its right edge alone.
  const drawn = await until("the sparkline is drawn", () =>
    row.locator("canvas.spark").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const columns = new Set();
      for (let at = 3; at < data.length; at += 4) if (data[at] > 0) columns.add(((at - 3) / 4) % canvas.width);
      return columns.size / canvas.width;
    }),
  );
  assert.ok(drawn > 0.15, `20 of 90 s are remembered, and ${Math.round(drawn * 100)} % are drawn at once`);
  await shot(page, "overview-dark");
  // The keyboard: the first row, the second one, and into it.
  await page.keyboard.press("j");
  await page.locator(".whole:focus").waitFor();
  await page.keyboard.press("j");
  await until("the second row has the focus", () => page.locator(".whole:focus").innerText().then((name) => name === "live/cam2"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "live/cam2" }).waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test("the picture is played from the relay, and goes on", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/${PAGES.stream}`);
  await page.getByRole("button", { name: /Play/ }).click();
  const seen = () =>
    page.locator("video").evaluate((video) => ({ time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames, width: video.videoWidth }));
  await until("the first second is played", async () => (await seen()).time > 1);
  const first = await seen();
  await until("two more seconds are played", async () => (await seen()).time > first.time + 2);
  const later = await seen();
  assert.equal(later.width, 320, "it is the publisher's picture, not another one");
  assert.ok(later.frames > first.frames + 25, `${first.frames} frames, then ${later.frames}`);
  await shot(page, "stream-dark", true);
  await page.getByRole("button", { name: /Stop/ }).first().click();
  await page.getByRole("button", { name: /Play/ }).waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test("the stream's page shows its PIDs, TR 101 290, sessions and charts", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/${PAGES.stream}`);
  const pids = page.getByRole("region", { name: "Programs and PIDs" });
  await pids.getByText("H.264").first().waitFor();
  await pids.getByText("AAC").first().waitFor();
  await pids.getByText("0x0100 (256)").first().waitFor();
  await page.getByRole("region", { name: "TR 101 290" }).getByText("Continuity count error").waitFor();
  const sessions = page.getByRole("region", { name: "Sessions" });
  await sessions.getByText("publisher").waitFor();
  assert.match(await sessions.innerText(), /SRT 1\.\d+\.\d+/);
  await until("six charts are drawn", async () => (await page.locator(".chart canvas").count()) === 6);
  const label = page.getByRole("img", { name: /^Bitrate: in [\d.]+ [kM]b\/s/ });
  await label.waitFor();
  await page.getByRole("button", { name: "24 h" }).click();
  await label.waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test("an output is added, carries the stream, is stopped, started and removed", async () => {
  // A test that fails must not keep the process from ending.
  const socket = createSocket("udp4").unref();
  let bytes = 0;
  socket.on("message", (message) => {
    bytes += message.length;
  });
  await new Promise((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const address = `udp://127.0.0.1:${socket.address().port}`;
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/${PAGES.stream}`);
  const outputs = page.getByRole("region", { name: "Outputs" });
  await outputs.getByLabel("Address of the new output").fill(address);
  await outputs.getByRole("button", { name: "Add output" }).click();
  await until("datagrams come", () => bytes > 10_000);
  const row = outputs.getByRole("row").filter({ hasText: address });
  await row.getByText("live").waitFor();
  await row.getByRole("button", { name: `Stop ${address}` }).click();
  await row.getByText("The receiver gets no more data.").waitFor();
  await row.getByRole("button", { name: "Stop it?" }).click();
  await row.getByText("stopped").waitFor();
  await until("no more datagrams come", async () => {
    const before = bytes;
    await new Promise((resolve) => setTimeout(resolve, 500));
    return bytes === before;
  });
  await row.getByRole("button", { name: `Start ${address}` }).click();
  const stopped = bytes;
  await until("datagrams come again", () => bytes > stopped + 10_000);
  await row.getByRole("button", { name: `Remove ${address}` }).click();
  await row.getByRole("button", { name: "Remove it?" }).click();
  await row.waitFor({ state: "detached" });
  assert.deepEqual(faults, []);
  await close();
  socket.close();
});

test("what the gateway does not take is told in its own words", async () => {
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/${PAGES.stream}`);
  const outputs = page.getByRole("region", { name: "Outputs" });
  await outputs.getByLabel("Address of the new output").fill("gopher://127.0.0.1:70");
  await outputs.getByRole("button", { name: "Add output" }).click();
  await outputs.getByRole("alert").filter({ hasText: /srt:\/\// }).waitFor();
  assert.equal(await outputs.getByLabel("Address of the new output").inputValue(), "gopher://127.0.0.1:70", "what was typed stays");
  await close();
});

test("a session is ended", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/${PAGES.stream}`);
  const row = page.getByRole("region", { name: "Sessions" }).getByRole("row").filter({ hasText: "viewer" });
  await row.getByRole("button", { name: /^End the session/ }).click();
  await row.getByRole("button", { name: "End it?" }).click();
  await page.getByText(/Session of .* ended/).waitFor();
  await row.waitFor({ state: "detached" });
  await until("the viewer's program has ended", () => viewer.ended);
  assert.deepEqual(faults, []);
  await close();
});

test("a refused caller is found, with what it asked for and why not", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/`);
  await page.getByRole("link", { name: "Refused" }).click();
  await page.getByLabel("Filter refused callers").fill("nowhere 1404");
  const row = page.getByRole("row").filter({ hasText: "#!::r=live/nowhere,m=request" }).first();
  await row.waitFor();
  assert.match(await row.innerText(), /1404/);
  await shot(page, "refused-dark");
  assert.deepEqual(faults, []);
  await close();
});

test("the connection wizard's own words connect a publisher", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/#/connect/${encodeURIComponent("live/nobody")}`);
  await page.getByRole("tab", { name: "Any other" }).click();
  const url = await page.locator(".recipe > div").filter({ hasText: /^URL/ }).locator("code").innerText();
  await page.getByRole("img", { name: /QR code/ }).waitFor();
  await shot(page, "connect-dark");
  const input = ["-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-t", "20", "-c:v", "mpeg2video", "-f", "mpegts"];
  const publisher = run("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", ...input, url]);
  await until("the stream is live", async () => {
    const { state } = await api(base, `streams/${encodeURIComponent("live/nobody")}`);
    return state === "live";
  });
  await page.goto(`${base}/#/stream/${encodeURIComponent("live/nobody")}`);
  await page.getByText("MPEG-2 video: this browser cannot decode it").waitFor();
  publisher.child.kill("SIGTERM");
  assert.deepEqual(faults, []);
  await close();
});

test("nothing is wider than the window, from a phone to a wall", async () => {
  for (const [width, height, colorScheme] of [[360, 780, "light"], [2560, 1440, "dark"]]) {
    const { page, faults, close } = await open(chromium, base, { width, height, colorScheme });
    for (const [name, hash] of Object.entries(PAGES)) {
      await page.goto(`${base}/${hash}`);
      await until(`${name} is there`, async () => !(await page.locator("main").innerText()).includes("Loading"));
      if (name === "stream") await page.getByRole("region", { name: "TR 101 290" }).waitFor();
      assert.equal(await overflow(page), "", `${name} at ${width} px`);
      await shot(page, `${name}-${width}`, name !== "overview");
    }
    await page.goto(`${base}/#/`);
    await page.getByRole("button", { name: "Wall" }).click();
    await page.locator(".tile canvas").first().waitFor({ state: "visible" });
    assert.equal(await overflow(page), "", `the wall at ${width} px`);
    await shot(page, `wall-${width}`);
    assert.deepEqual(faults, []);
    await close();
  }
});

test("500 streams: drawn in part, quick to filter, and smooth to scroll", async () => {
  const streams = Array.from({ length: 500 }, (_, index) => `[streams."wall/${String(index).padStart(3, "0")}"]`).join("\n");
  const many = await gateway(`[srt]\nport = "127.0.0.1:0"\n[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n${streams}\n`);
  const { page, faults, close } = await open(chromium, many.base, { width: 1920, height: 1080 });
  await page.goto(`${many.base}/`);
  await page.getByText("500 streams").waitFor();
  assert.ok((await page.locator(".whole").count()) < 80, "only what is seen is drawn");
  // Processor time of the page's main thread: the clock on the wall would measure who else uses the machine.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const busy = async () => (await devtools.send("Performance.getMetrics")).metrics.find((metric) => metric.name === "TaskDuration").value;
  const before = await busy();
  const seconds = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const start = performance.now();
        const step = (now) => {
          scrollBy(0, 60);
          if (now < start + 3_000) requestAnimationFrame(step);
          else resolve((now - start) / 1000);
        };
        requestAnimationFrame(step);
      }),
  );
  const share = ((await busy()) - before) / seconds;
  assert.ok(share < 0.7, `scrolling while figures come takes ${Math.round(share * 100)} % of the main thread`);
  const typed = await busy();
  await page.getByLabel("Filter streams").fill("wall/487");
  await page.getByText("1 of 500 streams").waitFor();
  await page.getByRole("link", { name: "wall/487" }).waitFor();
  const filtering = (await busy()) - typed;
  assert.ok(filtering < 0.5, `filtering takes ${filtering} s`);
  await page.getByLabel("Filter streams").fill("");
  await page.getByText("500 streams").waitFor();
  const still = await busy();
  await page.waitForTimeout(3_000);
  const idle = ((await busy()) - still) / 3;
  assert.ok(idle < 0.25, `looking on takes ${Math.round(idle * 100)} % of the main thread`);
  if (process.env.SHOTS) console.log(`main thread: ${Math.round(share * 100)} % scrolling, ${Math.round(idle * 100)} % looking on, ${filtering.toFixed(3)} s to filter`);
  assert.deepEqual(faults, []);
  await close();
});

test("500 live streams: looking on stays cheap, and takes no more memory the longer it lasts", async () => {
  const link = { rtt_ms: 20, rtt_p95_ms: 30, loss_ratio: 0.001, lost: 1, retransmitted: 2, dropped: 0, buffer_ms: 100, latency_ms: 120 };
  const verdict = (index) => (index % 25 ? { level: "good", fault: "none", sentence: "no errors in 60 s", evidence: [], viewers: [] } : { level: "warning", fault: "publisher_link", sentence: "link of the publisher: raise latency to 240 ms", evidence: ["loss 2 %"], viewers: [] });
  const streams = (second) =>
    Array.from({ length: 500 }, (_, index) => ({
      name: `wall/${String(index).padStart(3, "0")}`,
      origin: "config",
      state: "live",
      viewers: index % 7,
      outputs: 0,
      inputs: 0,
      source: { session: index, kind: "publisher", peer: `192.0.2.1:${5000 + index}` },
      figures: { bitrate_bps: 6e6 + 1e6 * Math.sin((second + index) / 5), bitrate_out_bps: 0, bytes: 0, messages: 0, skipped: 0, link: { ...link, rtt_ms: 20 + (second % 9) } },
      verdict: verdict(index),
    }));
  // Five times as fast as a gateway tells: the load is five times what it is, and minutes pass in seconds.
  const crowd = await standIn(base, streams, 5);
  const { page, faults, close } = await open(chromium, crowd.base, { width: 1920, height: 1080 });
  // The gateway has no keyframes of streams that it has not.
  await page.addInitScript(() => localStorage.setItem("stills", "off"));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  await devtools.send("HeapProfiler.enable");
  const metrics = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    const { metrics: list } = await devtools.send("Performance.getMetrics");
    return Object.fromEntries(list.map((one) => [one.name, one.value]));
  };
  const events = (more) => {
    const end = crowd.told.events + more;
    return until(`${more} more events`, () => crowd.told.events >= end);
  };
  for (const kind of ["Table", "Wall"]) {
    await page.goto(`${crowd.base}/#/`);
    await page.getByText("500 streams").waitFor();
    await page.getByRole("button", { name: kind }).click();
    await events(50);
    const first = await metrics();
    await events(50);
    const last = await metrics();
    // Of the processor, at the rate of a gateway.
    const share = (last.TaskDuration - first.TaskDuration) / 50;
    const grown = (last.JSHeapUsedSize - first.JSHeapUsedSize) / 1e6;
    if (process.env.SHOTS) console.log(`${kind}: ${Math.round(share * 100)} % of the main thread, ${(last.JSHeapUsedSize / 1e6).toFixed(1)} MB, ${grown.toFixed(1)} MB more after 50 s, ${last.Nodes} nodes, events of ${Math.round(crowd.told.bytes / 1000)} kB`);
    assert.ok(share < 0.3, `${kind}: ${Math.round(share * 100)} % of the main thread`);
    assert.ok(grown < 2, `${kind}: ${grown} MB more in 50 s`);
    assert.ok(last.JSHeapUsedSize < 60e6, `${kind}: ${last.JSHeapUsedSize} bytes`);
    assert.equal(await overflow(page), "", kind);
    await shot(page, `crowd-${kind}`);
  }
  assert.deepEqual(faults, []);
  await close();
});
