// Measures in a browser, on the software adapter, how long input takes until the device has drawn what it led to: at
// rest, and while the `digits` preset and then the 2-D lab train.
//
//   node tests/browser/latency.mjs [SECONDS] [training|lab]
//
// The pointer moves across the room ten times a second. No test: the figures depend on the machine.

import { join } from "node:path";
import { Lab, browse, sleep } from "./lab.mjs";
import { serve } from "./server.mjs";

const seconds = Number(process.argv[2] ?? 20);
const rooms = {
  training: { hash: "#room=training&preset=digits", start: ["Start"], step: (s) => s.training.step },
  lab: { hash: "#room=lab&lab=training", start: ["Train"], step: (s) => s.rooms.lab?.training?.step ?? 0 },
};
const wanted = process.argv[3] ? [process.argv[3]] : Object.keys(rooms);

const rounded = (figures) => Object.fromEntries(Object.entries(figures).map(([k, v]) => [k, v && Math.round(v)]));

async function wiggle(lab, time) {
  await lab.page.evaluate(() => globalThis.noiselab.measure_anew());
  const end = Date.now() + 1000 * time;
  for (let i = 0; Date.now() < end; i += 1) {
    await lab.page.mouse.move(400 + ((37 * i) % 700), 480);
    await sleep(97);
  }
  return lab.status();
}

const server = await serve(process.env.DIST ?? join(import.meta.dirname, "../../dist"));
try {
  for (const room of wanted) {
    const { hash, start, step } = rooms[room];
    const browser = await browse();
    try {
      const lab = await Lab.open(browser.context, server.address, { hash });
      await lab.until("the address is followed", (s) => s.room === room);
      await sleep(1000);
      const rest = await wiggle(lab, 5);
      await lab.press(...start, "Button");
      await lab.until("steps of training", (s) => step(s) >= 1, 600_000);
      const first = step(await lab.status());
      const trained = await wiggle(lab, seconds);
      // Nobody moves the pointer.
      await sleep(1000 * seconds);
      const left = step(await lab.status());
      const rate = (from, to) => Number(((to - from) / seconds).toFixed(2));
      console.log(
        JSON.stringify({
          room,
          rest: { ...rounded(rest.inputToRedraw), framesPerSecond: rest.framesPerSecond },
          training: { ...rounded(trained.inputToRedraw), framesPerSecond: trained.framesPerSecond },
          stepsPerSecond: { pointerMoves: rate(first, step(trained)), pointerRests: rate(step(trained), left) },
        }),
      );
    } finally {
      await browser.close();
    }
  }
} finally {
  await server.close();
}
