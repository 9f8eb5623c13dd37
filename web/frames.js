// Frames on a device that takes long to draw one.

// ---- egui's shader --------------------------------------------------------------

// For every pixel egui's shader asks two uniforms for what is never wanted here. Software adapters walk through both
// branches of each `if`, which makes a frame take three times as long; so the answers are put in their place.
const ANSWERS = [
  ["r_locals.predictable_texture_filtering == 0", "true"],
  ["r_locals.dithering == 1", "false"],
];

// To be called before the program starts.
export function shortenShader() {
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    let { code } = descriptor;
    if (code.includes("fs_main_gamma_framebuffer")) {
      for (const [question, answer] of ANSWERS) code = code.replaceAll(question, answer);
    }
    return create.call(this, { ...descriptor, code });
  };
}

// ---- One frame at a time --------------------------------------------------------

// The browser calls for a new frame while the device still draws others: input would be answered by the last of a
// queue of them. So the program's call waits until the device is done, and, when nobody waits for a frame, for a
// pause that belongs to the session. The program has one call under way at most, which has this number while it is kept.
const KEPT = -1;
const call = globalThis.requestAnimationFrame.bind(globalThis);
const cancel = globalThis.cancelAnimationFrame.bind(globalThis);
// After this time the device has forgotten to say that it is done.
const LONGEST = 1000;

let drawing = false;
let pausing = false;
let timer;
let kept;
let running;
let somebodyWaits = false;

function goOn() {
  clearTimeout(timer);
  drawing = false;
  pausing = false;
  if (!kept) return;
  running = call(kept);
  kept = undefined;
}

globalThis.requestAnimationFrame = (frame) => {
  if (!drawing && !pausing) return call(frame);
  kept = frame;
  return KEPT;
};

globalThis.cancelAnimationFrame = (number) => {
  if (number !== KEPT) return cancel(number);
  kept = undefined;
  if (running !== undefined) cancel(running);
  return undefined;
};

// Timers stand still in hidden pages.
document.addEventListener("visibilitychange", goOn);

// A frame is on its way to the device; it answers all input so far.
export function frameBegun() {
  clearTimeout(timer);
  drawing = true;
  pausing = false;
  somebodyWaits = false;
  timer = setTimeout(goOn, LONGEST);
}

// The device has drawn it. When nobody waits for it the next one comes after `pause` milliseconds.
export function frameDone(pause) {
  if (!drawing) return;
  if (somebodyWaits || pause <= 0) return goOn();
  drawing = false;
  pausing = true;
  clearTimeout(timer);
  timer = setTimeout(goOn, pause);
}

// Input has come, or news for which somebody waits: without a pause.
export function hurry() {
  somebodyWaits = true;
  if (pausing) goOn();
}
