// Pictures of the page's rooms for the README: node screens.mjs DIST OUT
import { join, resolve } from "node:path";
import { Lab, browse, sleep } from "./lab.mjs";
import { serve } from "./server.mjs";

const [dist, out] = process.argv.slice(2).map((p) => resolve(p));
const server = await serve(dist, 0, "/lab/noise/");
const { context, close } = await browse();
const hashes = {
  forward: "#room=forward&t=300",
  training: "#room=training",
  reverse: "#room=reverse&count=1&sampler_b=off",
  network: "#room=network&t=300",
  lab: "#room=lab&lab=reverse&t=0",
};
for (const [room, hash] of Object.entries(hashes)) {
  const lab = await Lab.open(context, server.address, { hash });
  if (room === "training") {
    await lab.press(/^Start/);
    await lab.until("some steps", (s) => s.training.step >= 5, 300_000);
  }
  if (room === "network") await lab.until("a look inside", (s) => s.probes > 0, 120_000).catch(() => {});
  if (room === "reverse") await lab.until("samples", (s) => s.reverse[0]?.frames > 40, 300_000).catch(() => {});
  if (room === "lab") {
    await lab.press("Draw samples", "Button");
    await lab.until("all samples", (s) => !s.rooms.lab.busy && s.rooms.lab.runs.every((r) => r.done), 300_000).catch(() => {});
  }
  await sleep(1500);
  await lab.screenshot(join(out, `page-${room}.png`));
  await lab.page.close();
}
await close();
await server.close();
