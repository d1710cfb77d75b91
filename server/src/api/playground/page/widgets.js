// Elements that the page is made of.

/** An element with properties (`data-…`, `aria-…` and `role` as attributes) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/** Radio buttons that look like one control, put into `fieldset`. Arrow keys move between them, as the browser does it. */
export function choice(fieldset, name, options, chosen, onChange) {
  for (const [value, title] of options) {
    const input = element('input', { type: 'radio', name, value, checked: String(value) === String(chosen) });
    input.addEventListener('change', () => onChange(value));
    fieldset.append(element('label', {}, input, element('span', { textContent: title })));
  }
  return fieldset;
}

/** A labelled choice. */
export function labelledChoice(title, ...rest) {
  const fieldset = element('fieldset', { className: 'choice wide' }, element('legend', { textContent: title }));
  return choice(fieldset, ...rest);
}

/** A slider that passes through a list of values. */
export function slider(title, unit, values, chosen, onInput) {
  const text = (value) => (unit ? `${value} ${unit}` : `${value}`);
  const output = element('span', { textContent: text(chosen) });
  const input = element('input', { type: 'range', 'aria-label': title, min: 0, max: values.length - 1, value: values.indexOf(chosen) });
  const show = () => {
    const value = values[input.value];
    output.textContent = text(value);
    input.setAttribute('aria-valuetext', text(value));
    input.style.setProperty('--filled', `${(100 * input.value) / (values.length - 1)}%`);
    return value;
  };
  input.addEventListener('input', () => onInput(show()));
  show();
  return element('label', { className: 'slider' }, element('span', {}, title, output), input);
}

/** A box to tick. */
export function tick(title, checked, onChange) {
  const input = element('input', { type: 'checkbox', checked });
  input.addEventListener('change', () => onChange(input.checked));
  return element('label', { className: 'tick' }, input, element('span', { textContent: title }));
}

/** A bar that is filled to a share. */
export function bar(share, colour) {
  const fill = element('i');
  fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  if (colour) fill.style.background = colour;
  return element('span', { className: 'meter', 'aria-hidden': 'true' }, fill);
}
