// Accessibility and offline check of pages in real Chromium: npm i axe-core playwright-core, then
//   node axe.mjs PAGE.html…   (needs /usr/bin/chromium; writes screenshots beside the pages)
import { chromium } from 'playwright-core';
import fs from 'fs';
const axe = fs.readFileSync('node_modules/axe-core/axe.min.js','utf8');
const b = await chromium.launch({executablePath:'/usr/bin/chromium',args:['--no-sandbox']});
for (const f of process.argv.slice(2)) for (const scheme of ['light','dark']) for (const width of [1100,390]) {
  const c = await b.newContext({colorScheme:scheme, viewport:{width,height:900}, bypassCSP:true, offline:true});
  const p = await c.newPage(); const errs=[]; p.on('pageerror',e=>errs.push(String(e))); p.on('request',r=>{ if(!r.url().startsWith('file:')) errs.push('request '+r.url()) });
  await p.goto('file://'+f); await p.evaluate(axe);
  const r = await p.evaluate(()=>axe.run());
  const over = await p.evaluate(()=>document.documentElement.scrollWidth>innerWidth);
  console.log(f,scheme,width,'violations',r.violations.map(v=>`${v.impact} ${v.id} x${v.nodes.length} ${v.nodes[0].html.slice(0,120)} | ${v.nodes[0].failureSummary.slice(0,200)}`),'errors',errs,'overflow',over,'passes',r.passes.length, 'bytes', fs.statSync(f).size);
  const fig = p.locator('figure').first();
  if (await fig.count()) { await fig.locator('.plot').hover({position:{x:200,y:60}}); await p.waitForTimeout(50);
   const n=await p.evaluate(()=>[...document.querySelectorAll('.cursor')].filter(x=>!x.hidden).length+' of '+document.querySelectorAll('.cursor').length); 
   await fig.focus(); await p.keyboard.press('ArrowRight'); const heard=await p.evaluate(()=>document.querySelector('figure [aria-live]').textContent);
   console.log('  cursors',n,'heard',heard); }
  await p.screenshot({path:`${f}-${scheme}-${width}.png`, fullPage:true});
  await c.close();
}
await b.close();
