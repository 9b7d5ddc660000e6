// The services whose exchanges can be checked, by name: which published description,
// and where it is known to differ from the service (each amendment with its source).
//   file       the description's, in $FINE_TUNE_API_DIR
//   amend(api) changes the description as it is published (additions.mjs: what it lacks)
//   keys       header -> form of the credential: each request has exactly one of them
//   error      schema of every answer from 400 up
//   beyond     fields that the service's answers have and its description has not
//   requestId  a header that every answer has, where the service documents one
//   optional   ids of operations that no client of ours is meant to call
//   verbs      paths end in ":verb", so no id has a colon
//   strip      what the service's paths have before those of the description
//   partTypes  a file in a form must name its content type
import {addFireworks, addTogether, object, query, text, textOrNull} from "./additions.mjs";
import {orNull} from "./normalize.mjs";

const bearer = /^Bearer \S+$/;

// ---- OpenAI ----

const openaiError = object({
  error: object({message: text, type: text, param: textOrNull, code: textOrNull}),
});

function amendOpenai(api) {
  const {schemas} = api.components;
  // The service wants a dictionary of graders (openai/openai-java#647).
  const one = schemas.GraderMulti.properties.graders;
  schemas.GraderMulti.properties.graders = {anyOf: [one, {type: "object", additionalProperties: one}]};
  // Pause exists, and a job that is paused has to be something.
  schemas.FineTuningJob.properties.status.enum.push("paused");
  // Files are sent as they are, not as a string of JSON.
  api.paths["/v1/files/{file_id}/content"].get.responses["200"] = {description: "", content: {"*/*": {}}};
}

// ---- Azure ----

// A key, or a token of Entra ID (the description's own security, and Azure's reference)
const azureKeys = {"api-key": /^\S+$/, authorization: bearer};

// innererror and target come and go; null where there is none
const azureError = object({
  error: {
    ...object({code: text, message: text}),
    properties: {code: text, message: text, target: textOrNull, details: {type: ["array", "null"]},
      innererror: {type: ["object", "null"]}},
  },
});

// suffix: OpenAI's description has it in requests only; trainingType is there when it was sent; lists are OpenAI's
const azureBeyond = ["suffix", "trainingType", "first_id", "last_id"];

// Which kind of training: without it the service answers that the model cannot be tuned (BerriAI/litellm#24687);
// a word as in Azure's reference for REST, or a number as in that report
const trainingType = {anyOf: [{type: "integer"}, {type: "string", enum: ["Standard", "GlobalStandard",
  "globalstandard", "standard", "developerTier", "Developer"]}]};

// Null where nothing is known yet, in arrays too (BerriAI/litellm#24687: result_files, organization_id)
function nullable(schema, names) {
  for (const name of names) schema.properties[name] = orNull(schema.properties[name] ?? {});
}

function amendAzureDated(api) {
  const {FineTuningJob: job, FineTuningJobCreation: creation, File: upload} = api.definitions;
  // References are replaced, so that null can stand beside them.
  job.properties.error = api.definitions.FineTuningJobError;
  job.properties.hyperparameters = api.definitions.FineTuningHyperParameters;
  nullable(job, ["fine_tuned_model", "validation_file", "result_files", "finished_at", "organisation_id",
    "trained_tokens", "error", "estimated_finish", "hyperparameters", "suffix", "seed"]);
  nullable(api.definitions.FineTuningJobError, ["code", "message", "param"]);
  upload.properties.status_details = orNull(text);
  creation.properties.trainingType = trainingType;
}

function amendAzureV1(api) {
  amendOpenai(api);
  const {FineTuningJob: job, CreateFineTuningJobRequest: creation, OpenAIFile: upload} = api.components.schemas;
  // Azure's own words for what has not begun (BerriAI/litellm#24687; the states of 2024-10-21)
  job.properties.status.enum.push("pending", "created");
  upload.properties.status.enum.push("pending", "running", "deleting", "deleted");
  nullable(job, ["result_files", "organization_id"]);
  job.properties.result_files = orNull({type: "array", items: text});
  creation.properties.trainingType = trainingType;
  // Only the dated API describes this; it is the same host, and takes no /v1 (azureopenai.json, FineTuning_Delete)
  api.paths["/fine_tuning/jobs/{job_id}"] = {delete: {operationId: "FineTuning_Delete", responses: {204:
    {description: ""}}}};
  // Optional on v1: "preview", or left out
  for (const item of Object.values(api.paths)) {
    for (const operation of Object.values(item)) {
      operation.parameters = [...(operation.parameters ?? []), ...query({"api-version": text})];
    }
  }
}

// ---- Together ----

const togetherError = object({
  error: {...object({message: text, type: text}),
    properties: {message: text, type: text, param: textOrNull, code: textOrNull}},
});

function amendTogether(api) {
  addTogether(api);
  const {FinetuneResponse: job, FinetuneJobStatus: status, LRScheduler: scheduler} = api.components.schemas;
  // "A string that starts with `ft-`", says the description elsewhere: no UUID.
  delete job.properties.id.format;
  // The service says more states than are described (togethercomputer/together-python#181; its types' user_error).
  status.enum.push("user_error", "model_downloading");
  // The weights are on another host; a client that follows sees the 200 that is described (assumed: the service has
  // been seen to redirect its uploads so, and its client follows here).
  api.paths["/v1/finetune/download"].get.responses["302"] = {description: "", headers: {Location: {schema: text}}};
  // The arguments of a cosine fit those of a linear scheduler too: oneOf would refuse every one of them.
  scheduler.properties.lr_scheduler_args = {anyOf: scheduler.properties.lr_scheduler_args.oneOf};
}

// ---- Fireworks ----

const rpcStatus = object({code: {type: "integer"}, message: text, details: {type: "array"}}, ["code", "message"]);

export const services = {
  openai: {
    file: "openai.ft.json", amend: amendOpenai, keys: {authorization: bearer}, error: openaiError,
    requestId: "x-request-id", optional: /CheckpointPermission/,
    beyond: ["user_provided_suffix"], // cequence-io/openai-scala-client#80 shows an answer
  },
  azure: {
    file: "azure-2024-10-21.ft.json", amend: amendAzureDated, keys: azureKeys, error: azureError, partTypes: true,
    optional: /^Files_Import$/, beyond: azureBeyond,
  },
  "azure-v1": {
    file: "openai.ft.json", amend: amendAzureV1, keys: azureKeys, error: azureError, partTypes: true,
    strip: "/openai", optional: /CheckpointPermission/, beyond: azureBeyond,
  },
  together: {
    file: "together.ft.json", amend: amendTogether, keys: {authorization: bearer}, error: togetherError,
    // One form of a job is described with these, the other without (FinetuneResponse, FinetuneResponseTruncated); signed
    // addresses come with headers (together-python, filemanager.py); files say more than they did (together/skills#31)
    beyond: ["user_id", "owner_address", "packing", "suffix", "wandb_name", "random_seed", "max_seq_length",
      "multimodal_params", "Headers", "processing_status", "validation_report"],
    // Uploads of models are another business, with jobs of their own; /models lists what can be asked, not tuned
    optional: /^uploadModel$|^getJob$|^listJobs$|^models$/,
  },
  fireworks: {
    file: "fireworks.ft.json", amend: addFireworks, keys: {authorization: bearer}, error: rpcStatus, verbs: true,
    // What makes, moves and checks models by hand; the files of metrics, whose form is not documented
    optional: new RegExp("ModelVersion|_(Create|Update|Import|Prepare|Validate)Model|Model(Up|Down)loadEndpoint|"
      + "MetricsFileEndpoint|UpdateDataset|SplitDataset|(Update|Debug)Reinforcement|_GetDeployment$"),
  },
};
