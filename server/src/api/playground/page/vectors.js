// Arithmetic on features: cosines, and principal components by power iteration.

/** Rows from which principal axes are found; more change nothing that can be seen. */
const SAMPLED = 1500;
/** Rounds of power iteration for an axis. */
const ROUNDS = 24;

export function dot(a, b, startA = 0, startB = 0, length = b.length) {
  let sum = 0;
  for (let index = 0; index < length; index += 1) sum += a[startA + index] * b[startB + index];
  return sum;
}

/** The cosine of the angle between two vectors; 0 where one has no length. */
export function cosine(a, b) {
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

/** The length of a difference. */
export function distance(a, b) {
  return Math.sqrt(a.reduce((sum, value, index) => sum + (value - b[index]) ** 2, 0));
}

/** `[channels, rows, columns]` as one row of channels for each cell. */
export function cellsOf({ shape: [channels, rows, columns], data }) {
  const count = rows * columns;
  const cells = new Float32Array(count * channels);
  for (let channel = 0; channel < channels; channel += 1) {
    for (let cell = 0; cell < count; cell += 1) cells[cell * channels + channel] = data[channel * count + cell];
  }
  return { channels, rows, columns, count, cells };
}

/** The mean cell of several maps. */
export function meanOf(maps) {
  const { channels } = maps[0];
  const mean = new Float64Array(channels);
  let count = 0;
  for (const map of maps) {
    count += map.count;
    for (let index = 0; index < map.cells.length; index += 1) mean[index % channels] += map.cells[index];
  }
  return Float32Array.from(mean, (value) => value / count);
}

/** The map with each cell, less `mean` where there is one, divided by its length. */
export function directions(map, mean) {
  const { channels, count } = map;
  const cells = Float32Array.from(map.cells);
  for (let cell = 0; cell < count; cell += 1) {
    const row = cells.subarray(cell * channels, (cell + 1) * channels);
    if (mean) for (let index = 0; index < channels; index += 1) row[index] -= mean[index];
    const length = Math.sqrt(dot(row, row));
    if (length > 0) for (let index = 0; index < channels; index += 1) row[index] /= length;
  }
  return { ...map, cells };
}

/** The mean of some cells of a map, as a vector of length 1. */
export function probeOf({ channels, cells }, chosen) {
  const sum = new Float32Array(channels);
  for (const cell of chosen) {
    for (let index = 0; index < channels; index += 1) sum[index] += cells[cell * channels + index];
  }
  const length = Math.sqrt(dot(sum, sum)) || 1;
  return sum.map((value) => value / length);
}

/** The cosine of each cell of a map of directions with a vector of length 1. */
export function similarities({ channels, count, cells }, probe) {
  return Float32Array.from({ length: count }, (_, cell) => dot(cells, probe, cell * channels, 0, channels));
}

/**
 * The first three principal components of several maps together, each scaled to 0..1 between its 2nd and 98th
 * percentile. Cells at the edge do not count for either: the zeros around the image would take the first axes.
 * Gives `{colours: [Float32Array(3 * count) for each map], explained: [share of variance; 3]}`.
 */
export function principalColours(maps) {
  const mean = meanOf(maps);
  const centred = maps.map((map) => less(map, mean));
  const sample = sampled(centred);
  const total = dot(sample.cells, sample.cells) || 1;
  const axes = [];
  const explained = [];
  for (let component = 0; component < 3; component += 1) {
    const { axis, variance } = principalAxis(sample, axes);
    axes.push(axis);
    explained.push(variance / total);
  }
  const colours = centred.map(({ count }) => new Float32Array(3 * count));
  axes.forEach((axis, component) => {
    const values = centred.map((map) => similarities(map, axis));
    const sorted = Float32Array.from(values.flatMap((list, index) => innerCells(maps[index]).map((cell) => list[cell]))).sort();
    const [low, high] = [0.02, 0.98].map((share) => sorted[Math.round(share * (sorted.length - 1))]);
    values.forEach((list, index) => list.forEach((value, cell) => {
      colours[index][3 * cell + component] = Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
    }));
  });
  return { colours, explained };
}

/** The cells that are not at the edge; all of them where that leaves hardly any. */
function innerCells({ rows, columns, count }) {
  const all = Array.from({ length: count }, (_, cell) => cell);
  const inside = (place, length) => place > 0 && place < length - 1;
  return Math.min(rows, columns) < 5 ? all
    : all.filter((cell) => inside(Math.floor(cell / columns), rows) && inside(cell % columns, columns));
}

function less(map, mean) {
  const cells = Float32Array.from(map.cells, (value, index) => value - mean[index % map.channels]);
  return { ...map, cells };
}

function sampled(maps) {
  const { channels } = maps[0];
  const inner = maps.flatMap((map) => innerCells(map).map((cell) => map.cells.subarray(cell * channels, (cell + 1) * channels)));
  const step = Math.ceil(inner.length / SAMPLED);
  const rows = inner.filter((_, index) => index % step === 0);
  const cells = new Float32Array(rows.length * channels);
  rows.forEach((row, index) => cells.set(row, index * channels));
  return { channels, count: rows.length, cells };
}

/** The axis of greatest variance that is at right angles to `known` ones; its largest entry is positive. */
function principalAxis({ channels, count, cells }, known) {
  let axis = Float32Array.from({ length: channels }, (_, index) => Math.sin(index + 1)); // any start, the same each time
  let variance = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = new Float32Array(channels);
    for (let row = 0; row < count; row += 1) {
      const weight = dot(cells, axis, row * channels, 0, channels);
      for (let index = 0; index < channels; index += 1) next[index] += weight * cells[row * channels + index];
    }
    for (const other of known) {
      const along = dot(next, other);
      for (let index = 0; index < channels; index += 1) next[index] -= along * other[index];
    }
    variance = Math.sqrt(dot(next, next));
    if (variance === 0) return { axis: next, variance };
    axis = next.map((value) => value / variance);
  }
  const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return { axis: largest < 0 ? axis.map((value) => -value) : axis, variance };
}
