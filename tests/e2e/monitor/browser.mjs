// The monitor in a real Chromium: what a person would do, by mouse and by keyboard.
//
// usage: browser.mjs URL TOKEN JOURNAL MONITOR_JOB PICTURES
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { check, context, finish, must, open, page } from "./page.mjs";

const [url, token, journal, monitorJob, pictures] = process.argv.slice(2);
open(url);

// A job that runs beside us: its id and its process.
async function job(title, how) {
  const child = spawn(monitorJob, [journal, title, how], { stdio: ["ignore", "pipe", "inherit"] });
  const [id] = await once(child.stdout, "data");
  return { id: String(id).trim(), child };
}
async function ended(j) {
  if (j.child.exitCode === null && j.child.signalCode === null) await once(j.child, "exit");
  return j;
}
const see = (words) => page.getByText(words, { exact: false }).first().waitFor();

await check("a wrong token is refused and said so", async () => {
  await page.goto(url);
  await page.getByLabel("Token").fill("x".repeat(48));
  await page.keyboard.press("Enter");
  await see("That is not this monitor's token.");
});

await check("the right one, typed, opens the monitor", async () => {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Open the monitor" }).click();
  await see("All is quiet");
  await page.locator('#link[data-state="live"]').waitFor();
});

await check("logging out closes it again", async () => {
  await page.getByRole("button", { name: "Log out" }).click();
  await see("You are logged out.");
  must((await context.request.get(`${url}api/v1/jobs`)).status() === 401, "the session still works");
});

await check("the printed address logs in and leaves no token in the address bar", async () => {
  await page.goto(`${url}#token=${token}`);
  await see("All is quiet");
  must(!page.url().includes(token), page.url());
  const cookies = await context.cookies();
  must(cookies.every((c) => c.httpOnly && c.sameSite === "Strict" && c.value !== token), JSON.stringify(cookies));
  must(await page.evaluate(() => document.cookie === ""), "scripts can read the cookie");
});

const evil = `<img src=x onerror=alert(3)>"'&`;
const done = await ended(await job("files02.ova", "done"));
const failedTitle = "db01 <script>alert(1)</script>";
const failed = await ended(await job(failedTitle, "fail"));
const named = await ended(await job(evil, "done"));
const running = await job("web01.ova", "300");

await check("a job that begins shows up by itself", async () => {
  await page.getByRole("article", { name: "web01.ova" }).waitFor();
  await page.getByRole("heading", { name: "Something needs you" }).waitFor();
});

await check("a running job is followed: bytes, rate, time left, steps", async () => {
  await page.getByRole("article", { name: "web01.ova" }).getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: "web01.ova" }).waitFor();
  await page.locator('.steps li[aria-current="step"]', { hasText: "restore-data" }).waitFor();
  const bar = page.locator("progress.big");
  const before = Number(await bar.getAttribute("value"));
  await page.waitForFunction((v) => Number(document.querySelector("progress.big").value) > v + 1e8, before);
  await page.waitForFunction(() => /[\d.]+ [MG]iB\/s[^]*left/.test(document.querySelector("#main").innerText));
  await see("disk 2");
  await see("vol-0");
});

await check("names cannot become markup", async () => {
  await page.goto(`${url}#/jobs/${named.id}`);
  await page.getByRole("heading", { level: 1, name: evil }).waitFor();
  await see("<img src=x onerror=alert(2)>");
  await page.goto(`${url}#/jobs`);
  await page.getByRole("link", { name: evil }).waitFor();
  must((await page.locator("main img").count()) === 0, "an image was made of a name");
});

await check("a failed job says what is wrong and which command mends it", async () => {
  await page.goto(`${url}#/jobs/${failed.id}`);
  const problem = page.getByRole("region", { name: "What is wrong" });
  await problem.getByText(`ec2:CreateVolume for ${failedTitle}`).waitFor();
  await problem.getByText(`hotadd resume ${failed.id}`).waitFor();
  await problem.getByText(`hotadd undo ${failed.id}`).waitFor();
  await page.locator('.steps li[data-state="failed"]', { hasText: "create-volumes" }).waitFor();
});

await check("evidence of a boot: instance, checks, console text", async () => {
  await page.goto(`${url}#/jobs/${done.id}`);
  await see("i-0123456789abcdef0");
  await page.getByRole("region", { name: "Console text" }).getByText("web01 login:").waitFor();
});

await check("the keyboard alone: skip link, landmarks, the dialog and its way back", async () => {
  await page.goto(`${url}#/jobs/${failed.id}`);
  await page.reload();
  await page.getByRole("button", { name: "Undo…" }).waitFor();
  await page.keyboard.press("Tab");
  must((await page.evaluate(() => document.activeElement.className)) === "skip", "the first stop is not the skip link");
  await page.keyboard.press("Enter");
  must((await page.evaluate(() => document.activeElement.id)) === "main", "the skip link does not lead to the content");
  let found = false;
  for (let i = 0; i < 12 && !found; i++) {
    await page.keyboard.press("Tab");
    found = await page.evaluate(() => document.activeElement.dataset.act === "job-undo");
  }
  must(found, "Tab does not reach Undo");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: `Undo ${failedTitle}` }).waitFor();
  must((await page.evaluate(() => document.activeElement.id)) === "typed", "the focus is not in the dialog's field");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  must((await page.evaluate(() => document.activeElement.dataset.act)) === "job-undo", "the focus did not come back");
  for (const role of ["banner", "navigation", "main", "contentinfo"])
    must((await page.getByRole(role).count()) >= 1, `no ${role} landmark`);
});

await check("the focus stays while the page renews itself", async () => {
  await page.goto(`${url}#/jobs/${running.id}`);
  const button = page.getByRole("link", { name: "Jobs" }).last();
  await button.focus();
  await page.waitForTimeout(3000);
  must(await button.evaluate((e) => e === document.activeElement), "it was lost");
});

await check("undo wants the job's name, then runs hotadd", async () => {
  await page.goto(`${url}#/jobs/${failed.id}`);
  await page.getByRole("button", { name: "Undo…" }).click();
  const go = page.getByRole("dialog").getByRole("button", { name: "Undo" });
  await page.locator("#typed").fill("something else");
  must(await go.isDisabled(), "it can be pressed without the name");
  await page.locator("#typed").fill(failed.id);
  await go.click();
  await page.locator(".chip", { hasText: "undone" }).first().waitFor();
  await see(`hotadd undo ${failed.id}: done`);
});

await check("a killed job is interrupted, and a screen reader hears of it", async () => {
  await page.goto(`${url}#/jobs/${running.id}`);
  await page.locator("progress.big").waitFor();
  running.child.kill("SIGKILL");
  await page.locator(".chip", { hasText: "interrupted" }).first().waitFor();
  await page.waitForFunction(() => /web01.ova: interrupted/.test(document.querySelector("#live").textContent));
});

await check("a replica: lag against its target, recovery points, passes", async () => {
  await page.goto(`${url}#/replicas`);
  await page.getByRole("article", { name: "web01" }).getByRole("img", { name: /Lag of web01/ }).waitFor();
  await page.getByRole("article", { name: "web01" }).getByRole("link").click();
  await page.getByRole("img", { name: /Lag of web01 .* target 15 min/ }).waitFor();
  await page.getByRole("img", { name: /Bytes written by the last 2 passes/ }).waitFor();
  await see("on target");
  must((await page.locator('[data-key="points"] .rows li').count()) === 2, "not two recovery points");
});

await check("a pass started by a button shows up, and its point", async () => {
  await page.goto(`${url}#/replicas/web01`);
  await page.getByRole("button", { name: "Sync now" }).click();
  await see("hotadd sync run web01: done");
  await page.waitForFunction(() => document.querySelectorAll('[data-key="points"] .rows li').length === 3);
  await page.getByRole("img", { name: /Bytes written by the last 3 passes/ }).waitFor();
});

await check("pause and resume", async () => {
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator(".chip", { hasText: "paused" }).first().waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator(".chip", { hasText: "active" }).first().waitFor();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  must((await page.getByRole("button", { name: "Undo failover…" }).count()) === 0, "undo is offered where there is nothing to undo");
});

await check("failing over wants the name and lets a point be chosen", async () => {
  for (const name of ["Test failover…", "Fail over…"]) {
    await page.getByRole("button", { name }).click();
    const go = page.locator("#ask-go");
    must(await go.isDisabled(), `${name} can be pressed without the name`);
    must((await page.locator("#at option").count()) === 4, "the points are not offered");
    await page.locator("#typed").fill("web02");
    must(await go.isDisabled(), `${name} takes another name`);
    await page.locator("#typed").fill("web01");
    must(await go.isEnabled(), `${name} does not take the name`);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
  }
});

const tested = await ended(await job("web01", "test"));
await check("evidence of a test failover: console text and screen", async () => {
  await page.goto(`${url}#/jobs/${tested.id}`);
  const evidence = page.locator('[data-key="evidence"]');
  await evidence.getByText("booted").waitFor();
  await evidence.getByText("web01 login:").waitFor();
  await page.waitForFunction(() => document.querySelector("img.screen")?.naturalWidth > 0);
});

// Something to look at in the pictures.
const shown = [await job("mail03.vmx", "240"), await job("erp-app.ova", "400")];
await ended(await job("sharepoint-01", "fail"));
await page.goto(`${url}#/replicas/web01`);
await page.reload(); // without the words about actions
await page.getByRole("img", { name: /Lag of web01/ }).waitFor();
await page.screenshot({ path: `${pictures}/monitor-replica.png`, clip: { x: 0, y: 0, width: 1280, height: 560 } });
for (const theme of ["light", "dark"])
  await check(`${theme}: readable, and a picture for the documentation`, async () => {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto(`${url}#/`);
    await page.reload();
    await page.getByRole("article", { name: "mail03.vmx" }).waitFor();
    await page.waitForFunction(() => /left/.test(document.querySelector("#main").innerText));
    const low = await page.evaluate(contrastFaults);
    must(!low.length, `too little contrast:\n${low.join("\n")}`);
    await page.screenshot({ path: `${pictures}/monitor-${theme}.png` });
  });

await check("the theme can be chosen and is kept", async () => {
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.emulateMedia({ colorScheme: "light" });
  await page.getByRole("button", { name: "Theme: auto" }).click();
  await page.getByRole("button", { name: "Theme: light" }).click();
  must((await theme()) === "dark", "it is not dark");
  await page.reload();
  must((await theme()) === "dark", "it was forgotten");
  await page.getByRole("button", { name: "Theme: dark" }).click();
});

await check("narrow screens need no sideways scrolling", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of ["#/", "#/jobs", "#/replicas", "#/replicas/web01", `#/jobs/${done.id}`, `#/jobs/${failed.id}`]) {
    await page.goto(url + path);
    await page.waitForTimeout(500);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    must(over <= 0, `${path} is ${over} pixels too wide`);
  }
  await page.screenshot({ path: `${pictures}/monitor-narrow.png` });
  await page.setViewportSize({ width: 1280, height: 1080 });
});

await check("no connection is said, and it comes back by itself", async () => {
  await page.goto(`${url}#/`);
  await page.locator('#link[data-state="live"]').waitFor();
  execFileSync(process.env.HOTADD_TEST_MONITOR_CTL, ["stop"]);
  await see("No connection for");
  await page.locator("main.stale").waitFor();
  execFileSync(process.env.HOTADD_TEST_MONITOR_CTL, ["start"]);
  await page.locator('#link[data-state="live"]').waitFor();
  await page.getByRole("article", { name: "erp-app.ova" }).waitFor();
});

for (const j of shown) j.child.kill("SIGTERM");
await finish();

// Runs in the page: text whose contrast with what is behind it is under WCAG's 4.5.
function contrastFaults() {
  const parse = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const out = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode()); ) {
    const e = n.parentElement;
    if (!n.data.trim() || !e.getClientRects().length || e.closest(".unseen, .skip, noscript, script, :disabled")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) out.add(`${ratio.toFixed(2)} ${e.className || e.nodeName}: ${n.data.trim().slice(0, 30)}`);
  }
  return [...out];
}
