// A browser with the page in it, pressed by mouse and keyboard as people do. Where its controls are is what screen
// readers get; what it is doing is what `window.noiselab.status()` tells.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

// WebGPU on the software adapter. Other sets of flags give a white page.
const WEBGPU = [
  "--headless=new",
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--use-vulkan=swiftshader",
  "--enable-features=Vulkan",
  "--use-angle=vulkan",
  "--ignore-gpu-blocklist",
];
const PLAIN = WEBGPU.slice(0, 7);

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Starts a browser with a profile of its own, which lives until it is closed.
export async function browse({ webgpu = true, size = [1280, 800], dark = true } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "noiselab-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: webgpu ? WEBGPU : PLAIN,
    ignoreDefaultArgs: ["--disable-gpu"],
    viewport: { width: size[0], height: size[1] },
    colorScheme: dark ? "dark" : "light",
    acceptDownloads: true,
  });
  return {
    context,
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

// Whether two rectangles are the same to the pixel.
const same = (a, b) => a.every((v, i) => Math.abs(v - b[i]) < 1);

// One page of it.
export class Lab {
  constructor(page) {
    this.page = page;
    this.errors = [];
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
  }

  // With `tour` as at the first visit, when the app shows people around.
  static async open(context, address, { hash = "", ready = true, tour = false } = {}) {
    const lab = new Lab(await context.newPage());
    if (!tour) await lab.page.addInitScript(() => localStorage.setItem("noiselab.tour", "seen"));
    await lab.page.goto(`${address}?test${hash}`);
    if (ready) await lab.ready();
    return lab;
  }

  // The app draws; with `all` data and model are open as well.
  async ready(all = true) {
    await this.until("the app is there", (s) => s.adapter && s.controls?.length, 120_000);
    if (!all) return;
    await this.until("data and model are open", (s) => s.data && s.model, 240_000);
  }

  async status() {
    const text = await this.page.evaluate(() => globalThis.noiselab?.status());
    return (text && JSON.parse(text)) || {};
  }

  // Waits until the status fulfils a condition; returns the status.
  async until(what, condition, limit = 60_000) {
    const end = Date.now() + limit;
    for (;;) {
      const status = await this.status();
      if (condition(status)) return status;
      const cover = await this.page.evaluate(() => {
        const box = document.getElementById("cover");
        return box.dataset.shows ? box.innerText : "";
      });
      if (cover) throw new Error(`the page shows: ${cover}`);
      if (Date.now() > end) {
        const { controls, ...rest } = status;
        const labels = controls?.map((c) => c.label).join(" | ");
        throw new Error(`not within ${limit / 1000} s: ${what}\n${JSON.stringify(rest)}\non the screen: ${labels}`);
      }
      await sleep(150);
    }
  }

  // A control by its label (text or pattern), and by its role where several have that label; where it is once it
  // stays in its place, as a person would look for it.
  async control(label, role, limit = 20_000) {
    const fits = (c) =>
      (label instanceof RegExp ? label.test(c.label) : c.label === label) && (!role || c.role === role) && c.rect[2] > 0;
    const end = Date.now() + limit;
    for (let before; ; await sleep(150)) {
      const status = await this.until(`a control ${label}`, (s) => s.controls?.some(fits), limit);
      const control = status.controls.find(fits);
      const rect = control.rect.map((v) => v * (status.zoom ?? 1));
      if (before && same(before, rect)) return { ...control, rect };
      if (Date.now() > end) throw new Error(`the control ${label} does not stay in its place`);
      before = rect;
    }
  }

  // Presses it. What moves away under the pointer is looked for again.
  async press(label, role) {
    let { rect } = await this.control(label, role);
    for (let tries = 0; tries < 5; tries += 1) {
      await this.page.mouse.move(rect[0] + rect[2] / 2, rect[1] + rect[3] / 2);
      await sleep(60);
      const now = (await this.control(label, role)).rect;
      if (same(now, rect)) break;
      rect = now;
    }
    await this.page.mouse.down();
    await sleep(60);
    await this.page.mouse.up();
    await sleep(150);
  }

  // Types a value into a number's field.
  async type(label, text) {
    await this.press(label, "SpinButton");
    await this.page.keyboard.press("Control+a");
    await this.page.keyboard.type(text, { delay: 30 });
    await this.page.keyboard.press("Enter");
    await sleep(150);
  }

  // Drags within a control, to a share of its width.
  async drag(label, role, share) {
    const { rect } = await this.control(label, role);
    const y = rect[1] + rect[3] / 2;
    await this.page.mouse.move(rect[0] + rect[2] / 2, y);
    await this.page.mouse.down();
    await this.page.mouse.move(rect[0] + rect[2] * share, y, { steps: 5 });
    await this.page.mouse.up();
    await sleep(100);
  }

  // Drops a file on the page.
  async drop(name, bytes) {
    await this.page.evaluate(
      ([name, text]) => {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name));
        const canvas = document.getElementById("canvas");
        for (const kind of ["dragover", "drop"]) {
          canvas.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }
      },
      [name, Buffer.from(bytes).toString("base64")],
    );
  }

  // Pixels of a part of the page, or all of it: {width, height, data} in RGBA.
  async pixels(rect) {
    const clip = rect && { x: rect[0], y: rect[1], width: rect[2], height: rect[3] };
    const png = await this.page.screenshot({ clip, type: "png" });
    const found = await this.page.evaluate(async (text) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d");
      context.drawImage(bitmap, 0, 0);
      const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
      let text64 = "";
      for (let i = 0; i < data.length; i += 32768) text64 += String.fromCharCode(...data.subarray(i, i + 32768));
      return { width: bitmap.width, height: bitmap.height, data: btoa(text64) };
    }, png.toString("base64"));
    return { ...found, data: Buffer.from(found.data, "base64") };
  }

  async reverseImages(run) {
    const values = await this.page.evaluate((run) => {
      const images = globalThis.noiselab.reverse_images(run);
      return images ? Array.from(images) : null;
    }, run);
    return values && Float32Array.from(values);
  }

  async screenshot(path) {
    await this.page.screenshot({ path });
  }
}

// Number of different colours, and the mean brightness and its deviation.
export function measure({ data }) {
  const colours = new Set();
  let [sum, squares] = [0, 0];
  const count = data.length / 4;
  for (let i = 0; i < data.length; i += 4) {
    colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    const grey = (data[i] + data[i + 1] + data[i + 2]) / 3;
    sum += grey;
    squares += grey * grey;
  }
  const mean = sum / count;
  return { colours: colours.size, mean, deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)) };
}

// ‖a − b‖ / ‖b‖
export function relative(a, b) {
  if (a.length !== b.length) throw new Error(`${a.length} numbers against ${b.length}`);
  let [difference, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

// The tensors of a safetensors file with 32-bit floats.
export function tensors(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const found = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__" || dtype !== "F32") continue;
    const part = bytes.subarray(8 + length + data_offsets[0], 8 + length + data_offsets[1]);
    found[name] = { shape, values: new Float32Array(Uint8Array.from(part).buffer) };
  }
  return found;
}

// How far the points of each set are from the nearest of the other, on average: from `a` to `b`, from `b` to `a`.
export function chamfer(a, b) {
  const oneWay = (from, to) => {
    let sum = 0;
    for (const [x, y] of from) sum += Math.min(...to.map(([u, v]) => Math.hypot(x - u, y - v)));
    return sum / from.length;
  };
  return [oneWay(a, b), oneWay(b, a)];
}

// Numbers from N(0, 1), the same each time.
export function gauss(i) {
  const uniform = (k) => ((Math.imul(k + 1, 2654435761) >>> 0) + 0.5) / 4294967296;
  return Math.sqrt(-2 * Math.log(uniform(3 * i))) * Math.cos(2 * Math.PI * uniform(7 * i + 5));
}
