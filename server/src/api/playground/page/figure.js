// A photograph on the page with what is known about it: labels, regions, features, and where each lies.

import { Answers } from './answers.js';
import { STRIDES, features, regions, segmentation } from './requests.js';
import { npy, regionList } from './tensors.js';
import { cellsOf } from './vectors.js';

/** The server lets no side of the network's input be longer than this many times the shorter. */
const MAX_ELONGATION = 16;
/** Label of a place that has none yet. */
const NOWHERE = -1;

let serial = 0;

export class Figure {
  constructor(index, photo) {
    this.index = index;
    this.letter = 'AB'[index];
    serial += 1;
    this.photo = { ...photo, serial };
    this.answers = new Answers();
  }

  /** What a kind of knowledge takes: the request and how its answer is read. */
  load(kind, settings) {
    const classes = settings.heads[settings.method]?.classes;
    const [request, read] = {
      labels: [segmentation, (body) => ({ ...npy(body), classes })],
      regions: [regions, regionList],
      features: [features, (body) => ({ stage: settings.stage, size: settings.size, ...cellsOf(npy(body)) })],
    }[kind];
    return this.answers.want(kind, request(settings), [this.photo], read);
  }

  get labels() { return this.answers.value('labels'); }

  get regions() { return this.answers.value('regions') ?? []; }

  get features() { return this.answers.value('features'); }

  region(id) {
    return this.regions.find((region) => region.id === id);
  }

  /** What a region is called, where it is a class. */
  className(id) {
    return this.labels?.classes?.[id];
  }

  /** The label at a place given by shares of width and height. */
  labelAt(u, v) {
    if (!this.labels) return NOWHERE;
    const { shape: [height, width], data } = this.labels;
    return data[clamp(v * height, height) * width + clamp(u * width, width)];
  }

  /** How far the feature grid reaches, in shares of the image: its last cells may hang over the edge. */
  reach(map = this.features) {
    const { width, height } = this.photo;
    const shorter = Math.min(width, height);
    const side = (length) => Math.min(Math.round((length * map.size) / shorter), map.size * MAX_ELONGATION);
    const stride = STRIDES[map.stage];
    return { u: (map.columns * stride) / side(width), v: (map.rows * stride) / side(height) };
  }

  /** The cell of the feature grid at a place. */
  cellAt(u, v) {
    const { rows, columns } = this.features;
    const reach = this.reach();
    return clamp((v / reach.v) * rows, rows) * columns + clamp((u / reach.u) * columns, columns);
  }

  /** The cells whose middle has a label; the cell at the place itself where there is none. */
  cellsOfRegionAt(u, v) {
    const { rows, columns } = this.features;
    const reach = this.reach();
    const label = this.labelAt(u, v);
    const all = Array.from({ length: rows * columns }, (_, cell) => cell);
    const found = all.filter((cell) => {
      const [row, column] = [Math.floor(cell / columns), cell % columns];
      return label === this.labelAt(((column + 0.5) / columns) * reach.u, ((row + 0.5) / rows) * reach.v);
    });
    return label !== NOWHERE && found.length ? found : [this.cellAt(u, v)];
  }
}

const clamp = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value)));
