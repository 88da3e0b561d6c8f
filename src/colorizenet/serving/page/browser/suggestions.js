/** Likely colors of a place, from a table of photographs; as `colorizenet.suggestions`. */

import { convertLabToLinear, encodeGamma, fadeToGamut } from "./color.js";
import { clip, roundHalfEven } from "./numbers.js";

/**
 * @typedef {{ lightnesses: number, across: number, count: number, limit: number,
 *   colors: Int8Array, shares: Uint8Array }} Table
 * Cells of L*, of a* and of b*, each with `count` colors (a* and b*) and how often
 * photographs have them, in 1 / 255.
 * @typedef {{ color: string, probability: number }} Suggestion
 */

/**
 * Read a table as the site has it.
 * @param {ArrayBuffer} buffer the colors, then the shares
 * @param {{ shape: number[], limit: number }} header
 * @returns {Table}
 */
export function readTable(buffer, { shape: [lightnesses, across, , count], limit }) {
  const size = lightnesses * across * across * count;
  const colors = new Int8Array(buffer, 0, 2 * size);
  return { lightnesses, across, count, limit, colors, shares: new Uint8Array(buffer, 2 * size) };
}

/**
 * The most likely colors for a lightness and predicted a* and b*, each with that lightness.
 * @param {Table} table
 * @param {number} lightness
 * @param {number} a
 * @param {number} b
 * @param {number} [count]
 * @returns {Suggestion[]}
 */
export function suggestColors(table, lightness, a, b, count = 5) {
  const level = Math.min(
    Math.trunc((lightness / 100) * table.lightnesses),
    table.lightnesses - 1,
  );
  const spacing = (2 * table.limit) / (table.across - 1);
  const [across, along] = [a, b].map((value) =>
    roundHalfEven((clip(value, -table.limit, table.limit) + table.limit) / spacing),
  );
  const cell = ((level * table.across + across) * table.across + along) * table.count;
  return Array.from({ length: Math.min(count, table.count) }, (_, n) => {
    const at = cell + n;
    const lab = fadeToGamut([clip(lightness, 0, 100), table.colors[2 * at], table.colors[2 * at + 1]]);
    const digits = convertLabToLinear(lab).map((value) =>
      roundHalfEven(clip(encodeGamma(value), 0, 1) * 255).toString(16).padStart(2, "0"),
    );
    return { color: `#${digits.join("")}`, probability: table.shares[at] / 255 };
  });
}
