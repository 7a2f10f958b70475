// Copies the built script into the package, with a fingerprint of what it was built from: a test
// compares that with the sources, so that nobody changes them and forgets to build.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const sources = ["package.json", "vite.config.js", "tsconfig.json"].concat(
  readdirSync("src").map((name) => `src/${name}`),
);
const hash = createHash("sha256");
for (const name of sources.sort()) {
  hash.update(`${name}\n`);
  hash.update(readFileSync(name));
}
const script = readFileSync("dist/page.js", "utf8").replaceAll("</script", "<\\/script").trim();
const stamp = [
  `/* built from ${hash.digest("hex")}`,
  "   with Apache ECharts (Apache-2.0), zrender (BSD-3-Clause), tslib (0BSD) */",
].join("\n");
writeFileSync("../fastsim/report/page.js", `${stamp}\n${script}\n`);

// What their licences want to go with them.
const licences = ["echarts", "zrender", "tslib"].map((name) => {
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const folder = `node_modules/${name}`;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && /^(licen[cs]e|notice|copyright)/i.test(file.name))
    .map((file) => `${file.parentPath}/${file.name}`)
    .sort();
  const found = files.map((file) => readFileSync(file, "utf8").trim());
  return `${name} ${version}\n\n${found.join("\n\n")}\n`;
});
writeFileSync("../fastsim/report/page.licenses.txt", licences.join(`\n${"-".repeat(72)}\n\n`));
