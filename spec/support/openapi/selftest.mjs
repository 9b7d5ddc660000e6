// The checker against descriptions and exchanges made up here: that it finds what is
// wrong, and nothing else, in each of the forms of description. Exits 1 with words
// when it does not.
import assert from "node:assert/strict";
import {Checker, checkStorage, secretsOf} from "./check.mjs";

const text = {type: "string"};
const KEY = ["Authorization", "Bearer key-1234567890"];
const jsonHeaders = [KEY, ["Content-Type", "application/json"]];
const keys = {authorization: /^Bearer \S+$/};

const answered = (schema) => ({200: {description: "", content: {"application/json": {schema}}}});

// OpenAPI 3.0: nullable, exclusiveMinimum as a word, readOnly, $refs with company
const three = {
  openapi: "3.0.3", info: {title: "t", version: "1"},
  paths: {
    "/v1/jobs": {
      get: {operationId: "list", parameters: [{name: "limit", in: "query", schema: {type: "integer"}},
        {name: "tag", in: "query", required: true, schema: text}], responses: answered({type: "array", items: text})},
      post: {
        operationId: "create",
        requestBody: {required: true, content: {"application/json": {schema: {$ref: "#/components/schemas/Job"}}}},
        responses: {201: {description: "", headers: {Location: {schema: {...text, format: "uri"}}},
          content: {"application/json": {schema: {$ref: "#/components/schemas/Job"}}}}},
      },
    },
    "/v1/jobs/{id}": {
      get: {operationId: "get", responses: answered({$ref: "#/components/schemas/Job"})},
      delete: {operationId: "delete", responses: {204: {description: ""}}},
    },
    "/v1/jobs/{id}:stop": {post: {operationId: "stop", requestBody: {content: {"application/json": {schema:
      {type: "object"}}}}, responses: answered({type: "object"})}},
    "/v1/files": {post: {
      operationId: "upload",
      requestBody: {required: true, content: {"multipart/form-data": {schema: {type: "object",
        required: ["purpose", "file"], properties: {purpose: {...text, enum: ["train"]}, days: {type: "integer"},
          expires: {type: "object", properties: {seconds: {type: "integer"}}}, file: {...text, format: "binary"}}}}}},
      responses: {302: {description: "", headers: {Location: {schema: text}}}},
    }},
    "/v1/forms": {post: {
      operationId: "form",
      requestBody: {required: true, content: {"application/x-www-form-urlencoded": {schema: {type: "object",
        required: ["name"], properties: {name: text, fast: {type: "boolean"}}}}}},
      responses: answered({}),
    }},
    "/v1/files/{id}/content": {get: {responses: {200: {description: "",
      content: {"text/plain": {schema: {...text, format: "binary"}}}}}}},
  },
  components: {schemas: {
    State: {type: "string", enum: ["on", "off"]},
    Job: {type: "object", required: ["model"], properties: {
      id: {...text, readOnly: true}, secret: {...text, writeOnly: true}, model: text, rate: {type: "number", minimum: 0, exclusiveMinimum: true},
      note: {...text, nullable: true}, state: {$ref: "#/components/schemas/State", nullable: true, readOnly: true},
      size: {...text, format: "int64"}, kind: {oneOf: [
        {type: "object", required: ["a"], properties: {a: text}}, {type: "object", required: ["b"],
          properties: {b: text}}]}, labels: {type: "object", additionalProperties: text},
    }},
  }},
};

const error = {type: "object", required: ["error"], properties: {error: text}};

function check(entry, settings, api = three) {
  const checker = new Checker(api, {keys, error, verbs: true, partTypes: true, ...settings});
  return checker.check({headers: [KEY], query: "", answer_headers: [["content-type", "application/json"]], ...entry});
}

// The problems, each of which one of the patterns matches, and none is left over
function expect(entry, patterns, settings, api) {
  const problems = check(entry, settings, api);
  assert.equal(problems.length, patterns.length, `${entry.method} ${entry.path}: ${JSON.stringify(problems)}`);
  for (const pattern of patterns) assert.ok(problems.some((p) => pattern.test(p)), `${pattern}: ${problems}`);
}

const created = {method: "POST", path: "/v1/jobs", headers: jsonHeaders, status: 201,
  answer_headers: [["Content-Type", "application/json; charset=utf-8"], ["Location", "https://h/x"]]};
const job = JSON.stringify({model: "m", note: null, state: null, size: "5", rate: 1});

function create(fields, patterns, more) {
  expect({...created, body: JSON.stringify({model: "m", ...fields}), answer: job, ...more}, patterns);
}

function requests() {
  create({note: null, rate: 0.5, size: "12", kind: {b: "x"}, labels: {any: "thing"}}, []);
  create({modle: "m"}, [/request: .*modle/]);
  create({kind: {b: "x", c: 1}}, [/request: .*kind.*c/]);
  create({rate: 0}, [/request: .*must be > 0/]);
  create({size: "1.5"}, [/request: .*size/]);
  create({note: 1}, [/request: .*string,null/]);
  create({id: "j", state: "on"}, [/request: .*"id"/, /request: .*"state"/]);
  create({}, [/request: content type 'text\/plain'/, /request: .*requestBody/],
    {headers: [KEY, ["Content-Type", "text/plain"]]});
  create({}, [/request: .*requestBody/], {body: ""});
  expect({method: "GET", path: "/v1/jobs", query: "limit=5&tag=a", status: 200, answer: "[\"a\"]"}, []);
  expect({method: "GET", path: "/v1/jobs", query: "limit=few&tag=a", status: 200, answer: "[]"}, [/limit/]);
  expect({method: "GET", path: "/v1/jobs", query: "colour=red", status: 200, answer: "[]"}, [/colour/, /tag/]);
  expect({method: "GET", path: "/v1/jobs/a", status: 200, answer: job, body: "{}"}, [/a body where none/]);
  expect({method: "GET", path: "/v1/nothing", status: 404}, [/no such operation/]);
  expect({method: "PUT", path: "/v1/jobs", status: 404}, [/no such operation/]);
}

function paths() {
  const stop = {method: "POST", headers: jsonHeaders, body: "{}", status: 200, answer: "{}"};
  expect({...stop, path: "/v1/jobs/a:stop"}, []);
  expect({...stop, path: "/v1/jobs/a:start"}, [/no such operation/]);
  expect({method: "GET", path: "/v1/jobs/a:stop", status: 200, answer: job}, [/no such operation/]);
  expect({method: "GET", path: "/v1/jobs/ft:a%2Fb", status: 200, answer: job}, [], {verbs: false});
  expect({method: "GET", path: "/base/v1/jobs/a", status: 200, answer: job}, [], {strip: "/base"});
}

const part = {name: "file", filename: "a.jsonl", type: "text/plain"};

function forms() {
  const upload = (parts, patterns, more) => expect({method: "POST", path: "/v1/files", status: 302, answer: undefined,
    headers: [KEY, ["Content-Type", "multipart/form-data; boundary=x"]], answer_headers: [["Location", "http://h/"]],
    parts, ...more}, patterns);
  const purpose = {name: "purpose", value: "train"};
  upload([purpose, part, {name: "days", value: "7"}, {name: "expires[seconds]", value: "60"}], []);
  upload([purpose, part, {name: "days", value: "seven"}], [/days must be integer/]);
  upload([purpose, part, {name: "expires[hours]", value: "1"}], [/hours/]);
  upload([purpose], [/'file' is missing/]);
  upload([purpose, {...part, filename: undefined, value: "x"}], [/'file' needs a file name/]);
  upload([purpose, {...part, type: ""}], [/'file' has no content type/]);
  upload([purpose, purpose, part], [/'purpose' twice/]);
  upload([{...purpose, value: "eval"}, part], [/purpose/]);
  upload([purpose, part], [/answer: .*location/], {answer_headers: []});
  upload([purpose, part], [], {answer: "<a href=\"elsewhere\">Found</a>"});
  const form = {method: "POST", path: "/v1/forms", status: 200, answer: "null",
    headers: [KEY, ["Content-Type", "application/x-www-form-urlencoded"]]};
  expect({...form, body: "name=a+b&fast=true"}, []);
  expect({...form, body: "name=a&fast=perhaps"}, [/fast must be boolean/]);
  expect({...form, body: "fast=true&nmae=a"}, [/required property 'name'/, /nmae/]);
}

function answers() {
  create({}, [/answer: .*location/], {answer_headers: [["content-type", "application/json"]]});
  create({}, [/answer: status 200 is not described/], {status: 200});
  create({}, [/answer: .*model/], {answer: "{\"model\":7}"});
  create({}, [/answer: no body/], {answer: undefined});
  create({}, [/answer: .*"shade"/], {answer: "{\"model\":\"m\",\"shade\":1}"});
  create({}, [/answer: .*"secret"/], {answer: "{\"model\":\"m\",\"secret\":\"s\"}"});
  expect({...created, body: "{\"model\":\"m\",\"secret\":\"s\"}",
    answer: "{\"model\":\"m\",\"id\":\"j\",\"shade\":1}"}, [], {beyond: ["shade"]});
  create({}, [/answer: .*JSON/], {answer: "<html>"});
  create({}, [], {answer: "<html>", fault: "html"});
  create({}, [], {status: 500, answer: "{\"error\":\"no\"}"});
  create({}, [/answer: .*must be string/], {status: 500, answer: "{\"error\":{}}"});
  create({}, [/an error that is not application\/json/], {status: 502, answer: "<p>", answer_headers: []});
  expect({method: "DELETE", path: "/v1/jobs/a", status: 204, answer_headers: []}, []);
  expect({method: "DELETE", path: "/v1/jobs/a", status: 204, answer: "{}"}, [/a body where none/]);
  const content = {method: "GET", path: "/v1/files/f/content", status: 200};
  expect({...content, answer: "bytes", answer_headers: [["content-type", "text/plain"]]}, []);
  expect({...content, answer: "{}"}, [/content type 'application\/json'/]);
  expect({...content, answer: "x", answer_headers: [["content-type", "text/plain"]]}, [/no x-id/], {requestId: "x-id"});
}

function keysOnly() {
  const get = {method: "GET", path: "/v1/jobs/a", status: 200, answer: job};
  expect({...get, headers: []}, [/no credentials/]);
  expect({...get, headers: [["api-key", "k"]]}, [/not the service's/]);
  expect({...get, headers: [["AUTHORIZATION", "key"]]}, [/not the service's/]);
  expect({...get, headers: [KEY, ["api-key", "k"]]}, [/authorization and api-key/]);
  expect({...get, headers: [["api-key", "k"]]}, [], {keys: {...keys, "api-key": /^\S+$/}});
}

function storage() {
  const secrets = secretsOf([{headers: [KEY]}, {site: "storage", headers: [["cookie", "c-1234567890"]]}]);
  assert.deepEqual(secrets, ["key-1234567890"]);
  const put = {site: "storage", method: "PUT", path: "/b/o", query: "sig=1", headers: [["content-length", "3"]]};
  assert.deepEqual(checkStorage(put, secrets), []);
  assert.match(checkStorage({...put, headers: [["Api-Key", "other"]]}, secrets).join(), /'api-key' was sent/);
  assert.match(checkStorage({...put, query: "token=key-1234567890"}, secrets).join(), /a credential was sent/);
  assert.match(checkStorage({...put, headers: [["x-token", "key-1234567890"]]}, secrets).join(), /a credential/);
}

// Swagger 2.0: parameters in every place, a file, answers of two kinds
const two = {
  swagger: "2.0", info: {title: "t", version: "1"}, basePath: "/api",
  parameters: {version: {in: "query", name: "api-version", required: true, type: "string"}},
  definitions: {File: {type: "object", required: ["id"], properties: {id: text, note: {...text, "x-nullable": true}}},
    Error: error},
  paths: {
    "/files": {post: {
      operationId: "up", consumes: ["multipart/form-data"],
      parameters: [{$ref: "#/parameters/version"}, {in: "formData", name: "purpose", required: true, type: "string"},
        {in: "formData", name: "file", required: true, type: "file"}],
      responses: {201: {description: "", schema: {$ref: "#/definitions/File"}, headers: {Location: text}}},
    }},
    "/files/{file-id}": {
      get: {operationId: "file", produces: ["application/octet-stream", "application/json"],
        parameters: [{$ref: "#/parameters/version"}, {in: "path", name: "file-id", required: true, type: "string"}],
        responses: {200: {description: "", schema: {type: "file"}},
          default: {description: "", schema: {$ref: "#/definitions/Error"}}}},
      put: {operationId: "set", consumes: ["application/json"],
        parameters: [{in: "body", name: "f", required: true, schema: {$ref: "#/definitions/File"}},
          {in: "path", name: "file-id", required: true, type: "string"}],
        responses: {200: {description: "", schema: {$ref: "#/definitions/File"}}}},
    },
  },
};

function swagger() {
  const up = {method: "POST", path: "/api/files", query: "api-version=1", status: 201, answer: "{\"id\":\"f\"}",
    headers: [KEY, ["content-type", "multipart/form-data"]], parts: [{name: "purpose", value: "x"}, part],
    answer_headers: [["content-type", "application/json"], ["location", "l"]]};
  expect(up, [], {}, two);
  expect({...up, query: ""}, [/api-version/], {}, two);
  expect({...up, answer: "{\"note\":null}"}, [/answer: .*'id'/], {}, two);
  expect({...up, parts: [part]}, [/'purpose' is missing/, /required property 'purpose'/], {}, two);
  const get = {method: "GET", path: "/api/files/f-1", query: "api-version=1", status: 200};
  expect({...get, answer_headers: [["content-type", "application/octet-stream"]]}, [], {}, two);
  expect({...get, status: 404, answer: "{\"error\":\"none\"}"}, [], {}, two);
  const set = {method: "PUT", path: "/api/files/f-1", status: 200, headers: jsonHeaders, answer: "{\"id\":\"f\"}"};
  expect({...set, body: "{\"id\":\"f\",\"note\":null}"}, [], {}, two);
  expect({...set, body: "{\"id\":\"f\",\"nota\":null}"}, [/nota/], {}, two);
}

function coverage() {
  const checker = new Checker(three, {keys, error, optional: /^form$/});
  checker.check({method: "GET", path: "/v1/jobs/a", headers: [KEY], status: 200, answer: job});
  checker.check({method: "DELETE", path: "/v1/jobs/a", headers: [KEY], status: 404, answer: "{}"});
  assert.deepEqual(checker.missing().sort(), ["GET /v1/files/{id}/content", "create", "delete", "list", "stop",
    "upload"]);
  assert.deepEqual(checker.missing(["get", "list"]), ["list"]);
  assert.throws(() => checker.missing(["lits"]), /no operation lits/);
  const circle = structuredClone(three);
  circle.components.schemas.Job.properties.parent = {$ref: "#/components/schemas/Job"};
  assert.throws(() => new Checker(circle, {keys}), /Job refers to itself/);
}

const parts = {requests, paths, forms, answers, keysOnly, storage, swagger, coverage};
let failed = 0;
for (const [name, run] of Object.entries(parts)) {
  try {
    run();
  } catch (e) {
    failed += 1;
    console.log(`${name}: ${e.message}`);
  }
}
console.log(`${Object.keys(parts).length} parts, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
