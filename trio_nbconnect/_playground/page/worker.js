// Python in a worker: Pyodide, Trio and trio_nbconnect, all from this folder. JSON comes in and goes out.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const PROGRAM = `
import sys
sys.path.insert(0, "/packages")
from trio_nbconnect._playground import emscripten
emscripten.install()
from trio_nbconnect._playground.answer import answer
answer
`;

async function load() {
  const archive = fetch(new URL("packages.zip", import.meta.url)).then((response) => response.arrayBuffer());
  const pyodide = await loadPyodide({ indexURL: new URL("pyodide/", import.meta.url).href });
  pyodide.unpackArchive(await archive, "zip", { extractDir: "/packages" });
  return pyodide.runPython(PROGRAM);
}

const loaded = load();

self.onmessage = async ({ data }) => {
  try {
    const answer = await loaded;
    self.postMessage({ number: data.number, text: answer(data.text) });
  } catch (error) {
    self.postMessage({ number: data.number, failed: String(error.message ?? error) });
  }
};
