// Draws a figure: the photograph, a layer over it, and marks.

import { heat, regionColour, threefold } from './colours.js';

/** How much of a layer covers the photograph. */
const COVER = { regions: 0.46, heat: 0.74, colours: 0.84 };

/** The photograph alone, in colour or in grey. */
export function paintPhoto(context, photo, grey) {
  const { width, height } = context.canvas;
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(photo.bitmap, 0, 0, width, height);
  if (!grey) return;
  context.globalCompositeOperation = 'saturation';
  context.fillStyle = '#808080';
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = 'source-over';
}

/**
 * Regions with their outlines. `lit` is the label that is left clear and outlined in white, `shares` each label's
 * share of the scale of similarities, where regions have these colours instead of their own. With `bare` nothing but
 * the outline of `lit` is drawn.
 */
export function paintRegions(context, { shape: [rows, columns], data }, { lit, shares, bare }) {
  const { width, height } = context.canvas;
  const layer = context.createImageData(width, height);
  const pixels = new Uint32Array(layer.data.buffer);
  const column = Int32Array.from({ length: width }, (_, x) => Math.min(columns - 1, Math.floor(((x + 0.5) / width) * columns)));
  const row = Int32Array.from({ length: height }, (_, y) => columns * Math.min(rows - 1, Math.floor(((y + 0.5) / height) * rows)));
  const colours = new Map();
  const colour = (label) => {
    if (bare || label === lit) return 0;
    const share = shares?.get(label);
    if (shares) return share === undefined ? packed([128, 128, 128], 0.5) : packed(heat(share), COVER.heat);
    return packed(regionColour(label), COVER.regions);
  };
  const near = Math.max(1, Math.round(width / 600));
  for (let y = 0; y < height; y += 1) {
    const here = row[y];
    const below = row[Math.min(height - 1, y + near)];
    const above = row[Math.max(0, y - near)];
    for (let x = 0; x < width; x += 1) {
      const label = data[here + column[x]];
      const right = data[here + column[Math.min(width - 1, x + near)]];
      const left = data[here + column[Math.max(0, x - near)]];
      const down = data[below + column[x]];
      const up = data[above + column[x]];
      const edge = label !== right || label !== down;
      const litEdge = lit !== undefined && (edge || label !== left || label !== up)
        && (label === lit || right === lit || down === lit || left === lit || up === lit);
      if (!colours.has(label)) colours.set(label, colour(label));
      pixels[y * width + x] = litEdge ? 0xffffffff : edge && !bare ? packed([255, 255, 255], 0.62) : colours.get(label);
    }
  }
  over(context, layer, width, height, 1, 1, true);
}

/** The photograph in its colours where a label is, over what is drawn already. */
export function paintLit(context, photo, { shape: [rows, columns], data }, label) {
  const mask = new ImageData(columns, rows);
  const pixels = new Uint32Array(mask.data.buffer);
  for (let index = 0; index < pixels.length; index += 1) pixels[index] = data[index] === label ? 0xff000000 : 0;
  const canvas = new OffscreenCanvas(columns, rows);
  const masked = canvas.getContext('2d');
  masked.putImageData(mask, 0, 0);
  masked.globalCompositeOperation = 'source-in';
  masked.drawImage(photo.bitmap, 0, 0, columns, rows);
  context.imageSmoothingEnabled = true;
  context.drawImage(canvas, 0, 0, context.canvas.width, context.canvas.height);
}

/** A value for each cell of a figure's feature grid, on the scale of similarities between `low` and `high`. */
export function paintHeat(context, figure, values, [low, high], smooth) {
  paintCells(context, figure, COVER.heat, smooth, (cell) => heat((values[cell] - low) / (high - low || 1)));
}

/** A colour for each cell, of three shares. */
export function paintColours(context, figure, shares, smooth) {
  paintCells(context, figure, COVER.colours, smooth, (cell) => threefold(shares.subarray(3 * cell, 3 * cell + 3)));
}

function paintCells(context, figure, cover, smooth, colour) {
  const { rows, columns } = figure.features;
  const layer = new ImageData(columns, rows);
  new Uint32Array(layer.data.buffer).forEach((_, cell, pixels) => { pixels[cell] = packed(colour(cell), 1); });
  const reach = figure.reach();
  context.globalAlpha = cover;
  over(context, layer, context.canvas.width, context.canvas.height, reach.u, reach.v, smooth);
  context.globalAlpha = 1;
}

function over(context, layer, width, height, u, v, smooth) {
  const canvas = new OffscreenCanvas(layer.width, layer.height);
  canvas.getContext('2d').putImageData(layer, 0, 0);
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = 'high';
  context.drawImage(canvas, 0, 0, width * u, height * v);
}

/** A ring about a place. */
export function paintProbe(context, { u, v }, ratio) {
  const { width, height } = context.canvas;
  for (const [style, line] of [['rgb(0 0 0 / .65)', 5], ['#fff', 2.5]]) {
    context.strokeStyle = style;
    context.lineWidth = line * ratio;
    context.beginPath();
    context.arc(u * width, v * height, 9 * ratio, 0, 2 * Math.PI);
    context.stroke();
    context.beginPath();
    context.arc(u * width, v * height, ratio, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** A colour and its opacity as a canvas stores it on little-endian machines. */
function packed([red, green, blue], opacity) {
  return ((Math.round(255 * opacity) << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}
