// Runs a harness compiled to WebAssembly in Node.js: `node port_wasm.mjs FILE.wasm`. Its files are input.bin and
// output.bin in the working directory.
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const input = openSync("input.bin", "r");
const output = openSync("output.bin", "w");
let memory;

const at = (address, bytes) => new Uint8Array(memory.buffer, address, bytes);

/** Fills a view from a file; true if all of it came. */
function filled(view) {
  let done = 0;
  while (done < view.length) {
    const count = readSync(input, view, done, view.length - done);
    if (count === 0) {
      return false;
    }
    done += count;
  }
  return true;
}

const port = {
  read: (into, bytes) => Number(filled(at(into, bytes))),
  write: (from, bytes) => {
    const view = at(from, bytes);
    for (let done = 0; done < bytes; ) {
      done += writeSync(output, view, done);
    }
  },
  exit: (status) => {
    closeSync(output);
    process.exit(status);
  },
};

const instance = new WebAssembly.Instance(module, { port });
memory = instance.exports.memory;
instance.exports.start();
