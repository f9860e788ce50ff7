// What the tests of the page share: a Chromium with one page, and checks that are told as
// "ok NAME" or "not ok NAME" with lines of reasons ("# …") for the shell to count.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.HOTADD_TEST_NODE_MODULES}/`);
const { chromium } = require("playwright-core");
const WAIT = 60000; // a busy machine takes its time

let bad = 0;
export async function check(name, fn) {
  try {
    await fn();
    console.log(`ok ${name}`);
  } catch (error) {
    bad = 1;
    console.log(`not ok ${name}`);
    for (const line of String(error.message).split("\n").slice(0, 12)) console.log(`# ${line.replace(/\x1b\[\d+m/g, "")}`);
  }
}
export function must(truth, why) {
  if (!truth) throw new Error(why);
}

const browser = await chromium.launch({ executablePath: process.env.HOTADD_TEST_CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
export const context = await browser.newContext({ viewport: { width: 1280, height: 1080 }, colorScheme: "light" });
export const page = await context.newPage();
page.setDefaultTimeout(WAIT);

// Nothing may be refused by the page's own policy, and no script but ours may run.
const faults = [];
export function open(url) {
  page.on("pageerror", (e) => faults.push(`error: ${e.message}`));
  page.on("dialog", (d) => {
    faults.push(`a script opened a dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on("console", (m) => m.type() === "error" && !/status of (401|404|409)|ERR_CONNECTION|ERR_INCOMPLETE_CHUNKED/.test(m.text()) && faults.push(m.text()));
  page.on("request", (r) => !r.url().startsWith(url) && !r.url().startsWith("data:") && faults.push(`asked for ${r.url()}`));
}

export async function finish() {
  await check("no script failed, nothing was refused, nothing else was asked for", async () => {
    must(!faults.length, faults.join("\n"));
  });
  await browser.close();
  process.exit(bad);
}
