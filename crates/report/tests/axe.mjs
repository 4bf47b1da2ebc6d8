// Looks at pages in real Chromium, light and dark, as wide as a screen and as a phone: accessibility (axe), no request to anywhere,
// no error, nothing wider than the page, less than a megabyte, and the cursor that charts share. Exits with 1 when something is
// wrong. `just axe` runs it on pages made of the recorded run; by hand:
//   npm install --prefix target/tools/axe axe-core@4.14.1 playwright-core@1.65.1
//   NODE_PATH=target/tools/axe/node_modules node crates/report/tests/axe.mjs [--shots DIR] PAGE.html|http://…
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(path.join(process.env.NODE_PATH ?? 'node_modules', 'x.js'));
const load = (name) => require(path.join(process.env.NODE_PATH ?? 'node_modules', name));
const { chromium } = load('playwright-core');
const axe = load('axe-core').source;

const pages = process.argv.slice(2);
let shots;
if (pages[0] === '--shots') [, shots] = pages.splice(0, 2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
let wrong = 0;
for (const page of pages) {
  const remote = page.startsWith('http://');
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1100, 390]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true, offline: !remote });
      const tab = await context.newPage();
      const found = [];
      tab.on('pageerror', (e) => found.push(`error: ${e}`));
      tab.on('request', (r) => { if (!r.url().startsWith(remote ? new URL(page).origin : 'file:')) found.push(`request to ${r.url()}`); });
      await tab.goto(remote ? page : `file://${path.resolve(page)}`);
      await tab.evaluate(axe);
      const result = await tab.evaluate(() => globalThis.axe.run());
      for (const v of result.violations) found.push(`${v.impact}: ${v.id}, ${v.nodes.length} times, first ${v.nodes[0].html.slice(0, 160)}`);
      if (await tab.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push('wider than the page');
      if (!remote && fs.statSync(page).size >= 1e6) found.push(`${fs.statSync(page).size} bytes`);
      const chart = tab.locator('figure[data-group=time]').first();
      if (await chart.count()) {
        await chart.locator('.plot').hover({ position: { x: 200, y: 60 } });
        const shown = await tab.evaluate(() => [...document.querySelectorAll('figure[data-group=time] .cursor')].map((c) => !c.hidden));
        if (!shown.every(Boolean)) found.push(`the cursor is on ${shown.filter(Boolean).length} of ${shown.length} charts`);
        await chart.focus();
        await tab.keyboard.press('ArrowRight');
        if (!await tab.evaluate(() => document.querySelector('figure [aria-live]').textContent)) found.push('the cursor says nothing');
      }
      if (shots) await tab.screenshot({ path: path.join(shots, `${path.basename(page).replace(/\W+/g, '-')}-${colorScheme}-${width}.png`), fullPage: true });
      console.log(`${found.length ? 'WRONG' : 'fine '} ${page} ${colorScheme} ${width}: ${result.passes.length} rules passed`);
      for (const f of found) console.log(`      ${f}`);
      wrong += found.length;
      await context.close();
    }
  }
}
await browser.close();
process.exit(wrong ? 1 : 0);
