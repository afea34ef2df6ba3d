import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/**
 * Writes a .gz beside each asset, for the server to send as it is. The header names no time and no system, so that the
 * same input gives the same bytes.
 */
function precompress(): Plugin {
  let assets = "";
  return {
    name: "precompress",
    apply: "build",
    configResolved({ root, build }) {
      assets = resolve(root, build.outDir, build.assetsDir);
    },
    closeBundle() {
      for (const name of readdirSync(assets)) {
        if (name.endsWith(".gz")) continue;
        const packed = gzipSync(readFileSync(resolve(assets, name)), { level: 9 });
        packed[9] = 255; // the operating system: unknown
        writeFileSync(resolve(assets, `${name}.gz`), packed);
      }
    },
  };
}

export default defineConfig({
  base: "./", // relative, so that the page works under any path prefix
  build: {
    outDir: "../internal/dash/dist", // beside the Go package that embeds it
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // no data: addresses, which the content security policy forbids
    modulePreload: false,
    reportCompressedSize: true,
  },
  server: {
    // `npm run dev` beside a running sidecar
    proxy: { "/api": { target: "http://127.0.0.1:9190/sidecar", changeOrigin: true } },
  },
  plugins: [precompress()],
});
