-- Calls every operation of OpenAI's API once and more, by hand, to have the service's own
-- answers checked (library.lua has the library's requests checked).
local json = require "dkjson"

local M = {}

local LINE = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"
local PAIR = "{\"input\":{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]},"
  .. "\"preferred_output\":[{\"role\":\"assistant\",\"content\":\"a\"}],"
  .. "\"non_preferred_output\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
local GRADER = {type = "string_check", name = "exact", input = "{{sample.output_text}}",
                reference = "{{item.answer}}", operation = "eq"}

M.line, M.pair, M.grader = LINE, PAIR, GRADER

-- A multipart body: {name, value, filename} each.
function M.form(parts)
  local out = {}
  for _, part in ipairs(parts) do
    local file = part[3] and ("; filename=\"%s\"\r\nContent-Type: application/octet-stream"):format(part[3]) or ""
    out[#out + 1] = ("--edge\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n%s\r\n"):format(part[1], file,
      part[2])
  end
  return {headers = {["content-type"] = "multipart/form-data; boundary=edge"},
          body = table.concat(out) .. "--edge--\r\n"}
end

-- A caller of `s` by hand: call(method, path[, body]) -> document, status; tables go as JSON.
function M.caller(s)
  return function(method, path, body)
    local options = body
    if body and not body.headers then
      options = {headers = {["content-type"] = "application/json"}, body = json.encode(body)}
    end
    local status, headers, text = s:request(method, "/v1" .. path, options)
    local is_json = (headers["content-type"] or ""):find("json", 1, true)
    return is_json and json.decode(text) or text, status
  end
end

local function upload_by_hand(call, text)
  local upload = call("POST", "/uploads",
    {filename = "big.jsonl", purpose = "fine-tune", bytes = #text, mime_type = "application/jsonl"})
  local half, ids = #text // 2, {}
  for i, piece in ipairs {text:sub(1, half), text:sub(half + 1)} do
    ids[i] = call("POST", ("/uploads/%s/parts"):format(upload.id), M.form {{"data", piece, "part"}}).id
  end
  call("POST", ("/uploads/%s/complete"):format(upload.id), {part_ids = ids})
  local other = call("POST", "/uploads",
    {filename = "b.jsonl", purpose = "fine-tune", bytes = 10, mime_type = "application/jsonl"})
  call("POST", ("/uploads/%s/cancel"):format(other.id))
end

local function file_by_hand(call, text)
  return call("POST", "/files", M.form {{"purpose", "fine-tune"}, {"file", text, "train.jsonl"}}).id
end

local function job_by_hand(s, call, job)
  local path = "/fine_tuning/jobs/" .. call("POST", "/fine_tuning/jobs", job).id
  s:jump(path:match("[^/]+$"), 0.5)
  call("POST", path .. "/pause")
  call("GET", path)
  call("POST", path .. "/resume")
  s:jump(path:match("[^/]+$"), 1)
  call("GET", path .. "/events?limit=3")
  call("GET", path .. "/checkpoints")
  return call("GET", path)
end

local function methods(file, pairs_file)
  return {
    {model = "tiny-chat-1", training_file = file, validation_file = file, suffix = "a", seed = 1,
     metadata = {team = "a"}, integrations = {{type = "wandb", wandb = {project = "p", tags = {"t"}}}},
     method = {type = "supervised", supervised = {hyperparameters = {n_epochs = 2, batch_size = "auto"}}}},
    {model = "tiny-chat-1", training_file = pairs_file,
     method = {type = "dpo", dpo = {hyperparameters = {beta = 0.1}}}},
    {model = "tiny-chat-1", training_file = file,
     method = {type = "reinforcement", reinforcement = {grader = GRADER,
       hyperparameters = {reasoning_effort = "low", eval_samples = 2}}}},
  }
end

function M.by_hand(s)
  local call = M.caller(s)
  local file, pairs_file = file_by_hand(call, LINE:rep(20)), file_by_hand(call, PAIR:rep(20))
  upload_by_hand(call, LINE:rep(30))
  call("GET", "/files?purpose=fine-tune&limit=2&order=asc")
  call("GET", "/files/" .. file)
  local done
  for _, job in ipairs(methods(file, pairs_file)) do done = job_by_hand(s, call, job) end
  call("GET", ("/files/%s/content"):format(done.result_files[1]))
  call("GET", "/fine_tuning/jobs?limit=2&metadata[team]=a")
  local few = call("POST", "/fine_tuning/jobs", {model = "tiny-chat-1", training_file = file_by_hand(call, LINE)}).id
  s:jump(few, 1)
  call("GET", "/fine_tuning/jobs/" .. few)
  call("GET", ("/fine_tuning/jobs/%s/events"):format(few))
  s:set {job_seconds = 3600}
  local slow = call("POST", "/fine_tuning/jobs", {model = "tiny-chat-1", training_file = file}).id
  call("POST", ("/fine_tuning/jobs/%s/cancel"):format(slow))
  call("POST", "/fine_tuning/alpha/graders/validate", {grader = GRADER})
  call("POST", "/fine_tuning/alpha/graders/run", {grader = GRADER, model_sample = "x", item = {answer = "x"}})
  call("GET", "/models")
  call("GET", "/models/" .. done.fine_tuned_model)
  call("DELETE", "/models/" .. done.fine_tuned_model)
  call("GET", "/models/" .. done.fine_tuned_model)
  call("DELETE", "/files/" .. file)
end

return M
