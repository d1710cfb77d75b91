// The requests on screen as code that runs without the page.

import { hasKey, query } from './api.js';
import { embeddings, features, regions, segmentation } from './requests.js';

const address = (path) => new URL(path, document.baseURI).href;
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const python = (text) => JSON.stringify(text);

/** Lines of Python that make of the answers what the layer shows. */
const AFTER = {
  segments: () => `
vectors = regions["embeddings"] / numpy.linalg.norm(regions["embeddings"], axis=1, keepdims=True)
nearest = numpy.argsort(-vectors @ vectors.T, axis=1)  # places in regions["ids"], each region itself first`,
  similarity: ({ settings, row, column }) => `
channels, rows, columns = features.shape
cells = features.reshape(channels, -1).T${settings.centred ? '\ncells = cells - cells.mean(0)' : ''}
cells = cells / numpy.maximum(numpy.linalg.norm(cells, axis=1, keepdims=True), 1e-12)
heat = (cells @ cells[${row} * columns + ${column}]).reshape(rows, columns)  # cosine with the cell under the probe`,
  colours: () => `
channels, rows, columns = features.shape
cells = features.reshape(channels, -1).T
cells = cells / numpy.maximum(numpy.linalg.norm(cells, axis=1, keepdims=True), 1e-12)
u, s, _ = numpy.linalg.svd(cells - cells.mean(0), full_matrices=False)
colours = (u[:, :3] * s[:3]).reshape(rows, columns, 3)  # lightness, green to red, blue to yellow; not yet scaled`,
  photo: () => '',
};

/** What a layer asks the server for. */
export function requestsOf(settings, pair) {
  const ofLayer = {
    segments: [segmentation, regions],
    similarity: settings.probe === 'region' ? [features, segmentation] : [features],
    colours: [features],
    photo: [],
  }[settings.layer];
  const made = ofLayer.map((request) => request(settings));
  return pair || settings.layer === 'photo' ? [...made, embeddings(settings)] : made;
}

/** The code in a language, for a first photograph and perhaps a second. */
export function snippet(language, settings, photos, place) {
  const requests = requestsOf(settings, photos.length > 1);
  return language === 'curl' ? curl(requests, photos) : pythonCode(requests, photos, { settings, ...place });
}

function curl(requests, photos) {
  return requests.map((request) => {
    const several = request.finds === 'embeddings' && photos.length > 1;
    const [first] = photos;
    const body = several
      ? photos.map(({ name }) => `-F image=@${shell(name)}`).join(' ')
      : `--data-binary @${shell(first.name)} -H 'Content-Type: ${first.blob.type || 'application/octet-stream'}'`;
    const key = hasKey() ? ' \\\n     -H "Authorization: Bearer $DETCON_API_KEY"' : '';
    return `curl ${body} \\\n     -H 'Accept: ${request.accept}'${key} -o ${request.file} \\\n     ${shell(address(request.path) + query(request.query))}`;
  }).join('\n\n');
}

function pythonCode(requests, photos, place) {
  const tensors = requests.some(({ accept }) => accept === 'application/safetensors');
  const lines = ['import io', ...(hasKey() ? ['import os'] : []), '', 'import numpy', 'import requests',
    ...(tensors ? ['from safetensors.numpy import load'] : []), ''];
  const key = hasKey() ? ', "Authorization": f"Bearer {os.environ[\'DETCON_API_KEY\']}"' : '';
  lines.push('def ask(path, accept, fields, *photos):',
    '    images = [("image", open(photo, "rb")) for photo in photos]',
    `    answer = requests.post(${python(address('v1/'))} + path, params=fields, files=images,`,
    `                           headers={"Accept": accept${key}})`,
    '    answer.raise_for_status()',
    '    return answer.content', '');
  for (const { path, query: fields, accept, finds } of requests) {
    const set = Object.entries(fields).filter(([, value]) => value !== undefined);
    const named = set.map(([name, value]) => `${python(name)}: ${typeof value === 'number' ? value : python(value)}`).join(', ');
    const files = (finds === 'embeddings' ? photos : photos.slice(0, 1)).map(({ name }) => python(name)).join(', ');
    const asked = `ask(${python(path.replace('v1/', ''))}, ${python(accept)},\n    {${named}}, ${files})`;
    lines.push(accept === 'application/safetensors' ? `${finds} = load(${asked})` : `${finds} = numpy.load(io.BytesIO(${asked}))`);
  }
  const after = AFTER[place.settings.layer](place).trim();
  if (after) lines.push('', after);
  if (photos.length > 1) {
    lines.push('', 'a, b = embeddings', 'cosine = a @ b / (numpy.linalg.norm(a) * numpy.linalg.norm(b))', 'distance = numpy.linalg.norm(a - b)');
  }
  return lines.join('\n');
}
