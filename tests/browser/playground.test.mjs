// The playground in a real browser, against a real server: what a person does, and what they must be able to see.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { HEAD, ROOT, choose, colours, drop, dropped, launch, open, painted, photograph, serve, shown } from './harness.mjs';

const PROGRAMS = path.resolve(ROOT, process.env.DETCON_PROGRAMS ?? 'target/debug');
const KEY = 'a-key-for-the-browser-test';
const PLACES = [0.1, 0.3, 0.5, 0.7, 0.9].flatMap((u) => [0.2, 0.5, 0.8].map((v) => [u, v]));

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), serve(PROGRAMS)]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens the page for a test, which must leave no fault behind. */
async function visit(work, { address = server.address, options, expected = [] } = {}) {
  const { page, faults, close } = await open(browser, address, options);
  try {
    await work(page);
    assert.deepEqual(faults.filter((fault) => !expected.some((known) => fault.includes(known))), []);
  } finally {
    await close();
  }
}

async function clickAt(page, u, v, index = 0) {
  const box = await page.locator('canvas').nth(index).boundingBox();
  await page.mouse.click(box.x + u * box.width, box.y + v * box.height);
}

/** Waits until the page says that the probe is at a pixel, give or take the one that the screen's pixels hide. */
async function probeAt(page, x, y) {
  await page.waitForFunction(([wantedX, wantedY]) => {
    const [, foundX, foundY] = document.querySelector('#status').textContent.match(/Probe at (\d+), (\d+)/) ?? [];
    return Math.abs(foundX - wantedX) <= 1 && Math.abs(foundY - wantedY) <= 1;
  }, [x, y]);
  await painted(page);
}

const text = (page, selector) => page.locator(selector).innerText();

test('a dropped photograph is segmented, and its regions say what they are', () => visit(async (page) => {
  await drop(page, [dropped('coffee.jpg')]);
  await shown(page, 'segments');
  const segmented = await colours(page, PLACES);
  const [count] = (await text(page, '#findings h2')).match(/^\d+/);
  assert.ok(Number(count) > 1, `${count} regions`);
  await choose(page, 'photo');
  assert.notDeepEqual(await colours(page, PLACES), segmented, 'the segments cover the photograph');
  await choose(page, 'segments');
  const box = await page.locator('canvas').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForSelector('#findings .near');
  assert.match(await text(page, '#findings'), /Region \d+[\s\S]*Area[\s\S]*px[\s\S]*Nearest regions/);
  const hovered = await colours(page, PLACES);
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.getByText('Release').waitFor();
  assert.notDeepEqual(await colours(page, PLACES), hovered, 'regions have colours of similarity');
  await page.keyboard.press('Escape');
}));

test('a head that was trained on the model names what it finds', () => visit(async (page) => {
  await drop(page, [dropped('coffee.jpg')]);
  await shown(page, 'segments');
  await page.locator(`input[name=method][value="head:${HEAD.name}"]`).check({ force: true });
  await page.waitForFunction((name) => document.querySelector('#snippet').textContent.includes(`head%3A${name}`), HEAD.name);
  await shown(page, 'segments');
  await page.locator('canvas').focus();
  for (const key of ['ArrowRight', 'ArrowDown']) await page.keyboard.press(key);
  await painted(page);
  assert.match(await text(page, '#findings h2'), new RegExp(HEAD.classes.join('|')));
  assert.match(await text(page, '#settings'), /Classes, by a head that was trained on c5: kind a, kind b,/);
}));

test('a click shows what resembles the place, and arrow keys move it', () => visit(async (page) => {
  await drop(page, [dropped('chelsea.jpg')]);
  await shown(page, 'segments');
  await choose(page, 'similarity');
  await clickAt(page, 0.32, 0.53);
  await probeAt(page, 144, 158);
  assert.match(await text(page, '#findings'), /Under the pointer\s+1\.000/);
  const first = await colours(page, PLACES);
  await clickAt(page, 0.9, 0.2);
  await probeAt(page, 405, 60);
  assert.notDeepEqual(await colours(page, PLACES), first, 'another place has another heat map');
  await page.locator('canvas').focus();
  await page.keyboard.press('Shift+ArrowLeft');
  await probeAt(page, 360, 60);
  await page.locator('input[name=probe][value=region]').check({ force: true });
  await shown(page, 'similarity');
  await page.locator('input[name=stage][value=c3]').check({ force: true });
  await shown(page, 'similarity');
  assert.match(await text(page, '#snippet'), /stage=c3/);
}));

test('principal components colour the features', () => visit(async (page) => {
  await drop(page, [dropped('rocket.jpg')]);
  await shown(page, 'segments');
  await choose(page, 'colours');
  const found = await colours(page, PLACES);
  assert.ok(new Set(found.map(String)).size > 5, 'places differ in colour');
  const shares = (await text(page, '#findings')).match(/[\d.]+(?= %)/g).map(Number);
  assert.equal(shares.length, 3);
  assert.ok(shares[0] >= shares[1] && shares[1] >= shares[2] && shares[0] <= 100, `${shares}`);
}));

test('two images have a distance, the same one twice has none', () => visit(async (page) => {
  await drop(page, [dropped('coffee.jpg'), dropped('coffee.jpg')]);
  await shown(page, 'segments', 2);
  await page.locator('#distance').getByText('1.000', { exact: true }).waitFor();
  await page.getByText('Remove second').click();
  await shown(page, 'segments', 1);
  await drop(page, [dropped('astronaut.jpg')]);
  await shown(page, 'segments', 2);
  await page.locator('#distance').waitFor();
  assert.doesNotMatch(await text(page, '#distance'), /Euclidean distance\s+0\.00$/m);
  await choose(page, 'similarity', 2);
  await clickAt(page, 0.5, 0.5, 1);
  await page.getByText(/in B$/).waitFor();
}));

test('a setting asks the server once it rests, and the timing is shown', () => visit(async (page) => {
  await drop(page, [dropped('coffee.jpg')]);
  await shown(page, 'segments');
  await page.locator('input[name=method][value=grid]').check({ force: true });
  await page.getByText('35 regions', { exact: true }).waitFor();
  const asked = [];
  page.on('request', (request) => { if (request.url().includes('/v1/segmentations')) asked.push(request.url()); });
  const slider = page.getByRole('slider', { name: /Rows/ });
  await slider.focus();
  for (let step = 0; step < 3; step += 1) await page.keyboard.press('ArrowLeft');
  await page.getByText('14 regions', { exact: true }).waitFor();
  assert.ok(asked.length <= 2 && asked.at(-1).includes('rows=2'), `${asked}`);
  await shown(page, 'segments');
  assert.match(await text(page, '#timing'), /\/segmentations\s+[\d.,]+ ms[\s\S]*\/regions/);
}));

test('the code that is shown runs', () => visit(async (page) => {
  await drop(page, [dropped('coffee.jpg'), dropped('rocket.jpg')]);
  await shown(page, 'segments', 2);
  const folder = mkdtempSync(path.join(tmpdir(), 'detcon-snippet-'));
  try {
    for (const name of ['coffee.jpg', 'rocket.jpg']) writeFileSync(path.join(folder, name), readFileSync(photograph(name)));
    const ran = spawnSync('sh', ['-ec', await text(page, '#snippet')], { cwd: folder, encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    for (const file of ['labels.npy', 'embeddings.npy']) {
      assert.equal(readFileSync(path.join(folder, file)).subarray(1, 6).toString(), 'NUMPY', file);
    }
    assert.match(readFileSync(path.join(folder, 'regions.safetensors')).toString('latin1'), /"embeddings"/);
    await page.locator('input[name=language][value=python]').check({ force: true });
    await painted(page);
    const python = await text(page, '#snippet');
    const compiled = spawnSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: python, encoding: 'utf8' });
    assert.equal(compiled.status, 0, `${compiled.stderr}\n${python}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}));

test('a large photograph is made smaller before it is sent, and the caption says so', () => visit(async (page) => {
  const picture = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 2400, height: 1200 });
    const context = canvas.getContext('2d');
    context.fillStyle = '#c33';
    context.fillRect(0, 0, 1200, 1200);
    return canvas.toDataURL('image/png').split(',')[1];
  });
  await drop(page, [{ name: 'wide.png', type: 'image/png', bytes: Buffer.from(picture, 'base64') }]);
  await shown(page, 'segments');
  assert.match(await text(page, 'figcaption'), /made smaller[\s\S]*1024 × 512/);
}));

test('an image can be pasted, or taken from the samples', () => visit(async (page) => {
  await page.getByRole('button', { name: 'Coffee' }).click();
  await shown(page, 'segments');
  await page.evaluate(async () => {
    const sample = await fetch('playground/chelsea.jpg');
    const transfer = new DataTransfer();
    transfer.items.add(new File([await sample.blob()], 'pasted.jpg', { type: 'image/jpeg' }));
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer }));
  });
  await shown(page, 'segments', 2);
  assert.match(await text(page, '#figures'), /coffee\.jpg[\s\S]*pasted\.jpg/);
}));

test('what is no image, and what the server refuses, is said in words', () => visit(async (page) => {
  await drop(page, [{ name: 'broken.jpg', type: 'image/jpeg', bytes: Buffer.from('no image at all') }]);
  await page.getByRole('alert').getByText('broken.jpg is no image').waitFor();
  await drop(page, [{ name: 'notes.txt', type: 'text/plain', bytes: Buffer.from('words') }]);
  await page.getByRole('alert').getByText('holds no image file').waitFor();
  const problem = { type: 'urn:detcon:problem:overloaded', title: 'Server overloaded', status: 503, detail: 'Come back in a second.' };
  const refuse = (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify(problem) });
  await page.route('**/v1/features*', refuse);
  await drop(page, [dropped('coffee.jpg')]);
  await shown(page, 'segments');
  await page.locator('input[name=layer][value=similarity]').check({ force: true });
  await page.getByRole('alert').getByText(problem.detail).waitFor();
  await page.unroute('**/v1/features*', refuse);
  await choose(page, 'segments');
  await choose(page, 'similarity');
  assert.ok(await page.getByRole('alert').isHidden(), 'what works again is no problem any more');
}, { expected: ['status of 503'] }));

test('a server with keys is asked with one', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'detcon-keys-'));
  const file = path.join(folder, 'keys.txt');
  writeFileSync(file, `inference:${KEY}\n`);
  const locked = await serve(PROGRAMS, { flags: ['--api-keys', file] });
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(locked.address);
    await page.getByRole('alert').waitFor();
    await page.locator('#key').fill(KEY);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#model option'));
    await drop(page, [dropped('coffee.jpg')]);
    await shown(page, 'segments');
    const code = await text(page, '#snippet');
    assert.ok(code.includes('$DETCON_API_KEY') && !code.includes(KEY), 'the key is not shown');
    assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, '']);
  } finally {
    await context.close();
    await locked.stop();
    rmSync(folder, { recursive: true });
  }
});

for (const width of [320, 390, 900]) {
  test(`nothing is cut off at a width of ${width}`, () => visit(async (page) => {
    const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
    assert.ok(await fits(), 'before the first image');
    await drop(page, [dropped('coffee.jpg'), dropped('chelsea.jpg')]);
    await shown(page, 'segments', 2);
    assert.ok(await fits(), 'with segments');
    await choose(page, 'similarity', 2);
    assert.ok(await fits(), 'with a heat map');
  }, { options: { viewport: { width, height: 800 }, hasTouch: width < 500 } }));
}

test('every control has a name that a screen reader can say', () => visit(async (page) => {
  await drop(page, [dropped('coffee.jpg')]);
  await shown(page, 'segments');
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, select, a, canvas')]
    .filter((found) => found.checkVisibility?.() !== false)
    .filter((found) => !(found.getAttribute('aria-label') || found.innerText?.trim() || [...(found.labels ?? [])].some((label) => label.innerText.trim())))
    .map((found) => found.outerHTML));
  assert.deepEqual(nameless, []);
  assert.equal(await page.locator('[aria-live=polite]').count(), 1);
}));
