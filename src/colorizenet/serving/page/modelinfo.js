/** The models of an engine. */

/** @typedef {import("./types").ModelInfo} ModelInfo */

/**
 * The models that a person chooses among. One that only draws the variants of another
 * one has the same usual answer, so it is no choice of its own.
 * @param {ModelInfo[]} models
 */
export function selectChoices(models) {
  return models.filter(({ drawsFor }) => drawsFor === null);
}

/**
 * @param {ModelInfo[]} models
 * @param {string | null} name Null finds the default one.
 */
export function findModel(models, name) {
  return models.find((each) => (name === null ? each.default : each.name === name));
}
