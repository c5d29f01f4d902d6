// Watches one run until it is over, without reloading its page.
//
//   npm run live -- SIGN-IN-LINK#/runs/ID
import { chromium } from "playwright-core";

const link = new URL(process.argv[2]);
const path = link.hash.slice(1);
link.hash = "";
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
const problems = [];
page.on("console", (m) => ["error", "warning"].includes(m.type()) && problems.push(m.text()));
page.on("pageerror", (e) => problems.push(e.message));
await page.goto(link.href);
await page.getByRole("button", { name: "Sign in" }).click();
await page.waitForURL(link.origin + "/");
await page.goto(link.origin + path);
await page.evaluate(() => (window.sameDocument = true));
// What a person has focused must survive an update.
await page.locator('[aria-label="Timeline"]').focus();
await page.getByText("Why it").waitFor({ timeout: 120_000 });
if (!(await page.evaluate(() => window.sameDocument))) problems.push("the page was loaded again");
if ((await page.locator("h1").count()) !== 1) problems.push("an update doubled the page");
if ((await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))) !== "Timeline") problems.push("an update took the focus away");
await page.waitForFunction(() => !document.querySelector("[hx-sse\\:connect]")?._htmx?.sse, null, { timeout: 10_000 });
await browser.close();
for (const p of problems) console.log("✗ " + p);
console.log(`followed ${path} to its end, ${problems.length} problems`);
process.exit(problems.length > 0 ? 1 : 0);
