// Starts the program, or says why that cannot be.

import { cover, nameAdapter, onTick, say, stopped, whenPainted } from "./host.js";
import { files } from "./files.js";
import { shortenShader } from "./frames.js";

const at = (path) => new URL(path, document.baseURI).href;

async function missingWebGpu() {
  if (!isSecureContext) return "This address is not secure, and browsers give WebGPU to secure ones only.";
  if (!navigator.gpu) return "This browser does not have it, or it is switched off.";
  try {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (adapter) {
      nameAdapter(adapter.info);
      return undefined;
    }
  } catch (error) {
    return `This browser has it but cannot use it here: ${error.message}`;
  }
  return "This browser has it, but finds no graphics device that it may use.";
}

// Subgroups are asked for where the adapter has them: wgpu 30 does not know this feature of browsers.
function askForSubgroups() {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = function (descriptor = {}) {
    const wanted = new Set(descriptor.requiredFeatures);
    if (this.features.has("subgroups")) wanted.add("subgroups");
    return request.call(this, { ...descriptor, requiredFeatures: [...wanted] });
  };
}

// The program's response, with its progress told on the way.
function counted(response, total) {
  let done = 0;
  const counter = new TransformStream({
    transform(part, controller) {
      done += part.length;
      say("Loading …", Math.min(done / total, 1));
      controller.enqueue(part);
    },
  });
  return new Response(response.body.pipeThrough(counter), {
    headers: { "content-type": "application/wasm" },
  });
}

async function load() {
  const program = await import(at("noiselab.js"));
  const response = await fetch(at("noiselab_bg.wasm"));
  if (!response.ok) throw new Error(`The page's server answers ${response.status} for noiselab_bg.wasm.`);
  await program.default({ module_or_path: counted(response, files["noiselab_bg.wasm"]?.bytes ?? 1) });
  return program;
}

function keepForOffline() {
  if (!("serviceWorker" in navigator)) return;
  const before = navigator.serviceWorker.controller;
  navigator.serviceWorker.register(at("sw.js")).catch(() => {
    // Without it the page works all the same, only not offline.
  });
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (!before) return;
    const box = document.getElementById("newer");
    box.querySelector("button").addEventListener("click", () => location.reload());
    box.hidden = false;
  });
}

async function start() {
  keepForOffline();
  const missing = await missingWebGpu();
  if (missing) {
    cover("no-webgpu", missing);
    return;
  }
  if (noiselabPage.mode() === "shaders") {
    const { compileAll } = await import("./shaders.js");
    await compileAll(await load());
    return;
  }
  shortenShader();
  askForSubgroups();
  const program = await load();
  say("Starting …");
  // Reading only: tests press the controls as people do.
  globalThis.noiselab = {
    status: () => program.status(),
    reverse_images: (run) => program.reverse_images(run),
    measure_anew: () => program.measure_anew(),
  };
  whenPainted((since) => program.painted(since));
  const whether = () => program.visibility(document.hidden);
  document.addEventListener("visibilitychange", whether);
  addEventListener("hashchange", () => program.address_changed());
  onTick(() => program.tick());
  setInterval(() => document.hidden || program.write_address(), 500);
}

addEventListener("error", (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) stopped("The program met a fault of its own and cannot go on.", String(event.error.stack));
});

start().catch((error) => {
  console.error(error);
  stopped("The program could not be started.", String(error?.stack ?? error));
});
