// Serves a folder on this machine, at the root or below a path, as any static host would.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".gif": "image/gif",
  ".svg": "image/svg+xml",
};

// Resolves to {address, close, requests}; `below` is a path such as "/lab/one/".
export function serve(folder, port = 0, below = "/") {
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    requests.push(path);
    const inside = path.startsWith(below) ? normalize(path.slice(below.length)) : "..";
    if (inside.startsWith("..")) {
      response.writeHead(404).end();
      return;
    }
    const name = inside === "." || inside === "" || inside.endsWith("/") ? join(inside, "index.html") : inside;
    try {
      const content = await readFile(join(folder, name));
      const type = TYPES[extname(name)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type, "content-length": content.length }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      resolve({
        address: `http://localhost:${server.address().port}${below}`,
        requests,
        close: () =>
          new Promise((done) => {
            server.close(done);
            server.closeAllConnections();
          }),
      });
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { address } = await serve(process.argv[2] ?? "dist", Number(process.argv[3] ?? 8080));
  console.log(address);
}
