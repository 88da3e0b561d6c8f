/** An editor that changes the settings of a photo as the test says. */
export class PhotoEditor {
  constructor({ engine, strings }) {
    this.element = document.createElement("div");
    this.kind = engine.kind;
    this.text = strings("app.close");
  }

  async open(file, { settings, result, info }) {
    const summary = JSON.stringify({
      name: file.name,
      settings,
      colored: result instanceof Blob,
      version: info.version,
    });
    const output = Object.assign(document.createElement("output"), { textContent: summary });
    const send = (type, detail) => this.element.dispatchEvent(new CustomEvent(type, { detail }));
    const changes = Object.assign(document.createElement("textarea"), { ariaLabel: "Changes" });
    const makeButton = (textContent, onclick) =>
      Object.assign(document.createElement("button"), { textContent, onclick });
    this.element.replaceChildren(
      output,
      changes,
      makeButton("Change", () =>
        send("settings-changed", { ...settings, ...JSON.parse(changes.value) }),
      ),
      makeButton("Apply", () => send("apply", undefined)),
      makeButton("Leave", () => send("close", undefined)),
    );
  }

  close() {
    this.element.replaceChildren();
  }
}
