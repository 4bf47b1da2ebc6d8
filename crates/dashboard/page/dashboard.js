// Follows the story: cards by key, as the server sends them, and draws what has changed.
import { chart, clock, make, stairs } from './charts.js';

const $ = id => document.getElementById(id);
const cards = new Map();
const dirty = new Set();
let ahead = 0; // the server's clock minus this one's
let paused = false;

const of = prefix => [...cards].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => a < b ? -1 : 1).map(([key, card]) => ({ key, ...card }));

// ---- hearing

const source = new EventSource('events');
source.addEventListener('story', event => {
  const { now, cards: all } = JSON.parse(event.data);
  ahead = now - Date.now();
  for (const key of [...cards.keys()]) if (!(key in all)) set(key, null);
  for (const [key, card] of Object.entries(all)) set(key, card);
  draw();
});
source.addEventListener('change', event => {
  const { now, changes } = JSON.parse(event.data);
  ahead = now - Date.now();
  for (const [key, card] of changes) set(key, card);
  draw();
});
source.onopen = () => { dirty.add('cluster'); draw(); };
source.onerror = () => {
  $('link').dataset.link = 'lost';
  $('link').textContent = 'dashboard has stopped: waiting for it';
};

function set(key, card) {
  if (card === null) cards.delete(key); else cards.set(key, card);
  dirty.add(key.split('/')[0]);
}

// ---- drawing, at most once a frame; a page that nobody sees is drawn when it is seen again

let due = false;
function draw() {
  if (due || paused) return;
  due = true;
  (document.hidden ? setTimeout : requestAnimationFrame)(() => {
    due = false;
    const changed = kinds => kinds.some(kind => dirty.has(kind));
    if (changed(['cluster', 'headline'])) drawHead();
    if (changed(['step'])) drawSteps();
    if (changed(['moment', 'mark', 'decision', 'scaler', 'cluster'])) drawCharts();
    if (changed(['scaler'])) drawScalers();
    if (changed(['node', 'pod', 'workload'])) drawNodes();
    if (changed(['line', 'event'])) drawStory();
    dirty.clear();
  });
}

const LINKS = { absent: 'no cluster yet', reaching: 'reaching the cluster', live: 'live', lost: 'cluster lost' };

function drawHead() {
  const cluster = cards.get('cluster'), headline = cards.get('headline');
  if (!cluster) return;
  $('name').textContent = cluster.name;
  $('link').dataset.link = cluster.link;
  $('link').textContent = LINKS[cluster.link] + (cluster.link === 'live' ? ` · ${cluster.version}` : '');
  $('link').title = cluster.why;
  put($('headline'), headline.text);
  $('headline').dataset.tone = headline.tone;
  document.title = `${cluster.link === 'lost' ? '▲ ' : ''}${cluster.name} – cncfdemo`;
  $('metrics').hidden = cluster.link !== 'live' || !cluster.metrics;
  put($('metrics'), `No figures: ${cluster.metrics}`);
}

/** Sets a text only if it is another one: a screen reader would read it again. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes a parent's children those of `items`, in order, keeping the element of each key. */
function keep(parent, items, create, update) {
  const old = new Map([...parent.children].map(child => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    let element = old.get(item.key);
    old.delete(item.key);
    if (!element) {
      element = create(item);
      element.dataset.key = item.key;
    }
    if (element === place) place = place.nextElementSibling; else parent.insertBefore(element, place);
    update(element, item);
  }
  for (const element of old.values()) element.remove();
}

const seconds = ms => ms < 9950 ? `${(ms / 1000).toFixed(1)} s` : ms < 100000 ? `${(ms / 1000).toFixed(0)} s` : `${Math.round(ms / 60000)} min`;
const SIGNS = { running: '◐', done: '✓', failed: '✕' };

function drawSteps() {
  const steps = of('step/');
  $('steps').hidden = !steps.length;
  keep($('steps').querySelector('ol'), steps, () => {
    const [sign, name, took, note] = [make('span', { 'aria-hidden': 'true' }), make('b'), make('span', { class: 'quiet' }), make('span', { class: 'note quiet' })];
    return make('li', {}, sign, ' ', name, took, note);
  }, (element, step) => {
    const [sign, name, took, note] = element.children;
    element.dataset.state = step.state;
    put(sign, SIGNS[step.state]);
    put(name, step.name);
    const time = (step.ended ?? Date.now() + ahead) - step.begun;
    put(took, `${step.state}, ${seconds(Math.max(0, time))}`);
    put(note, step.note || step.title);
  });
}
// Only what is under way counts on.
setInterval(() => {
  if (!paused && !document.hidden && of('step/').some(s => s.state === 'running')) { dirty.add('step'); draw(); }
}, 1000);

const charts = {
  rate: chart('Requests', 'per second', [['answered', 'first'], ['5xx', 'second']]),
  latency: chart('Latency of writes', 'ms', [['median', 'first'], ['p99', 'second']]),
  cpu: chart('CPU', 'cores', [['foreground', 'first'], ['background', 'violet']]),
};
const replicas = new Map();
$('charts').append(...Object.values(charts).map(c => c.figure));
addEventListener('resize', () => { dirty.add('moment'); draw(); });

function drawCharts() {
  const moments = of('moment/'), marks = of('mark/');
  const times = [...moments.map(m => m.t), ...of('decision/').map(d => d.t)];
  const to = times.length ? Math.max(...times) : Date.now() + ahead;
  const from = Math.max(Math.min(to - 60000, ...moments.map(m => m.t)), to - 600000);
  // A gap of more than a few steps is a gap in the line.
  const line = key => moments.flatMap((m, i) => i && m.t - moments[i - 1].t > 5000 ? [[m.t - 1, null], [m.t, m[key]]] : [[m.t, m[key]]]);
  charts.rate.update({ from, to, marks, series: [line('rate'), line('errors')] });
  charts.latency.update({ from, to, marks, series: [line('p50'), line('p99')] });
  const { foreground, background } = moments.at(-1) ?? {};
  const share = background ? ` (${Math.round(background / (background + (foreground ?? 0)) * 100)} %)` : '';
  charts.cpu.update({ from, to, marks, series: [line('foreground'), line('background')], notes: ['', share] });
  const scalers = of('scaler/');
  for (const [name, one] of replicas) if (!scalers.some(s => s.name === name)) { one.figure.remove(); replicas.delete(name); }
  for (const { name, scales } of scalers) {
    if (!replicas.has(name)) {
      const one = chart(`Replicas of ${scales}`, 'pods', [['there', 'first'], ['wanted', 'second']]);
      replicas.set(name, one);
      $('charts').append(one.figure);
    }
    const decisions = of(`decision/${name}/`);
    const steps = key => stairs(decisions.map(d => [Math.max(d.t, from), d[key]]), to);
    replicas.get(name).update({ from, to, marks, series: [steps('current'), steps('desired')] });
  }
}

const number = text => Number.parseFloat(text);

function drawScalers() {
  const scalers = of('scaler/');
  $('scalers').hidden = !scalers.length;
  keep($('scalers').querySelector('div'), scalers, () => make('article', { class: 'scaler' }, make('h3'), make('p', { class: 'now' }), make('dl'), make('p', { class: 'quiet' })), (element, scaler) => {
    const [title, now, metrics, why] = element.children;
    put(title, `${scaler.scales}, ${scaler.min} to ${scaler.max}`);
    put(now, scaler.desired === scaler.current ? `${scaler.current} replicas, as wanted` : `${scaler.current} → ${scaler.desired} replicas`);
    put(why, scaler.why);
    metrics.replaceChildren(...scaler.metrics.flatMap(metric => {
      const rows = [make('dt', {}, metric.name.replaceAll('_', '_\u200b')), make('dd', {}, `${metric.now || 'not known'} of ${metric.target}`)];
      const [value, target] = [number(metric.now), number(metric.target)];
      if (value >= 0 && target > 0) rows[1].append(make('meter', { min: 0, max: target * 2, high: target, optimum: 0, value: Math.min(value, target * 2), 'aria-label': `${metric.name}, of twice its target` }));
      return rows;
    }));
  });
}

function drawNodes() {
  const nodes = of('node/').sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const pods = of('pod/').sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const known = new Set(nodes.map(n => n.name));
  const places = nodes.map(node => ({ ...node, pods: pods.filter(p => p.node === node.name) }));
  const lost = new Set(pods.map(p => p.node).filter(name => name && !known.has(name)));
  for (const name of lost) places.push({ key: `lost/${name}`, name, lost: true, pods: pods.filter(p => p.node === name) });
  const waiting = pods.filter(p => !p.node);
  if (waiting.length) places.unshift({ key: 'waiting', name: '', pods: waiting });
  const workloads = of('workload/');
  keep($('nodes'), places, () => make('section', { class: 'node' }, make('header', {}, make('h3'), make('span', { class: 'quiet' })), make('div', { class: 'apps' })), (element, place) => {
    const [title, facts] = element.firstElementChild.children;
    put(title, place.key === 'waiting' ? 'On no node yet' : place.name);
    const state = place.lost ? 'this node is no more' : place.key === 'waiting' ? '' : `${place.ready ? 'Ready' : `not Ready${place.why ? `: ${place.why}` : ''}`}${place.schedulable ? '' : ', cordoned'} · ${place.cpu} CPU`;
    put(facts, state);
    element.dataset.ready = place.ready || place.key === 'waiting' ? 'yes' : 'no';
    const apps = [...new Set(place.pods.map(p => p.app))].sort().map(app => ({ key: app, pods: place.pods.filter(p => p.app === app) }));
    keep(element.lastElementChild, apps, () => make('div', { class: 'app' }, make('span'), make('ul')), (row, app) => {
      const kept = workloads.find(w => w.name === app.key);
      const count = kept ? ` ${kept.ready} of ${kept.wanted} ${kept.kind === 'Job' ? 'done' : 'ready'}` : '';
      put(row.firstElementChild, `${app.key}${count}${app.pods.some(p => p.background) ? ', low priority' : ''}`);
      row.lastElementChild.setAttribute('aria-label', app.key);
      keep(row.lastElementChild, app.pods, () => make('li', { class: 'pod' }, make('span', { class: 'id' }), make('em')), drawPod);
    });
  });
}

function drawPod(element, pod) {
  const [id, state] = element.children;
  element.dataset.state = pod.state;
  element.classList.toggle('background', pod.background);
  element.title = `${pod.name}: ${pod.state}${pod.why ? `, ${pod.why}` : ''}`;
  put(id, pod.name.startsWith(`${pod.app}-`) ? pod.name.slice(pod.app.length + 1) : pod.name);
  const why = pod.why && pod.state !== 'ready' ? `: ${pod.why}` : '';
  put(state, `${pod.state}${why}${pod.restarts ? `, ${pod.restarts} restart${pod.restarts > 1 ? 's' : ''}` : ''}`);
}

let newest = '';
function drawStory() {
  const wanted = line => line.kind === 'event' ? $('events-too').checked : line.kind !== 'pod' || $('pods-too').checked;
  const lines = [...of('line/'), ...of('event/')].filter(wanted).sort((a, b) => b.t - a.t || (a.key < b.key ? 1 : -1));
  keep($('story'), lines, () => make('li', {}, make('time'), make('span', { class: 'kind' }), make('span', { class: 'text' })), (element, line) => {
    const [time, kind, text] = element.children;
    element.dataset.tone = line.tone;
    put(time, clock(line.t));
    put(kind, line.kind);
    put(text, line.text + (line.times > 1 ? ` (${line.times} times)` : ''));
  });
  // What the headline does not say is read aloud: steps, scaling, load and faults, not every pod.
  const told = lines.filter(line => ['step', 'scale', 'load', 'fault', 'cluster'].includes(line.kind));
  const news = newest ? told.filter(line => line.key > newest).slice(0, 3) : [];
  if (told.length) newest = told.reduce((a, b) => a.key > b.key ? a : b).key;
  if (news.length) put($('aloud'), news.map(line => line.text).reverse().join('. '));
}

for (const box of ['pods-too', 'events-too']) $(box).addEventListener('change', () => { dirty.add('line'); draw(); });
$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', paused);
  draw();
});
