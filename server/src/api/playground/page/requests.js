// The requests that the page makes, from its settings: one description serves the call and the code that is shown.

/** Each method's parameters: the values that a slider passes through, and which it starts at. */
export const METHODS = {
  felzenszwalb: {
    title: 'Felzenszwalb',
    hint: 'Groups pixels of like colour, as the masks that DetCon trains on.',
    parameters: {
      scale: { title: 'Scale', values: [10, 20, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000], start: 300 },
      sigma: { title: 'Blur', unit: 'px', values: [0, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5], start: 0.8 },
      min_size: { title: 'Smallest', unit: 'px', values: [10, 20, 50, 100, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000], start: 400 },
    },
  },
  grid: {
    title: 'Grid',
    hint: 'Equal rectangles, which need no look at the image.',
    parameters: {
      rows: { title: 'Rows', values: range(1, 16), start: 5 },
      columns: { title: 'Columns', values: range(1, 16), start: 7 },
    },
  },
  kmeans: {
    title: 'k-means',
    hint: 'Clusters of the model’s own features.',
    parameters: {
      k: { title: 'Clusters', values: range(2, 24), start: 8 },
      seed: { title: 'Seed', values: range(0, 20), start: 0 },
    },
  },
};

/** The stages of the network and the pixels that a cell of each spans. */
export const STRIDES = { c2: 4, c3: 8, c4: 16, c5: 32 };

/** Shorter sides of the network's input, in pixels. */
export const SIZES = [224, 320, 448, 640];

/** What a model's segmentation heads are called as methods. */
export const headMethod = (name) => `head:${name}`;

/** What the page starts with. */
export const defaults = () => ({
  model: undefined,
  heads: {},
  layer: 'segments',
  method: 'felzenszwalb',
  ...Object.fromEntries(Object.values(METHODS).flatMap(({ parameters }) =>
    Object.entries(parameters).map(([name, { start }]) => [name, start]))),
  stage: 'c4',
  size: 448,
  probe: 'point',
  centred: true,
  smooth: true,
  language: 'curl',
});

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** The segmentation's own fields: a head has none but its name. */
function method(settings) {
  const names = Object.keys(METHODS[settings.method]?.parameters ?? {});
  const fields = { method: settings.method, ...Object.fromEntries(names.map((name) => [name, settings[name]])) };
  return settings.method === 'kmeans' ? { ...fields, stage: settings.stage } : fields;
}

/** Whether the method looks through the network. */
const learned = ({ method: name, heads }) => name === 'kmeans' || name in heads;

/** Labels of the segments: `uint16 [height, width]`. */
export function segmentation(settings) {
  const network = learned(settings) ? { model: settings.model, size: settings.size } : {};
  return {
    path: 'v1/segmentations',
    query: { ...network, ...method(settings) },
    accept: 'application/x-npy',
    file: 'labels.npy',
    finds: 'labels',
  };
}

/** A vector for each segment. */
export const regions = (settings) => ({
  path: 'v1/regions',
  query: { model: settings.model, view: 'full', size: settings.size, ...method(settings) },
  accept: 'application/safetensors',
  file: 'regions.safetensors',
  finds: 'regions',
});

/** The dense features of a stage: `float32 [channels, rows, columns]`. */
export const features = (settings) => ({
  path: 'v1/features',
  query: { model: settings.model, stage: settings.stage, view: 'full', size: settings.size },
  accept: 'application/x-npy',
  file: 'features.npy',
  finds: 'features',
});

/** One vector for each image: `float32 [images, dimensions]`. */
export const embeddings = (settings) => ({
  path: 'v1/embeddings',
  query: { model: settings.model },
  accept: 'application/x-npy',
  file: 'embeddings.npy',
  finds: 'embeddings',
});
