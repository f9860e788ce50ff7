// A test failover asked for in the page, of a machine that really boots: followed to its
// evidence, the console's text and the screen.
//
// usage: test-failover.mjs URL TOKEN SYNC PICTURES
import { check, finish, must, open, page } from "./page.mjs";

const [url, token, sync, pictures] = process.argv.slice(2);
const BOOT = 1000000; // ms: a conversion and a boot under emulation
open(url);
const step = (name, state) => page.locator(`.steps li[data-state="${state}"]`, { hasText: name });

await check("a test failover is asked for by a button and the name", async () => {
  await page.goto(`${url}#token=${token}`);
  await page.goto(`${url}#/replicas/${sync}`);
  await page.getByRole("button", { name: "Test failover…" }).click();
  await page.locator("#typed").fill(sync);
  await page.getByRole("dialog").getByRole("button", { name: "Start the test" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
});

await check("its job shows up by itself and is followed step by step", async () => {
  await page.goto(`${url}#/jobs`);
  await page.locator(".job-row, article", { hasText: "test-failover" }).getByRole("link").first().click();
  await page.locator('.steps li[aria-current="step"]').waitFor();
  await step("inject", "done").waitFor({ timeout: BOOT });
});

await check("it boots, and the replica's page says so", async () => {
  await page.goto(`${url}#/replicas/${sync}`);
  const tests = page.locator('[data-key="tests"]');
  await tests.getByText("booted", { exact: true }).waitFor({ timeout: BOOT });
  await page.getByText(`hotadd sync test ${sync}: done`).first().waitFor();
  await tests.getByRole("link", { name: "Evidence" }).click();
});

await check("with the machine's console and its screen as evidence", async () => {
  const evidence = page.locator('[data-key="evidence"]');
  await evidence.getByText("booted", { exact: true }).waitFor();
  await evidence.getByText("login:").waitFor();
  await page.waitForFunction(() => document.querySelector("img.screen")?.naturalWidth >= 640);
  const lit = await page.evaluate(brightPixels);
  must(lit > 200, `the screen is black but for ${lit} pixels`);
  await evidence.scrollIntoViewIfNeeded();
  await evidence.screenshot({ path: `${pictures}/monitor-test.png` });
});

await finish();

// Runs in the page: how many pixels of the machine's screen are not dark.
function brightPixels() {
  const screen = document.querySelector("img.screen");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [screen.naturalWidth, screen.naturalHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(screen, 0, 0);
  const rgba = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let lit = 0;
  for (let i = 0; i < rgba.length; i += 4) if (rgba[i] + rgba[i + 1] + rgba[i + 2] > 200) lit++;
  return lit;
}
