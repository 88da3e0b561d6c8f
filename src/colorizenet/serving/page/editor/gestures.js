/**
 * Panning, pinching, clicking and double clicking, of mouse, pen and fingers alike.
 *
 * @typedef {import("./geometry.js").Point} Point
 */

/** A pointer that moves by fewer CSS pixels clicks. */
const SLACK = 5;
/** Milliseconds within which a second click makes a double click. */
const DOUBLE_CLICK = 250;
/** CSS pixels that the two clicks may be apart. */
const DOUBLE_CLICK_SLACK = 24;

/**
 * Watch an element. All points are in CSS pixels of the window.
 * @param {HTMLElement} element
 * @param {{ begin: () => void,
 *           cancel: () => void,
 *           pan: (dx: number, dy: number) => void,
 *           zoom: (factor: number, point: Point) => void,
 *           click: (point: Point) => void,
 *           doubleClick: (point: Point) => void }} actions
 */
export function watchGestures(element, actions) {
  /** @type {Map<number, Point>} */
  const pointers = new Map();
  /** @type {Point | null} */
  let pressed = null;
  let clickTimer = 0;
  /** @type {Point | null} */
  let lastClick = null;

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || isControl(event.target, element)) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, pointOf(event));
    pressed = pointers.size === 1 ? pointOf(event) : null;
    if (pressed) actions.begin();
  });
  cancelOnEscape(element, () => {
    if (!pointers.size) return;
    pointers.clear();
    pressed = null;
    actions.cancel();
  });

  element.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = pointOf(event);
    if (pressed && distance(pressed, now) < SLACK) return;
    pressed = null;
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (other) {
      const [old, current] = [middle(before, other), middle(now, other)];
      actions.pan(current.x - old.x, current.y - old.y);
      actions.zoom(distance(now, other) / Math.max(distance(before, other), 1), current);
    } else {
      actions.pan(now.x - before.x, now.y - before.y);
    }
  });

  const release = (/** @type {PointerEvent} */ event) => {
    if (!pointers.delete(event.pointerId)) return;
    const point = pressed;
    pressed = null;
    if (!point || event.type !== "pointerup") return;
    if (lastClick && distance(lastClick, point) < DOUBLE_CLICK_SLACK) {
      clearTimeout(clickTimer);
      lastClick = null;
      actions.doubleClick(point);
      return;
    }
    // A click counts once it cannot become a double click any more.
    lastClick = point;
    clickTimer = setTimeout(() => {
      lastClick = null;
      actions.click(point);
    }, DOUBLE_CLICK);
  };
  element.addEventListener("pointerup", release);
  element.addEventListener("pointercancel", release);

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      // Browsers report the pinch of a touchpad as a wheel with the control key.
      const speed = event.ctrlKey ? 0.01 : 0.0015;
      actions.zoom(Math.exp(-pixels * speed), pointOf(event));
    },
    { passive: false },
  );
}

/**
 * Call `cancel` when a person presses Escape while a pointer that was pressed on an
 * element is down. The key does nothing else then: the editor stays open.
 * @param {HTMLElement} element @param {(pointer: number) => void} cancel
 */
export function cancelOnEscape(element, cancel) {
  element.addEventListener("pointerdown", ({ pointerId }) => {
    const ended = new AbortController();
    const { signal } = ended;
    const end = () => ended.abort();
    const handleKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      end();
      cancel(pointerId);
    };
    // Keys of the window: some browsers do not focus what is pressed.
    addEventListener("keydown", handleKey, { capture: true, signal });
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, end, { signal });
  });
}

/** @param {EventTarget | null} target @param {HTMLElement} within */
function isControl(target, within) {
  const control = target instanceof Element && target.closest("button, [role=slider], [role=dialog]");
  return control && within.contains(control);
}

/** @param {MouseEvent} event @returns {Point} */
function pointOf(event) {
  return { x: event.clientX, y: event.clientY };
}

/** @param {Point} a @param {Point} b */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

/** @param {Point} a @param {Point} b */
function middle(a, b) {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}
