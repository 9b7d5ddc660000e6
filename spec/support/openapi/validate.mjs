// Checks a log of exchanges (spec/support/service/main.lua --log) against the
// service's published OpenAPI description:
//   node validate.mjs LOG [--all]
// The description is openai.ft.json in $FINE_TUNE_API_DIR, or in ../shared/api
// beside the repository; it is data that is read, never part of the repository.
// Prints each violation, then a count; exits 1 when there are any, and with
// --all also when an operation of the description never occurs in the log.
// Where a fault was injected only the request is checked.
import {existsSync, readFileSync} from "node:fs";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import {OpenAPIRouter, OpenAPIValidator} from "openapi-backend";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

function fail(words) {
  console.error(`openapi: ${words}`);
  process.exit(2);
}

function readDescription() {
  const folder = process.env.FINE_TUNE_API_DIR || join(root, "../shared/api");
  const file = join(folder, "openai.ft.json");
  if (!existsSync(file)) fail(`no ${file}; set FINE_TUNE_API_DIR`);
  return JSON.parse(readFileSync(file, "utf8"));
}

// Where the description is known to differ from the service: each with its source.
function amend(api) {
  const {schemas} = api.components;
  // The service wants a dictionary of graders (openai/openai-java#647).
  const one = schemas.GraderMulti.properties.graders;
  schemas.GraderMulti.properties.graders = {anyOf: [one, {type: "object", additionalProperties: one}]};
  // Pause exists, and a job that is paused has to be something.
  schemas.FineTuningJob.properties.status.enum.push("paused");
  // Files are sent as they are, not as a JSON string.
  return api;
}

// $refs resolved in place (the description has no cycles): the validator wants them so.
function inline(node, schemas) {
  if (Array.isArray(node)) return node.map((item) => inline(item, schemas));
  if (node === null || typeof node !== "object") return node;
  if (node.$ref) return inline(schemas[node.$ref.split("/").pop()], schemas);
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, inline(value, schemas)]));
}

// JSON Schema 2020-12, which is what OpenAPI 3.1 means.
function customizeAjv(_ajv, options) {
  const ajv = new Ajv2020({...options, strict: false, logger: false, code: {optimize: false}});
  addFormats(ajv);
  ajv.addFormat("unixtime", {type: "number", validate: Number.isInteger});
  ajv.addFormat("binary", true);
  return ajv;
}

const errorBody = customizeAjv(null, {}).compile({
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "param", "code"],
      properties: {
        message: {type: "string"},
        type: {type: "string"},
        param: {type: ["string", "null"]},
        code: {type: ["string", "null"]},
      },
    },
  },
});

function words(errors) {
  return (errors || []).map((e) => {
    const more = e.params && Object.keys(e.params).length ? ` ${JSON.stringify(e.params)}` : "";
    return `${e.instancePath || "/"} ${e.message}${more}`;
  });
}

function header(list, name) {
  return (list || []).filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)[0];
}

function mediaType(list) {
  return (header(list, "content-type") || "").split(";")[0].trim().toLowerCase();
}

// The fields of a form as an object: "expires_after[anchor]" nests, digits are numbers.
function formObject(parts) {
  const out = {};
  for (const part of parts) {
    const path = part.name.split(/\[|\]\[|\]/).filter(Boolean);
    const last = path.pop();
    const at = path.reduce((node, key) => (node[key] ??= {}), out);
    at[last] = part.filename === undefined && /^\d+$/.test(part.value) ? Number(part.value) : (part.value ?? "(bytes)");
  }
  return out;
}

function parse(text) {
  try {
    return {value: JSON.parse(text)};
  } catch (e) {
    return {problem: e.message};
  }
}

const api = amend(readDescription());
const definition = {...inline({...api, components: {}}, api.components.schemas), components: {}};
const router = new OpenAPIRouter({definition, apiRoot: "/"});
const settings = {definition, router, customizeAjv, coerceTypes: true, lazyCompileValidators: true};
const validator = new OpenAPIValidator(settings);

// A request's own rules beside the schema's: the key, the media type, the binary parts.
function checkRequest(entry, operation) {
  const out = [];
  if (!/^Bearer \S+$/.test(header(entry.headers, "authorization") || "")) out.push("no bearer key");
  const content = operation.requestBody?.content;
  const type = mediaType(entry.headers);
  if (content && !content[type]) out.push(`content type '${type}' is not one of ${Object.keys(content)}`);
  if (!content && (entry.body || entry.parts)) out.push("a body where none is described");
  if (entry.body && /[\0-\x08]/.test(entry.body)) out.push("control characters in the body");
  let body = entry.body || undefined;
  if (entry.parts) {
    body = formObject(entry.parts);
    for (const name of content?.[type]?.schema.required || []) {
      if (!(name in body)) out.push(`form field '${name}' is missing`);
    }
  }
  return [...out, ...validate(entry, operation, body)];
}

function validate(entry, operation, body) {
  const headers = Object.fromEntries(entry.headers.map(([key, value]) => [key.toLowerCase(), value]));
  const request = {method: entry.method, path: entry.path, query: entry.query, headers, body};
  return words(validator.validateRequest(request, operation).errors);
}

function checkAnswer(entry, operation) {
  if (!header(entry.answer_headers, "x-request-id")) return ["no x-request-id"];
  if (entry.answer === undefined) return operation.operationId === "downloadFile" ? [] : ["no body"];
  if (operation.operationId === "downloadFile" && entry.status === 200) return [];
  if (mediaType(entry.answer_headers) !== "application/json") return ["not application/json"];
  const {value, problem} = parse(entry.answer);
  if (problem) return [problem];
  if (entry.status >= 400) return errorBody(value) ? [] : words(errorBody.errors);
  if (!operation.responses[entry.status]) return [`status ${entry.status} is not described`];
  return words(validator.validateResponse(value, operation, entry.status).errors);
}

function check(entry, seen) {
  let operation;
  try {
    operation = router.matchOperation({method: entry.method, path: entry.path, headers: {}});
  } catch {
    operation = undefined;
  }
  if (!operation) return ["request: no such operation"];
  if (entry.status < 300) seen.add(operation.operationId);
  const problems = checkRequest(entry, operation).map((text) => `request: ${text}`);
  if (entry.fault === undefined) problems.push(...checkAnswer(entry, operation).map((text) => `answer: ${text}`));
  return problems;
}

// Operations that no client of ours is meant to call.
const optional = /CheckpointPermission/;

function missing(seen) {
  return router.getOperations().map((o) => o.operationId).filter((id) => !seen.has(id) && !optional.test(id));
}

function main([log, ...flags]) {
  if (!log || !existsSync(log)) fail("usage: node validate.mjs LOG [--all]");
  const seen = new Set();
  let count = 0;
  let violations = 0;
  for (const line of readFileSync(log, "utf8").split("\n").filter(Boolean)) {
    const entry = JSON.parse(line);
    count += 1;
    for (const problem of check(entry, seen)) {
      violations += 1;
      console.log(`#${count} ${entry.method} ${entry.path} (${entry.status ?? "no answer"}) ${problem}`);
    }
  }
  const never = flags.includes("--all") ? missing(seen) : [];
  for (const id of never) console.log(`never called: ${id}`);
  console.log(`${count} exchanges, ${seen.size} operations, ${violations} violations`);
  process.exit(violations + never.length > 0 || count === 0 ? 1 : 0);
}

main(process.argv.slice(2));
