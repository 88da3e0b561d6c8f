/** The engine of the page: here the server that the page comes from. */
export { ServerEngine as Engine } from "./server/engine.js";
