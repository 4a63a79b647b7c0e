/** Steering from the page: the configuration file, definitions, bans, the log's level, drain; and who may do what. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { TOKEN, api, browser, endAll, gateway, open, overflow, publish, run, shot, until } from "./setup.mjs";

const FIXED = "live/fixed";
const MADE = "live/made here";
const encoded = encodeURIComponent;

let chromium;
let base;
let config;
let running;
let port;

before(async () => {
  ({ base, config, process: running } = await gateway(`
[gateway]
name = "gw-steer"
[srt]
port = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
token = "${TOKEN}"
tokens = [{ token = "who only looks", scope = "read" }]
[streams_default]
accept_unknown = true
[streams."${FIXED}"]
max_viewers = 7
play_passphrase = "not to be seen"
outputs = ["udp://127.0.0.1:9"]
`));
  const listeners = await api(base, "listeners");
  port = Number(listeners[0].address.split(":").at(-1));
  chromium = await browser();
});

after(endAll);

/** The page of a stream, when its sections are there. */
async function streamPage(page, name) {
  await page.goto(`${base}/#/stream/${encoded(name)}`);
  const definition = page.getByRole("region", { name: "Definition" });
  await definition.waitFor();
  return { definition, outputs: page.getByRole("region", { name: "Outputs" }) };
}

test("a stream is made, with what is wrong shown at its field, and changed", async () => {
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/`);
  await page.getByRole("button", { name: "New stream…" }).click();
  const dialog = page.getByRole("dialog", { name: "New stream" });
  await dialog.getByLabel("Name").fill(MADE);
  await dialog.getByRole("tab", { name: "All keys" }).click();
  await dialog.getByLabel("Add a setting", { exact: true }).selectOption("max_viewers");
  await dialog.getByLabel("max_viewers", { exact: true }).fill("many");
  await dialog.getByLabel("Add a setting", { exact: true }).selectOption("srt_play");
  await dialog.getByLabel("Add a setting to srt_play").selectOption("latency");
  await dialog.getByLabel("port", { exact: true }).fill("127.0.0.1:99999");
  await dialog.getByRole("button", { name: "Save" }).click();
  const viewers = dialog.getByLabel("max_viewers", { exact: true });
  await until("both fields are told of", async () => (await dialog.locator("[aria-invalid=true]").count()) === 2);
  assert.equal(await viewers.getAttribute("aria-invalid"), "true");
  assert.equal(await viewers.inputValue(), "many", "what was typed stays");
  await shot(page, "new-stream-faults");
  await viewers.fill("3");
  await dialog.getByRole("button", { name: "Leave out srt_play" }).click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("heading", { name: MADE }).waitFor();
  assert.deepEqual((await api(base, `streams/${encoded(MADE)}`)).definition, { max_viewers: 3 });

  const { definition } = await streamPage(page, MADE);
  await definition.getByText("max_viewers = 3").waitFor();
  await definition.getByRole("button", { name: "Edit…" }).click();
  const edit = page.getByRole("dialog", { name: `Definition of ${MADE}` });
  await edit.getByRole("tab", { name: "All keys" }).click();
  await edit.getByLabel("max_viewers", { exact: true }).fill("4");
  await edit.getByLabel("Add a setting", { exact: true }).selectOption("play_passphrase");
  await edit.getByLabel("play_passphrase", { exact: true }).fill("a secret of ours");
  await shot(page, "edit-stream");
  await edit.getByRole("button", { name: "Save" }).click();
  await definition.getByText('play_passphrase = "***"').waitFor();
  await close();
});

test("who was slower is told so, keeps what was typed, and decides", async () => {
  const { page, close } = await open(chromium, base);
  await api(base, `streams/${encoded(MADE)}`, { method: "PUT", body: { max_viewers: 4 } });
  const { definition } = await streamPage(page, MADE);
  await definition.getByText("max_viewers = 4").waitFor();
  await definition.getByRole("button", { name: "Edit…" }).click();
  const edit = page.getByRole("dialog", { name: `Definition of ${MADE}` });
  await edit.getByRole("tab", { name: "All keys" }).click();
  await edit.getByLabel("max_viewers", { exact: true }).fill("40");
  // Somebody else, meanwhile.
  await api(base, `streams/${encoded(MADE)}`, { method: "PUT", body: { max_viewers: 5, on_demand: true } });
  await edit.getByRole("button", { name: "Save" }).click();
  await edit.getByText("Someone else has changed this since you opened it.").waitFor();
  await edit.getByText("on_demand = true").waitFor();
  assert.equal(await edit.getByLabel("max_viewers", { exact: true }).inputValue(), "40");
  assert.equal((await api(base, `streams/${encoded(MADE)}`)).definition.max_viewers, 5, "nothing was written over");
  await shot(page, "edit-conflict");
  await edit.getByRole("button", { name: "Save mine over theirs" }).click();
  await edit.waitFor({ state: "detached" });
  assert.deepEqual((await api(base, `streams/${encoded(MADE)}`)).definition, { max_viewers: 40 });
  await close();
});

test("Escape does not throw away what was typed", async () => {
  const { page, close } = await open(chromium, base);
  const { definition } = await streamPage(page, MADE);
  await definition.getByRole("button", { name: "Edit…" }).click();
  const edit = page.getByRole("dialog", { name: `Definition of ${MADE}` });
  await edit.getByRole("tab", { name: "All keys" }).click();
  await edit.getByLabel("max_viewers", { exact: true }).fill("41");
  await page.keyboard.press("Escape");
  await edit.getByText("What you have typed is not saved.").waitFor();
  await edit.getByRole("button", { name: "Go on" }).click();
  assert.equal(await edit.getByLabel("max_viewers", { exact: true }).inputValue(), "41");
  await page.keyboard.press("Escape");
  await edit.getByRole("button", { name: "Discard it" }).click();
  await edit.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Edit…", "the focus is where it was");
  await close();
});

test("an output is changed with its settings, and keeps its secrets", async () => {
  const { page, faults, close } = await open(chromium, base);
  const { outputs } = await streamPage(page, MADE);
  await outputs.getByLabel("Address of the new output").fill("srt://127.0.0.1:7?passphrase=battery staple");
  await outputs.getByRole("button", { name: "Settings of the new output" }).click();
  const dialog = page.getByRole("dialog", { name: `New output of ${MADE}` });
  await dialog.getByLabel("Add a setting", { exact: true }).selectOption("latency");
  await dialog.getByLabel("latency, ms").fill("350");
  await shot(page, "new-output");
  await dialog.getByRole("button", { name: "Save" }).click();
  const row = outputs.getByRole("row").filter({ hasText: "srt://127.0.0.1:7" });
  await row.getByRole("button", { name: /^Edit/ }).click();
  const edit = page.getByRole("dialog", { name: /^Output srt/ });
  assert.equal(await edit.getByLabel("url", { exact: true }).inputValue(), "srt://127.0.0.1:7?passphrase=***");
  await edit.getByLabel("url", { exact: true }).fill("srt://127.0.0.1:8?passphrase=***");
  await edit.getByLabel("latency, ms").fill("400");
  await edit.getByRole("button", { name: "Save" }).click();
  const moved = outputs.getByRole("row").filter({ hasText: "srt://127.0.0.1:8" });
  await moved.waitFor();
  // Ten characters at least: a mask that was taken for the passphrase would have been refused.
  const { output_list: list } = await api(base, `streams/${encoded(MADE)}`);
  const shown = await api(base, `outputs/${list[0].id}`);
  assert.deepEqual(shown.definition, { url: "srt://127.0.0.1:8?passphrase=***", latency: 400 });
  await moved.getByRole("button", { name: /^Remove/ }).click();
  await moved.getByRole("button", { name: "Remove it?" }).click();
  await moved.waitFor({ state: "detached" });
  assert.deepEqual(faults, []);
  await close();
});

test("the keyboard alone finds a stream, adds an output, stops and removes it", async () => {
  const { page, faults, close } = await open(chromium, base);
  /** Goes on by Tab until something of this name has the focus. */
  const tabTo = async (name) => {
    for (let step = 0; step < 150; step += 1) {
      await page.keyboard.press("Tab");
      const [now, visible] = await page.evaluate(() => {
        const one = document.activeElement;
        return [one?.getAttribute("aria-label") ?? one?.textContent ?? "", getComputedStyle(one).outlineStyle !== "none"];
      });
      if (now !== name) continue;
      assert.ok(visible, `it is seen that ${name} has the focus`);
      return;
    }
    assert.fail(`150 times Tab, and no ${name}`);
  };
  await page.goto(`${base}/#/`);
  await page.getByRole("link", { name: MADE }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("made");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: MADE }).waitFor();
  await page.getByLabel("Address of the new output").waitFor();
  await tabTo("Address of the new output");
  await page.keyboard.type("udp://127.0.0.1:9");
  await page.keyboard.press("Enter");
  const row = page.getByRole("region", { name: "Outputs" }).getByRole("row").filter({ hasText: "udp://127.0.0.1:9" });
  await row.waitFor();
  await tabTo("Stop udp://127.0.0.1:9");
  await page.keyboard.press("Enter");
  await row.getByRole("button", { name: "Stop it?" }).waitFor();
  await page.keyboard.press("Enter");
  await row.getByText("stopped").waitFor();
  await tabTo("Remove udp://127.0.0.1:9");
  await page.keyboard.press("Enter");
  await row.getByRole("button", { name: "Remove it?" }).waitFor();
  await page.keyboard.press("Enter");
  await row.waitFor({ state: "detached" });
  assert.deepEqual(faults, []);
  await close();
});

test("what the configuration file defines is read-only, and the page says why", async () => {
  const { page, faults, close } = await open(chromium, base);
  const { definition, outputs } = await streamPage(page, FIXED);
  await definition.getByText("Read-only").waitFor();
  const text = await definition.innerText();
  assert.ok(text.includes(config) && text.includes("max_viewers = 7"), text);
  assert.ok(!text.includes("not to be seen"), "secrets are masked");
  assert.equal(await definition.getByRole("button").count(), 0);
  const row = outputs.getByRole("row").filter({ hasText: "udp://127.0.0.1:9" });
  await row.getByText("in the configuration file").waitFor();
  assert.deepEqual(await row.getByRole("button").allInnerTexts(), ["Stop"]);
  await shot(page, "stream-of-file", true);
  assert.deepEqual(faults, []);
  await close();
});

test("a file that is saved with faults is told of with their places, and reloaded when it is mended", async () => {
  const { page, close } = await open(chromium, base);
  await page.goto(`${base}/#/gateway`);
  const section = page.getByRole("region", { name: "Configuration" });
  await section.getByText(config).waitFor();
  const good = readFileSync(config, "utf8");
  const line = good.split("\n").length;
  appendFileSync(config, 'max_viewerz = 3\n  ring = "much"\n');
  // Read as it is saved: the page tells without being asked.
  await section.getByText(`line ${line}, column 1`).waitFor();
  await section.getByText(`line ${line + 1}, column 10`).waitFor();
  await section.getByText(/max_viewers/).first().waitFor();
  await section.getByRole("button", { name: "Reload the file" }).click();
  await page.locator(".notice.bad").filter({ hasText: "is not valid" }).waitFor();
  await shot(page, "reload-faults", true);
  writeFileSync(config, `${good}\n[streams."live/from the file"]\nmax_viewers = 2\n`);
  await section.getByRole("button", { name: "Reload the file" }).click();
  await section.getByText(/live\/from the file/).first().waitFor();
  await section.getByText("put in force").waitFor();
  assert.equal(await section.locator(".problem").count(), 0, "the faults are gone with the file that had them");
  await section.getByText("What is in force").click();
  await section.getByText('[streams."live/from the file"]').waitFor();
  assert.ok(!(await section.innerText()).includes("not to be seen"));
  await shot(page, "reload-done", true);
  await close();
});

test("an address is banned from its session's row, listed, and let in again", async () => {
  const { page, close } = await open(chromium, base);
  const caller = publish(port, "#!::r=live/caller,m=publish");
  await until("it is live", async () => (await api(base, `streams/${encoded("live/caller")}`)).state === "live");
  await page.goto(`${base}/#/stream/${encoded("live/caller")}`);
  await page.getByRole("region", { name: "Definition" }).getByText("This stream is not configured").waitFor();
  await page.getByRole("button", { name: /^Ban 127/ }).click();
  const dialog = page.getByRole("dialog");
  assert.equal(await dialog.getByLabel("Address or network").inputValue(), "127.0.0.1");
  await dialog.getByLabel("Address or network").fill("127.0.0.x");
  await dialog.getByRole("button", { name: "Ban", exact: true }).click();
  await dialog.getByText(/must be an IP address or a network/).waitFor();
  await dialog.getByLabel("Address or network").fill("127.0.0.0/24");
  await dialog.getByRole("combobox", { name: /^For/ }).selectOption("10 minutes");
  await shot(page, "ban");
  await dialog.getByRole("button", { name: "Ban", exact: true }).click();
  await page.getByText("1 session ended").waitFor();
  await until("the publisher has ended", () => caller.ended);

  await page.getByRole("link", { name: "Refused" }).first().click();
  await page.getByRole("link", { name: "Bans" }).click();
  const row = page.getByRole("row").filter({ hasText: "127.0.0.0/24" });
  assert.match(await row.innerText(), /an operator[\s\S]*in (9 min|10 min)/);
  await page.getByLabel("Address or network").fill("2001:db8::/32");
  await page.getByRole("button", { name: "Ban", exact: true }).click();
  await page.getByRole("row").filter({ hasText: "2001:db8::/32" }).waitFor();
  await shot(page, "bans");
  const refused = run("ffmpeg", ["-hide_banner", "-nostdin", "-i", `srt://127.0.0.1:${port}?streamid=${encoded("#!::r=live/caller,m=request")}`, "-f", "null", "-"]);
  await until("a caller from there is refused", async () => (await api(base, "rejections")).some((one) => one.code === 1403));
  await until("it ends", () => refused.ended);
  await page.getByRole("button", { name: "Lift the ban of 127.0.0.0/24" }).click();
  await row.waitFor({ state: "detached" });
  assert.deepEqual((await api(base, "bans")).map((ban) => ban.address), ["2001:db8::/32"]);
  await close();
});

test("the log's level is changed, after it was asked", async () => {
  const { page, faults, close } = await open(chromium, base);
  await page.goto(`${base}/#/gateway`);
  await page.getByLabel("Log level").selectOption("debug");
  await page.getByRole("button", { name: "Change the level" }).click();
  assert.equal((await api(base, "gateway")).log_level, "info", "not before it was confirmed");
  await page.getByRole("button", { name: "From info to debug?" }).click();
  await page.getByText("The log level is debug").waitFor();
  assert.equal((await api(base, "gateway")).log_level, "debug");
  await page.getByLabel("Log level").getByText("debug (now)").waitFor({ state: "attached" });
  assert.deepEqual(faults, []);
  await close();
});

test("a token that may only look looks, and is told why it may no more", async () => {
  const { page, faults, close } = await open(chromium, base, { token: "who only looks" });
  await page.goto(`${base}/#/gateway`);
  const drain = page.getByRole("button", { name: "Drain the gateway" });
  await drain.focus();
  await page.keyboard.press("Enter");
  await page.locator(".notice.bad").filter({ hasText: "needs a token with the scope admin; this one has read" }).waitFor();
  await streamPage(page, MADE);
  await page.getByText("To add one: It needs a token with the scope admin").first().waitFor();
  await page.goto(`${base}/#/bans`);
  await page.getByText("To ban somebody: It needs a token with the scope operate").waitFor();
  assert.equal((await api(base, "gateway")).draining, false);
  await shot(page, "read-only");
  assert.deepEqual(faults, []);
  await close();
});

test("a token that is taken away while the page is open is asked for anew", async () => {
  const own = await gateway(`[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n[streams.a]\n`);
  const { page, close } = await open(chromium, own.base);
  await page.goto(`${own.base}/#/events`);
  await page.getByRole("heading", { name: "Events" }).waitFor();
  writeFileSync(own.config, readFileSync(own.config, "utf8").replace(TOKEN, "another token"));
  await page.getByText("does not accept this token").waitFor();
  await page.getByLabel("Token").fill("another token");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Events" }).waitFor();
  await page.getByRole("link", { name: "Streams" }).click();
  await page.getByRole("link", { name: "a", exact: true }).waitFor();
  await close();
});

test("nothing of it is wider than a phone", async () => {
  const { page, close } = await open(chromium, base, { width: 390, height: 844, colorScheme: "light" });
  for (const [name, hash] of [["gateway", "#/gateway"], ["bans", "#/bans"], ["definition", `#/stream/${encoded(MADE)}`]]) {
    await page.goto(`${base}/${hash}`);
    await page.locator(".panel").first().waitFor();
    if (name === "definition") {
      await page.getByRole("region", { name: "Definition" }).getByRole("button", { name: "Edit…" }).click();
      await page.getByRole("dialog").getByRole("tab", { name: "All keys" }).click();
      await page.getByRole("dialog").getByLabel("Add a setting", { exact: true }).selectOption("srt_play");
    }
    assert.equal(await overflow(page), "", name);
    await shot(page, `steer-${name}-390`, name !== "definition");
  }
  await close();
});

// Last: it ends the gateway.
test("the gateway is drained, and every page says so until it ends", async () => {
  const { page, close } = await open(chromium, base);
  publish(port, "#!::r=live/last,m=publish");
  await until("somebody is there", async () => (await api(base, "sessions")).total === 1);
  await page.goto(`${base}/#/gateway`);
  await page.getByRole("button", { name: "Drain the gateway" }).click();
  assert.equal((await api(base, "gateway")).draining, false, "not before it was confirmed");
  await page.getByRole("button", { name: "Refuse new callers, and end the gateway?" }).click();
  await page.getByRole("button", { name: "Cancel the drain" }).click();
  await until("the drain is cancelled", async () => !(await api(base, "gateway")).draining);
  await page.getByRole("button", { name: "Drain the gateway" }).click();
  await page.getByRole("button", { name: "Refuse new callers, and end the gateway?" }).click();
  await until("the gateway drains again", async () => (await api(base, "gateway")).draining);
  await page.getByRole("link", { name: "Streams" }).click();
  await page.getByText("The gateway is draining").waitFor();
  await shot(page, "draining");
  const [session] = (await api(base, "sessions")).items;
  await api(base, `sessions/${session.id}`, { method: "DELETE" });
  await until("the program has ended", () => running.ended);
  await page.getByText("The gateway has ended after its drain").waitFor();
  await close();
});
