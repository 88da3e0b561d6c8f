/** Arithmetic as Python and NumPy define it. */

/**
 * Round to the nearest whole number, halves to the even one, as Python's `round`.
 * @param {number} value
 * @returns {number}
 */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Limit a number to a range, both ends included.
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
export function clip(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
