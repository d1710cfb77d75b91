// What a layer shows, computed from what the server said: similarities of regions and cells, principal colours.

import { cosine, directions, meanOf, principalColours, probeOf, similarities } from './vectors.js';

/** The regions of all figures by cosine with one of them, nearest first: `{figure, region, cosine}` each. */
export function nearest(figures, { figure, id }) {
  const from = figures[figure]?.region(id);
  if (!from) return [];
  return figures
    .flatMap((other) => other.regions.map((region) => ({ figure: other.index, region, cosine: cosine(from.embedding, region.embedding) })))
    .filter((found) => found.figure !== figure || found.region.id !== id)
    .sort((a, b) => b.cosine - a.cosine);
}

/** The smallest and the largest of some numbers. */
export function span(lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return [low, high];
}

/** Features of all figures as directions, and colours of them: made again when the features are others. */
export class Cells {
  #maps = [];
  #directions = new Map();
  #colours;

  /** The figures whose features are there, if they are all of one kind. */
  update(figures) {
    const maps = figures.map(({ features }) => features);
    const same = maps.length === this.#maps.length && maps.every((map, index) => map === this.#maps[index]);
    if (same) return;
    this.#maps = maps;
    this.#directions.clear();
    this.#colours = undefined;
  }

  #directed(centred) {
    if (!this.#directions.has(centred)) {
      const mean = centred ? meanOf(this.#maps) : undefined;
      this.#directions.set(centred, this.#maps.map((map) => directions(map, mean)));
    }
    return this.#directions.get(centred);
  }

  /** Each cell's cosine with the mean direction of `chosen` cells of a figure, for each figure. */
  heat(figure, chosen, centred) {
    const maps = this.#directed(centred);
    const probe = probeOf(maps[figure], chosen);
    return maps.map((map) => similarities(map, probe));
  }

  /** Colours of each figure's cells, in one space, and the share of variance of each component. */
  principal() {
    this.#colours ??= principalColours(this.#directed(false));
    return this.#colours;
  }
}
