/** The commands of "Connect", run as the page shows them, with a passphrase that URLs and shells stumble over. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TOKEN, api, browser, endAll, gateway, open, publish, run, shot, until } from "./setup.mjs";

const HARD = "p@ss+word/ab=cd&e%f g";
/** The same for srt-live-transmit, which has no way to write `&`. */
const WITHOUT_AMPERSAND = HARD.replace("&", "");
const STREAM = "live/a b";
const encoded = encodeURIComponent;

let chromium;
let folder;
let file;

before(async () => {
  chromium = await browser();
  folder = mkdtempSync(join(tmpdir(), "srt-gateway-connect-"));
  file = join(folder, "FILE.ts");
  const input = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-f", "lavfi", "-i", "sine", "-t", "90"];
  const made = run("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", ...input, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-f", "mpegts", file]);
  await until("the file is made", () => made.ended);
});

after(async () => {
  await endAll();
  rmSync(folder, { recursive: true, force: true });
});

async function withPassphrase(passphrase) {
  const own = await gateway(`[srt]\nport = "127.0.0.1:0"\npassphrase = ${JSON.stringify(passphrase)}\n[api]\nlisten = "127.0.0.1:0"\ntoken = "${TOKEN}"\n[streams."${STREAM}"]\n`);
  const port = Number((await api(own.base, "listeners"))[0].address.split(":").at(-1));
  return { base: own.base, port };
}

/** Opens the recipe, types the passphrase, and gives the field of that name as it is shown. */
async function recipe(page, base, purpose, program, passphrase) {
  await page.goto(`${base}/#/connect/${encoded(STREAM)}?for=${purpose}&program=${program}`);
  await page.reload();
  const typed = page.getByLabel(/^Passphrase/);
  await typed.fill(passphrase);
  assert.ok(!(await page.locator(".wizard-out").innerText()).includes("word/ab"), "masked until asked for");
  assert.equal(await page.getByRole("img", { name: /QR code/ }).count(), 0, "the code too");
  await page.getByRole("button", { name: "Show secrets" }).click();
  return (label) => page.locator(".recipe > div").filter({ hasText: new RegExp(`^${label}`) }).locator("code").innerText();
}

/** Runs a command as a shell does: `exec` would change what is shown, so the whole group is ended. */
function shell(line) {
  const env = ["SDL_VIDEODRIVER=dummy", "SDL_AUDIODRIVER=dummy"];
  return run("env", [...env, "sh", "-c", `cd ${folder} && ${line}`], { group: true });
}

const stateOf = async (base) => api(base, `streams/${encoded(STREAM)}`);

test("ffmpeg, ffplay and GStreamer connect with the commands as shown", async () => {
  const { base, port } = await withPassphrase(HARD);
  const { page, close } = await open(chromium, base);
  for (const program of ["ffmpeg", "gstreamer"]) {
    const field = await recipe(page, base, "publish", program, HARD);
    const publisher = shell(await field("Command"));
    await until(`${program} publishes`, async () => (await stateOf(base)).state === "live").catch((error) => assert.fail(`${error.message}\n${publisher.lines.join("\n")}`));
    await shot(page, `connect-${program}`);
    await publisher.end();
    await until("it is gone", async () => !(await stateOf(base)).source);
  }
  const again = publish(port, `#!::r=${STREAM},m=publish`, HARD);
  await until("the stream is live", async () => (await stateOf(base)).state === "live").catch((error) => assert.fail(`${error.message}\n${again.lines.join("\n")}`));
  const field = await recipe(page, base, "play", "ffmpeg", HARD);
  const player = shell(await field("Command"));
  await until("ffplay plays", async () => (await stateOf(base)).viewers === 1).catch((error) => assert.fail(`${error.message}\n${player.lines.join("\n")}`));
  await close();
});

test("srt-live-transmit connects with the command as shown, and says what it cannot do", async () => {
  const { base } = await withPassphrase(WITHOUT_AMPERSAND);
  const { page, close } = await open(chromium, base);
  const publishing = await recipe(page, base, "publish", "srt-live-transmit", WITHOUT_AMPERSAND);
  const publisher = shell(await publishing("Command"));
  await until("it publishes", async () => (await stateOf(base)).state === "live").catch((error) => assert.fail(`${error.message}\n${publisher.lines.join("\n")}`));
  const playing = await recipe(page, base, "play", "srt-live-transmit", WITHOUT_AMPERSAND);
  shell(await playing("Command"));
  await until("it receives", () => statSync(join(folder, "OUT.ts"), { throwIfNoEntry: false })?.size > 10_000);
  await page.getByLabel(/^Passphrase/).fill(HARD);
  await page.getByText("srt-live-transmit cannot take a passphrase with & in it").waitFor();
  assert.equal(await page.locator(".recipe dt").filter({ hasText: "Command" }).count(), 0, "no command that cannot work");
  await close();
});
