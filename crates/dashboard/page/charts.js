// Charts of the last minutes, as SVG. Values may be null: a line has a gap there.
const NS = 'http://www.w3.org/2000/svg';
const LEFT = 38, RIGHT = 6, TOP = 8, BOTTOM = 20;

export const clock = t => new Date(t).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(parent, tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
}

/** 1, 2 or 5 times a power of ten: the least that is not below. */
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(m => m * power).find(top => top >= value * 0.999);
}

export const short = v => v === null || v === undefined ? '–'
  : v >= 10000 ? `${(v / 1000).toFixed(0)}k` : v >= 100 ? v.toFixed(0) : Number.isInteger(v) ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2);

/** A figure with one chart: `update({from, to, series, marks})` draws it again; `notes` go beside the last values. */
export function chart(title, unit, names) {
  const svg = document.createElementNS(NS, 'svg');
  svg.setAttribute('role', 'img');
  const values = names.map(() => make('b', {}, '–'));
  const caption = make('figcaption', {}, make('h3', {}, `${title} `, make('span', {}, unit)),
    ...names.map(([name, look], i) => make('span', {}, make('i', { class: `dot ${look}` }), `${name} `, values[i])));
  const figure = make('figure', {}, caption, svg);

  function update({ from, to, series, marks, notes = [] }) {
    const W = svg.clientWidth || 400, H = svg.clientHeight || 144;
    const last = series.map(points => points.findLast(p => p[1] !== null)?.[1] ?? null);
    values.forEach((element, i) => { element.textContent = short(last[i]) + (notes[i] ?? ''); });
    const most = Math.max(0, ...series.flat().map(p => p[1] ?? 0));
    // Half a pod is none.
    const top = unit === 'pods' ? Math.max(2, Math.ceil(most / 2) * 2) : nice(most);
    const x = t => LEFT + (t - from) / (to - from) * (W - LEFT - RIGHT);
    const y = v => H - BOTTOM - v / top * (H - TOP - BOTTOM);
    svg.setAttribute('aria-label', `${title}: ${names.map(([name], i) => `${name} ${short(last[i])} ${unit}`).join(', ')}; at most ${short(most)} in the last ${Math.round((to - from) / 60000)} minutes`);
    svg.replaceChildren();
    for (const { kind, begun, ended } of marks) {
      const [a, b] = [Math.max(begun, from), Math.min(ended ?? to, to)];
      if (b < from || a > to) continue;
      draw(svg, 'rect', { class: kind === 'load' ? 'band' : 'broken', x: x(a), width: Math.max(2, x(b) - x(a)), y: TOP, height: H - TOP - BOTTOM });
    }
    for (const part of [0, 0.5, 1]) {
      draw(svg, 'line', { class: 'grid', x1: LEFT, x2: W - RIGHT, y1: y(part * top), y2: y(part * top) });
      draw(svg, 'text', { class: 'tick', x: LEFT - 4, y: y(part * top) + 4, 'text-anchor': 'end' }, short(part * top));
    }
    const every = to - from > 300000 ? 120000 : to - from > 120000 ? 60000 : 30000;
    for (let t = Math.ceil(from / every) * every; t <= to; t += every) {
      draw(svg, 'text', { class: 'tick', x: Math.min(x(t), W - 20), y: H - 5, 'text-anchor': 'middle' }, clock(t).slice(0, every < 60000 ? 8 : 5));
    }
    series.forEach((points, i) => draw(svg, 'path', { class: `curve ${names[i][1] === 'violet' ? 'area' : names[i][1]}`, d: path(points, x, y, names[i][1] === 'violet') }));
  }
  return { figure, update };
}

function path(points, x, y, filled) {
  const runs = [[]];
  for (const [t, v] of points) {
    if (v === null) runs.push([]); else runs.at(-1).push([x(t).toFixed(1), y(v).toFixed(1)]);
  }
  const line = run => run.map((p, i) => `${i ? 'L' : 'M'}${p[0]} ${p[1]}`).join('');
  const close = run => filled ? `L${run.at(-1)[0]} ${y(0)}L${run[0][0]} ${y(0)}Z` : '';
  return runs.filter(run => run.length).map(run => line(run) + close(run)).join('');
}

/** The points of a staircase from its steps. */
export function stairs(steps, to) {
  const points = [];
  for (const [t, v] of steps) {
    if (points.length) points.push([t, points.at(-1)[1]]);
    points.push([t, v]);
  }
  if (points.length) points.push([to, points.at(-1)[1]]);
  return points;
}
