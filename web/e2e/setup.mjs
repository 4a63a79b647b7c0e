/**
 * What the browser test stands on: a real gateway, real ffmpeg processes that publish and play, and Chromium. Everything
 * is on the loopback, on ports of the system's choice, and ends with the test.
 */
import { spawn } from "node:child_process";
import { createServer, request as forward } from "node:http";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const TOKEN = "a token of the browser test";
const BINARY = process.env.SRT_GATEWAY_BIN ?? fileURLToPath(new URL("../../target/debug/srt-gateway", import.meta.url));
/** A bundle to test instead of the one in the gateway: with `npm run build` and this, no gateway need be built anew. */
const DIST = process.env.CONSOLE_DIST;
const CHROMIUM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
/** The machine may be busy with other tests. */
export const PATIENCE = Number(process.env.PATIENCE ?? 30_000);

const closers = [];

/** Ends everything, the last first. */
export async function endAll() {
  for (const close of closers.reverse()) await close();
  closers.length = 0;
}

/** Asks until the answer is true. */
export async function until(what, ask, patience = PATIENCE) {
  const end = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${patience} ms: ${what} (last: ${last})`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A process with its lines; killed at the end if it still runs, with all that it has started where it leads a `group`. */
export function run(program, args, { group = false } = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: group });
  const process = { child, lines: [], ended: false };
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      process.lines.push(...lines);
      process.lines.splice(0, process.lines.length - 500);
    });
  }
  const exit = new Promise((resolve) => child.once("close", resolve)).then(() => {
    process.ended = true;
  });
  child.once("error", (error) => process.lines.push(String(error)));
  const signal = (name) => (group ? globalThis.process.kill(-child.pid, name) : child.kill(name));
  process.end = async () => {
    if (process.ended) return;
    signal("SIGTERM");
    const late = setTimeout(() => signal("SIGKILL"), 5_000);
    await exit;
    clearTimeout(late);
  };
  closers.push(process.end);
  return process;
}

/** A gateway with this configuration; gives its address. */
export async function gateway(toml) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: cargo build -p srt-gateway, or cargo xtask test`);
  const folder = mkdtempSync(join(tmpdir(), "srt-gateway-console-"));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, "gateway.toml");
  writeFileSync(config, toml);
  const process = run(BINARY, ["--config", config]);
  const base = await until(
    "the gateway tells where its console is",
    () => {
      if (process.ended) throw new Error(process.lines.join("\n"));
      return process.lines.map((line) => /console at (http:\/\/\S+?)\/?$/.exec(line)?.[1]).find(Boolean);
    },
    15_000,
  ).catch((error) => {
    throw new Error(`${error.message}\n${process.lines.join("\n")}`);
  });
  return { base: DIST ? await bundled(base) : base, direct: base, process, config };
}

/** What the API says at `path`; with a body, to what is sent there. */
export async function api(base, path, { method = "GET", body } = {}) {
  const headers = { Authorization: `Bearer ${TOKEN}`, ...(body ? { "Content-Type": "application/json" } : {}) };
  const response = await fetch(`${base}/api/v1/${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** Publishes a moving test picture with a tone, as H.264 and AAC. */
export function publish(port, streamid, passphrase) {
  const url = `srt://127.0.0.1:${port}?streamid=${encodeURIComponent(streamid)}&latency=120000&pkt_size=1316`;
  const secret = passphrase ? ["-passphrase", passphrase] : [];
  const input = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440"];
  const video = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25", "-threads", "1"];
  return run("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", ...input, ...video, "-c:a", "aac", "-f", "mpegts", ...secret, url]);
}

export function play(port, streamid) {
  const url = `srt://127.0.0.1:${port}?streamid=${encodeURIComponent(streamid)}&latency=120000`;
  return run("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", "-i", url, "-c", "copy", "-f", "null", "-"]);
}

export async function browser() {
  if (!CHROMIUM) throw new Error("there is no Chromium: apt-get install chromium");
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];
  const launched = await chromium.launch({ executablePath: CHROMIUM, args });
  closers.push(() => launched.close());
  return launched;
}

/**
 * A page that keeps count of what must not happen: errors in the console, violations of the policy, requests elsewhere.
 * `logIn` puts the token where a login puts it.
 */
export async function open(browser, base, { width = 1440, height = 900, colorScheme = "dark", logIn = true, token = TOKEN, timezoneId } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, ...(timezoneId ? { timezoneId } : {}) });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`) && !request.url().startsWith("blob:")) faults.push(`outside request: ${request.url()}`);
  });
  await page.addInitScript((token) => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    if (token) sessionStorage.setItem("srt-gateway-token", token);
    window.presses = 0;
    addEventListener("pointerdown", (event) => event.isTrusted && (window.presses += 1), true);
  }, logIn ? token : "");
  page.setDefaultTimeout(PATIENCE);
  return { page, faults, close: () => context.close() };
}

/** How often the mouse was pressed since the page was loaded. */
export const presses = (page) => page.evaluate(() => window.presses);

/** How far the page is wider than the window. */
export function overflow(page) {
  return page.evaluate(() => {
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroller"));
    const by = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - innerWidth;
    return by > 0 ? `${by} px: ${wide.slice(0, 4).map((one) => one.className || one.tagName).join(", ")}` : "";
  });
}

/** Keeps a picture of the page where SHOTS names a folder, for whoever wants to look. */
export async function shot(page, name, fullPage = false) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), fullPage });
}

/** Hands a request on to the gateway, and its answer back as it comes. */
function pass(base, request, response) {
  const { hostname, port } = new URL(base);
  const onward = forward({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.on("close", () => answer.complete || response.destroy());
    answer.pipe(response);
  });
  response.on("close", () => onward.destroy());
  onward.on("error", () => response.destroy());
  request.pipe(onward);
}

async function serve(server, before = () => {}) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    before();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** The files of DIST under the gateway's own policy; all else is the gateway's. */
async function bundled(base) {
  const policy = (await fetch(`${base}/`)).headers.get("content-security-policy") ?? "";
  return serve(
    createServer((request, response) => {
      const path = normalize(decodeURIComponent(request.url.split("?")[0])).replace(/\/$/, "/index.html");
      const file = join(DIST, path);
      if (/^\/(api|metrics|healthz|readyz)/.test(path) || !existsSync(file)) return pass(base, request, response);
      response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": policy });
      response.end(readFileSync(file));
    }),
  );
}

/**
 * The gateway's page before figures of our making: hundreds of streams that are live cost more than this machine has. All
 * else is the gateway's own answer, or, as JSON, what `answers(method, path, body)` gives (`null`: 404). `streams(n)` and `gateway(n)` make
 * what the n-th event tells; gives the address, and counts the events.
 */
export async function standIn(base, streams, perSecond, { answers = () => undefined, gateway = () => ({ draining: false, sessions: 0 }) } = {}) {
  const told = { events: 0, bytes: 0 };
  const timers = new Set();
  const server = createServer(async (request, response) => {
    if (!request.url.startsWith("/api/v1/live")) {
      const path = request.url.replace(/^\/api\/v1\//, "").split("?")[0];
      const body = request.method === "POST" && answers(request.method, path) !== undefined ? await new Response(request).text() : "";
      const said = answers(request.method, path, body);
      if (said === undefined) return pass(base, request, response);
      response.writeHead(said === null ? 404 : 200, { "Content-Type": "application/json" });
      return response.end(JSON.stringify(said ?? { title: "Not found", status: 404 }));
    }
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const send = () => {
      told.events += 1;
      const data = JSON.stringify({ time_ms: 1.8e12 + told.events * 1000, gateway: gateway(told.events), streams: streams(told.events) });
      told.bytes = data.length;
      response.write(`event: figures\ndata: ${data}\n\n`);
    };
    send();
    const timer = setInterval(send, 1000 / perSecond);
    timers.add(timer);
    response.on("close", () => clearInterval(timer));
  });
  return { base: await serve(server, () => timers.forEach(clearInterval)), told };
}
