// The panel of findings: the region or place that is looked at, and what is near it.

import { css, gradient, heat, regionColour } from './colours.js';
import { bar, element } from './widgets.js';

/** How many of the nearest regions are listed. */
const LISTED = 6;

const number = (value) => value.toLocaleString('en');
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** What a region is called: by its class where it is one, with its figure's letter where there are two. */
export function regionName(figures, figure, id) {
  const { letter } = figures[figure];
  const name = figures[figure].className(id);
  if (name) return figures.length > 1 ? `${letter}: ${name}` : name;
  return `Region ${figures.length > 1 ? letter : ''}${id}`;
}

const swatch = (colour) => {
  const made = element('i', { className: 'swatch' });
  made.style.background = css(colour);
  return made;
};

const heading = (...children) => element('h2', {}, ...children);
const facts = (pairs) => element('dl', {}, ...pairs.flatMap(([name, value]) =>
  [element('dt', { textContent: name }), element('dd', { textContent: value })]));
const hint = (text) => element('p', { className: 'hint', textContent: text });

/** About segments: of all, or of the one that is looked at. `echo` is told of a listed region that is pointed at. */
export function segmentFindings(figures, target, pinned, found, { echo, pick, unpin }) {
  if (!target) {
    const count = figures.reduce((sum, { regions }) => sum + regions.length, 0);
    return [heading(`${number(count)} region${count === 1 ? '' : 's'}`),
      hint('Point at one for its size and the regions most like it; click it to colour all others by how near they are.')];
  }
  const figure = figures[target.figure];
  const region = figure.region(target.id);
  const title = heading(...(pinned ? [] : [swatch(regionColour(target.id))]), regionName(figures, target.figure, target.id));
  if (pinned) {
    const release = element('button', { type: 'button', className: 'quiet', textContent: 'Release' });
    release.addEventListener('click', unpin);
    title.append(release);
  }
  if (!region) {
    return [title, hint('It wins no cell of the feature grid, so it has no vector. A larger input or larger regions help.')];
  }
  const [x, y, width, height] = region.box;
  const { photo } = figure;
  const [farthest, closest] = [found.at(-1)?.cosine ?? 0, found[0]?.cosine ?? 1];
  const rows = found.slice(0, LISTED).map((other) => {
    const { id } = other.region;
    const share = (other.cosine - farthest) / (closest - farthest || 1);
    const button = element('button', { type: 'button', className: 'near' }, swatch(pinned ? heat(share) : regionColour(id)),
      element('span', { textContent: regionName(figures, other.figure, id) }),
      bar(share), element('b', { textContent: other.cosine.toFixed(3) }));
    const place = { figure: other.figure, id };
    for (const event of ['pointerenter', 'focus']) button.addEventListener(event, () => echo(place));
    for (const event of ['pointerleave', 'blur']) button.addEventListener(event, () => echo());
    button.addEventListener('click', () => pick(place));
    return element('li', {}, button);
  });
  return [title,
    facts([['Area', `${number(region.area)} px, ${percent(region.area / (photo.width * photo.height))}`],
      ['Box', `${width} × ${height} at ${x}, ${y}`], ['Cells of c5', number(region.cells)]]),
    element('h3', { textContent: 'Nearest regions, by cosine' }),
    rows.length ? element('ol', { className: 'nearest' }, ...rows) : hint('There is no other region with a vector.')];
}

/** About similarity to a probe: where it is, the scale, and the value under the pointer. */
export function heatFindings(figures, probe, [low, high], under) {
  const { photo, letter } = figures[probe.figure];
  const place = `${Math.floor(probe.u * photo.width)}, ${Math.floor(probe.v * photo.height)}${figures.length > 1 ? ` in ${letter}` : ''}`;
  const scale = element('div', { className: 'scale', 'aria-hidden': 'true' });
  scale.style.background = gradient();
  if (under !== undefined) {
    const mark = element('i');
    mark.style.left = `${3 + (94 * (under - low)) / (high - low || 1)}%`;
    mark.style.background = css(heat((under - low) / (high - low || 1)));
    scale.append(mark);
  }
  return [heading('Similarity'), scale,
    element('p', { className: 'ends' }, element('span', { textContent: low.toFixed(2) }), element('span', { textContent: 'cosine' }), element('span', { textContent: high.toFixed(2) })),
    facts([['Probe', place], ['Under the pointer', under === undefined ? '–' : under.toFixed(3)]]),
    hint('Click anywhere, drag, or use the arrow keys to move the probe.')];
}

/** About principal components: how much each colour tells. */
export function colourFindings(explained) {
  const rows = explained.map((share, index) => element('li', {},
    element('span', { textContent: ['First: dark to light', 'Second: green to red', 'Third: blue to yellow'][index] }),
    element('i', { className: `axis axis-${index}` }), element('b', { textContent: percent(share) })));
  return [heading('Principal components'), element('ul', { className: 'nearest components' }, ...rows),
    hint('Shares of the variance of the cells’ directions, those at the edge left out. Like colours mean like features; click a place to see what resembles it.')];
}

/** The distance of two embeddings. */
export function distanceFindings({ cosine, distance, lengths }) {
  return [
    element('p', { className: 'figure' }, element('b', { textContent: cosine.toFixed(3) }), ' cosine similarity'),
    bar(cosine),
    facts([['Cosine distance', (1 - cosine).toFixed(4)], ['Euclidean distance', distance.toFixed(2)],
      ['Lengths', lengths.map((length) => length.toFixed(2)).join(' and ')]]),
  ];
}
