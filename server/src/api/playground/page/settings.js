// The panel of settings: made once for a model, with the parts that a layer does not need hidden.

import { METHODS, SIZES, STRIDES } from './requests.js';
import { element, labelledChoice, slider, tick } from './widgets.js';

/** Which parts each layer shows, by what else is chosen. */
function shown({ layer, method, probe, heads }) {
  const clusters = method === 'kmeans';
  const segments = layer === 'segments' || (layer === 'similarity' && probe === 'region');
  const cells = layer === 'similarity' || layer === 'colours';
  return {
    probe: layer === 'similarity',
    method: segments,
    ...Object.fromEntries([...Object.keys(METHODS), ...Object.keys(heads)].map((name) => [name, segments && method === name])),
    stage: cells || (segments && clusters),
    size: cells || segments,
    centred: layer === 'similarity',
    smooth: cells,
    photo: layer === 'photo',
  };
}

/** What a head tells apart, and how well. */
function aboutHead({ classes, stage, quality }) {
  const measured = quality ? ` Mean IoU ${quality.mean_iou.toFixed(2)} on ${quality.measured_on}.` : '';
  return `Classes, by a head that was trained on ${stage}: ${classes.join(', ')}.${measured}`;
}

/** Every way to segment: what it is called, a hint, and its parameters. */
function ways(heads) {
  const trained = Object.entries(heads).map(([name, head]) =>
    [name, { title: name.slice(name.indexOf(':') + 1), hint: aboutHead(head), parameters: {} }]);
  return [...Object.entries(METHODS), ...trained];
}

/** Fills `box` for a model; `change(name, value)` is told what the user sets. Gives a function that shows what a layer needs. */
export function settingsPanel(box, settings, change) {
  const set = (name) => (value) => change(name, value);
  const methods = ways(settings.heads);
  const parts = {
    probe: labelledChoice('Compare with', 'probe', [['point', 'A point'], ['region', 'Its region']], settings.probe, set('probe')),
    method: labelledChoice('Segments by', 'method', methods.map(([name, { title }]) => [name, title]), settings.method, set('method')),
    ...Object.fromEntries(methods.map(([name, { hint, parameters }]) => [name, element('div', { className: 'group' },
      element('p', { className: 'hint', textContent: hint }),
      ...Object.entries(parameters).map(([field, { title, unit, values }]) =>
        slider(title, unit, values, settings[field], set(field))))])),
    stage: labelledChoice('Stage', 'stage', Object.entries(STRIDES).map(([name, stride]) => [name, `${name} · ${stride} px`]), settings.stage, set('stage')),
    size: labelledChoice('Shorter side in the network', 'size', SIZES.map((size) => [size, `${size}`]), settings.size,
      (value) => change('size', Number(value))),
    centred: tick('Take the mean feature away first', settings.centred, set('centred')),
    smooth: tick('Blend the cells', settings.smooth, set('smooth')),
    photo: element('p', { className: 'hint', textContent: 'The photograph as the server is sent it. Choose a layer above to see what the model makes of it.' }),
  };
  box.replaceChildren(...Object.values(parts));
  const update = () => {
    const wanted = shown(settings);
    for (const [name, part] of Object.entries(parts)) part.hidden = !wanted[name];
  };
  update();
  return update;
}
