// Reads the two array files that the server writes: NumPy's and safetensors.

const NPY = { '<f4': Float32Array, '<u2': Uint16Array, '|u1': Uint8Array };
const SAFETENSORS = { F32: Float32Array, I64: BigInt64Array };

/** The array of an `.npy` file (version 1, C order): `{shape, data}`. */
export function npy(buffer) {
  const length = new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, 10, length));
  const [, type] = header.match(/'descr': '([^']+)'/) ?? [];
  const [, axes] = header.match(/'shape': \(([\d, ]*)\)/) ?? [];
  if (!NPY[type] || axes === undefined) throw new Error(`an array file that this page does not read: ${header}`);
  const shape = axes.split(',').filter((axis) => axis.trim()).map(Number);
  return { shape, data: new NPY[type](buffer.slice(10 + length)) };
}

/** The tensors of a safetensors file, by name: `{shape, data}` each, integers as numbers. */
export function safetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([name, { dtype, shape, data_offsets: [start, end] }]) => {
    const data = new SAFETENSORS[dtype](buffer.slice(8 + length + start, 8 + length + end));
    return [name, { shape, data: dtype === 'I64' ? Array.from(data, Number) : data }];
  }));
}

/** The regions of a `/v1/regions` answer: `{id, area, cells, box, embedding}` each. */
export function regionList(buffer) {
  const { embeddings, ids, areas, cells, boxes } = safetensors(buffer);
  const [count, dimensions] = embeddings.shape;
  return Array.from({ length: count }, (_, index) => ({
    id: ids.data[index],
    area: areas.data[index],
    cells: cells.data[index],
    box: boxes.data.slice(4 * index, 4 * index + 4),
    embedding: embeddings.data.subarray(dimensions * index, dimensions * (index + 1)),
  }));
}
