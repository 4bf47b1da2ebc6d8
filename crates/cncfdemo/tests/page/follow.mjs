// Follows a demo in a real Chromium as a person would, and says on stdout how far it has come; the test around it does the rest.
//   node follow.mjs URL FOLDER-FOR-SCREENSHOTS
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [url, folder] = process.argv.slice(2);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const wrong = [];
const check = (what, holds) => { if (!holds) wrong.push(what); };
// What comes a moment later than what announces it: each is told of by itself.
const comes = (what, waiting) => waiting.catch(error => wrong.push(`${what}: ${error}`));
const say = word => process.stdout.write(`${word}\n`);

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
// Bounds for what is broken, on whatever machine.
page.setDefaultTimeout(180_000);
page.on('console', message => { if (['error', 'warning'].includes(message.type())) wrong.push(`console: ${message.text()}`); });
page.on('pageerror', error => wrong.push(`error on the page: ${error}`));
page.on('request', request => { if (!request.url().startsWith(url) && !request.url().startsWith('data:')) wrong.push(`request to ${request.url()}`); });
const text = selector => page.locator(selector).innerText();
const picture = name => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });

try {
  await page.goto(url);
  await page.locator('#link[data-link=absent]').waitFor();
  check('a page without a cluster says how to get one', (await text('#headline')).includes('cncfdemo start'));
  say('nothing');

  await page.locator('#steps li[data-state=running]').first().waitFor();
  say('begun');
  await page.locator('#nodes .pod[data-state=starting]').first().waitFor({ timeout: 900_000 });
  await picture('deploying');
  await page.locator('#story li', { hasText: 'the demo is up' }).waitFor({ timeout: 900_000 });
  await comes('no step is left', page.waitForFunction(() => !document.querySelector('#steps li:not([data-state=done])')));
  await page.locator('#headline', { hasText: 'pods ready' }).waitFor();
  for (const app of ['redis', 'tally', 'prometheus', 'background']) {
    await comes(`pods of ${app} are shown as ready`, page.locator('.app', { hasText: app }).locator('.pod[data-state=ready]').first().waitFor());
  }
  for (const figure of ['Requests', 'Latency', 'CPU']) {
    await page.locator('figure', { hasText: figure }).locator('b', { hasText: /\d/ }).first().waitFor();
  }
  await comes('the load is marked', page.locator('svg .band').first().waitFor({ state: 'attached' }));
  say('ready');

  // From here on the test kills the engine; what the page says of it is noted, however short it is.
  await page.evaluate(() => {
    window.links = [];
    new MutationObserver(() => window.links.push(document.getElementById('link').dataset.link)).observe(document.getElementById('link'), { attributes: true });
  });
  say('listening');
  await page.waitForFunction(() => window.links.includes('lost') && window.links.at(-1) === 'live');
  await page.locator('#headline', { hasText: 'pods ready' }).waitFor();
  say('survived');

  await page.keyboard.press('Tab');
  check('the first key leads to the story', (await page.evaluate(() => document.activeElement.className)) === 'skip');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await comes('the page can be paused by keyboard', page.locator('#pause[aria-pressed=true]').waitFor());
  await page.keyboard.press('Enter');
  await page.evaluate(axe);
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height: 900 });
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const v of violations.filter(v => ['serious', 'critical', 'moderate'].includes(v.impact))) {
        wrong.push(`axe, ${colorScheme}, ${width}: ${v.impact} ${v.id}: ${v.nodes[0].html.slice(0, 200)} ${v.nodes[0].failureSummary}`);
      }
      check(`no sideways scrolling, ${width}`, await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      await picture(`ready-${colorScheme}-${width}`);
    }
  }
  check('nothing moves for those who asked for that', await page.evaluate(() => document.getAnimations().length) === 0);
  say('seen');
} catch (error) {
  wrong.push(String(error));
  await picture('failed').catch(() => {});
}
await browser.close();
for (const what of wrong) console.error(what);
process.exit(wrong.length ? 1 : 0);
