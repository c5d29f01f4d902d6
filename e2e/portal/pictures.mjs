// Takes the pictures of the README from a running portal: overview.png, run.png and table.png.
//
//   npm run pictures -- SIGN-IN-LINK FOLDER [RUN-ID] [TABLE]
import { chromium } from "playwright-core";
import { join } from "node:path";

const [link, folder, run, table] = process.argv.slice(2);
if (!folder) {
  console.error("usage: npm run pictures -- SIGN-IN-LINK FOLDER [RUN-ID] [TABLE]");
  process.exit(2);
}
const origin = new URL(link).origin;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 880 }, colorScheme: "light" });
await page.goto(link);
await page.getByRole("button", { name: "Sign in" }).click();
await page.waitForURL(origin + "/");
// first returns the given name, or the first link of a list.
const first = async (list, name) => {
  if (name) return `${list}/${encodeURIComponent(name)}`;
  await page.goto(origin + list);
  return page.locator("table td a[href]").first().getAttribute("href");
};
for (const [name, path] of [["overview", "/"], ["run", await first("/runs", run)], ["table", await first("/lake", table)]]) {
  await page.goto(origin + path);
  if (name === "table") await page.waitForLoadState("networkidle");
  await page.screenshot({ path: join(folder, `${name}.png`) });
  console.log(`${name}.png: ${path}`);
}
await browser.close();
