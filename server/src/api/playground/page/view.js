// A figure's element: its canvas, and where pointer and keys are on it.

import { element } from './widgets.js';

/** Most pixels of a canvas's width. */
const WIDEST = 1400;
/** A step of an arrow key, in shares of the image; ten times as far with Shift. */
const STEP = 0.01;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class View {
  /** `events` are told places as shares of the image: `point`, `leave`, `press`, `move` (by keys), `accept`, `escape`. */
  constructor(figure, events) {
    this.figure = figure;
    this.place = { u: 0.5, v: 0.5 };
    this.canvas = element('canvas', { tabIndex: 0, role: 'application', 'aria-roledescription': 'image', 'aria-describedby': 'status' });
    const { name, width, height, scaled } = figure.photo;
    const note = scaled ? `made smaller for this page: ${width} × ${height}` : `${width} × ${height}`;
    this.element = element('figure', {},
      this.canvas,
      element('figcaption', {}, element('b', { textContent: figure.letter }), element('span', { textContent: name }), element('span', { textContent: note })));
    this.element.style.setProperty('--ratio', width / height);
    this.#listen(events);
  }

  #listen(events) {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const share = (value, start, length) => Math.min(0.9999, Math.max(0, (value - start) / length));
      this.place = { u: share(event.clientX, box.left, box.width), v: share(event.clientY, box.top, box.height) };
      return this.place;
    };
    this.canvas.addEventListener('pointermove', (event) => events.point(this, at(event), event.buttons > 0));
    this.canvas.addEventListener('pointerleave', () => events.leave(this));
    this.canvas.addEventListener('click', (event) => events.press(this, at(event)));
    this.canvas.addEventListener('keydown', (event) => {
      const arrow = ARROWS[event.key];
      if (arrow) {
        const far = event.shiftKey ? 10 * STEP : STEP;
        const moved = (value, direction) => Math.min(0.9999, Math.max(0, value + far * direction));
        this.place = { u: moved(this.place.u, arrow[0]), v: moved(this.place.v, arrow[1]) };
        events.move(this, this.place);
      } else if (event.key === 'Enter' || event.key === ' ') events.accept(this, this.place);
      else if (event.key === 'Escape') events.escape(this);
      else return;
      event.preventDefault();
    });
  }

  /** The context to draw with, the canvas as fine as the screen; and the screen's pixels in one of CSS. */
  context() {
    const shown = this.canvas.clientWidth || this.figure.photo.width;
    const width = Math.min(WIDEST, Math.round(shown * window.devicePixelRatio));
    const height = Math.max(1, Math.round((width * this.figure.photo.height) / this.figure.photo.width));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    return [this.canvas.getContext('2d'), width / shown];
  }
}
