// Measures training and sampling in a browser, on the software adapter, and prints the figures as JSON:
//
//   node tests/browser/bench.mjs [--model mnist32] [--batch 32] [--seconds 20]

import { join } from "node:path";
import { parseArgs } from "node:util";
import { Lab, browse } from "./lab.mjs";
import { serve } from "./server.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "mnist32" },
    batch: { type: "string" },
    seconds: { type: "string", default: "20" },
  },
});
const asked = [`bench=${values.model}`, `seconds=${values.seconds}`];
if (values.batch) asked.push(`batch=${values.batch}`);

const server = await serve(process.env.DIST ?? join(import.meta.dirname, "../../dist"));
const { context, close } = await browse();
try {
  const lab = await Lab.open(context, server.address, { hash: `#room=forward&${asked.join("&")}`, ready: false });
  let told;
  const status = await lab.until(
    "the figures",
    ({ bench, failures }) => {
      if (bench?.failed) throw new Error(failures.at(-1));
      if (bench?.status && bench.status !== told) console.error((told = bench.status));
      return bench?.report;
    },
    600_000,
  );
  if (process.env.SHOTS) await lab.screenshot(join(process.env.SHOTS, "bench.png"));
  console.log(JSON.stringify(status.bench.report, null, 2));
} finally {
  await close();
  await server.close();
}
