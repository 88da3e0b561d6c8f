import js from "@eslint/js";
import globals from "globals";

const PAGE = "src/colorizenet/serving/page";

export default [
  { ignores: ["**/*", "!src/", "!src/**", "!eslint.config.js"] },
  js.configs.recommended,
  {
    files: [`${PAGE}/**/*.js`],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    rules: {
      curly: ["error", "multi-line"],
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
  {
    files: [`${PAGE}/browser/worker.js`],
    languageOptions: { globals: globals.worker },
  },
  {
    files: [`${PAGE}/browser/service-worker.js`],
    languageOptions: { globals: globals.serviceworker },
  },
];
