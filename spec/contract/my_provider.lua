-- examples/my_provider.lua: an invented service.

local testing = require "finetune.testing"

local function acme_service(state)
  local function job()
    return {json = {job = "job-1", state = state.status or "COMPLETED", base = "model-1", result = "tuned-1",
      started = 1790000000, dataset = "file-1", settings = {rounds = 3}}}
  end
  return (testing.routes {
    ["POST /v1/datasets"] = function() return {json = {dataset = "file-1", size = 10}} end,
    ["POST /v1/tunings"] = job,
    ["GET /v1/tunings"] = function() return {json = {tunings = {job().json}, next_page_token = ""}} end,
    ["GET /v1/tunings/{id}"] = job,
    ["POST /v1/tunings/{id}/abort"] = job,
    ["GET /v1/models"] = function() return {json = {models = {{model = "model-1", owner = "acme"}}}} end,
  })
end

return {
  service = acme_service,
  statuses = {WAITING = "queued", TRAINING = "running", COMPLETED = "succeeded", ABORTED = "cancelled",
    ERROR = "failed"},
  unsupported = {delete_model = "the example shows how"},
}
