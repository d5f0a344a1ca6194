#!/usr/bin/env node
// Plain JavaScript that even a very old Node can read, so that it gets a sentence and no syntax error.
"use strict";

var needed = [22, 18];
var found = process.versions.node.split(".").map(Number);

if (found[0] < needed[0] || (found[0] === needed[0] && found[1] < needed[1])) {
  process.stderr.write(
    "moxi needs Node.js " +
      needed.join(".") +
      " or newer, and this is " +
      process.version +
      ": https://nodejs.org\n",
  );
  process.exitCode = 2;
} else {
  start();
}

function start() {
  var fs = require("fs");
  var module_ = require("module");
  var path = require("path");
  var url = require("url");

  keepCompiled(fs, module_, path);

  // In a clone the sources run, so that a stale dist never does; the package holds no sources.
  var sources = path.join(__dirname, "..", "src", "cli", "main.ts");
  var main = fs.existsSync(sources) ? sources : path.join(__dirname, "..", "dist", "main.js");
  import(url.pathToFileURL(main).href).catch(function (error) {
    process.stderr.write("moxi could not start: " + ((error && error.stack) || error) + "\n");
    process.exitCode = 1;
  });
}

// Compiled code is kept between calls: it matters for the big, lazily loaded chunks. Not where Node
// keeps it, in a folder of /tmp that another user may have made: who can write there runs code here.
function keepCompiled(fs, module_, path) {
  if (!module_.enableCompileCache || process.env.NODE_COMPILE_CACHE) return;
  try {
    var cache = process.env.XDG_CACHE_HOME || path.join(require("os").homedir(), ".cache");
    var folder = path.join(cache, "moxi", "compiled");
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    module_.enableCompileCache(folder);
  } catch (error) {
    // Nowhere to keep it, as in a home that is read only: it is compiled each time.
    if (!error.code) throw error;
  }
}
