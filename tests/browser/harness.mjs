// A started server and a browser that notes what it must not do: errors on its console, and requests to elsewhere.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const IMAGES = path.join(process.env.DETCON_GOLDEN_DIR ?? path.join(ROOT, 'tests/golden'), 'images');
/** Longest wait for anything that the page does, in milliseconds: an untuned build on a busy machine is slow. */
const PATIENCE = 60_000;

/** A golden photograph's file. */
export const photograph = (name) => path.join(IMAGES, name);

function browserProgram() {
  const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = places.find((place) => place && existsSync(place));
  if (!found) throw new Error('no Chromium is installed: apt-get install chromium, or name one with CHROMIUM=…');
  return found;
}

/** Starts a browser; it needs no screen. */
export const launch = () => chromium.launch({
  executablePath: browserProgram(),
  // Root has no sandbox, and containers have a small /dev/shm. What Chromium asks its maker for by itself stays off.
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
});

/** The untrained model's segmentation head: the class of a place is the largest of c5's eight features there. */
export const HEAD = { name: 'largest', classes: [...'abcdefgh'].map((letter) => `kind ${letter}`) };

/** Adds a linear segmentation head on c5 to a model directory: its safetensors file, and what the manifest says of it. */
function addHead(directory, { name, classes }) {
  const channels = classes.length;
  const weight = classes.flatMap((_, row) => Array.from({ length: channels }, (__, column) => (row === column ? 1 : 0)));
  const values = Float32Array.from([...weight, ...classes.map(() => 0)]);
  const split = 4 * weight.length;
  const header = Buffer.from(JSON.stringify({
    'classifier.bias': { dtype: 'F32', shape: [classes.length], data_offsets: [split, 4 * values.length] },
    'classifier.weight': { dtype: 'F32', shape: [classes.length, channels, 1, 1], data_offsets: [0, split] },
  }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const bytes = Buffer.concat([length, header, Buffer.from(values.buffer)]);
  const file = `heads/${name}.safetensors`;
  mkdirSync(path.join(directory, 'heads'));
  writeFileSync(path.join(directory, file), bytes);
  const place = path.join(directory, 'manifest.json');
  const manifest = JSON.parse(readFileSync(place));
  manifest.files[file] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  manifest.segmentation_heads = { [name]: { kind: 'linear', stage: 'c5', size: 224, classes } };
  writeFileSync(place, JSON.stringify(manifest, null, 2));
}

/**
 * Starts the server in folder `programs` on the models of `store`, or on an untrained tiny one. Gives its address once
 * a model is loaded, and how to stop it.
 */
export async function serve(programs, { store, flags = [] } = {}) {
  const scratch = mkdtempSync(path.join(tmpdir(), 'detcon-browser-'));
  const models = store ?? path.join(scratch, 'models');
  if (!store) {
    const made = spawnSync(path.join(programs, 'detcon-convert'), ['demo', path.join(models, 'tiny'), '--arch', 'tiny'], { stdio: 'inherit' });
    if (made.status !== 0) throw new Error('detcon-convert demo failed');
    addHead(path.join(models, 'tiny'), HEAD);
  }
  const program = path.join(programs, 'detcon-server');
  const server = spawn(program, ['--models', models, '--listen', '127.0.0.1:0', '--log', 'error', ...flags],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => { server.once('close', resolve); });
  const lines = readline.createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const address = (await lines.next()).value?.split(' ').at(-1);
  if (!address) throw new Error(`${program} did not start`);
  await lines.next(); // it has something to try: the model is loaded
  const stop = async () => {
    server.kill('SIGTERM');
    await ended;
    rmSync(scratch, { recursive: true, force: true });
  };
  return { address, stop };
}

/** Opens the page in a browser of its own settings; `faults` fills with what it should not have done. */
export async function open(browser, address, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`); });
  page.on('pageerror', (error) => faults.push(`error: ${error.stack}`));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== address && !['data:', 'blob:'].includes(protocol)) faults.push(`outside: ${request.url()}`);
  });
  await page.goto(address);
  await page.waitForFunction(() => document.querySelector('#model option'));
  return { page, faults, close: () => context.close() };
}

/** Drops files on the page, as from a desktop. */
export async function drop(page, files) {
  const contents = files.map(({ name, type, bytes }) => ({ name, type, base64: bytes.toString('base64') }));
  const transfer = await page.evaluateHandle((items) => {
    const made = new DataTransfer();
    for (const { name, type, base64 } of items) {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      made.items.add(new File([bytes], name, { type }));
    }
    return made;
  }, contents);
  for (const event of ['dragenter', 'dragover', 'drop']) await page.dispatchEvent('#stage', event, { dataTransfer: transfer });
}

/** A golden JPEG as something to drop. */
export const dropped = (name) => ({ name, type: 'image/jpeg', bytes: readFileSync(photograph(name)) });

/** Waits until `count` images show the layer with everything that it needs. */
export async function shown(page, layer, count = 1) {
  await page.waitForFunction(([wanted, images]) => {
    const canvases = [...document.querySelectorAll('canvas')];
    const busy = document.querySelector('#stage').hasAttribute('aria-busy');
    return !busy && canvases.length === images && canvases.every(({ dataset }) => dataset.shown === `${wanted}:ready`);
  }, [layer, count]);
  await painted(page);
}

/** Waits until what is known is also drawn. */
export const painted = (page) => page.evaluate(() =>
  new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));

/** Shows a layer and waits for it. */
export async function choose(page, layer, count = 1) {
  await page.locator(`input[name=layer][value=${layer}]`).check({ force: true });
  await shown(page, layer, count);
}

/** Colours of a canvas at places given by shares of its width and height. */
export const colours = (page, places, index = 0) => page.evaluate(([spots, which]) => {
  const canvas = document.querySelectorAll('canvas')[which];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return spots.map(([u, v]) => [...copy.getImageData(u * canvas.width, v * canvas.height, 1, 1).data]);
}, [places, index]);
