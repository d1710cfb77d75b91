// Colours: one for each region, and the scale of similarities.

/** From far to near: dark violet over red to pale yellow, each step lighter than the last. */
const SCALE = [[13, 8, 40], [66, 10, 104], [120, 28, 109], [174, 48, 92], [219, 80, 59], [246, 129, 18], [250, 193, 52], [253, 234, 128]];
/** Turns of the hue from one region to the next: the golden ratio keeps neighbours apart. */
const TURN = 0.618034;

/** The colour of region `id`, `[r, g, b]` in 0..255: hues of one lightness. */
export function regionColour(id) {
  const turn = (id * TURN + 0.13) % 1;
  const lightness = 0.74 - 0.12 * (id % 3 === 1) + 0.06 * (id % 3 === 2);
  return oklch(lightness, 0.135, turn * 2 * Math.PI);
}

/** The colour of a share from 0 to 1 on the scale of similarities. */
export function heat(share) {
  const place = Math.min(1, Math.max(0, share)) * (SCALE.length - 1);
  const index = Math.min(SCALE.length - 2, Math.floor(place));
  return SCALE[index].map((value, channel) => value + (place - index) * (SCALE[index + 1][channel] - value));
}

/** Three shares as one colour: the first is its lightness, the others lead from green to red and from blue to yellow. */
export const threefold = ([first, second, third]) => oklab(0.32 + 0.58 * first, 0.24 * (second - 0.5), 0.26 * (third - 0.5));

/** A colour as CSS writes it. */
export const css = (colour) => `rgb(${colour.map(Math.round).join(' ')})`;

/** The scale as a CSS gradient. */
export const gradient = () => `linear-gradient(90deg, ${SCALE.map(css).join(', ')})`;

const oklch = (lightness, chroma, hue) => oklab(lightness, chroma * Math.cos(hue), chroma * Math.sin(hue));

/** Björn Ottosson's OKLab to sRGB, in which like numbers look alike. */
function oklab(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((value) => 255 * encode(Math.min(1, Math.max(0, value))));
}

const encode = (value) => (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055);
