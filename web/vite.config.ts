import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Makes way for the new files, and puts a `.gz` beside each that becomes smaller by it: the gateway sends these bytes. */
function packed(): Plugin {
  let folder = "";
  const pack = (path: string) => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) pack(join(path, name));
    else if (!/\.gz$|\.gitignore$/.test(path)) {
      const plain = readFileSync(path);
      const small = gzipSync(plain, { level: 9 });
      if (small.length < plain.length * 0.95) writeFileSync(`${path}.gz`, small);
    }
  };
  return {
    name: "packed",
    apply: "build",
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    buildStart() {
      rmSync(join(folder, "assets"), { recursive: true, force: true });
    },
    closeBundle() {
      pack(folder);
    },
  };
}

export default defineConfig({
  // Relative, so that the page also works behind a proxy that serves the gateway under a path.
  base: "./",
  plugins: [packed()],
  build: {
    target: "es2022",
    // The folder itself stays: cargo watches it.
    emptyOutDir: false,
    // A data: URL would need a wider content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
    reportCompressedSize: false,
  },
  // `npm run dev` speaks to a gateway that runs beside it.
  server: { proxy: { "/api": process.env.GATEWAY ?? "http://127.0.0.1:9980" } },
  test: { environment: "node", include: ["test/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
