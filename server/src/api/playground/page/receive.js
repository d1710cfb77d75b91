// How photographs come in: chosen, dropped, pasted, or one of the samples.

import { readPhoto } from './photo.js';
import { element } from './widgets.js';

const SAMPLES = [['chelsea.jpg', 'Cat'], ['coffee.jpg', 'Coffee'], ['astronaut.jpg', 'Astronaut'], ['rocket.jpg', 'Rocket']];

/** `put(index, photo)` is told what came in, `problem(error)` what could not be read; `count()` says how many there are. */
export function receivePhotos(page, { put, problem, count }) {
  let wanted = 0;

  async function take(files, first) {
    const images = [...files].filter(({ type }) => !type || type.startsWith('image/')).slice(0, 2 - first);
    if (!images.length) return problem({ title: 'No image', detail: 'What was dropped or pasted holds no image file.' });
    for (const [index, file] of images.entries()) {
      try {
        put(first + index, await readPhoto(file));
      } catch (error) {
        problem({ title: 'Not an image', detail: error.message });
      }
    }
    return undefined;
  }

  /** A place for what comes in by itself: the second one once there is a first. */
  const next = () => (count() ? 1 : 0);

  function listenToDrops() {
    let depth = 0;
    const inside = (change) => {
      depth = change;
      page.drop.classList.toggle('open', depth > 0);
    };
    const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
    document.addEventListener('dragenter', (event) => { if (hasFiles(event)) inside(depth + 1); });
    document.addEventListener('dragleave', (event) => { if (hasFiles(event)) inside(depth - 1); });
    document.addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault(); });
    document.addEventListener('drop', (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      inside(0);
      take(event.dataTransfer.files, next());
    });
  }

  function listen() {
    listenToDrops();
    document.addEventListener('paste', (event) => {
      if (event.clipboardData?.files.length) take(event.clipboardData.files, next());
    });
    for (const button of document.querySelectorAll('[data-open]')) {
      button.addEventListener('click', () => {
        wanted = Number(button.dataset.open);
        page.file.multiple = wanted === 0;
        page.file.click();
      });
    }
    page.file.addEventListener('change', () => {
      take(page.file.files, wanted);
      page.file.value = '';
    });
    for (const [name, title] of SAMPLES) {
      const picture = element('img', { src: `playground/${name}`, alt: '', loading: 'lazy' });
      const button = element('button', { type: 'button' }, picture, element('span', { textContent: title }));
      button.addEventListener('click', async () => {
        try {
          const answer = await fetch(picture.src);
          put(0, await readPhoto(await answer.blob(), name));
        } catch (error) {
          problem(error);
        }
      });
      page.samples.append(button);
    }
  }

  return { listen };
}
