// What the dashboard costs while a page is open: its CPU and memory, and what goes over the wire.
//   node cost.mjs URL PID [SECONDS]     (see `just dashboard-cost`)
import fs from 'node:fs';
import { chromium } from 'playwright-core';

const [url, pid, seconds = '30'] = process.argv.slice(2);
const ticks = () => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return Number(fields[11]) + Number(fields[12]); // utime and stime, in hundredths of a second
};
const memory = () => fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1] / 1024;
const wait = s => new Promise(resolve => setTimeout(resolve, s * 1000));
const measure = async what => {
  const [before, begun] = [ticks(), Date.now()];
  await wait(Number(seconds));
  const share = (ticks() - before) / ((Date.now() - begun) / 1000);
  console.log(`${what}: ${share.toFixed(2)} % of a core, ${memory().toFixed(1)} MiB resident`);
};

await measure('no page open');
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
const page = await browser.newPage();
const network = await page.context().newCDPSession(page);
await network.send('Network.enable');
let bytes = 0;
network.on('Network.dataReceived', ({ encodedDataLength, dataLength }) => { bytes += encodedDataLength || dataLength; });
await page.goto(url);
await wait(3);
console.log(`page: ${(bytes / 1024).toFixed(1)} KiB with the whole story`);
bytes = 0;
await measure('one page open');
console.log(`events: ${(bytes / Number(seconds) / 1024).toFixed(2)} KiB a second`);
await browser.close();
