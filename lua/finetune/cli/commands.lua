-- commands.lua: all commands as data: options.lua makes the parser of it, main.lua runs
-- `run` of the module. In the examples a spec puts real ids in place of ftjob-42,
-- file-42 and MODEL-42.
--
--   name, summary, more (sentences), args and options (below), examples, json (what --json writes, with the kinds of
--   fields.lua that are in it), module ("cmd/NAME.lua"), run (the function in it; else "run")
--   args:    {"NAME", words, many = "?" | "*" | "+", choices = {...}, empty = true (may be), one_of = "providers" (and
--            others: what a shell completes)}
--   options: {"-o --output", words, value = "FILE", number = true, choices = {...}, many = true, required = true}

local M = {}

local FORMATS = {"chat", "completion", "preference", "reinforcement", "text", "instruction", "sharegpt"}
local JOB = {"ID", "the job's id; PROVIDER/ID for one that another provider has"}

local function job_command(name, summary, more, word)
  return {name = name, module = "job", run = name, summary = summary, more = more, args = {JOB},
    examples = {("finetune %s ftjob-42"):format(name), ("finetune %s openai/ftjob-42 --json"):format(name)},
    json = {"the job, as it is " .. word, "job"}}
end

M.list = {
  {name = "check", module = "check", summary = "Check examples: what is wrong, where, and how to mend it.",
    more = "JSONL, one JSON array, CSV or TSV, also gzipped, in any format that is known; by the rules of the "
      .. "provider's service. Needs no key. Ends with 1 where there are errors.",
    args = {{"FILE", "paths; - is standard input", many = "+"}},
    options = {
      {"--format", "what the examples are (found out)", value = "F", choices = FORMATS},
      {"--show", "so many findings of each rule (3)", value = "N", number = "whole"},
    },
    examples = {"finetune check train.jsonl", "finetune check train.jsonl valid.jsonl --provider together --json"},
    json = {"{provider, files: paths, ok: no errors?, report}", "report"}},
  {name = "prepare", module = "prepare", summary = "Make a training file of examples in any format.",
    more = "The output appears whole, or not at all; with --validation a second one beside it, as "
      .. "train.validation.jsonl. Needs no key.",
    args = {{"IN", "paths; - is standard input", many = "+"}},
    options = {
      {"-o --output", "the JSONL file to write", value = "FILE", required = true},
      {"--validation", "this share of the examples goes to a validation file", value = "SHARE", number = true},
      {"--to", "convert to this format", value = "F", choices = FORMATS},
      {"--format", "what the examples are (found out)", value = "F", choices = FORMATS},
      {"--drop", "a key that may be lost on the way there", value = "KEY", many = true},
      {"--dedupe", "of examples that say the same keep the first"},
      {"--shuffle", "in an order of chance; the same SEED gives the same order", value = "SEED", number = true},
      {"--skip-invalid", "leave invalid examples out, and write the others"},
      {"--max-examples", "the first N, or with --shuffle any", value = "N", number = true},
      {"--max-messages", "leave old messages out where an example has more", value = "N", number = true},
      {"--max-characters", "the same by characters", value = "N", number = true},
      {"--max-tokens", "the same by tokens", value = "N", number = true},
      {"--model", "what it is for: tokens of its vocabulary, cost", value = "M"},
      {"--exact", "fetch the vocabulary of --model where it is not here"},
      {"--show", "so many findings of each rule (3)", value = "N", number = "whole"},
      {"--force", "even where there is such a file already"},
    },
    examples = {"finetune prepare train.jsonl -o ready.jsonl --validation 0.2 --shuffle 7",
      "finetune prepare train.jsonl valid.jsonl -o all.jsonl --dedupe --model gpt-4.1-mini"},
    json = {"{provider, ok: was it written?, report, cost (with --model)}", "report", "cost"}},
  {name = "tune", module = "tune", summary = "Fine-tune a model: check, ask, upload, create the job.",
    more = "Shows what it is about to do, and asks. Where nobody can be asked (no terminal, --json) --yes is needed. "
      .. "Ctrl-C while following stops the watching, never the job.",
    args = {{"FILE", "the training examples"}},
    options = {
      {"--model", "the model to tune ($FINE_TUNE_MODEL)", value = "M"},
      {"--validation", "a file of examples for validation", value = "F"},
      {"--suffix", "a word in the new model's name", value = "S"},
      {"--epochs", "times that all examples are seen", value = "N", number = true},
      {"--method", "supervised, dpo, reinforcement: as the service has", value = "METHOD"},
      {"--seed", "of what is left to chance", value = "N", number = true},
      {"--set", "a hyperparameter, such as batch_size=8; extra.NAME=VALUE goes to the service as it is",
        value = "KEY=VALUE", many = true},
      {"--uploaded", "FILE and --validation are ids of files that the service has"},
      {"--exact", "fetch the model's vocabulary where it is not here, to count tokens"},
      {"--follow", "watch the job to its end"},
      {"--yes", "do not ask"},
    },
    examples = {"finetune tune train.jsonl --model tiny-chat-1 --epochs 1 --yes",
      "finetune tune train.jsonl --validation valid.jsonl --model tiny-chat-1 --follow --yes"},
    json = {"{plan, job}; with --follow then the lines of `watch`", "plan", "cost", "job"}},
  {name = "jobs", module = "jobs", summary = "List jobs, the newest first.",
    options = {
      {"--all", "all of them (else the 20 newest)"},
      {"--status", "only those with this status, such as running or failed", value = "STATUS"},
    },
    examples = {"finetune jobs", "finetune jobs --all --status succeeded"},
    json = {"{jobs: [job]}", "job"}},
  job_command("status", "Show one job.", "Everything that is known of it, and why it failed, where it did.", "now"),
  {name = "watch", module = "watch", summary = "Follow jobs to their end.",
    more = "One job: its events, its progress and its loss curve. Several: a table. Without an ID: all that have not "
      .. "ended. Ctrl-C stops watching, never a job. Ends with 0 when all have succeeded, 1 when one has failed, "
      .. "5 when one was cancelled.",
    args = {{"ID", "ids; PROVIDER/ID for those of another provider", many = "*"}},
    options = {{"--interval", "seconds between two looks (else 1 at first, then up to 10)", value = "SECONDS",
      number = "seconds"}},
    examples = {"finetune watch ftjob-42", "finetune watch openai/ftjob-42 --interval 0.1 --no-color"},
    json = {"a line for every event, {job: id, provider, event}; at the end of each job one more, {job}, or {job: id, "
      .. "provider, error, exit} where it could not be watched", "event", "job"}},
  job_command("cancel", "Cancel a job.", nil, "then"),
  job_command("pause", "Pause a job, where the service can.", nil, "then"),
  job_command("resume", "Go on with a paused job.", nil, "then"),
  {name = "events", module = "events", summary = "Show what a job has said, oldest first.", args = {JOB},
    options = {{"--last", "only the last N", value = "N", number = "count"}},
    examples = {"finetune events ftjob-42", "finetune events ftjob-42 --last 3 --json"},
    json = {"{job: id, provider, events: [event]}", "event"}},
  {name = "metrics", module = "metrics", summary = "Show a job's loss curve.",
    more = "In the terminal, or as a file that needs nothing else: a picture, or a report with the settings, the "
      .. "metrics, the events and the dataset.",
    args = {JOB},
    options = {
      {"--svg", "write the curve to FILE", value = "FILE"},
      {"--html", "write a report to FILE", value = "FILE"},
      {"--data", "what it was trained on, for the report (else the service is asked, up to 16 MiB)", value = "FILE",
        many = true},
    },
    examples = {"finetune metrics ftjob-42", "finetune metrics ftjob-42 --html report.html"},
    json = {"{job: id, provider, metrics: [metric], svg, html: paths of what was written}", "metric"}},
  {name = "checkpoints", module = "checkpoints", summary = "List a job's checkpoints.", args = {JOB},
    examples = {"finetune checkpoints ftjob-42", "finetune checkpoints ftjob-42 --json"},
    json = {"{job: id, provider, checkpoints: [checkpoint]}", "checkpoint"}},
  {name = "files", module = "files", summary = "List files.",
    options = {{"--purpose", "only those for this, such as fine-tune", value = "PURPOSE"}},
    examples = {"finetune files", "finetune files --purpose fine-tune --json"},
    json = {"{files: [file]}", "file"}},
  {name = "upload", module = "files", run = "upload", summary = "Upload files.",
    args = {{"FILE", "paths", many = "+"}},
    options = {
      {"--purpose", "what it is for (fine-tune)", value = "PURPOSE"},
      {"--wait", "until the service has processed it"},
    },
    examples = {"finetune upload train.jsonl", "finetune upload train.jsonl --wait --json"},
    json = {"{files: [file]}", "file"}},
  {name = "download", module = "files", run = "download", summary = "Download a file.",
    args = {{"ID", "the file's id"}},
    options = {
      {"-o --output", "where to (its own name, in this folder); - is standard output", value = "PATH"},
      {"--force", "even where there is a file already"},
    },
    examples = {"finetune download file-42 -o copy.jsonl", "finetune download file-42 --output - --quiet"},
    json = {"what was written", "download"}},
  {name = "rm", module = "files", run = "rm", summary = "Delete files of the service.",
    args = {{"ID", "ids of files", many = "+"}},
    examples = {"finetune rm file-42", "finetune rm file-42 --json"},
    json = {"{deleted: [deleted]}", "deleted"}},
  {name = "models", module = "models", summary = "List models.",
    options = {{"--mine", "only those that were tuned here"}},
    examples = {"finetune models", "finetune models --mine --json"},
    json = {"{models: [model]}", "model"}},
  {name = "model", module = "models", run = "model", summary = "Delete a tuned model: finetune model rm ID.",
    args = {{"ACTION", "rm", choices = {"rm"}}, {"ID", "the model's id"}},
    examples = {"finetune model rm MODEL-42", "finetune model rm MODEL-42 --json"},
    json = {"what was deleted", "deleted"}},
  {name = "sample", module = "sample", summary = "Ask a model.",
    args = {{"MODEL", "the model's id"}, {"TEXT", "the question; - reads it from standard input", empty = true}},
    options = {
      {"--system", "instructions that go before it", value = "TEXT", empty = true},
      {"--max-tokens", "the answer's length at most", value = "N", number = "count"},
      {"--temperature", "0: always the same answer, as far as the service can", value = "T", number = true},
    },
    examples = {"finetune sample MODEL-42 'Where is my invoice?'",
      "finetune sample MODEL-42 'It crashes.' --max-tokens 50 --json"},
    json = {"the answer", "sample"}},
  {name = "evaluate", module = "evaluate", summary = "Count how many held-out examples a model answers exactly.",
    args = {{"MODEL", "the model's id"}, {"FILE", "JSONL of chat examples"}},
    options = {
      {"--against", "another model, asked the same", value = "BASE"},
      {"--limit", "only the first N examples", value = "N", number = "count"},
      {"--concurrency", "so many questions at a time (4)", value = "N", number = "count"},
      {"--max-tokens", "the answers' length at most", value = "N", number = "count"},
    },
    examples = {"finetune evaluate MODEL-42 valid.jsonl --limit 5",
      "finetune evaluate MODEL-42 valid.jsonl --against tiny-chat-1 --limit 2 --json"},
    json = {"the score; `base`, `gained` and `lost` with --against; `majority`, `labels`, `confusion`", "score"}},
  {name = "providers", module = "providers", summary = "List providers: what they can do, what they still need.",
    args = {{"NAME", "one of them, with all of its operations", many = "?", one_of = "providers"}},
    examples = {"finetune providers", "finetune providers together"},
    json = {"{providers: [provider]}", "provider"}},
  {name = "inventory", module = "inventory",
    summary = "Everything of an account; with DIR, a copy of it.",
    more = "Files, jobs and models (with the days on which they go). With DIR also events, checkpoints, metrics and "
      .. "the content of files, with a manifest of SHA-256 hashes; what is there already is not fetched again. One "
      .. "process at a time fills a folder.",
    args = {{"DIR", "a folder for the copy", many = "?"}},
    examples = {"finetune inventory", "finetune inventory backup"},
    json = {"{files: [file], jobs: [job], models: [model]}; with DIR also {exported: [export], failed: [failure], "
      .. "kept: how many were there already, manifest: its path}", "file", "job", "model", "export", "failure"}},
  {name = "doctor", module = "doctor", summary = "Look at the installation, and say what to do.",
    options = {{"--offline", "ask no service"}},
    examples = {"finetune doctor --offline", "finetune doctor --json"},
    json = {"{findings: [finding]}; level: ok, note, warning or error", "finding"}},
  {name = "completion", module = "completion", summary = "Write a script that completes commands in your shell.",
    more = "bash: finetune completion bash >~/.local/share/bash-completion/completions/finetune\n"
      .. "zsh:  finetune completion zsh >a folder of $fpath/_finetune\n"
      .. "fish: finetune completion fish >~/.config/fish/completions/finetune.fish",
    args = {{"SHELL", "bash, zsh or fish", choices = {"bash", "zsh", "fish"}}},
    examples = {"finetune completion bash", "finetune completion fish"},
    json = {"{script: the script}"}},
}

M.by_name = {}
for _, command in ipairs(M.list) do M.by_name[command.name] = command end

return M
