// Where the time of each request on screen went: the server's phases, and the way there and back.

import { element } from './widgets.js';

/** The phases that the server names, what is left of its time, and what is left of ours. */
const PHASES = [
  ['decode', 'decode'], ['queue', 'wait'], ['infer', 'network'], ['encode', 'encode'], ['rest', 'other work'], ['way', 'transfer'],
];

const milliseconds = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en'));

function parts({ phases, roundTrip }) {
  const known = PHASES.filter(([name]) => name in phases).reduce((sum, [name]) => sum + phases[name], 0);
  const total = phases.total ?? known;
  return { ...phases, rest: Math.max(0, total - known), way: Math.max(0, roundTrip - total) };
}

/** Shows the timings. */
export function showTimings(box, timings) {
  const longest = Math.max(...timings.map(({ roundTrip }) => roundTrip), 1);
  const rows = timings.map((timing) => {
    const took = parts(timing);
    const present = PHASES.filter(([name]) => (took[name] ?? 0) / timing.roundTrip > 0.002);
    const text = present.map(([name, title]) => `${title} ${milliseconds(took[name])} ms`).join(', ');
    const strip = element('span', { className: 'strip', role: 'img', 'aria-label': text, title: text });
    for (const [name] of present) {
      const piece = element('i', { className: name });
      piece.style.width = `${(100 * took[name]) / longest}%`;
      strip.append(piece);
    }
    return element('li', {},
      element('span', { className: 'path', textContent: timing.path.replace('v1', '') + (timing.letter ? ` · ${timing.letter}` : '') }),
      element('span', { className: 'took', textContent: `${milliseconds(timing.roundTrip)} ms` }), strip);
  });
  const seen = PHASES.filter(([name]) => timings.some((timing) => (parts(timing)[name] ?? 0) / timing.roundTrip > 0.002));
  const legend = element('p', { className: 'legend', 'aria-hidden': 'true' },
    ...seen.map(([name, title]) => element('span', {}, element('i', { className: name }), title)));
  box.replaceChildren(element('ul', { className: 'timings' }, ...rows), legend);
}
