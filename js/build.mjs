// Builds interp_widgets/static: one ES module per file in src/views, the loader that notebooks
// evaluate, the runtime of exported pages, and one style.css (src/core/style.css, then the others of src/core and src/views by name).
//
//   npm run build                 everything
//   npm run build -- attention    one view and the style sheet
//
// Each file is written beside its place and moved there, so that builds may run at the same time.
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "interp_widgets", "static");
const LIMIT = 200_000;

async function put(name, text) {
  const partial = join(out, `.${name}.${process.pid}`);
  await writeFile(partial, text);
  await rename(partial, join(out, name));
  console.log(`${name.padEnd(20)} ${(text.length / 1024).toFixed(1).padStart(7)} KB`);
  if (text.length > LIMIT) throw new Error(`${name} is over ${LIMIT / 1000} KB`);
}

async function bundle(name, entry, format) {
  const result = await build({
    entryPoints: [entry],
    absWorkingDir: here,
    bundle: true,
    format,
    target: "es2022",
    minify: true,
    charset: "ascii", // a browser holds other text with two bytes for each letter
    legalComments: "none",
    write: false,
  });
  await put(`${name}.js`, result.outputFiles[0].text);
}

async function styles() {
  const all = [];
  for (const folder of ["core", "views"]) {
    const own = (await readdir(join(here, "src", folder))).filter((f) => f.endsWith(".css")).sort();
    all.push(...own.map((f) => join(here, "src", folder, f)));
  }
  const base = join(here, "src", "core", "style.css");
  const files = [base, ...all.filter((f) => f !== base)];
  const text = (await Promise.all(files.map((f) => readFile(f, "utf8")))).join("\n");
  const { code } = await transform(text, { loader: "css", minify: true, charset: "utf8" });
  await put("style.css", code);
}

await mkdir(out, { recursive: true });
const views = (await readdir(join(here, "src", "views")))
  .filter((f) => f.endsWith(".ts"))
  .map((f) => f.slice(0, -3))
  .sort();
const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (!["page", "loader"].includes(name) && !views.includes(name)) {
    throw new Error(`no view ${name}; there are ${views.join(", ")}, loader, page`);
  }
}
for (const name of views) {
  if (!wanted.length || wanted.includes(name)) {
    await bundle(name, `src/views/${name}.ts`, "esm");
  }
}
if (!wanted.length || wanted.includes("page")) await bundle("page", "src/page/page.ts", "iife");
if (!wanted.length || wanted.includes("loader")) {
  await bundle("loader", "src/loader/loader.ts", "esm");
}
await styles();
