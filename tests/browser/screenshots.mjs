// Makes the pictures of docs/playground.md: screenshots.mjs FOLDER-OF-PROGRAMS FOLDER-OF-MODELS

import path from 'node:path';

import { ROOT, choose, drop, dropped, launch, open, serve, shown } from './harness.mjs';

const DESKTOP = { viewport: { width: 1280, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true };
const [programs, store] = process.argv.slice(2).map((folder) => path.resolve(folder));

async function pointAt(page, u, v, press) {
  const box = await page.locator('canvas').first().boundingBox();
  const place = [box.x + u * box.width, box.y + v * box.height];
  await (press ? page.mouse.click(...place) : page.mouse.move(...place));
}

/** What is done before each picture. */
const PICTURES = {
  segments: async (page) => {
    await drop(page, [dropped('coffee.jpg')]);
    await shown(page, 'segments');
    await pointAt(page, 0.5, 0.45, false);
  },
  similarity: async (page) => {
    await drop(page, [dropped('coffee.jpg')]);
    await shown(page, 'segments');
    await choose(page, 'similarity');
    await pointAt(page, 0.47, 0.48, true);
  },
  colours: async (page) => {
    await drop(page, [dropped('astronaut.jpg'), dropped('rocket.jpg')]);
    await shown(page, 'segments', 2);
    await choose(page, 'colours', 2);
  },
  start: async () => {},
};

const LOOKS = [
  ['desktop-light', 'segments', DESKTOP, 'light'],
  ['desktop-dark', 'similarity', DESKTOP, 'dark'],
  ['two-images', 'colours', DESKTOP, 'light'],
  ['phone-light', 'segments', PHONE, 'light'],
  ['phone-dark', 'similarity', PHONE, 'dark'],
  ['start', 'start', DESKTOP, 'light'],
];

const browser = await launch();
const server = await serve(programs, { store });
for (const [name, picture, options, colorScheme] of LOOKS) {
  const { page, close } = await open(browser, server.address, { ...options, colorScheme });
  await PICTURES[picture](page);
  await page.waitForTimeout(400); // pictures and transitions come to rest
  await page.screenshot({ path: path.join(ROOT, `docs/playground-${name}.jpg`), type: 'jpeg', quality: 84 });
  await close();
}
await browser.close();
await server.stop();
