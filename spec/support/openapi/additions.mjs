// Operations of the services that the published descriptions lack, each with its
// source; what descriptions.mjs adds before anything is checked.

export const text = {type: "string"};
export const textOrNull = {type: ["string", "null"]};
const integer = {type: "integer"};
const boolean = {type: "boolean"};
const time = {type: "string", format: "date-time"};

export function object(properties, required = Object.keys(properties)) {
  return {type: "object", properties, required};
}

export function query(properties, required = []) {
  return Object.entries(properties).map(([name, schema]) =>
    ({name, in: "query", required: required.includes(name), schema}));
}

const list = (items) => ({type: "array", items});
const json = (schema) => ({description: "", content: {"application/json": {schema}}});
const own = (schema) => ({...schema, readOnly: true});

function add(api, method, path, {id, parameters = [], body, type = "application/json", answer, responses}) {
  const operation = {operationId: id, parameters, responses: responses ?? {200: json(answer)}};
  if (body) operation.requestBody = {required: true, content: {[type]: {schema: body}}};
  (api.paths[path] ??= {})[method] = operation;
}

// ---- Together ----

// The upload that Together's own client makes: togethercomputer/together-python, src/together/filemanager.py at
// eba5e5f034a3 (2025-12-23)
function togetherUploads(api) {
  const {FilePurpose: purpose, FileType: kind} = api.components.schemas;
  const file = {$ref: "#/components/schemas/FileResponse"};
  add(api, "post", "/v1/files", {
    id: "redirectedUpload", type: "application/x-www-form-urlencoded",
    body: object({purpose, file_name: text, file_type: kind}, ["purpose", "file_name"]),
    responses: {302: {description: "", headers: {Location: {schema: {...text, format: "uri"}},
      "X-Together-File-Id": {schema: text}}}},
  });
  add(api, "post", "/v1/files/{id}/preprocess", {id: "preprocess", answer: file});
  const part = object({PartNumber: integer, URL: {...text, format: "uri"}});
  const ids = {upload_id: text, file_id: text};
  add(api, "post", "/v1/files/multipart/initiate", {
    id: "initiateMultipart",
    body: object({file_name: text, file_size: integer, num_parts: {...integer, minimum: 1, maximum: 250}, purpose,
      file_type: kind}),
    answer: object({...ids, parts: list(part)}),
  });
  add(api, "post", "/v1/files/multipart/complete", {
    id: "completeMultipart", body: object({...ids, parts: list(object({part_number: integer, etag: text}))}),
    answer: {anyOf: [file, object({file})]},
  });
  add(api, "post", "/v1/files/multipart/abort", {id: "abortMultipart", body: object(ids), answer: {}});
}

// togethercomputer/openapi, openapi.yaml at 090263a (2026-04-28): /endpoints, which the cut leaves out
function togetherEndpoints(api) {
  const scaling = object({min_replicas: integer, max_replicas: integer});
  const state = {...text, enum: ["PENDING", "STARTING", "STARTED", "STOPPING", "STOPPED", "ERROR"]};
  const common = {object: {const: "endpoint"}, id: text, name: text, model: text, owner: text, state, created_at: time};
  add(api, "get", "/v1/endpoints", {
    id: "listEndpoints", parameters: query({type: {...text, enum: ["dedicated", "serverless"]},
      usage_type: {...text, enum: ["on-demand", "reserved"]}, mine: boolean}),
    answer: object({object: {const: "list"}, data: list({
      ...object({...common, type: {...text, enum: ["serverless", "dedicated"]}}),
      additionalProperties: true, // a dedicated one may be as POST gave it
    })}),
  });
  add(api, "post", "/v1/endpoints", {
    id: "createEndpoint",
    body: object({display_name: text, model: text, hardware: text, autoscaling: scaling, state: {...text,
      enum: ["STARTED", "STOPPED"]}, disable_speculative_decoding: boolean, availability_zone: text,
      inactive_timeout: {type: ["integer", "null"]}}, ["model", "hardware", "autoscaling"]),
    answer: object({...common, display_name: text, hardware: text, type: {const: "dedicated"}, autoscaling: scaling}),
  });
  add(api, "delete", "/v1/endpoints/{endpointId}", {id: "deleteEndpoint", responses: {204: {description: ""}}});
}

export function addTogether(api) {
  togetherUploads(api);
  togetherEndpoints(api);
}

// ---- Fireworks: what the description is cut down from (api-evangelist/fireworks-ai at a9b2199389497) ----

const account = "/v1/accounts/{account_id}";
const paging = {pageSize: integer, pageToken: text, filter: text, orderBy: text, readMask: text};

// The upload in one piece is only in Fireworks' own client: fw-ai-external/python-sdk,
// src/fireworks/resources/datasets.py at 8399c12 (2026-07-21)
function fireworksUpload(api) {
  add(api, "post", `${account}/datasets/{dataset_id}:upload`, {
    id: "uploadDataset", type: "multipart/form-data", body: object({file: {...text, format: "binary"}}),
    answer: object({id: text, bytes: integer, created_at: integer, filename: text, object: text, purpose: text}, []),
  });
}

function fireworksAddons(api) {
  const {gatewayDeployedModelState: state, gatewayStatus: status} = api.components.schemas;
  const deployed = object({
    name: own(text), displayName: text, description: text, createTime: own(time), model: text, deployment: text,
    default: boolean, state: own(state), serverless: boolean, status: own(status), public: boolean,
    updateTime: own(time),
  }, []);
  const path = `${account}/deployedModels`;
  add(api, "post", path, {id: "Gateway_CreateDeployedModel", parameters: query({replaceMergedAddon: boolean}),
    body: deployed, answer: deployed});
  add(api, "delete", `${path}/{deployed_model_id}`, {id: "Gateway_DeleteDeployedModel", answer: object({})});
}

function fireworksDeployments(api) {
  const {DeploymentPrecision: precision, gatewayStatus: status} = api.components.schemas;
  const state = {...text, enum: ["STATE_UNSPECIFIED", "CREATING", "READY", "DELETING", "FAILED", "UPDATING",
    "DELETED"]};
  const deployment = object({
    name: own(text), displayName: text, description: text, createTime: own(time), expireTime: time, state: own(state),
    status: own(status), annotations: {type: "object", additionalProperties: text}, minReplicaCount: integer,
    maxReplicaCount: integer, desiredReplicaCount: own(integer), replicaCount: own(integer), baseModel: text,
    acceleratorCount: integer, acceleratorType: text, precision, enableAddons: boolean, deploymentShape: text,
    maxContextLength: integer, updateTime: own(time),
  }, ["baseModel"]);
  const path = `${account}/deployments`;
  add(api, "get", path, {id: "Gateway_ListDeployments", parameters: query({...paging, showDeleted: boolean}),
    answer: object({deployments: list(deployment), nextPageToken: text, totalSize: integer}, [])});
  add(api, "post", path, {
    id: "Gateway_CreateDeployment", parameters: query({disableAutoDeploy: boolean, deploymentId: text,
      disableSpeculativeDecoding: boolean, validateOnly: boolean, skipShapeValidation: boolean,
      skipImageTagValidation: boolean}),
    body: deployment, answer: deployment,
  });
  const one = `${path}/{deployment_id}`;
  add(api, "get", one, {id: "Gateway_GetDeployment", parameters: query({readMask: text}), answer: deployment});
  add(api, "delete", one, {id: "Gateway_DeleteDeployment", parameters: query({hard: boolean, ignoreChecks: boolean}),
    answer: object({})});
}

export function addFireworks(api) {
  fireworksUpload(api);
  fireworksAddons(api);
  fireworksDeployments(api);
}
