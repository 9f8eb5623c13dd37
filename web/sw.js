// Keeps the page for visits without a connection. scripts/web.sh puts this file beside index.html, as a service
// worker serves only what lies below it, and fills in the build's version and files.
//
// What the page is made of is fetched anew for each version and served from the cache. Data sets and weights are
// kept by the page itself (web/host.js), under addresses that hold their hash.

const VERSION = "__VERSION__";
const CORE = ["__CORE__"];
const KEPT = ["__KEPT__"];

// By scope, as several copies of the page may live on one host.
const OURS = `noiselab:${self.registration.scope}:`;
const CORE_CACHE = OURS + VERSION;
const DATA_CACHE = "noiselab-data";

self.addEventListener("install", (event) => {
  const fetchAll = async () => {
    const cache = await caches.open(CORE_CACHE);
    await cache.addAll(CORE.map((path) => new Request(path, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(fetchAll());
});

self.addEventListener("activate", (event) => {
  const tidy = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith(OURS) && name !== CORE_CACHE) await caches.delete(name);
    }
    const wanted = new Set(KEPT.map((address) => new URL(address, self.registration.scope).href));
    const data = await caches.open(DATA_CACHE);
    for (const request of await data.keys()) {
      if (request.url.startsWith(self.registration.scope) && !wanted.has(request.url)) await data.delete(request);
    }
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  const answer = async () => {
    const cache = await caches.open(CORE_CACHE);
    const key = request.mode === "navigate" ? new URL("./", self.registration.scope).href : request;
    return (await cache.match(key)) ?? fetch(request);
  };
  event.respondWith(answer());
});
