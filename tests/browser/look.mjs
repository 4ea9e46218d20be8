// Looks at pages in Chromium: node look.mjs SCREENSHOTS PAGE...
// Each page at two widths, light and dark: no message on the console, nothing that axe objects to (folded or unfolded),
// nothing wider than the window. Says everything that is wrong, and ends with 1 if anything is.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [shots, ...pages] = process.argv.slice(2);
const WIDTHS = [[1280, 900], [390, 844]];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });

async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] }), RULES);
  return found.violations.map((one) => {
    const first = one.nodes[0];
    return `${one.id} (${one.impact}): ${one.help}; ${one.nodes.length} times, first ${first.target.join(" ")}: ${first.failureSummary?.replaceAll(/\s+/g, " ")}`;
  });
}

async function wide(page) {
  return page.evaluate(() => {
    const window_ = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= window_) return [];
    const all = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > window_ + 1 && !e.closest(".scroll, pre.text, nav"));
    return [`${document.documentElement.scrollWidth} pixels wide in a window of ${window_}; ${all.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" | ")}`];
  });
}

// What is wrong with a page in a window of this size and colour scheme.
async function look(file, [width, height], colorScheme, name) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("requestfailed", (request) => wrong.push(`request: ${request.url()}`));
  page.on("request", (request) => request.url().startsWith("file:") || wrong.push(`it loads ${request.url()}`));
  await page.goto(pathToFileURL(file).href);
  // axe takes minutes for a page of thousands of elements, which has the same parts as the others, only more of them.
  const large = (await page.evaluate(() => document.querySelectorAll("*").length)) > 8000;
  const judged = !large || (width === WIDTHS[0][0] && colorScheme === "light");
  wrong.push(...(await wide(page)), ...(judged ? await violations(page) : []));
  if (name) {
    await page.screenshot({ path: join(shots, `${name}.png`) });
    await page.screenshot({ path: join(shots, `${name}-whole.png`), fullPage: true });
  }
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  wrong.push(...(await wide(page)).map((one) => `unfolded: ${one}`));
  if (!large) {
    wrong.push(...(await violations(page)).map((one) => `unfolded: ${one}`));
  }
  if (name && !large && colorScheme === "light" && width === WIDTHS[0][0]) {
    await page.emulateMedia({ media: "print" });
    wrong.push(...(await violations(page)).map((one) => `printed: ${one}`));
  }
  await context.close();
  return wrong;
}

let bad = 0;
for (const file of pages) {
  for (const size of WIDTHS) {
    for (const scheme of ["light", "dark"]) {
      const name = `${basename(file, ".html")}-${size[0]}-${scheme}`;
      const wrong = await look(file, size, scheme, name);
      console.log(`${wrong.length === 0 ? "ok   " : "WRONG"} ${name}`);
      wrong.forEach((one) => console.log(`      ${one}`));
      bad += wrong.length;
    }
  }
}

// What finds nothing may be blind: each kind of trouble, planted into the first page, must be found.
const good = readFileSync(pages[0], "utf8");
const planted = [
  ["a style that the policy does not know", good.replace("--soft:", "--soft: "), "console: "],
  ["a script", good.replace("</body>", "<script>document.title = ''</script></body>"), "console: "],
  ["something from elsewhere", good.replace("</body>", '<img alt="x" src="http://127.0.0.1:9/x.png"></body>'), "console: "],
  ["a picture without words", good.replace("</body>", '<main><img src="x.png"></main></body>'), "image-alt"],
  ["a wide thing", good.replace("</footer>", '<svg width="5000" height="5"></svg></footer>'), "pixels wide"],
  ["grey on grey", good.replace(/content="default-src[^"]*"/, 'content=""').replaceAll("--ink: #1a1d21", "--ink: #c0c0c0"), "color-contrast"],
];
for (const [what, text, wanted] of planted) {
  const file = join(shots, "planted.html");
  writeFileSync(file, text);
  const wrong = await look(file, WIDTHS[1], "light");
  const found = text !== good && wrong.some((one) => one.includes(wanted));
  console.log(`${found ? "ok   " : "WRONG"} planted: ${what}`);
  if (!found) {
    bad += 1;
    wrong.forEach((one) => console.log(`      ${one}`));
  }
}
await browser.close();
process.exit(bad === 0 ? 0 : 1);
