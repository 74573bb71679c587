// The page: the editor, with Python in a worker, and the scene in the address. `playground` is for a console.
import { mount } from "./editor.js";

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let number = 0;

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.get(data.number);
  waiting.delete(data.number);
  if (data.failed) reject(new Error(data.failed));
  else resolve(data.text);
};
worker.onerror = (event) => {
  for (const { reject } of waiting.values()) reject(new Error(event.message || "the worker did not start"));
  waiting.clear();
};

function run(text) {
  return new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    worker.postMessage({ number, text });
  });
}

const data = await (await fetch(new URL("scenes.json", import.meta.url))).json();
globalThis.playground = mount(document.getElementById("playground"), { data, run, link: true });
