// A clock in a worker: browsers slow the page's own timers down when it is hidden, but not a worker's. The page
// names the wait before each tick, so that no ticks pile up while it is busy.
let timer;
onmessage = (event) => {
  clearTimeout(timer);
  timer = setTimeout(() => postMessage(0), event.data);
};
