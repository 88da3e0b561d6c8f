/** The color of a place of a picture. */

/** Pixels around a place that count, in each direction. */
const REACH = 2;

/**
 * The mean color around a place.
 * @param {Blob | undefined} blob a picture
 * @param {{ x: number, y: number }} place fractions of the width and the height
 * @returns {Promise<string>} `#rrggbb`; a medium gray where there is no picture
 */
export async function sampleColor(blob, { x, y }) {
  if (!blob) return "#777777";
  const bitmap = await createImageBitmap(blob);
  const side = 2 * REACH + 1;
  const canvas = new OffscreenCanvas(side, side);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const left = Math.min(Math.floor(x * bitmap.width), bitmap.width - 1) - REACH;
  const top = Math.min(Math.floor(y * bitmap.height), bitmap.height - 1) - REACH;
  context.drawImage(bitmap, -left, -top);
  bitmap.close();
  const { data } = context.getImageData(0, 0, side, side);
  const sums = [0, 0, 0];
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 0) continue; // outside of the picture
    count += 1;
    for (const channel of [0, 1, 2]) sums[channel] = (sums[channel] ?? 0) + (data[at + channel] ?? 0);
  }
  const levels = sums.map((sum) => Math.round(sum / Math.max(count, 1)));
  return `#${levels.map((level) => level.toString(16).padStart(2, "0")).join("")}`;
}
