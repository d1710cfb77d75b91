// A photograph: what the server is sent, and what is drawn.

/** Longest side that is sent, in pixels: larger photographs are made smaller here, so that sliders stay live. */
const LONGEST = 1024;

/** Reads an image file: `{name, blob, bitmap, width, height, scaled}`. Throws where the browser cannot show it. */
export async function readPhoto(file, name = file.name || 'pasted.png') {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    throw new Error(`${name} is no image that this browser can show. JPEG, PNG, WebP and GIF work everywhere.`);
  }
  const { width, height } = bitmap;
  if (Math.max(width, height) <= LONGEST) return { name, blob: file, bitmap, width, height, scaled: false };
  const factor = LONGEST / Math.max(width, height);
  const canvas = new OffscreenCanvas(Math.round(width * factor), Math.round(height * factor));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.95 });
  return { name, blob, bitmap: canvas.transferToImageBitmap(), width: canvas.width, height: canvas.height, scaled: true };
}
