// Tests of the built page (dist/, by scripts/web.sh) in a real browser.
//
//   node tests/browser/run.mjs [PATTERN]     those whose name contains PATTERN
//
// CHROMIUM: the browser; NOISELAB: the native program, for comparison; SHOTS: a folder for screenshots.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Lab, browse, chamfer, gauss, measure, relative, sleep, tensors } from "./lab.mjs";
import { serve } from "./server.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const dist = process.env.DIST ?? join(root, "dist");
const native = process.env.NOISELAB ?? join(root, "target/release/noiselab");
const shots = process.env.SHOTS;

// What the app calls its controls (src/ui/strings).
const CONTROLS = {
  scrubber: /^Timestep/,
  forward: /^\d Forward process$/,
  training: /^\d Training$/,
  reverse: /^\d Reverse process$/,
  batch: "Batch",
  start: "Start",
  pause: "Pause",
  resume: "Resume",
  save: "Save checkpoint…",
  open: "Open a checkpoint…",
  draw: "Draw",
  skip: "Skip the tour",
};

function assert(condition, message) {
  if (!condition) throw new Error(message);
}

const noErrors = (lab) => assert(lab.errors.length === 0, `the console has errors:\n${lab.errors.join("\n")}`);

async function shoot(lab, name) {
  if (shots) await lab.screenshot(join(shots, `${name}.png`));
}

// ---- The tests: name, what it needs of the browser, and what it does ------------

const tests = [];
const test = (name, run, options = {}) => tests.push({ name, run, options });

test("every kernel compiles in the browser", async ({ context, address }) => {
  const page = await context.newPage();
  await page.goto(`${address}?shaders`);
  await page.waitForFunction(() => globalThis.noiselabShaders?.done, undefined, { timeout: 300_000 });
  const result = await page.evaluate(() => globalThis.noiselabShaders);
  console.log(`    ${result.kernels} sources, ${result.entries} entry points; skipped: ${result.skipped.join(", ") || "none"}`);
  assert(result.failures.length === 0, result.failures.join("\n"));
  assert(result.entries > 30, `only ${result.entries} entry points`);
});

test("the page opens and draws, from a sub-folder, without a word on the console", async ({ context, address }) => {
  const lab = await Lab.open(context, address, { ready: false, tour: true });
  await lab.ready(false);
  await sleep(500);
  const { colours } = measure(await lab.pixels());
  await shoot(lab, "start");
  assert(colours > 8, `the page has only ${colours} colours`);
  const cover = await lab.page.locator("#cover").isVisible();
  assert(!cover, "the cover is still there");
  await lab.ready();
  const status = await lab.status();
  assert(status.data.train === 60000, `the data set: ${JSON.stringify(status.data)}`);
  console.log(`    input to redraw: ${JSON.stringify(status.inputToRedraw)}, ${status.framesPerSecond} frames/s`);
  noErrors(lab);
});

test("noising follows the scrubber", async ({ context, address }) => {
  const lab = await Lab.open(context, address);
  await lab.press(CONTROLS.forward);
  await lab.drag(CONTROLS.scrubber, undefined, 0.02);
  const near = (share) => (s) => s.forward && Math.abs(s.t / s.timesteps - share) < 0.1 && s.forward.t === s.t;
  const before = await lab.until("x_t near the image", near(0.02));
  await sleep(500);
  const clear = await lab.pixels();
  await shoot(lab, "forward-clear");
  await lab.drag(CONTROLS.scrubber, undefined, 0.98);
  const after = await lab.until("x_t near the noise", near(0.98));
  await sleep(500);
  const noisy = await lab.pixels();
  await shoot(lab, "forward-noisy");
  const [low, high] = [before.forward.histograms[0], after.forward.histograms[0]];
  assert(Math.abs(high.deviation - 1) < 0.15, `x_T has deviation ${high.deviation}`);
  assert(Math.abs(high.mean) < 0.15, `x_T has mean ${high.mean}`);
  assert(low.mean < -0.4, `the image has mean ${low.mean}`);
  let changed = 0;
  for (let i = 0; i < clear.data.length; i += 4) if (Math.abs(clear.data[i] - noisy.data[i]) > 16) changed += 1;
  assert(changed > 2000, `only ${changed} pixels changed`);
  noErrors(lab);
});

test("training lowers the loss, and save, reload and restore lose nothing", async ({ context, address, folder }) => {
  const lab = await Lab.open(context, address, { hash: "#room=training&preset=tiny" });
  await lab.until("the address is followed", (s) => s.room === "training");
  await lab.type(CONTROLS.batch, "4");
  await lab.press(CONTROLS.start, "Button");
  const trained = await lab.until("40 steps of training", (s) => s.training.step >= 40, 600_000);
  console.log(`    loss ${trained.training.first} → ${trained.training.smoothed} in ${trained.training.step} steps`);
  console.log(`    input to redraw while training: ${JSON.stringify(trained.inputToRedraw)}`);
  assert(trained.training.smoothed < 0.8 * trained.training.first, "the loss did not fall");
  await shoot(lab, "training");
  await lab.press(CONTROLS.pause, "Button");
  const rested = await lab.until("training rests", (s) => s.training.status === "paused", 60_000);
  const save = async (name) => {
    const download = lab.page.waitForEvent("download", { timeout: 60_000 });
    await lab.press(CONTROLS.save, "Button");
    const path = join(folder, name);
    await (await download).saveAs(path);
    return readFile(path);
  };
  const first = await save("first.safetensors");
  assert(first.length > 100_000, `the checkpoint has ${first.length} bytes`);
  await lab.until("the autosave is written", (s) => s.training.saved, 60_000);
  await sleep(1500);
  // What was kept by itself comes back after a reload …
  await lab.page.reload();
  await lab.ready();
  const back = (s) => s.training.status === "paused" && s.training.step === rested.training.step;
  await lab.until("the last session", back, 240_000);
  await lab.press(CONTROLS.training);
  const second = await save("second.safetensors");
  assert(first.equals(second), "the restored session's checkpoint differs");
  // … and what was saved by hand comes back when it is opened.
  const chooser = lab.page.waitForEvent("filechooser", { timeout: 30_000 });
  await lab.press(CONTROLS.open, "Button");
  await (await chooser).setFiles(join(folder, "first.safetensors"));
  await lab.until("the checkpoint", (s) => s.training.opened >= 2 && back(s), 240_000);
  const third = await save("third.safetensors");
  assert(first.equals(third), "the checkpoint differs after it was opened");
  noErrors(lab);
});

test("the reverse process gives the native images", async ({ context, address, folder }) => {
  const hash = "#room=reverse&seed=3&count=1&sampler=ddim&steps=10&eta=0&sampler_b=ddpm&steps_b=10";
  const lab = await Lab.open(context, address, { hash });
  const asked = (s) => s.reverse.length === 2 && s.reverse.every((r) => r.done && r.steps === 10 && r.count === 1);
  const status = await lab.until("the reverse process", asked, 600_000);
  await shoot(lab, "reverse");
  for (const [i, run] of status.reverse.entries()) {
    const file = join(folder, `native-${i}.safetensors`);
    const args = ["sample", join(root, "assets/pretrained/digits"), "--cpu", "--n", run.count, "--sampler", run.sampler];
    args.push("--steps", run.steps, "--eta", run.eta, "--seed", run.seed, "--tensor", file, "--out", join(folder, "n.png"));
    await promisify(execFile)(native, args.map(String), { timeout: 900_000 });
    const [wanted] = Object.values(tensors(await readFile(file)));
    const distance = relative(await lab.reverseImages(i), wanted.values);
    console.log(`    ${run.sampler}, ${run.steps} steps, ${run.count} images: relative L2 ${distance.toExponential(2)}`);
    assert(distance <= 1e-2, `run ${i} (${run.sampler}) differs: ${distance}`);
  }
  noErrors(lab);
});

test("the network's kernels are timed", async ({ context, address }) => {
  const lab = await Lab.open(context, address, { hash: "#room=network&profile=evaluation,1" });
  await lab.press("Profile", "Button");
  const there = (s) => s.rooms.network.profile.shown && !s.rooms.network.profile.running;
  const { shown } = (await lab.until("a profile", there, 300_000)).rooms.network.profile;
  await shoot(lab, "profile");
  console.log(`    ${shown.dispatches} dispatches, ${(1e3 * shown.seconds).toFixed(1)} ms by ${shown.clock}`);
  assert(shown.pass === "evaluation" && shown.images === 1 && shown.dispatches > 50, JSON.stringify(shown));
  assert(shown.seconds > 0 && shown.productShare > 0 && shown.productShare < 2, JSON.stringify(shown));
  noErrors(lab);
});

test("a file that is damaged or foreign gives a message and no crash", async ({ context, address }) => {
  const lab = await Lab.open(context, address);
  const cases = [
    ["broken.png", Buffer.from("this is no picture")],
    ["broken.zip", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(100, 7)])],
    ["broken.safetensors", Buffer.from("\xff\xff\xff\xff\xff\xff\xff\x7f{}", "latin1")],
    ["short.safetensors", Buffer.alloc(3)],
    ["notes.txt", Buffer.from("hello")],
    ["empty", Buffer.alloc(0)],
  ];
  for (const [name, bytes] of cases) {
    const before = (await lab.status()).complaints;
    await lab.drop(name, bytes);
    const status = await lab.until(`a message about ${name}`, (s) => s.complaints > before, 30_000);
    console.log(`    ${name}: ${status.notices.at(-1)?.text ?? status.failures.at(-1)}`);
  }
  await lab.press(CONTROLS.reverse);
  await lab.until("the app goes on", (s) => s.room === "reverse");
});

test("the newest autosave that is damaged is left out", async ({ context, address }) => {
  const page = await context.newPage();
  await page.goto(`${address}web/style.css`);
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("noiselab", { create: true });
    const write = async (name, text) => {
      const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await stream.write(text);
      await stream.close();
    };
    const generation = { step: 7, dataset: "mnist", bytes: 100, crc32: 1 };
    await write("autosave-0.safetensors", "rubbish");
    await write("autosave.json", JSON.stringify({ newest: 0, generations: [generation, null] }));
  });
  await page.close();
  const lab = await Lab.open(context, address, { ready: false });
  await lab.ready(false);
  await lab.until("a message", (s) => s.complaints > 0, 30_000);
  await lab.ready();
});

test("after the first visit the page works offline", async ({ context, address, server }) => {
  const lab = await Lab.open(context, address);
  await lab.page.waitForFunction(async () => (await navigator.serviceWorker.getRegistration())?.active?.state === "activated");
  await server.close();
  await lab.page.reload();
  await lab.ready();
  await sleep(500);
  assert(measure(await lab.pixels()).colours > 8, "nothing is drawn");
  noErrors(lab);
});

test("a lost device: the page says so, loads again, and training goes on", async ({ context, address }) => {
  await context.addInitScript(() => {
    const request = globalThis.GPUAdapter?.prototype.requestDevice;
    if (!request) return;
    globalThis.devices = [];
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await request.apply(this, args);
      globalThis.devices.push(device);
      return device;
    };
  });
  const lab = await Lab.open(context, address, { hash: "#room=training&preset=tiny" });
  await lab.until("the address is followed", (s) => s.room === "training");
  await lab.type(CONTROLS.batch, "4");
  await lab.press(CONTROLS.start, "Button");
  await lab.until("3 steps of training", (s) => s.training.step >= 3, 600_000);
  await lab.press(CONTROLS.pause, "Button");
  const rested = await lab.until("the autosave is written", (s) => s.training.status === "paused" && s.training.saved, 90_000);
  await sleep(1500);
  await lab.press(CONTROLS.resume, "Button");
  await lab.until("training goes on", (s) => s.training.status === "running", 60_000);
  await lab.page.evaluate(() => globalThis.devices.forEach((device) => device.destroy()));
  const cover = lab.page.locator("#cover");
  await cover.getByText("took the graphics device away").waitFor({ timeout: 30_000 });
  await lab.page.waitForEvent("load", { timeout: 60_000 });
  await lab.ready();
  const { step } = rested.training;
  await lab.until("training goes on by itself", (s) => s.training.status === "running" && s.training.step > step, 240_000);
});

test("a hidden page goes on", async ({ context, address }) => {
  const lab = await Lab.open(context, address, { hash: "#room=reverse&count=4&sampler=ddim&steps=50&sampler_b=off" });
  const before = await lab.until("the reverse process", (s) => s.reverse[0]?.evaluations > 0, 120_000);
  // A headless browser hides no page; so it is told, and neither frames nor its own timers come.
  await lab.page.evaluate(() => {
    globalThis.kept = { frame: requestAnimationFrame, timer: setTimeout };
    globalThis.requestAnimationFrame = () => 0;
    globalThis.setTimeout = () => 0;
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await sleep(8000);
  const asleep = await lab.status();
  assert(asleep.ticks > before.ticks + 20, `${asleep.ticks - before.ticks} ticks while hidden`);
  await lab.page.evaluate(() => {
    globalThis.requestAnimationFrame = kept.frame;
    globalThis.setTimeout = kept.timer;
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  // Heard at once: the work was done while nobody looked.
  const steps = (s) => s.reverse[0].evaluations - asleep.reverse[0].evaluations;
  const after = await lab.until("news of the work", (s) => steps(s) > 0, 3_000);
  console.log(`    ${steps(after)} evaluations while hidden`);
  noErrors(lab);
});

test(
  "without WebGPU the page says so and shows the film",
  async ({ context, address }) => {
    const page = await context.newPage();
    await page.goto(address);
    await page.getByText("noiselab needs WebGPU").waitFor({ timeout: 30_000 });
    const film = page.locator("figure img");
    await page.waitForFunction(() => document.querySelector("figure img")?.naturalWidth > 0);
    const box = await film.boundingBox();
    assert(box.width > 300, `the film is ${box.width} wide`);
    for (const browser of ["Chrome", "Firefox", "Safari"]) {
      assert(await page.getByText(browser).first().isVisible(), `${browser} is not named`);
    }
    if (shots) await page.screenshot({ path: join(shots, "no-webgpu.png") });
  },
  { webgpu: false },
);

test("a curve drawn by hand is learned: samples lie on it and cover it", async ({ context, address }) => {
  const lab = await Lab.open(context, address, { hash: "#room=lab&lab=forward&dist=drawn&t=0" });
  const { rect } = await lab.control("Canvas to draw on", "Image");
  // An S in the canvas' own units, with which its points are compared as well.
  const extent = 3;
  const curve = Array.from({ length: 61 }, (_, i) => {
    const s = i / 60;
    return [1.6 * Math.sin(2 * Math.PI * s), 1.8 - 3.6 * s];
  });
  const place = ([x, y]) => [rect[0] + (rect[2] * (x + extent)) / (2 * extent), rect[1] + (rect[3] * (extent - y)) / (2 * extent)];
  await lab.page.mouse.move(...place(curve[0]));
  await lab.page.mouse.down();
  for (const point of curve) {
    await lab.page.mouse.move(...place(point));
    await sleep(40);
  }
  await lab.page.mouse.up();
  await lab.press("Done", "Button");
  const shown = ({ rooms: { lab } }) => lab.strokes[0]?.length > 30 && !lab.drawing && !lab.waiting && lab.title;
  await lab.until("the line is the distribution", shown);
  await shoot(lab, "lab-drawn");

  // 0.05 of the canvas' side, in its units.
  const bound = 0.05 * 2 * extent;
  const [onto, over] = chamfer(curve, curve);
  assert(onto === 0 && over === 0, "the curve is at a distance from itself");
  const noise = Array.from({ length: 2000 }, (_, i) => [gauss(2 * i), gauss(2 * i + 1)]);
  assert(Math.max(...chamfer(noise, curve)) > bound, "noise would pass");
  assert(Math.max(...chamfer([curve[20]], curve)) > bound, "a collapsed point would pass");

  await lab.press("Training", "Button");
  await lab.press("Train", "Button");
  const rests = ({ rooms: { lab } }) => lab.training.step > 20 && !lab.training.running;
  const trained = await lab.until("half a minute of training", rests, 600_000);
  console.log(`    ${trained.rooms.lab.training.step} steps`);
  console.log(`    input to redraw while training: ${JSON.stringify(trained.inputToRedraw)}`);
  await shoot(lab, "lab-training");
  await lab.press("Reverse", "Button");
  await lab.press("Draw samples", "Button");
  const ddim = (s) => s.rooms.lab.runs[1];
  const drawn = await lab.until("DDIM's samples", (s) => ddim(s)?.done, 600_000);
  await shoot(lab, "lab-reverse");
  const { samples } = ddim(drawn);
  assert(samples.length > 500, `only ${samples.length} samples`);
  const distances = chamfer(samples, curve);
  console.log(`    from samples to curve ${distances[0].toFixed(3)}, from curve to samples ${distances[1].toFixed(3)}; at most ${bound}`);
  assert(Math.max(...distances) <= bound, `the distances are ${distances}`);
  noErrors(lab);
});

// ---- Running them ---------------------------------------------------------------

const wanted = process.argv[2] ?? "";
if (!existsSync(join(dist, "index.html"))) {
  console.error(`${dist} is not there: run scripts/web.sh first.`);
  process.exit(2);
}
let [passed, failed] = [0, 0];
for (const { name, run, options } of tests.filter((t) => t.name.includes(wanted))) {
  const start = Date.now();
  const server = await serve(dist, 0, "/lab/noise/");
  const folder = await mkdtemp(join(tmpdir(), "noiselab-test-"));
  const { context, close } = await browse(options);
  try {
    await run({ context, address: server.address, server, folder });
    passed += 1;
    console.log(`ok   ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)\n     ${error.stack ?? error}`);
    if (shots) {
      const pages = context.pages();
      await pages.at(-1)?.screenshot({ path: join(shots, `failed-${failed}.png`), timeout: 10_000 }).catch(() => {});
    }
  }
  await close();
  await server.close().catch(() => {});
  await rm(folder, { recursive: true, force: true });
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
