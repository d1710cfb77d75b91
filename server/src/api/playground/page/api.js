// Calls of the server: what goes out, what comes back, how long it took, and what went wrong in words.

/** The key that calls carry; it lives in this module and is gone with the page. */
const credentials = { key: '' };

/** Makes `key` the one that calls carry from now on; an empty one means none. */
export const useKey = (key) => { credentials.key = key.trim(); };

/** Whether calls carry a key. */
export const hasKey = () => credentials.key !== '';

/** What the server refused, as its problem document says it, or that it could not be reached. */
export class Problem extends Error {
  constructor(title, detail, status) {
    super(detail);
    Object.assign(this, { title, detail, status });
  }

  static async of(response) {
    const said = await response.json().catch(() => ({}));
    const detail = said.detail ?? `The server answered ${response.status} without saying why.`;
    return new Problem(said.title ?? 'Request failed', detail, response.status);
  }
}

/** The query string of a request, without what is not set. */
export function query(fields) {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '');
  return set.length ? `?${new URLSearchParams(set)}` : '';
}

/** The phases of a `Server-Timing` header as `{name: milliseconds}`. */
export function phases(header) {
  const parts = (header ?? '').matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Object.fromEntries([...parts].map(([, name, duration]) => [name, Number(duration)]));
}

/**
 * Sends a request as `requests.js` describes them, with `photos` as its images.
 * Gives the body as an ArrayBuffer with the timing; throws a `Problem`.
 */
export async function send(request, photos, signal) {
  const headers = { Accept: request.accept };
  if (credentials.key) headers.Authorization = `Bearer ${credentials.key}`;
  const options = { method: request.method ?? 'POST', headers, signal };
  if (photos.length > 1) {
    options.body = new FormData();
    for (const photo of photos) options.body.append('image', photo.blob, photo.name);
  } else if (photos.length) {
    options.body = photos[0].blob;
    headers['Content-Type'] = photos[0].blob.type || 'application/octet-stream';
  }
  const start = performance.now();
  let response;
  let body;
  try {
    response = await fetch(request.path + query(request.query), options);
    if (!response.ok) throw await Problem.of(response);
    body = await response.arrayBuffer();
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof Problem) throw error;
    throw new Problem('No answer', 'The server could not be reached: it may have stopped, or the network is gone.', 0);
  }
  const timing = {
    path: request.path,
    phases: phases(response.headers.get('server-timing')),
    roundTrip: performance.now() - start,
    bytes: body.byteLength,
  };
  return { body, timing };
}

async function get(path) {
  const { body } = await send({ method: 'GET', path, query: {}, accept: 'application/json' }, []);
  return JSON.parse(new TextDecoder().decode(body));
}

/** The list of models. */
export const models = () => get('v1/models');

/** A model's segmentation heads by name. */
export const headsOf = async (model) => (await get(`v1/models/${model}`)).segmentation_heads;
