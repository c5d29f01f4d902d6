// Opens every page of a running portal and looks for what people would stumble over.
//
//   npm test -- SIGN-IN-LINK
//
// The link is one that "flowehr up" prints; it is used up. Pages are found by following links from the overview, at most
// PORTAL_SAMPLES (2) of each kind. PORTAL_SHOTS names a folder for screenshots, CHROMIUM the browser.
import { chromium } from "playwright-core";
import { AxeBuilder } from "@axe-core/playwright";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

const link = process.argv[2] ?? process.env.PORTAL_LINK;
if (!link) {
  console.error("usage: npm test -- SIGN-IN-LINK");
  process.exit(2);
}
const origin = new URL(link).origin;
const shots = process.env.PORTAL_SHOTS || "";
const samples = Number(process.env.PORTAL_SAMPLES ?? 2);
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const problems = [];
const problem = (where, what) => {
  problems.push(`${where}: ${what}`);
  console.log(`✗ ${where}: ${what}`);
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

// listen reports what the browser itself complains about.
function listen(page, where) {
  page.on("console", (m) => {
    // A page that is not there logs its own status; the test asks for one on purpose.
    if (["error", "warning"].includes(m.type()) && !where().includes("no-such-page")) problem(where(), `console: ${m.text()}`);
  });
  page.on("pageerror", (e) => problem(where(), `script error: ${e.message}`));
}

async function checkPage(page, where) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) problem(where, `scrolls sideways by ${wide} px`);
  const found = await new AxeBuilder({ page }).withTags(tags).analyze();
  for (const v of found.violations) {
    problem(where, `${v.id}: ${v.help}; ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`);
  }
}

// keyboard presses Tab until the focus comes round, and reports controls that it never reached.
async function keyboard(page, where) {
  const controls = 'a[href], button, input:not([type="hidden"]), select, summary, [tabindex="0"]';
  const wanted = await page.evaluate((sel) => {
    const all = [...document.querySelectorAll(sel)].filter((e) => e.checkVisibility());
    all.forEach((e, i) => e.setAttribute("data-e2e", i));
    document.activeElement?.blur();
    window.scrollTo(0, 0);
    return all.length;
  }, controls);
  const reached = new Set();
  // A field for a day holds several stops of its own.
  for (let i = 0; i < 2 * wanted + 10 && reached.size < wanted; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => document.activeElement?.getAttribute("data-e2e"));
    if (at != null) reached.add(at);
  }
  const missed = await page.evaluate(
    (seen) => [...document.querySelectorAll("[data-e2e]")].filter((e) => !seen.includes(e.getAttribute("data-e2e"))).map((e) => e.outerHTML.slice(0, 120)),
    [...reached],
  );
  for (const m of missed.slice(0, 5)) problem(where, `the keyboard does not reach ${m}`);
}

// kind is the route of an address: names in it do not matter.
function kind(url) {
  const parts = url.pathname.split("/").filter(Boolean);
  if (parts.length > 1) parts[1] = "*";
  return "/" + parts.join("/") + "?" + [...url.searchParams.keys()].sort().join("&");
}

const where = { now: "sign-in" };
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
const first = await context.newPage();
first.setDefaultTimeout(10_000);
listen(first, () => where.now);

// A preview of the link must not use it up; the button does.
await first.goto(link);
await checkPage(first, "sign-in");
await first.goto(link);
await first.getByRole("button", { name: "Sign in" }).click();
await first.waitForURL(origin + "/");
const cookies = await context.cookies();
if (!cookies.some((c) => c.httpOnly && c.sameSite === "Lax")) problem("sign-in", "no HttpOnly, SameSite=Lax cookie");

const queue = [new URL("/", origin), new URL("/no-such-page", origin)];
const counted = new Map();
const seen = new Set(queue.map(String));
const pages = [];
while (queue.length > 0) {
  const url = queue.shift();
  where.now = url.pathname + url.search;
  const response = await first.goto(url.href);
  if (response.status() >= 400 && !url.pathname.includes("no-such-page")) problem(where.now, `status ${response.status()}`);
  if (!response.headers()["content-type"]?.startsWith("text/html")) continue;
  pages.push(url);
  const links = await first.$$eval("a[href]", (as) => as.map((a) => (typeof a.href === "string" ? a.href : a.href.baseVal)));
  for (const l of links) {
    const next = new URL(l, url);
    next.hash = "";
    if (next.origin !== origin || seen.has(next.href)) continue;
    seen.add(next.href);
    const k = kind(next);
    const n = counted.get(k) ?? 0;
    if (n >= samples && next.pathname.split("/").filter(Boolean).length > 1) continue;
    if (n >= 1 && next.search) continue;
    counted.set(k, n + 1);
    queue.push(next);
  }
}
const state = await context.storageState();
await context.close();

if (shots) await mkdir(shots, { recursive: true });
const look = await browser.newContext({ storageState: state });
const page = await look.newPage();
let at = "";
listen(page, () => at);
for (const url of pages) {
  at = url.pathname + url.search;
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(url.href);
  if ((await page.locator("h1").count()) !== 1) problem(at, "not exactly one h1");
  // Parts that load after the page belong to it.
  if ((await page.locator('[hx-trigger="load"]').count()) > 0) await page.waitForLoadState("networkidle");
  for (const width of [1280, 400]) {
    await page.setViewportSize({ width, height: 900 });
    // As a person meets the page: axe counts what a scrolled rail hides as overlapping.
    await page.evaluate(() => {
      document.activeElement?.blur();
      document.querySelectorAll("nav").forEach((n) => n.scrollTo(0, 0));
    });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      at = `${url.pathname}${url.search} ${width} ${colorScheme}`;
      await checkPage(page, at);
      if (shots) {
        const name = (url.pathname + url.search).replace(/[^A-Za-z0-9.-]+/g, "_").slice(0, 80);
        await page.screenshot({ path: join(shots, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      }
    }
    await keyboard(page, at);
  }
}
await look.close();

// Reading works without scripts.
const plain = await browser.newContext({ javaScriptEnabled: false, storageState: state });
const reader = await plain.newPage();
for (const url of pages) {
  await reader.goto(url.href);
  const text = await reader.locator("main").innerText();
  if (text.trim().length < 20) problem(url.pathname, "says nothing without JavaScript");
}
await browser.close();

console.log(`${pages.length} pages in 4 looks, ${problems.length} problems`);
process.exit(problems.length > 0 ? 1 : 0);
