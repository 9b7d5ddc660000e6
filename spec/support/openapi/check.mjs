// Checks single exchanges of a log against one service's description. A Checker is
// made of the description as it is published and the service's settings (see
// descriptions.mjs); check(entry) gives the words of what is wrong.
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import {OpenAPIRouter, OpenAPIValidator} from "openapi-backend";
import {normalize} from "./normalize.mjs";

// JSON Schema 2020-12, which is what OpenAPI 3.1 means
function customizeAjv(_ajv, options) {
  const ajv = new Ajv2020({...options, strict: false, allErrors: true, logger: false, code: {optimize: false}});
  addFormats(ajv);
  ajv.addFormat("unixtime", {type: "number", validate: Number.isInteger});
  ajv.addFormat("binary", true);
  return ajv;
}

// ---- small readers ----

function words(errors) {
  return (errors || []).map((e) => {
    const more = e.params && Object.keys(e.params).length ? ` ${JSON.stringify(e.params)}` : "";
    return `${e.instancePath || "/"} ${e.message}${more}`;
  });
}

function headerMap(list) {
  return Object.fromEntries((list || []).map(([name, value]) => [name.toLowerCase(), value]));
}

function mediaType(headers) {
  return (headers["content-type"] || "").split(";")[0].trim().toLowerCase();
}

const isJson = (type) => type === "application/json" || type.endsWith("+json");

function parse(text) {
  try {
    return {value: JSON.parse(text)};
  } catch (e) {
    return {problem: e.message};
  }
}

// Text out of a form as the type that its schema asks for
function coerce(text, schema) {
  const types = [schema?.type, ...(schema?.anyOf ?? []).map((part) => part.type)].flat();
  if (types.includes("boolean") && /^(true|false)$/.test(text)) return text === "true";
  if ((types.includes("integer") || types.includes("number")) && text.trim() !== "" && !Number.isNaN(Number(text))) {
    return Number(text);
  }
  return text;
}

// The fields of a form as an object; "expires_after[anchor]" is a field of a field
function formObject(fields, schema) {
  const out = {};
  for (const {name, value} of fields) {
    const path = name.split(/\[|\]\[|\]/).filter(Boolean);
    const rules = path.reduce((node, key) => node?.properties?.[key], schema);
    const last = path.pop();
    const at = path.reduce((node, key) => (node[key] ??= {}), out);
    at[last] = value === undefined ? "(bytes)" : coerce(value, rules);
  }
  return out;
}

// ---- credentials ----

const CARRIERS = ["authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"];

function credentials(headers) {
  return CARRIERS.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]);
}

// Exactly one, in a form that the service takes
function checkKey(headers, forms) {
  const given = credentials(headers);
  if (given.length === 0) return ["no credentials"];
  if (given.length > 1) return [`credentials in ${given.map(([name]) => name).join(" and ")}`];
  const [[name, value]] = given;
  return forms[name]?.test(value) ? [] : [`credentials in '${name}', or in a form of it, that is not the service's`];
}

// The secrets in a log: what a storage host must not see anywhere
export function secretsOf(entries) {
  const out = new Set();
  for (const entry of entries.filter((e) => e.site !== "storage")) {
    for (const [, value] of credentials(headerMap(entry.headers))) out.add(value.replace(/^\S+ /, ""));
  }
  return [...out].filter((secret) => secret.length >= 8);
}

export function checkStorage(entry, secrets) {
  const out = credentials(headerMap(entry.headers)).map(([name]) => `request: '${name}' was sent to the storage host`);
  const {headers, path, query, body, parts} = entry;
  const text = JSON.stringify({headers, path, query, body, parts});
  if (secrets.some((secret) => text.includes(secret))) out.push("request: a credential was sent to the storage host");
  return out;
}

// ---- the checker ----

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

export class Checker {
  // settings: amend(api), keys, error (schema), beyond, requestId, optional, verbs, strip, partTypes
  constructor(api, settings) {
    this.settings = settings;
    const copy = structuredClone(api);
    settings.amend?.(copy);
    const definition = normalize(copy);
    this.router = new OpenAPIRouter({definition, apiRoot: "/"});
    this.validator = new OpenAPIValidator(
      {definition, router: this.router, customizeAjv, coerceTypes: true, lazyCompileValidators: true});
    this.error = customizeAjv(null, {}).compile(settings.error ?? true);
    this.routes = this.router.getOperations().map((operation) => this.route(operation));
    this.routes.sort((a, b) => b.literal - a.literal);
    this.seen = new Set();
  }

  // Where a path has verbs ("datasets/{id}:validateUpload"), an id has no colon
  route(operation) {
    const id = this.settings.verbs ? "[^/:]+" : "[^/]+";
    const pattern = operation.path.split(/\{[^}]*\}/).map(escaped).join(id);
    return {operation, method: operation.method.toUpperCase(), pattern: new RegExp(`^${pattern}$`),
      literal: operation.path.replace(/\{[^}]*\}/g, "").length};
  }

  find(method, path) {
    return this.routes.find((r) => r.method === method && r.pattern.test(path))?.operation;
  }

  // Where the service has a prefix that its description lacks
  pathOf(entry) {
    const {strip} = this.settings;
    return strip && entry.path.startsWith(`${strip}/`) ? entry.path.slice(strip.length) : entry.path;
  }

  check(entry) {
    const path = this.pathOf(entry);
    const operation = this.find(entry.method, path);
    if (!operation) return ["request: no such operation"];
    if (entry.status < 400) this.seen.add(operation.operationId);
    const problems = this.request({...entry, path}, operation).map((text) => `request: ${text}`);
    if (entry.fault === undefined) problems.push(...this.answer(entry, operation).map((text) => `answer: ${text}`));
    return problems;
  }

  // ---- requests ----

  request(entry, operation) {
    const headers = headerMap(entry.headers);
    const content = operation.requestBody?.content;
    const {body, problems} = this.body(entry, mediaType(headers), content);
    const request = {method: entry.method, path: entry.path, query: entry.query ?? "", headers, body};
    return [...checkKey(headers, this.settings.keys), ...problems,
      ...words(this.validator.validateRequest(request, operation).errors)];
  }

  // The body as the validator takes it, and what is wrong with its type
  body(entry, type, content) {
    const given = entry.parts || entry.body;
    if (!given) return {problems: []};
    if (!content) return {problems: ["a body where none is described"]};
    if (!content[type]) return {problems: [`content type '${type}' is not one of ${Object.keys(content)}`]};
    const {schema} = content[type];
    if (entry.parts) return {body: formObject(entry.parts, schema), problems: this.parts(entry.parts, schema)};
    const problems = /[\0-\x08]/.test(entry.body) ? ["control characters in the body"] : [];
    if (type === "application/x-www-form-urlencoded") {
      const fields = [...new URLSearchParams(entry.body)].map(([name, value]) => ({name, value}));
      return {body: formObject(fields, schema), problems};
    }
    return {body: entry.body, problems};
  }

  // What the schema does not see: files are files, fields are none, each comes once
  parts(parts, schema) {
    const out = [];
    const names = parts.map((part) => part.name);
    for (const name of new Set(names.filter((n, i) => names.indexOf(n) !== i))) out.push(`form field '${name}' twice`);
    for (const name of schema?.required ?? []) {
      if (!names.some((n) => n === name || n.startsWith(`${name}[`))) out.push(`form field '${name}' is missing`);
    }
    for (const part of parts) {
      const isFile = schema?.properties?.[part.name]?.format === "binary";
      const named = part.filename !== undefined;
      if (isFile !== named) out.push(`form field '${part.name}' ${isFile ? "needs" : "has"} a file name`);
      if (isFile && this.settings.partTypes && !part.type) out.push(`form field '${part.name}' has no content type`);
    }
    return out;
  }

  // ---- answers ----

  answer(entry, operation) {
    const headers = headerMap(entry.answer_headers);
    const {requestId} = this.settings;
    const out = requestId && !headers[requestId] ? [`no ${requestId}`] : [];
    const response = operation.responses[entry.status] ?? operation.responses["2XX"];
    if (entry.status >= 400 && !response?.content) return [...out, ...this.errorBody(entry, headers)];
    if (!response) return [...out, `status ${entry.status} is not described`];
    const options = {statusCode: entry.status, setMatchType: "superset"};
    out.push(...words(this.validator.validateResponseHeaders(headers, operation, options).errors));
    return [...out, ...this.content(entry, mediaType(headers), response.content, operation)];
  }

  content(entry, type, content, operation) {
    if (!content || Object.keys(content).length === 0) { // a redirect may have words for people
      return entry.answer && entry.status < 300 ? ["a body where none is described"] : [];
    }
    if (!content[type] && !content["*/*"]) return [`content type '${type}' is not one of ${Object.keys(content)}`];
    if (!content[type] || !isJson(type)) return [];
    if (entry.answer === undefined) return ["no body"];
    const {value, problem} = parse(entry.answer);
    if (problem) return [problem];
    const errors = this.validator.validateResponse(value, operation, entry.status).errors ?? [];
    return words(errors.filter((e) => !this.settings.beyond?.includes(e.params?.unevaluatedProperty)));
  }

  errorBody(entry, headers) {
    if (!isJson(mediaType(headers))) return ["an error that is not application/json"];
    const {value, problem} = parse(entry.answer ?? "");
    if (problem) return [`an error: ${problem}`];
    return this.error(value) ? [] : words(this.error.errors);
  }

  // ---- what was never called ----

  missing(required) {
    const ids = this.routes.map(({operation}) => operation.operationId);
    const unknown = (required ?? []).filter((id) => !ids.includes(id));
    if (unknown.length > 0) throw new Error(`the description has no operation ${unknown.join(", ")}`);
    const {optional} = this.settings;
    return (required ?? ids.filter((id) => !optional?.test(id))).filter((id) => !this.seen.has(id));
  }
}
