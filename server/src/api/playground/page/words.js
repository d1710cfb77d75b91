// What the page says in one sentence, for those who hear it and those who read it.

import { nearest } from './analysis.js';
import { regionName } from './findings.js';

/** What there is to say of a layer. */
export function summary(figures, settings, look) {
  const target = look.pinned ?? look.cursor;
  if (settings.layer === 'segments') {
    return target ? aboutRegion(figures, target) : `${figures.map(({ regions }) => regions.length).join(' and ')} regions.`;
  }
  return settings.layer === 'similarity' && look.probe ? aboutProbe(figures, look.probe) : '';
}

/** A region, its size, and the one most like it. */
export function aboutRegion(figures, target) {
  const figure = figures[target.figure];
  const region = figure.region(target.id);
  const name = regionName(figures, target.figure, target.id);
  if (!region) return `${name}, without a vector.`;
  const { width, height } = figure.photo;
  const [next] = nearest(figures, target);
  const near = next ? ` Nearest: ${regionName(figures, next.figure, next.region.id)}, cosine ${next.cosine.toFixed(2)}.` : '';
  return `${name}, ${((100 * region.area) / (width * height)).toFixed(1)} % of the image.${near}`;
}

/** Where the probe is. */
export function aboutProbe(figures, { figure, u, v }) {
  const { photo } = figures[figure];
  return `Probe at ${Math.floor(u * photo.width)}, ${Math.floor(v * photo.height)} of ${photo.name}.`;
}
