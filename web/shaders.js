// `?shaders`: has the browser compile every kernel, and shows what it says. For tests; the result is also in
// `window.noiselabShaders`.

async function compile(device, { name, source, entries }) {
  const failures = [];
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: name, code: source });
  const info = await module.getCompilationInfo();
  for (const message of info.messages) {
    if (message.type !== "error") continue;
    const line = source.split("\n")[message.lineNum - 1] ?? "";
    failures.push(`${name}:${message.lineNum}:${message.linePos}: ${message.message} | ${line.trim()}`);
  }
  if (failures.length === 0) {
    for (const entryPoint of entries) {
      try {
        await device.createComputePipelineAsync({ label: name, layout: "auto", compute: { module, entryPoint } });
      } catch (error) {
        failures.push(`${name}, ${entryPoint}: ${error.message}`);
      }
    }
  }
  const refused = await device.popErrorScope();
  if (refused && failures.length === 0) failures.push(`${name}: ${refused.message}`);
  return failures;
}

export async function compileAll(program) {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const subgroups = adapter.features.has("subgroups");
  const device = await adapter.requestDevice({ requiredFeatures: subgroups ? ["subgroups"] : [] });
  const kernels = JSON.parse(program.kernel_sources());
  const result = { kernels: 0, entries: 0, skipped: [], failures: [], done: false, adapter: adapter.info.description };
  globalThis.noiselabShaders = result;
  const show = () => {
    const cover = document.getElementById("cover");
    const pre = document.createElement("pre");
    pre.textContent = JSON.stringify(result, null, 2);
    cover.replaceChildren(pre);
  };
  for (const kernel of kernels) {
    if (kernel.source.includes("enable subgroups;") && !subgroups) {
      result.skipped.push(kernel.name);
      continue;
    }
    result.failures.push(...(await compile(device, kernel)));
    result.kernels += 1;
    result.entries += kernel.entries.length;
    show();
  }
  result.done = true;
  show();
}
