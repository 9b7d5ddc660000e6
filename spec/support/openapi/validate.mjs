// Checks a log of exchanges (spec/support/service/main.lua --log) against the
// service's published API description:
//   node validate.mjs LOG [--api NAME] [--all | --require ID,ID…]
// NAME is one of descriptions.mjs ("openai"). The descriptions are in
// $FINE_TUNE_API_DIR, or in ../shared/api beside the repository; they are data that
// is read, never part of the repository. Prints each violation, then a count; exits
// 1 when there are any, and when an operation that must occur never does: with
// --all all but the optional ones of descriptions.mjs, with --require those (an id
// is the operationId, or "GET /path/{id}" where it has none). Where a fault was
// injected only the request is checked. What went to a storage host must carry no
// credentials; nothing else is known about it.
import {existsSync, readFileSync} from "node:fs";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import {Checker, checkStorage, secretsOf} from "./check.mjs";
import {services} from "./descriptions.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const USAGE = "usage: node validate.mjs LOG [--api NAME] [--all | --require ID,ID...]";

function fail(words) {
  console.error(`openapi: ${words}`);
  process.exit(2);
}

function readDescription(name) {
  const folder = process.env.FINE_TUNE_API_DIR || join(root, "../shared/api");
  const file = join(folder, name);
  if (!existsSync(file)) fail(`no ${file}; set FINE_TUNE_API_DIR`);
  return JSON.parse(readFileSync(file, "utf8"));
}

function parseFlags([log, ...rest]) {
  const options = {log, api: "openai"};
  while (rest.length > 0) {
    const flag = rest.shift();
    if (flag === "--all") options.all = true;
    else if (flag === "--api" && rest.length > 0) options.api = rest.shift();
    else if (flag === "--require" && rest.length > 0) options.required = rest.shift().split(",");
    else fail(USAGE);
  }
  if (!log || !existsSync(log)) fail(USAGE);
  if (!services[options.api]) fail(`--api is one of: ${Object.keys(services).join(", ")}`);
  return options;
}

function readLog(path) {
  return readFileSync(path, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

function main(args) {
  const options = parseFlags(args);
  const settings = services[options.api];
  const checker = new Checker(readDescription(settings.file), settings);
  const entries = readLog(options.log);
  const secrets = secretsOf(entries);
  let violations = 0;
  entries.forEach((entry, i) => {
    const problems = entry.site === "storage" ? checkStorage(entry, secrets) : checker.check(entry);
    for (const problem of problems) {
      violations += 1;
      console.log(`#${i + 1} ${entry.method} ${entry.path} (${entry.status ?? "no answer"}) ${problem}`);
    }
  });
  const never = options.all || options.required ? checker.missing(options.required) : [];
  for (const id of never) console.log(`never called: ${id}`);
  const stored = entries.filter((entry) => entry.site === "storage").length;
  console.log(`${entries.length} exchanges, ${stored} of them with storage, ${checker.seen.size} operations, `
    + `${violations} violations`);
  process.exit(violations + never.length > 0 || entries.length === 0 ? 1 : 0);
}

main(process.argv.slice(2));
