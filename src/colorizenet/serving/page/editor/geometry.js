/**
 * Zooming and panning, as arithmetic.
 *
 * A view says which point of the image, in image pixels, lies in the center of a pane,
 * and how many CSS pixels an image pixel is wide. Two panes with one view are linked.
 *
 * @typedef {{ width: number, height: number }} Size
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ x: number, y: number, scale: number }} View
 */

/** An image pixel covers at most so many device pixels. */
export const LARGEST_ZOOM = 16;
/** An image smaller than its pane is enlarged so much at most, to fit. */
const LARGEST_FIT = 3;

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/**
 * The scale at which the whole image is visible.
 * @param {Size} image @param {Size} pane
 */
export function fitScale(image, pane) {
  return Math.min(pane.width / image.width, pane.height / image.height, LARGEST_FIT);
}

/**
 * The nearest view that shows no more ground than needed: an image that is smaller than
 * the pane is centered, and a larger one covers it.
 * @param {View} view @param {Size} image @param {Size} pane @param {number} pixelRatio
 * @returns {View}
 */
export function limitView(view, image, pane, pixelRatio) {
  const smallest = Math.min(fitScale(image, pane), 1 / pixelRatio);
  const scale = clamp(view.scale, smallest, Math.max(LARGEST_ZOOM / pixelRatio, smallest));
  const limit = (/** @type {number} */ center, /** @type {number} */ length, /** @type {number} */ room) => {
    const half = room / 2 / scale;
    return half * 2 >= length ? length / 2 : clamp(center, half, length - half);
  };
  return {
    x: limit(view.x, image.width, pane.width),
    y: limit(view.y, image.height, pane.height),
    scale,
  };
}

/**
 * Zoom so that the image stays where it is at `point`, which is in CSS pixels of the
 * pane.
 * @param {View} view @param {number} scale @param {Point} point @param {Size} pane
 * @returns {View}
 */
export function zoomAround(view, scale, point, pane) {
  const { x, y } = paneToImage(view, point, pane);
  return {
    x: x - (point.x - pane.width / 2) / scale,
    y: y - (point.y - pane.height / 2) / scale,
    scale,
  };
}

/**
 * The place of the image, in image pixels, at a point of the pane.
 * @param {View} view @param {Point} point @param {Size} pane
 * @returns {Point}
 */
export function paneToImage(view, point, pane) {
  return {
    x: view.x + (point.x - pane.width / 2) / view.scale,
    y: view.y + (point.y - pane.height / 2) / view.scale,
  };
}

/**
 * The point of the pane at which a place of the image, in image pixels, appears.
 * @param {View} view @param {Point} place @param {Size} pane
 * @returns {Point}
 */
export function imageToPane(view, place, pane) {
  return {
    x: pane.width / 2 + (place.x - view.x) * view.scale,
    y: pane.height / 2 + (place.y - view.y) * view.scale,
  };
}
