// Measures TensorFlow.js on the software adapter, with the network that `bench.mjs` measures, and prints the figures as JSON:
//
//   npm install --no-save @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-webgpu@4.22.0
//   node tests/browser/peer.mjs [--modules node_modules] [--batch 8] [--seconds 20]
//
// A step there has neither clipping nor a moving average, which a step of noiselab has.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { browse } from "./lab.mjs";
import { serve } from "./server.mjs";

const { values } = parseArgs({
  options: {
    modules: { type: "string", default: "node_modules" },
    batch: { type: "string", default: "8" },
    seconds: { type: "string", default: "20" },
  },
});
const scripts = [
  join(values.modules, "@tensorflow/tfjs/dist/tf.min.js"),
  join(values.modules, "@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js"),
  join(import.meta.dirname, "tfjs.js"),
];
const server = await serve(import.meta.dirname);
const { context, close } = await browse();
try {
  const page = await context.newPage();
  page.setDefaultTimeout(3_600_000);
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`${server.address}tfjs.html`);
  for (const path of scripts) await page.addScriptTag({ path });
  const asked = { batch: Number(values.batch), seconds: Number(values.seconds) };
  console.log(JSON.stringify(await page.evaluate((asked) => globalThis.peer(asked), asked), null, 2));
} finally {
  await close();
  await server.close();
}
