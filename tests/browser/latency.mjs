// Measures in a browser how long input takes to be seen, at rest and while the `digits` preset trains on the software
// adapter: node tests/browser/latency.mjs [SECONDS]. No test: the figures depend on the machine.

import { join } from "node:path";
import { Lab, browse, sleep } from "./lab.mjs";
import { serve } from "./server.mjs";

const seconds = Number(process.argv[2] ?? 20);
const server = await serve(join(import.meta.dirname, "../../dist"));
const browser = await browse();

async function wiggle(lab, time) {
  const end = Date.now() + 1000 * time;
  for (let i = 0; Date.now() < end; i += 1) {
    await lab.page.mouse.move(400 + ((37 * i) % 700), 480);
    await sleep(97);
  }
  return lab.status();
}

try {
  const lab = await Lab.open(browser.context, server.address, { hash: "#room=training&preset=digits" });
  await lab.until("the address is followed", (s) => s.room === "training");
  const rest = await wiggle(lab, 5);
  console.log(JSON.stringify({ at_rest: rest.inputToRedraw, framesPerSecond: rest.framesPerSecond }));
  await lab.press("Start", "Button");
  await lab.until("a step of training", (s) => s.training.step >= 1, 600_000);
  const trained = await wiggle(lab, seconds);
  const { inputToRedraw, framesPerSecond, training } = trained;
  console.log(JSON.stringify({ training: inputToRedraw, framesPerSecond, steps: training.step }));
} finally {
  await browser.close();
  server.close?.();
}
