// What the program asks of the page: files, storage, dialogs, messages. The program calls these by the
// name `noiselabPage` (src/ui/page.rs).

import { files } from "./files.js";
import { frameBegun, frameDone, hurry } from "./frames.js";

const DATA_CACHE = "noiselab-data";
const element = (id) => document.getElementById(id);
const at = (path) => new URL(path, document.baseURI).href;
const query = new URLSearchParams(location.search);
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

// ---- Fetching -----------------------------------------------------------------

// Reads a response to its end, telling how many bytes are there.
async function read(response, total, told) {
  const parts = [];
  let done = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { value, done: end } = await reader.read();
    if (end) break;
    parts.push(value);
    done += value.length;
    told(done, total);
  }
  const bytes = new Uint8Array(done);
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

const openCache = () =>
  globalThis.caches ? caches.open(DATA_CACHE).catch(() => undefined) : Promise.resolve(undefined);

// A file that comes with the page: from the cache, or from the network and into the cache.
export async function fetchFile(path, told = () => {}) {
  const known = files[path];
  if (!known) throw new Error(`${path} does not come with this page.`);
  const address = `${at(known.url)}?v=${known.hash}`;
  const cache = await openCache();
  const kept = await cache?.match(address);
  if (kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    if (bytes.length === known.bytes) return bytes;
    await cache.delete(address);
  }
  const name = path.split("/").pop();
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw new Error(`${name} could not be fetched: there is no connection to the page's server.`);
  }
  if (!response.ok) {
    throw new Error(`${name} could not be fetched: the page's server answers ${response.status}.`);
  }
  const bytes = await read(response, known.bytes, told);
  if (bytes.length !== known.bytes) {
    throw new Error(
      `${name} arrived with ${bytes.length} bytes instead of ${known.bytes}: load the page again.`,
    );
  }
  // A full or forbidden cache only costs another download next time.
  await cache?.put(address, new Response(bytes)).catch(() => {});
  return bytes;
}

const underWay = new Map();

function showFetching() {
  const box = element("fetching");
  const text = [...underWay].map(
    ([name, { done, total }]) => `${name}: ${megabytes(done)} of ${megabytes(total)} MB`,
  );
  box.textContent = text.length ? `Fetching ${text.join(", ")}` : "";
  box.hidden = text.length === 0;
}

// The same, shown above the app while it lasts.
async function fetch_file(path) {
  const name = path.split("/").pop();
  try {
    return await fetchFile(path, (done, total) => {
      underWay.set(name, { done, total });
      showFetching();
    });
  } finally {
    underWay.delete(name);
    showFetching();
  }
}

// ---- Dialogs ------------------------------------------------------------------

// Lets the user choose files; resolves to [{name, bytes}], empty when nothing was chosen.
function pick_files(accept) {
  return new Promise((resolve, reject) => {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = accept;
    input.addEventListener("cancel", () => resolve([]));
    input.addEventListener("change", async () => {
      try {
        resolve(
          await Promise.all(
            [...input.files].map(async (file) => ({
              name: file.name,
              bytes: new Uint8Array(await file.arrayBuffer()),
            })),
          ),
        );
      } catch (error) {
        reject(error);
      }
    });
    input.click();
  });
}

function save_file(name, bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  link.download = name;
  link.click();
  // The browser has its own hold on the content once the download has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// ---- Storage ------------------------------------------------------------------

async function folder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("noiselab", { create: true });
}

async function store_read(name) {
  try {
    const handle = await (await folder()).getFileHandle(name);
    return new Uint8Array(await (await handle.getFile()).arrayBuffer());
  } catch (error) {
    if (error.name === "NotFoundError") return undefined;
    throw error;
  }
}

async function store_write(name, bytes) {
  const handle = await (await folder()).getFileHandle(name, { create: true });
  // What is written appears all at once when the stream is closed.
  const stream = await handle.createWritable();
  await stream.write(bytes);
  await stream.close();
}

async function store_remove(name) {
  try {
    await (await folder()).removeEntry(name);
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
  }
}

function recall(key) {
  try {
    return localStorage.getItem(`noiselab.${key}`) ?? undefined;
  } catch {
    return undefined; // storage is forbidden
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`noiselab.${key}`, value);
  } catch {
    // Without storage the next visit starts afresh.
  }
}

// ---- Address ------------------------------------------------------------------

const address = () => location.hash.slice(1);

function set_address(text) {
  const hash = `#${text}`;
  if (location.hash !== hash) history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
}

// ---- Messages -----------------------------------------------------------------

export function say(text, share) {
  element("cover-text").textContent = text;
  const bar = element("cover-bar");
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

// Covers the app with one of the page's templates.
export function cover(template, reason) {
  const box = element("cover");
  if (box.dataset.shows) return; // the first message is the cause of later ones
  box.dataset.shows = template;
  box.replaceChildren(element(template).content.cloneNode(true));
  box.querySelector(".reason").textContent = reason;
  box.querySelector("button")?.addEventListener("click", () => location.reload());
  box.hidden = false;
  element("fetching").hidden = true;
}

export function stopped(reason, details) {
  cover("stopped", reason);
  const pre = element("cover").querySelector("pre");
  if (pre && !pre.textContent) pre.textContent = details ?? "";
}

function started() {
  element("cover").hidden = true;
  element("canvas").focus();
}

function panicked(details) {
  stopped("The program met a fault of its own and cannot go on.", details);
}

// The graphics device is gone. Only a fresh page has a canvas that takes another one.
function device_lost(reason, training) {
  const recent = Number(sessionStorage.getItem("noiselab.lost") ?? 0);
  sessionStorage.setItem("noiselab.lost", String(Date.now()));
  if (training) sessionStorage.setItem("noiselab.resume", "1");
  stopped("The browser took the graphics device away.", reason);
  // Twice within a minute would only go round in circles.
  if (Date.now() - recent > 60_000) setTimeout(() => location.reload(), 2_000);
}

// Whether training ran when the device was lost; true once.
function take_resume() {
  const resume = sessionStorage.getItem("noiselab.resume") === "1";
  sessionStorage.removeItem("noiselab.resume");
  return resume;
}

// ---- Adapter ------------------------------------------------------------------

let adapterName = "WebGPU";
// What to call the adapter; browsers tell little about it.
export function nameAdapter({ vendor, architecture, device, description } = {}) {
  adapterName = description || device || [vendor, architecture].filter(Boolean).join(" ") || "WebGPU";
}

// ---- Input to redraw ------------------------------------------------------------

// When the oldest input came that no frame has answered yet.
let waiting = null;
for (const kind of ["pointerdown", "pointerup", "pointermove", "wheel", "keydown"]) {
  addEventListener(
    kind,
    (event) => {
      waiting ??= event.timeStamp;
      hurry();
    },
    { capture: true, passive: true },
  );
}
const afterFrame = new MessageChannel();
export function whenPainted(painted) {
  afterFrame.port1.onmessage = (event) => painted(event.data);
}

// A frame was laid out; its commands are submitted before the message arrives.
function drawn() {
  afterFrame.port2.postMessage(waiting ?? -1);
  waiting = null;
  frameBegun();
}

// ---- Ticks --------------------------------------------------------------------

const ticker = new Worker(new URL("./ticker.js", import.meta.url));
export function onTick(tick) {
  ticker.onmessage = () => {
    const wait = tick();
    if (wait >= 0) ticker.postMessage(wait);
  };
  ticker.postMessage(0);
}

function wake() {
  ticker.postMessage(0);
}

globalThis.noiselabPage = {
  mode: () => (query.has("shaders") ? "shaders" : query.has("test") ? "test" : "app"),
  fetch_file,
  pick_files,
  save_file,
  store_read,
  store_write,
  store_remove,
  recall,
  remember,
  address,
  set_address,
  started,
  stopped,
  panicked,
  device_lost,
  take_resume,
  adapter: () => adapterName,
  reload: () => location.reload(),
  drawn,
  frame_done: frameDone,
  hurry,
  wake,
};
