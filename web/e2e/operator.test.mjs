/** What an operator relies on: old figures look old, times name their zone, consequences are told before, and can be undone. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { TOKEN, api, browser, endAll, gateway, open, overflow, play, presses, publish, run, shot, standIn, until } from "./setup.mjs";

const encoded = encodeURIComponent;

let chromium;
let base;
let port;

before(async () => {
  ({ base } = await gateway(`
[gateway]
name = "gw-operator"
[srt]
port = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
token = "${TOKEN}"
[streams."zone/a"]
[streams."clicks/a"]
[streams."lost/a"]
[streams."codec/hevc"]
[streams."codec/ac3"]
[streams."news/one"]
[streams."news/two"]
[streams."sport/one"]
`));
  const listeners = await api(base, "listeners");
  port = Number(listeners[0].address.split(":").at(-1));
  chromium = await browser();
});

after(endAll);

/** A port that nobody uses now. */
const freePort = () =>
  new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });

const live = (name, viewers = 0) =>
  until(`${name} is live with ${viewers} viewers`, async () => {
    const stream = await api(base, `streams/${encoded(name)}`);
    return stream.state === "live" && stream.viewers === viewers;
  });

test("figures of a gateway that is gone look old, with their age, until it is back", async () => {
  const own = await gateway(`[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n[streams.a]\n`);
  const { page, close } = await open(chromium, own.base);
  await page.goto(`${own.base}/#/`);
  await page.getByRole("link", { name: "a", exact: true }).waitFor();
  const old = page.locator("main.stale");
  assert.equal(await old.count(), 0);
  const age = async () => Number(/is (\d+) s old, from \d\d:\d\d:\d\d UTC/.exec(await page.locator(".link-state").innerText())?.[1]);
  const isNew = async () => (await old.count()) === 0 && (await page.locator(".link-state").count()) === 0;

  // It hangs: the connection stays open, and nothing comes.
  own.process.child.kill("SIGSTOP");
  await old.waitFor();
  assert.match(await old.evaluate((main) => getComputedStyle(main).filter), /grayscale/);
  assert.match(await page.locator(".totals").evaluate((totals) => getComputedStyle(totals).filter), /grayscale/);
  assert.match(await page.title(), /No connection/);
  const first = await age();
  await until("the age is counted", async () => (await age()) >= first + 2);
  await shot(page, "stale");
  own.process.child.kill("SIGCONT");
  await until("it looks new again", isNew);
  assert.doesNotMatch(await page.title(), /No connection/);

  // It ends, and another one starts in its place.
  const { host } = new URL(own.direct);
  own.process.child.kill("SIGKILL");
  await page.getByText("No connection to the gateway.").waitFor();
  await old.waitFor();
  await until("it has ended", () => own.process.ended);
  await gateway(readFileSync(own.config, "utf8").replace("127.0.0.1:0", host));
  await until("it looks new again", isNew);
  await close();
});

test("times name their zone, and are shown in UTC when asked to", async () => {
  const { page, close } = await open(chromium, base, { timezoneId: "Asia/Kolkata" });
  publish(port, "#!::r=zone/a,m=publish");
  await live("zone/a");
  const { time } = (await api(base, "events")).at(-1);
  const utc = time.slice(11, 19);
  const local = new Date(Date.parse(time) + 5.5 * 3_600_000).toISOString().slice(11, 19);
  await page.goto(`${base}/#/events`);
  await page.getByText("Times, UTC+5:30").waitFor();
  const shown = (text) => page.locator("time").filter({ hasText: new RegExp(`${text}$`) }).first().waitFor();
  await shown(local);
  await page.getByRole("button", { name: "Times: local, UTC+5:30. Change" }).click();
  await page.getByText("Times, UTC", { exact: true }).waitFor();
  await shown(utc);
  await page.reload();
  await shown(utc);
  // A link decides for whoever opens it.
  await page.goto(`${base}/#/events?times=local`);
  await shown(local);
  await close();
});

const crowd = () => [
  ["sport/final", "live", { level: "bad", fault: "publisher_link", sentence: "link of the publisher loses 8 % of its packets: raise its latency to 480 ms", evidence: [], viewers: [] }],
  ["sport/studio", "waiting", { level: "none", fault: "none", sentence: "", evidence: [], viewers: [] }],
].map(([name, state, verdict]) => ({ name, origin: "config", state, viewers: 2, outputs: 0, inputs: 0, figures: { bitrate_bps: 4e6, bitrate_out_bps: 8e6, bytes: 0, messages: 0, skipped: 0 }, verdict }));

test("a phone, a tablet and the wall tell why a row is red", async () => {
  const of = await standIn(base, crowd, 2);
  for (const [width, layout] of [[390, "table"], [820, "table"], [1440, "table"], [390, "wall"], [1440, "wall"]]) {
    const { page, close } = await open(chromium, of.base, { width, height: 844, colorScheme: "light" });
    await page.goto(`${of.base}/#/?layout=${layout}`);
    for (const [name, why] of [["sport/final", "raise its latency to 480 ms"], ["sport/studio", "No source"]]) {
      const row = page.locator(layout === "wall" ? ".tile" : ".rows .row").filter({ hasText: name });
      const reason = row.locator(layout === "wall" ? ".tile-reason" : ".c-verdict");
      await reason.filter({ hasText: why }).waitFor();
      const [outer, inner] = [await row.boundingBox(), await reason.boundingBox()];
      assert.ok(inner.y >= outer.y && inner.y + inner.height <= outer.y + outer.height + 1, `${name} at ${width} px, ${layout}: the reason lies within its row`);
      assert.ok(inner.height > 8, `${name} at ${width} px: it has height`);
    }
    assert.equal(await overflow(page), "");
    await shot(page, `reason-${layout}-${width}`);
    await close();
  }
});

test("the address holds filter, group, order and layout, and shows the same to others", async () => {
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/`);
  await page.getByRole("link", { name: "news/one" }).waitFor();
  await page.getByLabel("Group").selectOption("news");
  await page.getByLabel("Filter streams").fill("two");
  await page.getByRole("button", { name: "Wall" }).click();
  await page.getByRole("button", { name: "None", exact: true }).click();
  await until("one is left", async () => (await page.locator(".tile").count()) === 1);
  const address = page.url();
  await page.getByRole("link", { name: "news/two" }).click();
  await page.getByRole("button", { name: "24 h" }).click();
  assert.match(page.url(), /span=24h/);
  await page.getByRole("link", { name: "All streams" }).click();
  assert.equal(page.url(), address, "the way back keeps the filters");
  await close();
  const other = await open(chromium, base);
  await other.page.goto(address);
  await other.page.getByRole("link", { name: "news/two" }).waitFor();
  assert.equal(await other.page.locator(".tile").count(), 1);
  assert.equal(await other.page.getByLabel("Filter streams").inputValue(), "two");
  assert.equal(await other.page.getByLabel("Group").inputValue(), "news");
  await other.page.goto(`${base}/#/?layout=table&sort=-name&group=news`);
  await until("the last comes first", async () => (await other.page.locator(".whole").allInnerTexts()).join() === "news/two,news/one");
  await other.page.goto(`${base}/#/events?q=nothing+like+this`);
  await other.page.getByText("No event matches").waitFor();
  await other.close();
});

test("what ends people says whom before, and is undone where it can be", async () => {
  const name = "ends/a";
  await api(base, `streams/${encoded(name)}`, { method: "PUT", body: { max_viewers: 9, outputs: ["udp://127.0.0.1:9"] } });
  publish(port, `#!::r=${name},m=publish`);
  await live(name);
  const viewer = play(port, `#!::r=${name},m=request`);
  await live(name, 1);
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/stream/${encoded(name)}`);
  const sessions = page.getByRole("region", { name: "Sessions" });
  await sessions.getByRole("row").filter({ hasText: "publisher" }).getByRole("button", { name: /^End the session/ }).click();
  await sessions.getByText("Cuts the source of 1 output, 1 viewer.").waitFor();
  await sessions.getByRole("row").filter({ hasText: "viewer" }).getByRole("button", { name: /^End the session/ }).click();
  await sessions.getByText("Ends 1 viewer.").waitFor();

  const outputs = page.getByRole("region", { name: "Outputs" });
  await outputs.getByRole("button", { name: /^Stop/ }).click();
  await outputs.getByText("The receiver gets no more data.").waitFor();
  await outputs.getByRole("button", { name: "Stop it?" }).click();
  await outputs.getByText("stopped").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await outputs.getByText("live", { exact: true }).waitFor();

  await outputs.getByRole("button", { name: /^Remove/ }).click();
  await outputs.getByRole("button", { name: "Remove it?" }).click();
  await until("it is gone", async () => (await api(base, `streams/${encoded(name)}`)).outputs === 0);
  await page.getByRole("button", { name: "Undo" }).click();
  await until("it is back", async () => (await api(base, `streams/${encoded(name)}`)).outputs === 1);

  await page.getByRole("button", { name: "Remove stream" }).click();
  await page.getByText(/Ends 2 sessions: 1 publisher, 1 viewer, unless the configuration accepts unknown streams\. Stops 1 input or output without a session\./).waitFor();
  await shot(page, "consequence", true);
  await page.getByRole("button", { name: "Remove the stream?" }).click();
  await until("the viewer has ended", () => viewer.ended);
  await page.getByRole("button", { name: "Undo" }).first().click();
  await until("the stream is back", async () => (await api(base, `streams/${encoded(name)}`)).definition?.max_viewers === 9);
  // What the page does not know it cannot bring back, and says so.
  await api(base, `streams/${encoded(name)}`, { method: "PUT", body: { play_passphrase: "nobody sees this" } });
  await page.goto(`${base}/#/stream/${encoded(name)}`);
  await page.getByText('play_passphrase = "***"').waitFor();
  await page.getByRole("button", { name: "Remove stream" }).click();
  await page.getByText("It has secrets, so the page cannot undo this.").waitFor();
  await page.goto(`${base}/#/gateway`);
  await page.getByRole("button", { name: "Drain the gateway" }).click();
  await page.getByText(/Ends \d+ sessions? after 5 minutes at the latest|Nobody is connected: the gateway ends at once/).waitFor();
  await close();
});

test("in few clicks: a ban and its undo, and why a caller was refused", async () => {
  publish(port, "#!::r=clicks/a,m=publish");
  await live("clicks/a");
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/stream/${encoded("clicks/a")}`);
  await page.getByRole("button", { name: /^Ban 127/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/Ends [1-9]\d* sessions?: [1-9]\d* publisher/).waitFor();
  await dialog.getByText(/clicks\/a/).waitFor();
  await shot(page, "ban-consequence");
  await dialog.getByRole("button", { name: "Ban", exact: true }).click();
  await until("it is banned", async () => (await api(base, "bans")).length === 1);
  await page.getByRole("button", { name: "Undo" }).click();
  await until("it is not", async () => (await api(base, "bans")).length === 0);
  assert.ok((await presses(page)) <= 4, `a ban and its undo take ${await presses(page)} clicks`);

  const caller = run("ffmpeg", ["-hide_banner", "-nostdin", "-i", `srt://127.0.0.1:${port}?streamid=${encoded("#!::r=clicks/a,m=publish,bad")}`, "-f", "null", "-"]);
  await until("a caller was refused", async () => (await api(base, "rejections")).length > 0);
  await page.goto(`${base}/#/`);
  await page.reload();
  await page.getByRole("link", { name: "Refused" }).click();
  await page.locator(".why").first().waitFor();
  assert.ok((await presses(page)) <= 2, `the reason takes ${await presses(page)} clicks`);
  caller.child.kill();
  await close();
});

test("what the browser cannot decode is named, and the rest is played", async () => {
  const send = (name, video, audio) => {
    const input = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine"];
    const url = `srt://127.0.0.1:${port}?streamid=${encoded(`#!::r=${name},m=publish`)}&pkt_size=1316`;
    return run("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", ...input, "-c:v", ...video, "-pix_fmt", "yuv420p", "-g", "25", "-c:a", ...audio, "-f", "mpegts", url]);
  };
  const hevc = send("codec/hevc", ["libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1"], ["aac"]);
  const ac3 = send("codec/ac3", ["libx264", "-preset", "ultrafast", "-tune", "zerolatency"], ["ac3"]);
  await live("codec/hevc");
  await live("codec/ac3");
  // The overview names what each stream carries.
  const listed = async (name) => (await api(base, "streams")).items.find((stream) => stream.name === name);
  await until("the picture's size is known", async () => (await listed("codec/hevc")).media?.width > 0);
  const { media, up_seconds } = await listed("codec/hevc");
  assert.deepEqual([media.format, media.video, media.audio], ["mpeg_ts", "HEVC", "AAC"]);
  assert.ok(up_seconds >= 0, `${up_seconds}`);
  const { page, close } = await open(chromium, base);
  const decodes = (type) => page.evaluate((type) => MediaSource.isTypeSupported(type), type);
  await page.goto(`${base}/#/stream/${encoded("codec/hevc")}`);
  const key = page.locator(".stream-now > .figures");
  await key.getByText("HEVC 320×180p25").waitFor();
  await key.getByText("Up for").waitFor();
  if (!(await decodes('video/mp4; codecs="hvc1.1.6.L93.B0"'))) await page.getByText("HEVC: this browser cannot decode it. The stream is relayed all the same.").waitFor();
  else await page.getByRole("button", { name: /Play/ }).waitFor();
  await shot(page, "codec-hevc");
  await page.goto(`${base}/#/stream/${encoded("codec/ac3")}`);
  await key.getByText("AC-3").waitFor();
  if (!(await decodes('audio/mp4; codecs="ac-3"'))) await page.getByText("AC-3: this browser cannot decode it. The picture plays without sound").waitFor();
  await page.getByRole("button", { name: /Play/ }).click();
  await until("the picture is played all the same", () => page.locator("video").evaluate((video) => video.currentTime > 0.5));
  await shot(page, "codec-ac3");
  await Promise.all([hevc.end(), ac3.end()]);
  await close();
});

test("in few clicks: a stream with a port and a passphrase of its own", async () => {
  const { page, faults, close } = await open(chromium, base);
  const own = await freePort();
  await page.goto(`${base}/#/`);
  await page.getByRole("link", { name: "news/one" }).waitFor();
  await page.getByRole("button", { name: "New stream…" }).click();
  const dialog = page.getByRole("dialog", { name: "New stream" });
  await dialog.waitFor();
  await page.keyboard.type("form/a");
  await dialog.getByLabel("Own port to publish on").click();
  await page.keyboard.type("127.0.0.1:99999");
  await dialog.getByLabel("Passphrase of that port").click();
  await page.keyboard.type("short");
  await dialog.getByRole("button", { name: "Save" }).click();
  await until("both fields are told of", async () => (await dialog.locator("[aria-invalid=true]").count()) === 2);
  await shot(page, "form-faults");
  await dialog.getByLabel("Own port to publish on").fill(`127.0.0.1:${own}`);
  await dialog.getByLabel("Passphrase of that port").fill("a secret of the port");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { name: "form/a" }).waitFor();
  assert.ok((await presses(page)) <= 8, `it takes ${await presses(page)} clicks, with two mistakes`);
  assert.deepEqual((await api(base, `streams/${encoded("form/a")}`)).definition, { srt_publish: { port: `127.0.0.1:${own}`, passphrase: "***" } });
  publish(own, "", "a secret of the port");
  await live("form/a");
  assert.deepEqual(faults.filter((fault) => !fault.includes("422")), []);
  await close();
});

test("inputs are put in order, when a stream is made and afterwards", async () => {
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/`);
  await page.getByRole("button", { name: "New stream…" }).click();
  const dialog = page.getByRole("dialog", { name: "New stream" });
  await dialog.getByLabel("Name").fill("form/inputs");
  for (const [at, address] of ["srt://127.0.0.1:7", "srt://127.0.0.1:8?passphrase=not to be seen", "srt://127.0.0.1:9"].entries()) {
    if (at > 0) await dialog.getByRole("button", { name: "Add an input" }).click();
    await dialog.getByLabel(at === 0 ? "Inputs" : `Inputs ${at + 1}`, { exact: true }).and(dialog.locator("input")).fill(address);
  }
  await dialog.getByRole("button", { name: "Move input 3 up" }).click();
  await shot(page, "form-inputs");
  await dialog.getByRole("tab", { name: "Resilience" }).click();
  await dialog.getByLabel("Viewers wait for a lost source").fill("30s");
  await dialog.getByLabel("A second publisher").selectOption("standby");
  await shot(page, "form-resilience");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { name: "form/inputs" }).waitFor();
  const inputs = async () => (await api(base, `streams/${encoded("form/inputs")}`)).definition.inputs;
  assert.deepEqual(await inputs(), ["srt://127.0.0.1:7", "srt://127.0.0.1:9", "srt://127.0.0.1:8?passphrase=***"]);
  const { definition } = await api(base, `streams/${encoded("form/inputs")}`);
  assert.deepEqual([definition.on_source_lost, definition.duplicate_publisher], ["30s", "standby"]);
  await page.getByRole("button", { name: "Move srt://127.0.0.1:8 up" }).click();
  await until("it is moved", async () => (await inputs())[1] === "srt://127.0.0.1:8?passphrase=***");
  await close();
});

test("a passphrase is rotated in two steps, in few clicks, and nobody is cut off", async () => {
  const name = "rotate/a";
  const [old, added] = ["the old passphrase", "the new passphrase"];
  for (const single of [false, true]) {
    await api(base, `streams/${encoded(name)}`, { method: "PUT", body: { publish_passphrase: single ? old : [old] } });
    const { page, close } = await open(chromium, base);
    const publishes = async (passphrase, expected) => {
      const publisher = publish(port, `#!::r=${name},m=publish`, passphrase);
      if (expected) await live(name);
      else await until("it is refused", () => publisher.ended);
      await publisher.end();
      await until("it is gone", async () => !(await api(base, `streams/${encoded(name)}`)).source);
    };
    await page.goto(`${base}/#/stream/${encoded(name)}`);
    await page.getByRole("button", { name: "Rotate the passphrase of the publishers" }).click();
    await page.getByLabel("New passphrase", { exact: true }).and(page.locator("input")).fill(added);
    await shot(page, "rotate");
    await page.getByRole("button", { name: "Make it valid" }).click();
    const told = page.getByText("Both passphrases are valid now");
    const asks = page.getByLabel("Passphrase that is valid now");
    await told.or(asks).first().waitFor();
    if (await asks.count()) {
      assert.ok(single, "a list keeps its secrets");
      await asks.fill(old);
      await page.getByLabel("Passphrase that is valid now").press("Enter");
    }
    await told.waitFor();
    await publishes(old, true);
    await publishes(added, true);
    await page.getByRole("button", { name: "Remove the old passphrase of the publishers" }).click();
    await page.getByText("Whoever connects with an old passphrase is refused").waitFor();
    await page.getByRole("button", { name: "Remove the others" }).click();
    await page.getByText("Only the new passphrase is valid").waitFor();
    assert.ok((await presses(page)) <= 4, `it takes ${await presses(page)} clicks`);
    await publishes(added, true);
    await publishes(old, false);
    await close();
    await api(base, `streams/${encoded(name)}`, { method: "DELETE" });
  }
});

test("a stream that is lost is red in the list and on its page, and says since when", async () => {
  const publisher = publish(port, "#!::r=lost/a,m=publish");
  await live("lost/a");
  play(port, "#!::r=lost/a,m=request");
  await live("lost/a", 1);
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/?group=lost`);
  const row = page.locator(".rows .row").filter({ hasText: "lost/a" });
  await row.waitFor();
  assert.doesNotMatch(await row.getAttribute("class"), /\bbad\b/);
  await publisher.end();
  await until("its row is red", async () => /\bbad\b/.test(await row.getAttribute("class")));
  await row.getByText(/lost \d+ s ago/).waitFor();
  await row.getByRole("link", { name: "lost/a" }).click();
  await page.locator(".verdict.bad").getByText(/lost \d+ s ago/i).waitFor();
  await close();
});
