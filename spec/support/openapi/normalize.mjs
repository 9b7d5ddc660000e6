// One form for all descriptions: OpenAPI 3.1 in JSON Schema 2020-12, every $ref in
// its place, every operation with an id. Takes Swagger 2.0, OpenAPI 3.0 and 3.1.

const METHODS = ["get", "put", "post", "delete", "patch", "head", "options"];
const COMPOSED = ["allOf", "anyOf", "oneOf"];
const ANNOTATIONS = new Set(["description", "title", "summary", "default", "example", "examples", "deprecated",
  "readOnly", "writeOnly", "nullable", "x-nullable"]);

const isObject = (node) => node !== null && typeof node === "object" && !Array.isArray(node);
const mapObject = (node, f) => Object.fromEntries(Object.entries(node).map(([key, value]) => [key, f(value, key)]));

// ---- $refs ----

function target(root, ref) {
  const path = ref.replace(/^#\//, "").split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const found = path.reduce((node, key) => node?.[key], root);
  if (!ref.startsWith("#/") || found === undefined) throw new Error(`the description has no ${ref}`);
  return found;
}

// What stands beside a $ref holds too: words are laid over it, rules are added to it
function beside(found, rest) {
  const rules = Object.keys(rest).filter((key) => !ANNOTATIONS.has(key) && !key.startsWith("x-")
    && JSON.stringify(rest[key]) !== JSON.stringify(found[key]));
  if (rules.length === 0) return {...found, ...rest};
  return {...rest, allOf: [found, ...(rest.allOf ?? [])]};
}

function inline(node, root, trail) {
  if (Array.isArray(node)) return node.map((item) => inline(item, root, trail));
  if (!isObject(node)) return node;
  if (typeof node.$ref !== "string") return mapObject(node, (value) => inline(value, root, trail));
  if (trail.includes(node.$ref)) throw new Error(`${node.$ref} refers to itself`);
  const {$ref, ...rest} = node;
  return beside(inline(target(root, $ref), root, [...trail, $ref]), inline(rest, root, trail));
}

// ---- schemas ----

// `nullable` of 3.0 as a type, `exclusiveMinimum: true` as a number
function modernRules(node) {
  const {nullable, "x-nullable": xNullable, ...out} = node;
  for (const [old, limit] of [["exclusiveMinimum", "minimum"], ["exclusiveMaximum", "maximum"]]) {
    if (typeof out[old] !== "boolean") continue;
    if (out[old]) {
      out[old] = out[limit];
      delete out[limit];
    } else {
      delete out[old];
    }
  }
  if (out.type === "file") Object.assign(out, {type: "string", format: "binary"});
  // 64 bits are sent as text by services that speak protocol buffers
  if (out.type === "string" && out.format === "int64" && !out.pattern) out.pattern = "^-?[0-9]+$";
  return nullable === true || xNullable === true ? orNull(out) : out;
}

export function orNull(node) {
  const out = {...node};
  if (out.enum) out.enum = [...new Set([...out.enum, null])];
  if (typeof out.type === "string") return {...out, type: [out.type, "null"]};
  if (Array.isArray(out.type)) return {...out, type: [...new Set([...out.type, "null"])]};
  return {anyOf: [out, {type: "null"}]};
}

// f over a schema and those within it, inner ones first
function eachSchema(node, f) {
  if (!isObject(node)) return node;
  const out = {...node};
  if (isObject(out.properties)) out.properties = mapObject(out.properties, (value) => eachSchema(value, f));
  for (const key of ["items", "additionalProperties", "not"]) {
    if (isObject(out[key])) out[key] = eachSchema(out[key], f);
  }
  for (const key of COMPOSED) {
    if (Array.isArray(out[key])) out[key] = out[key].map((value) => eachSchema(value, f));
  }
  return f(out);
}

function describesFields(node) {
  if (isObject(node.properties) && Object.keys(node.properties).length > 0) return true;
  return COMPOSED.some((key) => node[key]?.some(describesFields));
}

// An alternative that is an object of any fields leaves the whole one open
function isOpen(node) {
  if (node.additionalProperties !== undefined) return node.additionalProperties !== false;
  return COMPOSED.some((key) => node[key]?.some((part) => isOpen(part)
    || (part.type === "object" && !describesFields(part))));
}

// A field that is not described is a mistake: a misspelt one, mostly. So is one that the other side alone may set,
// which is what `hidden` says: "readOnly" of requests, "writeOnly" of answers. `part`: of a composition, whose whole
// is closed
function close(node, hidden, part = false) {
  if (!isObject(node)) return node;
  const out = {...node};
  if (isObject(out.properties)) {
    const settable = Object.entries(out.properties).filter(([, value]) => value[hidden] !== true);
    out.properties = Object.fromEntries(settable.map(([key, value]) => [key, close(value, hidden)]));
    out.required = (out.required ?? []).filter((key) => key in out.properties);
  }
  for (const key of ["items", "additionalProperties"]) {
    if (isObject(out[key])) out[key] = close(out[key], hidden);
  }
  for (const key of COMPOSED) {
    if (Array.isArray(out[key])) out[key] = out[key].map((value) => close(value, hidden, true));
  }
  if (!part && describesFields(node) && !isOpen(node)) out.unevaluatedProperties = false;
  return out;
}

// ---- Swagger 2.0 -> 3 ----

function schemaOf(parameter) {
  const {name, in: place, required, description, collectionFormat, schema, ...rules} = parameter;
  return schema ?? rules;
}

function bodyOf(parameters, consumes) {
  const body = parameters.find((p) => p.in === "body");
  if (body) {
    return {required: body.required === true, content: {[consumes[0] ?? "application/json"]: {schema: body.schema}}};
  }
  const fields = parameters.filter((p) => p.in === "formData");
  if (fields.length === 0) return undefined;
  const schema = {
    type: "object",
    required: fields.filter((p) => p.required).map((p) => p.name),
    properties: Object.fromEntries(fields.map((p) => [p.name, schemaOf(p)])),
  };
  return {required: true, content: {[consumes[0] ?? "application/x-www-form-urlencoded"]: {schema}}};
}

function modernResponse(response, produces) {
  const {schema, headers, ...rest} = response;
  const out = {...rest};
  if (headers) out.headers = mapObject(headers, ({description, ...rules}) => ({schema: rules}));
  if (schema?.type === "file") {
    const types = produces.filter((type) => type !== "application/json");
    out.content = Object.fromEntries(types.map((type) => [type, {schema}]));
  } else if (schema) {
    out.content = {"application/json": {schema}};
  }
  return out;
}

function modernOperation(operation, api) {
  const parameters = operation.parameters ?? [];
  const produces = operation.produces ?? api.produces ?? ["application/json"];
  const out = {
    operationId: operation.operationId,
    parameters: parameters.filter((p) => ["query", "path", "header"].includes(p.in))
      .map((p) => ({name: p.name, in: p.in, required: p.required, schema: schemaOf(p)})),
    responses: mapObject(operation.responses, (response) => modernResponse(response, produces)),
  };
  const body = bodyOf(parameters, operation.consumes ?? api.consumes ?? []);
  if (body) out.requestBody = body;
  return out;
}

function fromSwagger(api) {
  const prefix = (api.basePath ?? "/").replace(/\/$/, "");
  const paths = {};
  for (const [path, item] of Object.entries(api.paths)) {
    paths[prefix + path] = mapObject(item, (operation, key) =>
      METHODS.includes(key) ? modernOperation(operation, api) : operation);
  }
  return {openapi: "3.1.0", info: api.info, paths, components: {}};
}

// ---- the whole ----

function eachContent(content, f) {
  return content && mapObject(content, (media) => media.schema ? {...media, schema: f(media.schema)} : media);
}

// Those of the operation, and as text those of its path that nobody declares
function parametersOf(operation, item, path) {
  const declared = [...(operation.parameters ?? []), ...(item.parameters ?? [])];
  const names = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name);
  return [...declared, ...names.filter((name) => !declared.some((p) => p.in === "path" && p.name === name))
    .map((name) => ({name, in: "path", required: true, schema: {type: "string"}}))];
}

function finish(operation, method, path, item) {
  const modern = (schema) => eachSchema(schema, modernRules);
  const out = {...operation, operationId: operation.operationId ?? `${method.toUpperCase()} ${path}`};
  out.parameters = parametersOf(operation, item, path).map((p) => p.schema ? {...p, schema: modern(p.schema)} : p);
  if (out.requestBody) {
    out.requestBody = {...out.requestBody,
      content: eachContent(out.requestBody.content, (schema) => close(modern(schema), "readOnly"))};
  }
  const answer = (schema) => close(modern(schema), "writeOnly");
  out.responses = mapObject(operation.responses, (r) => ({...r, content: eachContent(r.content, answer),
    headers: r.headers && mapObject(r.headers, (h) => ({...h, schema: modern(h.schema ?? {})}))}));
  return out;
}

export function normalize(api) {
  const whole = inline(api, api, []);
  const modern = api.swagger ? fromSwagger(whole) : {...whole, components: {}};
  const paths = mapObject(modern.paths, (item, path) => mapObject(item, (operation, key) =>
    METHODS.includes(key) ? finish(operation, key, path, item) : undefined));
  return {...modern, paths};
}
