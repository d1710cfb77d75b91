// The page: its state, and what happens when something in it changes.

import { Answers } from './answers.js';
import { Cells } from './analysis.js';
import { hasKey, headsOf, models, useKey } from './api.js';
import { Figure } from './figure.js';
import { distanceFindings } from './findings.js';
import { LAYERS } from './layers.js';
import { receivePhotos } from './receive.js';
import { METHODS, defaults, embeddings, headMethod } from './requests.js';
import { settingsPanel } from './settings.js';
import { snippet } from './snippets.js';
import { npy } from './tensors.js';
import { showTimings } from './timing.js';
import { cosine, distance, dot } from './vectors.js';
import { View } from './view.js';
import { choice, element } from './widgets.js';
import { aboutProbe, aboutRegion, summary } from './words.js';

/** A slider rests this long before the server is asked, in milliseconds. */
const DEBOUNCE = 220;
/** Settings after which the same places and regions are still there. */
const KEEPS_LOOK = new Set(['size', 'stage', 'centred', 'smooth', 'language']);
/** How long until a server that still loads is asked again, in milliseconds. */
const RETRY = 1500;

const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((found) => [found.id, found]));
const settings = defaults();
const pair = new Answers();
const cells = new Cells();
const views = [];
/** Where the user looks: pointer or keys (`cursor`), the region that is held (`pinned`), the probe, a listed region. */
let look = {};

const figures = () => views.map(({ figure }) => figure);

// --- what the server is asked ---

/** The kinds of answer that the layer needs of each figure. */
const needs = () => LAYERS[settings.layer].needs(settings);

let asked = 0;

async function refresh() {
  asked += 1;
  const mine = asked;
  show();
  if (!views.length) return;
  page.stage.setAttribute('aria-busy', 'true');
  try {
    const arrived = (work) => work.then(show);
    const work = figures().flatMap((figure) => needs().map((kind) => arrived(figure.load(kind, settings))));
    if (views.length > 1) {
      work.push(arrived(pair.want('embeddings', embeddings(settings), figures().map(({ photo }) => photo), npy)));
    }
    await Promise.all(work);
    if (mine === asked) problem();
  } catch (error) {
    if (mine === asked) problem(error);
  } finally {
    if (mine === asked) {
      page.stage.removeAttribute('aria-busy');
      show();
      if (!page.problem.hidden) say('');
      else say(summary(figures(), settings, look));
    }
  }
}

let resting;

function refreshSoon() {
  if (views.length) page.stage.setAttribute('aria-busy', 'true');
  clearTimeout(resting);
  resting = setTimeout(refresh, DEBOUNCE);
}

// --- what is shown ---

let frame;

/** Shows everything anew with the next frame. */
function show() {
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    try {
      render();
    } catch (error) {
      problem(error);
      throw error;
    }
  });
}

function render() {
  const present = figures();
  cells.update(present);
  for (const box of [page.toolbar, page.panel, page.code]) box.hidden = !present.length;
  page.welcome.hidden = present.length > 0;
  page.second.textContent = present.length > 1 ? 'Remove second' : 'Second image';
  page.figures.classList.toggle('two', present.length > 1);
  if (!present.length) return;
  const { title, show: showLayer } = LAYERS[settings.layer];
  showLayer({ views, figures: present, settings, look, cells, findings: page.findings, pin });
  showDistance();
  const timings = present.flatMap((figure) => needs().map((kind) => figure.answers.timing(kind))
    .filter(Boolean).map((timing) => ({ ...timing, letter: present.length > 1 ? figure.letter : '' })));
  const both = present.length > 1 ? [pair.timing('embeddings')].filter(Boolean) : [];
  showTimings(page.timing, [...timings, ...both]);
  page.snippet.textContent = snippet(settings.language, settings, present.map(({ photo }) => photo), probeCell(present));
  for (const { canvas, figure } of views) {
    canvas.setAttribute('aria-label', `${title} of ${figure.photo.name}. Arrow keys move, Enter chooses.`);
    canvas.dataset.shown = `${settings.layer}:${needs().every((kind) => figure.answers.value(kind)) ? 'ready' : 'waiting'}`;
  }
}

function showDistance() {
  const found = views.length > 1 ? pair.value('embeddings') : undefined;
  page.distance.hidden = !found;
  if (!found) return;
  const [a, b] = [0, 1].map((index) => found.data.subarray(index * found.shape[1], (index + 1) * found.shape[1]));
  page['distance-body'].replaceChildren(...distanceFindings({
    cosine: cosine(a, b), distance: distance(a, b), lengths: [a, b].map((vector) => Math.sqrt(dot(vector, vector))),
  }));
}

/** The cell under the probe, for the code that is shown. */
function probeCell(present) {
  const { probe } = look;
  const features = probe && present[probe.figure]?.features;
  if (!features) return { row: 0, column: 0 };
  const cell = present[probe.figure].cellAt(probe.u, probe.v);
  return { row: Math.floor(cell / features.columns), column: cell % features.columns };
}

// --- what is said ---

function say(text) {
  page.status.textContent = text;
}

function problem(error) {
  page.problem.hidden = !error;
  if (!error) return;
  page['problem-title'].textContent = error.title ?? 'That did not work';
  page['problem-detail'].textContent = error.detail ?? error.message;
  if (error.status !== 401) return;
  page['key-box'].open = true;
  page.key.focus();
}

// --- what the user does ---

const at = (view, { u, v }) => ({ figure: view.figure.index, u, v, id: view.figure.labelAt(u, v) });
const region = (place) => (place.id >= 0 ? place : undefined);

function pin(place) {
  const again = place && look.pinned?.figure === place.figure && look.pinned.id === place.id;
  look.pinned = again ? undefined : place;
  look.echo = undefined;
  say(summary(figures(), settings, look));
  show();
}

/** Makes a place the probe, or holds the region there. */
function choose(view, place) {
  if (settings.layer === 'segments') return pin(region(at(view, place)));
  if (settings.layer === 'photo') return undefined;
  look.probe = at(view, place);
  if (settings.layer === 'colours') return setLayer('similarity');
  say(aboutProbe(figures(), look.probe));
  return show();
}

const events = {
  point(view, place, pressed) {
    look.cursor = settings.layer === 'segments' ? region(at(view, place)) : at(view, place);
    if (pressed && settings.layer === 'similarity') look.probe = look.cursor;
    if (settings.layer === 'segments' || settings.layer === 'similarity') show();
  },
  leave() {
    look.cursor = undefined;
    show();
  },
  press: choose,
  accept: choose,
  move(view, place) {
    if (settings.layer === 'similarity') return choose(view, place);
    look.cursor = region(at(view, place));
    if (settings.layer === 'segments' && look.cursor) say(aboutRegion(figures(), look.cursor));
    return show();
  },
  escape() {
    look = { probe: look.probe };
    show();
  },
};

function setLayer(layer) {
  page.layer.querySelector(`[value=${layer}]`).checked = true;
  change('layer', layer);
}

function change(name, value) {
  settings[name] = value;
  if (!KEEPS_LOOK.has(name)) look = { probe: look.probe };
  showSettings();
  if (name === 'centred' || name === 'smooth' || name === 'language') show();
  else if (name === 'layer') refresh();
  else refreshSoon();
}

/** Puts a photograph at a place of the page; without one, takes away what is there. */
function put(index, photo) {
  for (const { figure } of views.slice(index, photo ? index + 1 : undefined)) figure.answers.clear();
  pair.clear();
  look = {};
  const place = Math.min(index, views.length);
  if (photo) views[place] = new View(new Figure(place, photo), events);
  else views.length = index;
  page.figures.replaceChildren(...views.map((view) => view.element));
  refresh();
}

const receive = receivePhotos(page, { put, problem, count: () => views.length });

// --- the start ---

let showSettings = settingsPanel(page.settings, settings, change);
choice(page.layer, 'layer', Object.entries(LAYERS).map(([name, { title }]) => [name, title]), settings.layer, (value) => change('layer', value));
choice(page.language, 'language', [['curl', 'curl'], ['python', 'Python']], settings.language, (value) => change('language', value));
page.model.addEventListener('change', async () => {
  try {
    await meet(page.model.value);
    change('model', page.model.value);
  } catch (error) {
    problem(error);
  }
});
page['problem-close'].addEventListener('click', () => problem());
page.second.addEventListener('click', (event) => {
  if (views.length < 2) return;
  event.stopImmediatePropagation();
  put(1);
}, true);
page.copy.addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(page.snippet.textContent);
    page.copy.textContent = 'Copied';
  } catch { // browsers have no clipboard for pages that came without TLS
    getSelection().selectAllChildren(page.snippet);
    page.copy.textContent = 'Selected';
  }
  setTimeout(() => { page.copy.textContent = 'Copy'; }, 1500);
});
page['key-form'].addEventListener('submit', (event) => {
  event.preventDefault();
  useKey(page.key.value);
  page['key-box'].open = false;
  page['key-box'].classList.toggle('set', hasKey());
  start();
});
new ResizeObserver(show).observe(page.figures);

/** Makes a model the one that is asked, and shows the ways to segment that it has. */
async function meet(model) {
  const heads = model ? await headsOf(model) : {};
  settings.model = model;
  settings.heads = Object.fromEntries(Object.entries(heads).map(([name, head]) => [headMethod(name), head]));
  if (!(settings.method in METHODS || settings.method in settings.heads)) settings.method = defaults().method;
  showSettings = settingsPanel(page.settings, settings, change);
}

async function start() {
  try {
    const { data, refused } = await models();
    const option = ({ id, arch, pretrained }) => element('option', { value: id, textContent: `${id} (${arch}${pretrained ? '' : ', untrained'})` });
    page.model.replaceChildren(...data.map(option));
    await meet(data.find(({ id }) => id === settings.model)?.id ?? data[0]?.id);
    page.model.value = settings.model ?? '';
    if (data.length) {
      problem();
      await refresh();
    } else if (refused.length) problem({ title: 'No model is served', detail: refused.map(({ id, reason }) => `${id}: ${reason}`).join(' ') });
    else setTimeout(start, RETRY);
  } catch (error) {
    problem(error);
  }
}

receive.listen();
start();
