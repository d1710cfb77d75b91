// The newest answer of each kind: asked for once, and given up when another is wanted in its place.

import { send } from './api.js';

export class Answers {
  #entries = new Map();

  /** The last answer of a kind that arrived, if one did. */
  value(kind) {
    return this.#entries.get(kind)?.value;
  }

  /** How long it took. */
  timing(kind) {
    return this.#entries.get(kind)?.timing;
  }

  /** Forgets everything and gives up what is under way. */
  clear() {
    for (const { controller } of this.#entries.values()) controller.abort();
    this.#entries.clear();
  }

  /**
   * Makes the answer to `request` the one of its kind, unless it is already or soon will be; `read` makes a value of
   * its body. A request that was given up for a newer one ends quietly.
   */
  async want(kind, request, photos, read) {
    const key = JSON.stringify([request, photos.map(({ serial }) => serial)]);
    const entry = this.#entries.get(kind) ?? { controller: new AbortController() };
    if (entry.key === key) return entry.pending;
    entry.controller.abort();
    entry.controller = new AbortController();
    entry.key = key;
    this.#entries.set(kind, entry);
    entry.pending = (async () => {
      try {
        const { body, timing } = await send(request, photos, entry.controller.signal);
        if (entry.key !== key) return;
        Object.assign(entry, { value: read(body), timing, serial: (entry.serial ?? 0) + 1 });
      } catch (error) {
        if (error.name === 'AbortError') return;
        if (entry.key === key) Object.assign(entry, { key: undefined, value: undefined, timing: undefined });
        throw error;
      }
    })();
    return entry.pending;
  }
}
