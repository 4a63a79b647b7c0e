/** Alarms: listed, counted in the navigation and the title, acknowledged with a note, and heard by those who want to hear them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { TOKEN, api, browser, endAll, gateway, open, overflow, play, publish, shot, standIn, until } from "./setup.mjs";

let chromium;
let of;
let list;

const alarm = (id, change) => ({ id, kind: "source_lost", severity: "critical", state: "active", stream: "live/a", party: "192.0.2.1:5000", text: "lost 12 s ago: its link is cut", first: "2026-11-30T19:00:00Z", raised: "2026-11-30T19:00:10Z", count: 1, ...change });

before(async () => {
  const { base } = await gateway(`[gateway]\nname = "gw-alarms"\n[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n[streams."live/a"]\n`);
  list = [
    alarm("a-1", { count: 3 }),
    alarm("a-2", { kind: "certificate_expires", severity: "warning", stream: undefined, party: undefined, text: "the certificate expires in 6 days", acknowledged: { by: "night shift", time: "2026-11-30T19:01:00Z", note: "ordered" } }),
    alarm("a-3", { kind: "output_down", severity: "warning", state: "cleared", text: "the output failed", cleared: "2026-11-30T18:00:00Z" }),
  ];
  const counts = () => {
    const active = list.filter((one) => one.state === "active");
    const of = (severity) => active.filter((one) => one.severity === severity).length;
    return { critical: of("critical"), warning: of("warning"), unacknowledged: active.filter((one) => !one.acknowledged).length };
  };
  const answers = (method, path, body) => {
    if (method === "GET" && path === "alarms") return { total: list.length, offset: 0, ...counts(), items: list };
    if (method === "GET" && (path === "expected-off" || path === "maintenance")) return { total: 0, offset: 0, items: [] };
    const found = /^alarms\/([^/]+)\/ack$/.exec(path);
    if (method !== "POST" || !found) return undefined;
    const one = list.find(({ id }) => id === found[1]);
    if (body) one.acknowledged = { by: "me", time: "2026-11-30T19:05:00Z", ...JSON.parse(body) };
    return one;
  };
  of = await standIn(base, () => [], 2, { answers, gateway: () => ({ draining: false, sessions: 0, alarms: counts() }) });
  chromium = await browser();
});

after(endAll);

const row = (page, text) => page.getByRole("row").filter({ hasText: text });

test("alarms are listed with what is known of them, and told in the navigation and the title", async () => {
  const { page, faults, close } = await open(chromium, of.base);
  await page.goto(`${of.base}/#/`);
  const link = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: /^Alarms/ });
  await until("the badge counts", async () => /^Alarms\s+1\b/.test(await link.innerText()));
  assert.equal(await page.title(), "(1) Streams · gw-alarms");
  await link.click();
  assert.match(await row(page, "its link is cut").innerText(), /critical[\s\S]*19:00:10[\s\S]*3 times since[\s\S]*19:00:00[\s\S]*live\/a[\s\S]*source lost · 192\.0\.2\.1:5000[\s\S]*no/);
  assert.match(await row(page, "certificate").innerText(), /warning[\s\S]*the gateway[\s\S]*night shift[\s\S]*ordered/);
  assert.equal(await row(page, "the output failed").count(), 0);
  await shot(page, "alarms-1440");
  await page.getByRole("button", { name: "Cleared" }).click();
  await row(page, "the output failed").getByText("cleared 2026-11-30 18:00:00").or(row(page, "the output failed").getByText("warning, cleared")).first().waitFor();
  assert.match(page.url(), /state=cleared/);
  assert.deepEqual(faults, []);
  await close();
});

test("an alarm is acknowledged with a note, which ends the badge", async () => {
  const { page, faults, close } = await open(chromium, of.base, { width: 390, height: 844, colorScheme: "light" });
  await page.goto(`${of.base}/#/alarms?q=lost`);
  assert.equal(await overflow(page), "");
  await shot(page, "alarms-390");
  await row(page, "its link is cut").getByRole("button", { name: "Acknowledge live/a source lost" }).click();
  await page.getByRole("dialog").getByLabel("Note").fill("called the venue");
  await page.getByRole("dialog").getByLabel("Note").press("Enter");
  await row(page, "its link is cut").getByText("called the venue").waitFor();
  await until("the badge is gone", async () => (await page.locator(".badge").count()) === 0);
  assert.equal(await page.title(), "Alarms · gw-alarms");
  assert.deepEqual(faults, []);
  await close();
});

test("a new alarm is heard where somebody has turned the sound on, and nowhere else", async () => {
  const { page, faults, close } = await open(chromium, of.base);
  await page.addInitScript(() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...given) {
      window.tones += 1;
      return start.apply(this, given);
    };
  });
  const tones = () => page.evaluate(() => window.tones);
  const badge = (number) => until(`${number} are counted`, async () => (await page.title()).startsWith(number ? `(${number}) ` : "Alarms"));
  await page.goto(`${of.base}/#/alarms`);
  await badge(0);
  list.push(alarm("a-4", { text: "another one" }));
  await badge(1);
  assert.equal(await tones(), 0, "off by default");
  await page.getByRole("button", { name: "Sound off" }).click();
  const first = await until("it is heard what it sounds like", tones);
  list.push(alarm("a-5", { text: "one more" }));
  await badge(2);
  await until("the alarm is heard", async () => (await tones()) > first);
  await page.getByRole("button", { name: "Sound on" }).click();
  const second = await tones();
  list.push(alarm("a-6", { text: "yet another" }));
  await badge(3);
  assert.equal(await tones(), second);
  assert.deepEqual(faults, []);
  await close();
});

test("a gateway without alarms says so", async () => {
  const { base } = await gateway(`[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n`);
  const old = await standIn(base, () => [], 2, { answers: (_method, path) => (path === "alarms" ? null : undefined) });
  const { page, close } = await open(chromium, old.base);
  await page.goto(`${old.base}/#/alarms`);
  await page.getByText("This gateway has no alarms").waitFor();
  await close();
});

test("a real gateway raises an alarm, keeps the acknowledgement, and raises none where none is wanted", async () => {
  const own = await gateway(`[srt]\nport = "127.0.0.1:0"\n[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n[alarms]\nraise_after = "1s"\nclear_after = "1s"\n[streams."live/a"]\n[streams."live/b"]\n`);
  const port = Number((await api(own.base, "listeners"))[0].address.split(":").at(-1));
  const live = (name, viewers) =>
    until(`${name} is live`, async () => {
      const stream = await api(own.base, `streams/${encodeURIComponent(name)}`);
      return stream.state === "live" && stream.viewers === viewers;
    });
  const { page, close } = await open(chromium, own.base);
  await page.goto(`${own.base}/#/alarms`);
  await page.getByText("No active alarms").waitFor();
  const off = page.getByRole("region", { name: "Expected off" });
  await off.getByLabel("Stream", { exact: true }).fill("live/b");
  await off.getByLabel("Note").fill("no show tonight");
  await off.getByRole("button", { name: "Expect it to be off" }).click();
  await row(off, "live/b").getByText("no show tonight").waitFor();
  const maintenance = page.getByRole("region", { name: "Maintenance" });
  await maintenance.getByLabel("Streams").fill("sport/*");
  await maintenance.getByRole("button", { name: "Add maintenance" }).click();
  await row(maintenance, "sport/*").getByText("now").waitFor();
  await shot(page, "alarms-silences", true);

  let publisher;
  for (const name of ["live/a", "live/b"]) {
    publisher = publish(port, `#!::r=${name},m=publish`);
    await live(name, 0);
    play(port, `#!::r=${name},m=request`);
    await live(name, 1);
    await publisher.end();
  }
  await row(page, "source lost").filter({ hasText: "live/a" }).getByRole("button", { name: /^Acknowledge/ }).click();
  await page.getByRole("dialog").getByLabel("Note").fill("called the venue");
  await page.getByRole("dialog").getByLabel("Note").press("Enter");
  await row(page, "source lost").getByText("called the venue").waitFor();
  assert.equal((await api(own.base, "alarms")).items.filter((one) => one.stream === "live/b" && one.state === "active").length, 0);
  publish(port, "#!::r=live/a,m=publish");
  await row(page, "source lost").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Cleared" }).click();
  await row(page, "source lost").getByText("critical, cleared").waitFor();
  await row(off, "live/b").getByRole("button", { name: "End for live/b" }).click();
  await row(off, "live/b").waitFor({ state: "detached" });
  await row(maintenance, "sport/*").getByRole("button", { name: /^End/ }).click();
  await row(maintenance, "sport/*").waitFor({ state: "detached" });
  await close();
});
