// The layers over the photographs: what each draws, and what it says beside them. A scene is what there is to show:
// `views`, `figures`, `settings`, `look` (where the user looks), `cells`, the panel for `findings`, and `pin(place)`.

import { nearest, span } from './analysis.js';
import { colourFindings, heatFindings, segmentFindings } from './findings.js';
import { paintColours, paintHeat, paintLit, paintPhoto, paintProbe, paintRegions } from './paint.js';

function* contexts({ views }) {
  for (const view of views) {
    const [context, ratio] = view.context();
    yield { figure: view.figure, context, ratio };
  }
}

function segments(scene) {
  drawSegments(scene);
  const { figures, look, findings } = scene;
  const target = look.pinned ?? look.cursor;
  findings.replaceChildren(...segmentFindings(figures, target, Boolean(look.pinned), target ? nearest(figures, target) : [], {
    // Only what is drawn: what has the focus in the panel keeps it.
    echo: (place) => { look.echo = place; drawSegments(scene); },
    pick: scene.pin,
    unpin: () => scene.pin(),
  }));
}

function drawSegments(scene) {
  const { figures, look } = scene;
  const found = look.pinned ? nearest(figures, look.pinned) : [];
  const [low, high] = span([found.map((other) => other.cosine)]);
  for (const { figure, context } of contexts(scene)) {
    paintPhoto(context, figure.photo, Boolean(look.pinned));
    if (!figure.labels) continue;
    const lit = [look.echo, look.cursor, look.pinned].find((place) => place?.figure === figure.index)?.id;
    const shares = look.pinned && new Map(found.filter((other) => other.figure === figure.index)
      .map((other) => [other.region.id, (other.cosine - low) / (high - low || 1)]));
    if (shares && look.pinned.figure === figure.index && lit !== look.pinned.id) shares.set(look.pinned.id, 1);
    if (shares && lit !== undefined) paintLit(context, figure.photo, figure.labels, lit);
    paintRegions(context, figure.labels, { lit, shares });
  }
}

/** Photographs without their colours, as the ground for others; says whether comparable features are there to cover them. */
function drawGrey(scene) {
  for (const { figure, context } of contexts(scene)) paintPhoto(context, figure.photo, true);
  const there = scene.figures.every(({ features }) => features);
  if (!there) scene.findings.replaceChildren();
  return there && new Set(scene.figures.map(({ features }) => `${features.stage} ${features.channels}`)).size === 1;
}

function similarity(scene) {
  if (!drawGrey(scene)) return;
  const { figures, settings, look, cells } = scene;
  look.probe ??= { figure: 0, u: 0.5, v: 0.5 };
  const { probe, cursor } = look;
  const from = figures[probe.figure];
  const chosen = settings.probe === 'region' ? from.cellsOfRegionAt(probe.u, probe.v) : [from.cellAt(probe.u, probe.v)];
  const values = cells.heat(probe.figure, chosen, settings.centred);
  const scale = span(values);
  for (const { figure, context, ratio } of contexts(scene)) {
    paintHeat(context, figure, values[figure.index], scale, settings.smooth);
    if (figure.index !== probe.figure) continue;
    if (settings.probe === 'region' && figure.labels) {
      paintRegions(context, figure.labels, { lit: figure.labelAt(probe.u, probe.v), bare: true });
    }
    paintProbe(context, probe, ratio);
  }
  const under = cursor && values[cursor.figure][figures[cursor.figure].cellAt(cursor.u, cursor.v)];
  scene.findings.replaceChildren(...heatFindings(figures, probe, scale, under));
}

function principal(scene) {
  if (!drawGrey(scene)) return;
  const { colours, explained } = scene.cells.principal();
  for (const { figure, context } of contexts(scene)) paintColours(context, figure, colours[figure.index], scene.settings.smooth);
  scene.findings.replaceChildren(...colourFindings(explained));
}

function photo(scene) {
  for (const { figure, context } of contexts(scene)) paintPhoto(context, figure.photo, false);
  scene.findings.replaceChildren();
}

/** Each layer: its title, the kinds of answer that it needs of every figure, and how it is shown. */
export const LAYERS = {
  segments: { title: 'Segments', needs: () => ['labels', 'regions'], show: segments },
  similarity: {
    title: 'Similarity',
    needs: ({ probe }) => (probe === 'region' ? ['features', 'labels'] : ['features']),
    show: similarity,
  },
  colours: { title: 'PCA colours', needs: () => ['features'], show: principal },
  photo: { title: 'Photograph', needs: () => [], show: photo },
};
